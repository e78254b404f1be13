"""The sections of 04 handoff."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import bars, dots
from closedloop.documents.pieces import Listing, Sentence
from closedloop.documents.sections.section import (
    FEW_EACH,
    FEWEST_SHOWN,
    Evidence,
    Pieces,
    Section,
    of_total,
    share_text,
    spoken,
)
from closedloop.documents.tables import Table, table

_PROMISES = {
    "n_leads": ("leads handed off", "count"),
    "accepted_rate": ("share accepted by sales", "rate"),
    "first_touch_days": ("median days to the first touch", "days"),
    "n_touches": ("touches before giving up", "ratio"),
    "won_amount": ("won amount", "amount"),
}


def team_promises(shown: Evidence) -> Pieces:
    """What each team promised, and what was observed."""
    frame = shown.table("promises")
    rows = [_promise(row, shown) for _, row in frame.iterrows()]
    judged = frame["is_kept"].dropna()
    kept = int(judged.astype(bool).sum())
    heads = ("promise", "by", "promised", "observed", "kept")
    text = f"{kept} of {len(judged)} promises were kept." if len(judged) else "No promise could be judged yet."
    return Table(heads, tuple(rows), (False, False, True, True, False)), Sentence(text)


def _promise(row: pd.Series, shown: Evidence) -> tuple[str, ...]:
    name, unit = _PROMISES.get(str(row["promise"]), (spoken(row["promise"]), "ratio"))
    values = [numbers.written(row[key], unit, shown.words.currency) for key in ("promised", "observed")]
    kept = "not judged" if numbers.is_missing(row["is_kept"]) else "yes" if row["is_kept"] else "no"
    return (name, str(row["team"]), *values, kept)


def _waterfall(shown: Evidence) -> Pieces:
    frame = shown.table("waterfall")
    remarks = ["" if numbers.is_missing(row["share"]) else numbers.rate(row["share"]) for _, row in frame.iterrows()]
    rows = pd.DataFrame({"label": [spoken(v) for v in frame["status"]], "n": frame["n"].to_numpy(), "remark": remarks})
    picture = bars(rows, "What became of the leads handed off?", "leads", caption="Percent: share of those handed off.")
    n, accepted = shown.result("n_handed_off"), shown.result("accepted_rate")
    return picture, Sentence(f"{numbers.count(n)} leads were handed off; sales accepted {numbers.rate(accepted)}.")


def _first_touch(shown: Evidence) -> Pieces:
    frame = shown.table("first_touch")
    frame = frame[frame["n"] >= FEWEST_SHOWN]
    named = frame.assign(
        group=[shown.words.column(str(v)) for v in frame["group"]],
        level=[shown.words.level(str(row["group"]), row["level"]) for _, row in frame.iterrows()],
    )
    columns = {"group": "by", "level": "value", "n": "leads", "median_days": "median",
               "p90_days": "nine of ten within", "never_share": "never touched"}  # fmt: skip
    median, never = shown.result("first_touch_median_days"), shown.result("never_touched_share")
    text = f"The median lead waited {numbers.days(median)}; {numbers.rate(never)} were never touched by sales."
    return table(named, columns, shown.words, limit=25), Sentence(text)


def _rejections(shown: Evidence) -> Pieces:
    frame = shown.table("rejections").sort_values("share", ascending=False, kind="stable")
    rows = of_total(frame, "reason")
    if rows.empty:
        return (Sentence(FEW_EACH),)
    picture = dots(rows, "Why does sales reject leads?", "share of rejected leads")
    return picture, Sentence(f"Named most often: {spoken(frame.iloc[0]['reason'])}, {share_text(frame.iloc[0])}.")


def _disagreements(shown: Evidence) -> Pieces:
    frame = shown.table("disagreements")
    columns = {"kind": "where the teams disagree", "n": "leads", "n_of": "of"}
    total = int(frame["n"].fillna(0).sum())
    text = (
        f"{numbers.count(total)} leads are worth a joint look." if total else "The teams' verdicts agree on every lead."
    )
    return table(frame, columns, shown.words, units={"kind": "label", "n_of": "count"}), Sentence(text)


def _questions(shown: Evidence) -> Pieces:
    return (Listing([str(question) for question in shown.table("questions")["question"]]),)


HANDOFF = (
    Section("handoff", "promises", "What was promised, and was it kept?", team_promises, ("promises",)),
    Section("handoff", "waterfall", "What became of the leads handed off?", _waterfall, ("waterfall",)),
    Section("handoff", "first_touch", "How long did a lead wait?", _first_touch, ("first_touch",)),
    Section("handoff", "rejections", "Why does sales reject leads?", _rejections, ("rejections",)),
    Section("handoff", "disagreements", "Where do the teams disagree?", _disagreements, ("disagreements",)),
    Section("handoff", "questions", "What to ask each other?", _questions, ("questions",)),
)
