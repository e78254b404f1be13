"""The sections of 05 deals."""

from collections.abc import Mapping

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import curve
from closedloop.documents.findings import Claim, Column, backed, bars_of, dots_of, ends, table_of, value, where
from closedloop.documents.pieces import Listing, Note, Piece, Sentence, span, stating
from closedloop.documents.sections.conversions import conversions, how_many
from closedloop.documents.sections.section import (
    FEW_EACH,
    Evidence,
    Pieces,
    Section,
    claim_pieces,
    compared,
    level_of,
    recording,
    without_comparison,
)
from closedloop.documents.turning import turned
from closedloop.documents.wording import records, why_not
from closedloop.loop.comparisons import CONVERSION, TURNS
from closedloop.terms import Verdict

_OUTCOMES = {"n_won": "won", "n_lost": "lost", "n_no_decision": "no decision", "n_open": "still open"}
_RATES = {"win_rate": "won of won and lost", "win_rate_broad": "won of won, lost and no decision"}
_CURVES = {"won_by": "won", "lost_by": "lost", "no_decision_by": "no decision"}
_REASONS = {"loss_share": "the seller's account", "buyer_loss_share": "the buyer's account"}
_ADJUSTED = tuple(TURNS.values())


def _totals(shown: Evidence) -> Pieces:
    rows = shown.of(*_OUTCOMES)
    picture = bars_of(rows, shown.words, "What became of the deals?", "deals", lambda row: _OUTCOMES[row["measure"]])
    told = ", ".join(f"{value(row, shown.words)} {_OUTCOMES[row['measure']]}" for row in records(rows))
    said = [stating(f"{numbers.count(rows['n'].iloc[0])} deals: {told}.", rows)]
    amount = shown.first("total_won_amount")
    said += (
        [] if amount is None else [stating(f"Together the won deals are worth {value(amount, shown.words)}.", amount)]
    )
    return picture, *said


def _win_rates(shown: Evidence) -> Pieces:
    rows = shown.cell("win_rates")
    if rows.empty and len(shown.of(CONVERSION)):
        return tuple(how_many(shown))
    if rows.empty:
        return ()  # too few are decided, which the step says
    title, axis = "How many deals are won?", "share won"
    picture = dots_of(rows, shown.words, title, axis, lambda row: _RATES[row["measure"]])
    first = records(rows)[0]
    return picture, stating(f"{backed(first, shown.words)} {_RATES[first['measure']]}.", first)


def _curve(shown: Evidence) -> Pieces:
    rows = shown.of(*_CURVES)
    frame = rows.assign(day=rows["level"].astype(float), cause=rows["measure"])
    frame = frame.sort_values("day", kind="stable")
    caption = "Open deals count until last seen."
    picture = curve(frame, "How do deals end as time goes by?", names=_CURVES, caption=caption)
    won = records(frame[frame["measure"] == "won_by"].tail(1))
    return picture, *(
        stating(f"{backed(row, shown.words)} of all deals are won within {numbers.days(row['day'])}.", row)
        for row in won
    )


def _findings(shown: Evidence) -> Pieces:
    if len(shown.of(CONVERSION)):
        return conversions(shown, "findings")
    rates = shown.of("win_rate", *TURNS.values())
    title, axis = "What do won deals have in common?", "share of decided deals won"
    return *claim_pieces(rates[rates["field"] != "rep_id"], shown.words, title, axis), *recording(shown)


def _adjusted(shown: Evidence) -> Pieces:
    claims = shown.of(*_ADJUSTED)
    shift = (claims["estimate"] - claims["baseline"]).abs()
    answers = {measure: answer for answer, measure in TURNS.items()}
    order = claims["measure"].map(_ADJUSTED.index)
    ordered = claims.assign(_order=order, _shift=-shift).sort_values(["_order", "_shift"], kind="stable")
    columns: dict[str, str | tuple[str, Column]] = {
        "counted": ("difference as counted", lambda row: numbers.signed_points(_only(row)["baseline"])),
        "adjusted": ("like compared with like (95 % interval)", lambda row: backed(_only(row), shown.words)),
        "within": ("compared within", lambda row: shown.words.column(_only(row)["within"])),
        "turns": ("turns round", lambda row: answers[_only(row)["measure"]]),
    }
    listed = table_of(ordered, shown.words, "group", columns)
    note = Note(
        "Yes: the interval lies wholly on the other side. Nothing: it holds 0, but neither a difference worth knowing "
        "nor the one counted. Maybe: the estimate is on the other side, or the interval holds 0 but not that counted."
    )
    sure = shown.of(TURNS["yes"], TURNS["nothing"])
    if sure.empty:
        return listed, note, stating("No difference is shown to turn round once like meets like.", claims)
    return listed, note, Listing([turned(claim, shown.words) for claim in records(sure)])


