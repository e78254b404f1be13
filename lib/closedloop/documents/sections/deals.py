"""The sections of 05 deals."""

from collections.abc import Iterable, Sequence

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import bars, curve, dots
from closedloop.documents.pieces import Note, Piece, Sentence
from closedloop.documents.sections.section import (
    FEW_EACH,
    FEWEST_SHOWN,
    Evidence,
    Pieces,
    Section,
    claim_pieces,
    condition,
    group_rows,
    highest,
    of_total,
    share_text,
    signed,
    spoken,
)
from closedloop.documents.tables import table

OUTCOMES = {"won": "won", "lost": "lost", "no_decision": "no decision", "open": "still open"}


def _recorded(shown: Evidence) -> tuple[str, ...]:
    """The outcomes that the source can record; one that it cannot is unknown, not zero."""
    declared = shown.words.definition.deals
    return tuple(OUTCOMES) if declared is None else (*declared.outcomes, "open")


def _totals(shown: Evidence) -> Pieces:
    frame = shown.table("totals")
    frame = frame[frame["outcome"].isin(_recorded(shown))]
    labels = [OUTCOMES.get(str(value), spoken(value)) for value in frame["outcome"]]
    total = max(float(frame["n"].sum()), 1.0)
    rows = pd.DataFrame(
        {"label": labels, "n": frame["n"].to_numpy(), "remark": [numbers.rate(n / total) for n in frame["n"]]}
    )
    picture = bars(rows, "What became of the deals?", "deals", caption="Percent: share of all deals counted.")
    return picture, Sentence(f"{numbers.count(frame['n'].sum())} deals: " + _tally(labels, frame["n"]) + ".")


def _tally(labels: Sequence[str], values: Iterable[float]) -> str:
    return ", ".join(f"{numbers.count(n)} {label}" for label, n in zip(labels, values, strict=True))


def _win_rates(shown: Evidence) -> Pieces:
    frame = shown.table("win_rates")
    frame = frame if "no_decision" in _recorded(shown) else frame[frame["definition"] == "narrow"]
    named = {"narrow": "won of won and lost", "broad": "won of won, lost and no decision"}
    labels = [named.get(str(value), spoken(value)) for value in frame["definition"]]
    picture = dots(group_rows(frame, labels, "estimate"), "How many deals are won?", "share won")
    first = frame.iloc[0]
    ends = numbers.interval(first["low"], first["high"], "rate", "")
    text = f"{numbers.rate(first['estimate'])} {labels[0]} ({ends}, n = {numbers.count(first['n'])})."
    return picture, Sentence(text)


def _curve(shown: Evidence) -> Pieces:
    frame = shown.table("curve")
    frame = frame[frame["cause"].isin(_recorded(shown))]
    picture = curve(
        frame,
        "How do deals end as time goes by?",
        names=OUTCOMES,
        caption="Open deals count until last seen.",
    )
    won = frame[frame["cause"] == "won"]
    if won.empty:
        return (picture,)
    last = won.iloc[-1]
    ends = numbers.interval(last["low"], last["high"], "rate", "")
    text = f"{numbers.rate(last['estimate'])} of all deals are won within {numbers.days(last['day'])} ({ends})."
    return picture, Sentence(text)


def _findings(shown: Evidence) -> Pieces:
    every = shown.of("win_rate")
    title, axis = "What do won deals have in common?", "share of decided deals won"
    return claim_pieces(_without_luck(every, shown), shown.words, title, axis, looked=every)


def _without_luck(claims: pd.DataFrame, shown: Evidence) -> pd.DataFrame:
    """The claims without sellers who differ no more than luck would make them: no league table of luck."""
    reps = shown.table("reps")
    differ = len(reps) > 0 and bool(reps["is_beyond_luck"].fillna(False).iloc[0])
    return claims if differ else claims[claims["field"] != "rep_id"]


def _grouped(shown: Evidence, name: str, value: str) -> tuple[pd.DataFrame, list[str]]:
    frame = shown.table(name)
    frame = frame[frame[value].notna() & (frame["n"] >= FEWEST_SHOWN)]
    return frame, [condition(row, shown) for _, row in frame.iterrows()]


