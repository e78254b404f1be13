"""How long winning takes, for how much, and what a decided deal brings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import decided_looks
from closedloop.claims.ledger import amount_looks, cycle_looks
from closedloop.errors import choice
from closedloop.period.counting import LEAST_SHOWN, levels, rates, won
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, span, stating
from closedloop.presentation.sentences import Claim, backed, ends, ranged, records, value, where, why_not
from closedloop.presentation.tables import Columns, Label, dots_of, table_of
from closedloop.statistics.amounts import MOST_OF_ALL, conformal_range, mean_amounts, velocity, won_per_decided
from closedloop.statistics.cumulative_incidence import cycle_days, median
from closedloop.workbench.answer import Answer, Evidence, Headline, Render
from closedloop.workbench.comparison import (
    SAME_DAY,
    comparison,
    in_words,
    level_of,
    no_days,
    no_deals,
    without_comparison,
)
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import SizeRedraw

PER_DECIDED = "won_amount_per_decided"
LARGE = "large_amount"
_FIELDS = ("persona", "product")
_ORDERED = {"persona": "personas", "product": "products"}
_COMPARED = (
    ("won_amount_per_decided", "What does a decided deal bring?", "won amount per decided deal, drawn toward all"),
    ("won_amount", "How large is a won deal?", "mean amount of a won deal, drawn toward all"),
)
_MOST_NAMED, _TIMES_MEDIAN = 3, 10
Row = dict[str, Any]  # a statement: field, level, estimate, low, high, n
Known = dict[str, tuple[float, float, float]]  # estimate, low and high of all ("") and of each persona


def amounts(
    deals: pd.DataFrame,
    of: str = "money",
    *,
    by: str = "persona",
    every: pd.DataFrame | None = None,
    among: str | None = None,
) -> Answer:
    """What deals are worth, or how long winning takes; means of the groups ``by`` are compared.

    ``of``: ``money``, what won deals are worth, and what a decided one brings, win rate times amount; the range of the
    next amount is conformal. Products are shown and not compared: that a dearer product makes larger deals is its price
    list. ``days``, median days from opening to winning of the deals that were won. Means are shrunk on the log scale,
    and bounded (METHODS 5). ``every``: open deals as well, for what they make a day. Errors: ParameterError for another
    ``of``.
    """
    state, section, show, headline = choice("of", of, _QUESTIONS)
    now = opened()
    answer = now.ask("amounts", section, deals, "deals", show, among=among, by=by, of=of)
    answer.headline = headline
    if not no_deals(answer):
        state(answer, by)
    if every is not None and answer.fitted:
        _velocities(answer, now.rows(every, "deals")[0])
    return answer


def _cycle(answer: Answer, by: str) -> None:
    situation, won_deals = answer.now.situation, answer.rows[answer.rows["outcome"] == "won"]
    timed = won_deals.dropna(subset=["age_days"])
    reason = no_days(situation, situation.deals) or _no_cycle(won_deals, timed)
    answer.results["sales_cycle_days"] = None
    if reason:
        answer.missing["cycle"] = reason
        return
    origin = answer.origin(answer.rows["closed_on"])
    medians = [{**named, **cycle_days(part["age_days"], part["outcome"])} for named, part in _groups(timed)]
    answer.results["sales_cycle_days"] = medians[0]["estimate"]
    answer.estimate(medians, origin, "median_cycle_days", unit="days")
    days = timed.assign(field=by, level=levels(timed, [by])[by], days=timed["age_days"])[["field", "level", "days"]]
    every = levels(answer.rows, [by])[by]
    redraw = SizeRedraw("deals", answer.rows["deal_id"], every, "age_days", "sales_cycle_days")
    answer.compare(cycle_looks(days, origin), redraw if answer.is_recorded else None)


def _money(answer: Answer, by: str) -> None:
    ended, origin = answer.rows, answer.origin(answer.rows["closed_on"])
    won_deals = ended[ended["outcome"] == "won"]
    if reason := _no_amounts(won_deals):
        answer.missing["amounts"] = reason
        return
    paid = won_deals[won_deals["won_amount"] > 0].astype({"won_amount": "float64"})
    groups = _groups(paid)
    medians = [{**named, **median(part["won_amount"])} for named, part in groups]
    answer.estimate(medians, origin, "median_amount", unit="amount")
    means = _means(paid)
    answer.estimate(means[means["field"] != "persona"], origin, "mean_amount", unit="amount")  # personas are compared
    if means["reason"].iloc[0]:  # the largest deals that are far from the others are named
        amount = paid["won_amount"]
        is_large = (amount > _TIMES_MEDIAN * amount.median()) | (amount > MOST_OF_ALL * amount.sum())
        named = paid[is_large].nlargest(_MOST_NAMED, "won_amount").rename(columns={"won_amount": "estimate"})
        large = named[["estimate"]].assign(field="deal_id", level=named["deal_id"].astype(str), n=len(paid))
        answer.count(large, origin, LARGE, unit="amount")
    sizes = paid.assign(field=by, level=levels(paid, [by])[by], amount=paid["won_amount"])[["field", "level", "amount"]]
    redraw = SizeRedraw("deals", ended["deal_id"], levels(ended, [by])[by], "won_amount", "won_amount")
    answer.compare(amount_looks(sizes, origin), redraw if answer.is_recorded else None)
    ranges = [conformal_range(part["won_amount"]) for _, part in groups]  # each holds the next amount nine times of ten
    coming = [{**row, "low": low, "high": high} for row, (low, high) in zip(medians, ranges, strict=True)]
    shown = [row for row in coming if row["field"] in ("", "persona") and np.isfinite(row["low"])]
    answer.estimate(shown, origin, "next_amount", unit="amount", kind="predictive")
    answer.results |= {f"next_amount_{end}": coming[0][end] for end in ("low", "high")}
    answer.results["median_amount"] = medians[0]["estimate"]
    answer.fitted = _known(means)
    if not answer.now.situation.has_only_won:
        _per_decided(answer, ended[won(ended).notna()], by)


def _per_decided(answer: Answer, decided: pd.DataFrame, by: str) -> None:
    """What a decided deal brings, won or lost: of all, of the groups compared, and of products."""
    origin = answer.origin(answer.rows["closed_on"])
    deals = decided.assign(is_won=decided["outcome"] == "won", amount=decided["won_amount"].astype("float64"))
    cut = _levels(deals)
    stated = {"": pd.Series("", index=deals.index), **{str(name): cut[name] for name in cut if name != by}}
    for field, level in stated.items():
        answer.estimate(per_decided(deals, level, field), origin, PER_DECIDED, unit="amount")
    if deals[by].nunique() > 1:
        groups = levels(deals, [by])[by]
        redraw = SizeRedraw("deals", deals["deal_id"], groups, "won_amount", PER_DECIDED, is_per_decided=True)
        compared = decided_looks(deals.assign(field=by, level=groups), origin, measure=PER_DECIDED)
        answer.compare(compared, redraw if answer.is_recorded else None)
    n_unpaid = int((deals["is_won"] & ~(deals["amount"] > 0)).sum())
    if n_unpaid:
        answer.count([{"estimate": n_unpaid, "n": int(deals["is_won"].sum())}], origin, "n_won_without_amount")


def _velocities(answer: Answer, every: pd.DataFrame) -> None:
    """Money that the open deals make a day, of all and of each persona; none with fewer than ten open or decided."""
    ended, means = answer.rows, answer.fitted
    timed = ended[(ended["outcome"] == "won") & ended["age_days"].notna()]
    if answer.now.situation.has_only_won or no_days(answer.now.situation, every) or len(timed) < LEAST_SHOWN:
        return
    medians = [{**named, **cycle_days(part["age_days"], part["outcome"])} for named, part in _groups(timed)]
    days = _known(pd.DataFrame(medians))
    speeds = []
    for persona in (persona for persona in days if persona in means):
        mine = every[every["persona"].astype("str") == persona] if persona else every
        hit = won(mine.loc[mine.index.intersection(ended.index)]).dropna()
        n_open, rate = int((mine["outcome"] == "open").sum()), rates([("", hit.sum(), len(hit))], "")
        if n_open >= LEAST_SHOWN and rate:
            found = velocity(n_open, _known(pd.DataFrame(rate))[""], means[persona], days[persona])
            speeds.append({"field": "persona" if persona else "", "level": persona, **found, "n": len(hit)})
    told = [row for row in speeds if np.isfinite(row["estimate"])]
    answer.estimate(told, answer.origin(ended["closed_on"]), "sales_velocity_per_day", unit="amount")


def _no_cycle(won_deals: pd.DataFrame, timed: pd.DataFrame) -> str:
    """Why the won deals do not tell how long winning takes; nothing where they do."""
    if len(won_deals) < LEAST_SHOWN:
        return "Fewer than ten deals were won, too few to show how long winning takes."
    if len(timed) < LEAST_SHOWN:
        return (
            f"Only {len(timed):,} of {len(won_deals):,} won deals record when they were opened and closed, too few to "
            "show how long winning takes: collect created_on and closed_on of every deal."
        )
    return f"{SAME_DAY}: winning takes no day, and there is nothing to compare." if timed["age_days"].max() == 0 else ""


def _no_amounts(won_deals: pd.DataFrame) -> str:
    """Why the won deals do not tell what a deal is worth; nothing where they do."""
    if len(won_deals) < LEAST_SHOWN:
        return "Fewer than ten deals were won, too few to show what one is worth."
    if "won_amount" not in won_deals or won_deals["won_amount"].isna().all():
        return "No won deal records its amount: collect won_amount of deals."
    n, n_zero = int((won_deals["won_amount"] > 0).sum()), int((won_deals["won_amount"] == 0).sum())
    if n >= LEAST_SHOWN:
        return ""
    if not n:
        return f"Each of the {n_zero} amounts of won deals is 0, which tells no price: collect won_amount of deals."
    zeros = f", {n_zero} have 0" if n_zero else ""
    return (
        f"Only {n:,} of {len(won_deals):,} won deals have an amount above 0{zeros}: collect won_amount of every deal."
    )


def per_decided(deals: pd.DataFrame, by: pd.Series, field: str) -> pd.DataFrame:
    """Statements of what a decided deal of each level brings; those of fewer than ten deals are left out."""
    found = won_per_decided(deals["is_won"], deals["amount"], by).rename(columns={"group": "level"})
    table = found if field else _as_counted(found)
    return table.loc[table["n"] >= LEAST_SHOWN, ["level", "estimate", "low", "high", "n", "reason"]].assign(field=field)


def _means(paid: pd.DataFrame) -> pd.DataFrame:
    """The mean amount of all, and those of the groups of ten or more of each field, which are drawn together."""
    every = _as_counted(mean_amounts(paid["won_amount"], np.zeros(len(paid)))).assign(group="")
    drawn = {str(field): mean_amounts(paid["won_amount"], level) for field, level in _levels(paid).items()}
    means = pd.concat([found.assign(field=field) for field, found in ({"": every} | drawn).items()])
    means = means.rename(columns={"group": "level"})[["field", "level", "estimate", "low", "high", "n", "reason"]]
    return means[means["n"] >= LEAST_SHOWN]


def _as_counted(every: pd.DataFrame) -> pd.DataFrame:
    """All together, which are drawn toward nothing: their plain mean, and the interval moved along with it."""
    moved = every["whole"] / every["estimate"]
    return every.assign(estimate=every["whole"], low=every["low"] * moved, high=every["high"] * moved)


def _groups(frame: pd.DataFrame) -> list[tuple[Row, pd.DataFrame]]:
    """All together, and every group of ten or more: field and level, and its rows."""
    by = _levels(frame)
    parts = [({"field": name, "level": str(level)}, part) for name in by for level, part in frame.groupby(by[name])]
    return [({"field": "", "level": ""}, frame), *parts]


def _levels(frame: pd.DataFrame) -> pd.DataFrame:
    """The fields that are compared, as levels; a field with one level says what all together says."""
    by = levels(frame, [name for name in _FIELDS if name in frame])
    return by.loc[:, by.nunique() > 1]


def _known(rows: pd.DataFrame) -> Known:
    own = rows[rows["field"].isin(["", "persona"])]
    return dict(zip(own["level"], own[["estimate", "low", "high"]].itertuples(index=False, name=None), strict=True))


def _show_cycle(shown: Evidence, title: str) -> Sequence[Piece]:
    rows, means = shown.of("median_cycle_days"), shown.of("sales_cycle_days")
    typical = shown.first("median_cycle_days", field="")
    said = [] if typical is None else [
        stating(f"A won deal typically takes {backed(typical, shown.words)}; half take no longer.", typical)
    ]  # fmt: skip
    name, baseline = title or "How long does winning take?", None if typical is None else typical["estimate"]
    picture = dots_of(rows, shown.words, name, "median days to win", baseline=baseline)
    return picture, *said, *(in_words(means, shown) if len(means) else ())


def amount_order(shown: Evidence) -> list[Sentence]:
    """Personas, and products, by what a decided deal of theirs brings, and of which a difference is shown.

    More often won is not yet worth more. One without an interval has no place in an order.
    """
    rows = shown.of("won_amount_per_decided").sort_values("estimate", ascending=False, kind="stable")
    rows, name = rows[rows["low"].notna()], level_of(shown.words)
    told = []
    for field, kind in _ORDERED.items():
        part = rows[rows["field"] == field]
        if len(part):
            levels = ", ".join(f"{name(row)} {ranged(row, shown.words)}" for row in records(part))
            told.append(f"{kind}, {_shown_apart(part, name)}: {levels}")
    if not told:
        return []
    made = "win rate times mean amount, each drawn toward that of all by itself"
    of = f"Won amount per decided deal ({made}) of {span(records(rows)[0])}"
    return [stating(f"{of}, highest first; {'; '.join(told)}.", rows[rows["field"].isin(_ORDERED)])]


def _shown_apart(part: pd.DataFrame, name: Label) -> str:
    """Of which of these levels a difference from all is shown."""
    if not (part["family"] != "none").any():
        return "not compared"
    held = [name(row) for row in records(where(part, verdict="supported"))]
    return f"shown to differ from all: {' and '.join(held)}" if held else "none shown to differ from all"


def _show_amounts(shown: Evidence, title: str) -> Sequence[Piece]:
    def mean(row: Mapping[str, Claim]) -> str:
        """Of a group as it was compared, of all together as it was estimated."""
        known = [row[measure] for measure in ("won_amount", "mean_amount") if measure in row]
        return backed(known[0], shown.words) if known else numbers.MISSING

    def coming(row: Mapping[str, Claim]) -> str:
        return ends(row["next_amount"], shown.words) if "next_amount" in row else numbers.MISSING

    columns: Columns = {
        "won_amount_per_decided": ("won per decided deal, of groups estimated", "backed"),
        "win_rate": ("win rate", "backed"),
        "median_cycle_days": "days to win",
        "mean": ("mean amount, of groups estimated", mean),
        "median_amount": "median",
        "next": ("nine of ten lie within", coming),
        "sales_velocity_per_day": ("sales velocity a day", "backed"),
    }
    pieces: list[Piece] = [*_typical_amount(shown), *amount_order(shown)]
    unpaid = shown.first("n_won_without_amount")
    if unpaid is not None:
        text = (
            f"{value(unpaid, shown.words)} of {numbers.count(unpaid['n'])} won deals have no amount: they count as won"
        )
        pieces.append(stating(f"{text}, and are taken to pay like the others of their group.", unpaid))
    pieces += without_comparison(where(shown.cell("amounts"), unit="amount"), shown.words)
    for measure, name, axis in _COMPARED:
        claims = shown.of(measure)
        compared = claims[claims["family"] != "none"]
        pieces += comparison(compared, shown, name, f"{axis}, {shown.words.currency}") if len(compared) else ()
    return *pieces, table_of(_by_amount(shown), shown.words, "deals", columns, caption=title)


def _by_amount(shown: Evidence) -> pd.DataFrame:
    """What is known of all deals, of personas and of products, those first whose decided deals bring most."""
    claims = shown.ledger[shown.ledger["among"].fillna("") == ""]
    beside = claims["measure"].isin(["win_rate", "median_cycle_days"]) & claims["field"].isin(_ORDERED)
    rows = pd.concat([shown.cell("amounts"), claims[beside & (claims["within"].fillna("") == "")]])
    rows = rows[~rows["measure"].isin(["n_won_without_amount", "large_amount"])]
    brings = shown.of("won_amount_per_decided").set_index(["field", "level"])["estimate"]
    keys = pd.MultiIndex.from_frame(rows[["field", "level"]])
    ordered = rows.assign(_brings=brings.reindex(keys).to_numpy())
    return ordered.sort_values(["field", "_brings", "level"], ascending=[True, False, True], kind="stable")


def _typical_amount(shown: Evidence) -> list[Sentence]:
    mean, median = (shown.first(measure, field="") for measure in ("mean_amount", "median_amount"))
    if mean is None or median is None:
        return []
    if not mean["reason"]:
        text = f"A won deal is worth {backed(mean, shown.words)} on average; half are at most "
        text = f"{text}{value(median, shown.words)}."
        return [stating(text, mean, median)]
    # the mean says little, so the median leads, and the deals that make the mean are named by their ids in the CRM
    large = shown.of(LARGE)
    named = ", ".join(f"{row['level']} ({value(row, shown.words)})" for row in records(large))
    text = f"Half of the won deals are under {backed(median, shown.words)}. Their mean is {value(mean, shown.words)}: "
    tail = f" Check {named} in the CRM." if named else ""
    return [stating(f"{text}{why_not(mean)}.{tail}", mean, median, large)]


_QUESTIONS: dict[str, tuple[Callable[[Answer, str], None], str, Render, Headline | None]] = {
    "money": (_money, "amounts", _show_amounts, amount_order),
    "days": (_cycle, "cycle", _show_cycle, None),
}