def _only(row: Mapping[str, Claim]) -> Claim:
    return next(iter(row.values()))


def typical_cycle(shown: Evidence) -> list[Sentence]:
    """How long the median won deal takes."""
    typical = shown.first("median_cycle_days", field="")
    if typical is None:
        return []
    return [stating(f"A won deal typically takes {backed(typical, shown.words)}; half are faster.", typical)]


def _cycle(shown: Evidence) -> Pieces:
    rows, typical = shown.of("median_cycle_days"), shown.first("median_cycle_days", field="")
    baseline = None if typical is None else typical["estimate"]
    title, axis = "How long does winning take?", "median days to win"
    picture = dots_of(rows, shown.words, title, axis, baseline=baseline)
    means = shown.of("sales_cycle_days")
    return picture, *typical_cycle(shown), *(compared(means, shown.words) if len(means) else ())


def worth_order(shown: Evidence) -> list[Sentence]:
    """Personas, and products, by what a decided deal of theirs brings: more often won is not yet worth more.

    One without an interval has no place in an order.
    """
    rows = shown.of("won_amount_per_decided").sort_values("estimate", ascending=False, kind="stable")
    rows = rows[rows["low"].notna()]
    parts = [(name, rows[rows["field"] == field]) for field, name in _ORDERED.items()]
    told = [
        f"{name}: " + ", ".join(f"{level_of(shown.words)(row)} ({value(row, shown.words)})" for row in records(part))
        for name, part in parts
        if len(part)
    ]
    if not told:
        return []
    of = f"Won amount per decided deal (win rate times amount) of {span(records(rows)[0])}"
    return [stating(f"{of}, highest first; {'; '.join(told)}.", *(part for _, part in parts))]


_ORDERED = {"persona": "personas", "product": "products"}


def _amounts(shown: Evidence) -> Pieces:
    columns: dict[str, str | tuple[str, Column]] = {
        "won_amount_per_decided": ("won per decided deal", "backed"),
        "win_rate": ("win rate", "backed"),
        "median_cycle_days": "days to win",
        "mean": ("mean amount", lambda row: _mean(row, shown)),
        "median_amount": "median",
        "next": ("nine of ten lie within", lambda row: _range(row.get("next_amount"), shown)),
        "sales_velocity_per_day": ("open deals make a day", "backed"),
    }
    pieces: list[Piece] = [*_typical_amount(shown), *worth_order(shown), *_unpaid(shown)]
    pieces += without_comparison(where(shown.cell("amounts"), unit="amount"), shown.words)
    for measure, title, axis in _COMPARED:
        claims = shown.of(measure)
        looked = claims[claims["family"] != "none"]
        pieces += claim_pieces(looked, shown.words, title, f"{axis}, {shown.words.currency}") if len(looked) else ()
    return *pieces, table_of(_by_worth(shown), shown.words, "deals", columns)


_COMPARED = (
    ("won_amount_per_decided", "What does a decided deal bring?", "won amount per decided deal"),
    ("won_amount", "How large is a won deal?", "mean amount of a won deal"),
)


def _by_worth(shown: Evidence) -> pd.DataFrame:
    """What is known of all deals, of personas and of products, those first whose decided deals bring most."""
    groups = shown.claims["field"].isin(_ORDERED)
    beside = shown.claims["measure"].isin(["win_rate", "median_cycle_days"])
    rows = pd.concat([shown.cell("amounts"), shown.claims[groups & beside & (shown.claims["cell"] != "amounts")]])
    rows = rows[~rows["measure"].isin(["n_won_without_amount", "large_amount"])]
    brings = shown.of("won_amount_per_decided").set_index(["field", "level"])["estimate"]
    keys = pd.MultiIndex.from_frame(rows[["field", "level"]])
    ordered = rows.assign(_worth=brings.reindex(keys).to_numpy())
    return ordered.sort_values(["field", "_worth", "level"], ascending=[True, False, True], kind="stable")


def _unpaid(shown: Evidence) -> list[Sentence]:
    """What is done with won deals without an amount."""
    unpaid = shown.first("n_won_without_amount")
    if unpaid is None:
        return []
    text = f"{value(unpaid, shown.words)} of {numbers.count(unpaid['n'])} won deals have no amount: they count as won"
    return [stating(f"{text}, and are taken to pay like the others of their group.", unpaid)]