def _cycle(shown: Evidence) -> Pieces:
    frame, labels = _grouped(shown, "cycle", "median_days")
    typical = shown.result("sales_cycle_days")
    stated = Sentence(f"A won deal typically takes {numbers.days(typical)}; half are faster.")
    if frame.empty:
        return (stated,)
    rows = group_rows(frame, labels, "median_days")
    return dots(rows, "How long does winning take?", "median days to win", unit="days", baseline=typical), stated


def _amounts(shown: Evidence) -> Pieces:
    frame, labels = _grouped(shown, "amounts", "mean_amount")
    if frame.empty:
        return (Sentence("Too few won deals have an amount to compare."),)
    currency = shown.words.currency
    rows = group_rows(frame, labels, "mean_amount")
    axis = f"mean amount of a won deal, {currency}"
    picture = dots(rows, "How large is a won deal?", axis, unit="amount", currency=currency)
    first = highest(rows, "estimate")
    top = f"{first['label']}, {numbers.rounded_money(first['estimate'], currency)}"
    return picture, Sentence(f"Largest mean amount: {top}; the median of every group is in the stored table.")


def _loss_reasons(shown: Evidence) -> Pieces:
    frame = shown.table("loss_reasons")
    pieces: list[Piece] = []
    for source, who in (("rep", "the seller's account"), ("buyer", "the buyer's account")):
        part = frame[frame["source"] == source].sort_values("share", ascending=False, kind="stable")
        rows = of_total(part, "reason")
        if len(rows):
            pieces.append(dots(rows, f"Why were deals lost? By {who}", "share of lost deals with a reason"))
            pieces.append(Sentence(f"By {who}: {spoken(part.iloc[0]['reason'])} first, {share_text(part.iloc[0])}."))
    pieces += [] if pieces else [Sentence(FEW_EACH)]
    return (*pieces, Note("Reasons are what somebody said about the loss, not its proven cause."))


def _adjusted(shown: Evidence) -> Pieces:
    frame = shown.table("adjusted")
    named = frame.assign(
        field=[condition(row, shown) for _, row in frame.iterrows()],
        confounder=[shown.words.column(str(v)) for v in frame["confounder"]],
        crude=[signed(value) for value in frame["crude"]],
        adjusted=[signed(value) for value in frame["adjusted"]],
        shift=(frame["crude"] - frame["adjusted"]).abs(),
    ).sort_values(["is_reversed", "shift"], ascending=False, kind="stable")
    columns = {"field": "group", "crude": "difference as counted", "adjusted": "like compared with like",
               "confounder": "compared within", "is_reversed": "turns round"}  # fmt: skip
    n = int(frame["is_reversed"].fillna(False).astype(bool).sum())
    text = f"{n} difference{'s' if n != 1 else ''} turn{'' if n != 1 else 's'} round once like meets like."
    return table(named, columns, shown.words), Sentence(text)


def _reps(shown: Evidence) -> Pieces:
    row = shown.table("reps").iloc[0]
    n, deals = numbers.count(row["n_reps"]), numbers.count(row["n_deals"])
    found = f"{n} sellers with {deals} decided deals"
    if numbers.is_missing(row["is_beyond_luck"]):
        return (Sentence(f"{found}: too few to tell luck from skill."),)
    if row["is_beyond_luck"]:
        text = f"{found} differ by more than luck (p = {row['p']:.2g}); look at what they sell first."
    else:
        text = f"{found} differ no more than luck would make them (p = {row['p']:.2g}): no league table."
    return (Sentence(text),)


DEALS = (
    Section("deals", "totals", "What became of the deals?", _totals, ("totals",)),
    Section("deals", "win_rates", "How many deals are won?", _win_rates, ("win_rates",)),
    Section("deals", "curve", "How do deals end as time goes by?", _curve, ("curve",)),
    Section("deals", "findings", "What do won deals have in common?", _findings),
    Section("deals", "adjusted", "Is it the same within groups?", _adjusted, ("adjusted",)),
    Section("deals", "cycle", "How long does winning take?", _cycle, ("cycle",)),
    Section("deals", "amounts", "How large is a won deal?", _amounts, ("amounts",)),
    Section("deals", "loss_reasons", "Why were deals lost?", _loss_reasons, ("loss_reasons",)),
    Section("deals", "reps", "Do sellers differ by more than luck?", _reps, ("reps",)),
)