def _mean(row: Mapping[str, Claim], shown: Evidence) -> str:
    """The mean of a group as it was compared, of all together as it was estimated."""
    known = [row[measure] for measure in ("won_amount", "mean_amount") if measure in row]
    return backed(known[0], shown.words) if known else numbers.MISSING


def _range(claim: Claim | None, shown: Evidence) -> str:
    return numbers.MISSING if claim is None else ends(claim, shown.words)


def _typical_amount(shown: Evidence) -> list[Sentence]:
    mean, median = (shown.first(measure, field="") for measure in ("mean_amount", "median_amount"))
    if mean is None or median is None:
        return []
    if mean["reason"]:
        return [_median_first(shown, mean, median)]
    text = f"A won deal is worth {backed(mean, shown.words)} on average; half are under {value(median, shown.words)}."
    return [stating(text, mean, median)]


def _median_first(shown: Evidence, mean: Claim, median: Claim) -> Sentence:
    """What won deals are worth where the mean says little, with the deals that make it by their ids in the CRM."""
    large = shown.of("large_amount")
    named = ", ".join(f"{row['level']} ({value(row, shown.words)})" for row in records(large))
    text = f"Half of the won deals are under {backed(median, shown.words)}. Their mean is {value(mean, shown.words)}: "
    tail = f" Check {named} in the CRM." if named else ""
    return stating(f"{text}{why_not(mean)}.{tail}", mean, median, large)


def _loss_reasons(shown: Evidence) -> Pieces:
    pieces: list[Piece] = []
    for measure, who in _REASONS.items():
        rows = shown.of(measure).sort_values("estimate", ascending=False, kind="stable")
        if len(rows):
            pieces += _reasons(rows, who, shown)
    for measure, told in (
        ("uncoded_loss_share", "of lost deals have no reason recorded"),
        ("loss_reason_agreement", "of deals with both accounts: seller and buyer name the same reason"),
    ):
        pieces += [stating(f"{backed(row, shown.words)} {told}.", row) for row in records(shown.of(measure))]
    pieces += [] if shown.of(*_REASONS).size else [Sentence(FEW_EACH)]
    return (*pieces, Note("Reasons are what somebody said about the loss, not its proven cause."))


def _reasons(rows: pd.DataFrame, who: str, shown: Evidence) -> list[Piece]:
    name, top = level_of(shown.words), records(rows.head(1))[0]
    title, axis = f"Why were deals lost? By {who}", "share of lost deals with a reason"
    said = stating(f"By {who}: {name(top)} first, {backed(top, shown.words)}.", top)
    return [dots_of(rows, shown.words, title, axis, name), said]


def _reps(shown: Evidence) -> Pieces:
    spread, sellers = shown.first("rep_spread"), shown.first("n_reps")
    if spread is None or sellers is None:
        return (Sentence("The spread between sellers could not be tested."),)
    found = f"{value(sellers, shown.words)} sellers with {numbers.count(spread['n'])} decided deals"
    if numbers.is_missing(spread["p"]):
        return (stating(f"{found}: too few to tell luck from skill.", spread, sellers),)
    p = f"p = {spread['p']:.2g}"
    if spread["verdict"] != Verdict.SUPPORTED:
        text = f"{found} are not shown to differ beyond luck ({p}): no league table."
        return (stating(text, spread, sellers),)
    said = stating(f"{found} differ by more than luck ({p}); look at what they sell first.", spread, sellers)
    reps = where(shown.of("win_rate"), field="rep_id")
    title, axis = "Who wins more of the same deals?", "share won, were all to sell to the same personas"
    return said, *claim_pieces(reps, shown.words, title, axis)


DEALS = (
    Section("deals", "totals", "What became of the deals?", _totals, measures=("n_won",)),
    Section("deals", "win_rates", "How many deals are won?", _win_rates,
            measures=("win_rate", "win_rate_broad", CONVERSION)),
    Section("deals", "curve", "How do deals end as time goes by?", _curve, measures=tuple(_CURVES)),
    Section("deals", "findings", "What do won deals have in common?", _findings),
    Section("deals", "adjusted", "Is it the same within groups?", _adjusted, measures=_ADJUSTED),
    Section("deals", "cycle", "How long does winning take?", _cycle, measures=("median_cycle_days",)),
    Section("deals", "amounts", "How large is a won deal?", _amounts, measures=("median_amount",)),
    Section("deals", "loss_reasons", "Why were deals lost?", _loss_reasons,
            measures=("loss_share", "buyer_loss_share", "uncoded_loss_share")),
    Section("deals", "reps", "Do sellers differ by more than luck?", _reps, measures=("rep_spread",)),
)  # fmt: skip
