"""The battlecard of one competitor, or of buyers who decide nothing."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from closedloop.documents import numbers, observed
from closedloop.documents.charts import dots
from closedloop.documents.dossier import Dossier
from closedloop.documents.part import Line, Part, assumed, rate_text, spoken
from closedloop.documents.pieces import Piece, Shown
from closedloop.documents.selling import NO_NOTES, NO_TEXTS
from closedloop.documents.wording import records, sentence
from closedloop.errors import ParameterError, allowed
from closedloop.evidence.rates import wilson

Pieces = tuple[Piece, ...]
STATUS_QUO = "none"


def bottom_line(dossier: Dossier) -> list[str]:
    """How often the rival is met, and how such deals end."""
    met, ended = len(dossier.deals), _ended(dossier.records.deals)
    if dossier.chosen == observed.NO_DECISION:
        n = len(dossier.deals)
        share = numbers.rate(n / len(ended)) if len(ended) else numbers.MISSING
        return [f"{numbers.count(n)} of {numbers.count(len(ended))} ended deals had no decision ({share})."]
    rate = observed.rate_of(dossier.deals)
    everyone = observed.rate_of(dossier.records.deals)
    return [f"{dossier.name} was met in {numbers.count(met)} deals.",
            f"We win {rate_text(rate)} of decided deals against it; over all deals {rate_text(everyone)}."]  # fmt: skip


def _ended(deals: pd.DataFrame) -> pd.DataFrame:
    return deals[deals["outcome"].isin(["won", "lost", observed.NO_DECISION])]


def met(dossier: Dossier) -> Pieces:
    """In which deals the rival is met: by persona, product and channel, as shares of the deals of each."""
    every = dossier.records.deals
    rows = [row for column in ("persona", "product", "channel") for row in _met_by(dossier, every, column)]
    frame = pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "n"])
    if frame.empty:
        return (Part("When you meet them", empty="Record deals.competitor; ten deals of a kind are enough."),)
    base = len(dossier.deals) / len(every)
    is_undecided = dossier.chosen == observed.NO_DECISION
    title = "Which deals end without a decision?" if is_undecided else f"Where is {dossier.name} met?"
    picture = dots(frame, title, "share of deals of this kind", baseline=base, rest="not drawn")
    return (picture,)


def _met_by(dossier: Dossier, every: pd.DataFrame, column: str) -> list[list[Any]]:
    if column not in every:
        return []
    is_here = every["deal_id"].isin(dossier.deals["deal_id"])
    grouped = is_here.groupby(every[column]).agg(["sum", "size"])
    shown = grouped[grouped["size"] >= observed.LEAST_SHOWN].sort_index()
    low, high = wilson(shown["sum"], shown["size"])
    names = [dossier.words.condition(column, level) for level in shown.index]
    share = shown["sum"] / shown["size"]
    return [list(row) for row in zip(names, share, low, high, shown["size"], strict=True)]


def why(dossier: Dossier) -> Pieces:
    """Why buyers consider them: what buyers and sellers said about such deals."""
    said = dossier.remarks[(dossier.remarks["from_team"] == "buyer")]
    buyers = [_often(row, "of buyers' reasons") for row in records(observed.heard(said, "loss").head(5))]
    raised = [
        _often(row, "of objections raised") for row in records(observed.heard(dossier.remarks, "objection").head(4))
    ]
    return (
        Part(
            "Why buyers turn to it, in their words' topics",
            buyers,
            empty="Ask buyers who said no; log it as a note of kind loss.",
        ),
        Part("Why, as sellers recorded it", _recorded(dossier), empty="Record deals.loss_reason; ten are enough."),
        Part("What is objected in such deals", raised, empty=NO_NOTES),
    )


def _recorded(dossier: Dossier) -> list[Line]:
    """Loss reasons that sellers recorded, most frequent first."""
    if "loss_reason" not in dossier.deals:
        return []
    reasons = dossier.deals["loss_reason"].dropna()
    counted = reasons.value_counts().sort_index().sort_values(ascending=False, kind="stable").head(5)
    if len(reasons) < observed.LEAST_SHOWN:
        return []
    share = {str(reason): f"{numbers.rate(n / len(reasons))} of sellers' reasons" for reason, n in counted.items()}
    return [Line(spoken(reason), f"{text}, n = {numbers.count(counted[reason])}") for reason, text in share.items()]


def _often(row: dict[str, Any], what: str) -> Line:
    return Line(spoken(row["topic"]), f"{numbers.rate(row['share'])} {what}, n = {numbers.count(row['n'])}")


def strong(dossier: Dossier) -> Pieces:
    """Where they are strong and where we win: win rates against them by persona and product."""
    if dossier.chosen == observed.NO_DECISION:
        return _stalling(dossier)
    parts = [observed.rates_by(dossier.deals, column).assign(column=column)
             for column in ("persona", "product", "channel") if column in dossier.deals]  # fmt: skip
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if frame.empty:
        return (Part("Where we win and for whom", empty="Ten decided deals of a kind against this rival are needed."),)
    labels = [dossier.words.condition(row["column"], row["label"]) for _, row in frame.iterrows()]
    rows = frame.assign(label=labels).sort_values("estimate", ascending=False, kind="stable")
    base = observed.rate_of(dossier.deals)["estimate"]
    note = "Counted, not tested: read the intervals; overlapping ones say no difference."
    title, axis = f"Where do we win against {dossier.name}?", "share of decided deals won"
    return (dots(rows, title, axis, baseline=base, caption=note, rest="not drawn"), *claimed(dossier))


def _stalling(dossier: Dossier) -> Pieces:
    """For the status quo: which deals end without a decision."""
    return (
        Part(
            "Where deals stall", [Line("See the figure above: the share of deals of each kind that ended undecided.")]
        ),
    )


def claimed(dossier: Dossier) -> tuple[Part, ...]:
    """What the outcome claims say about this rival."""
    rows = dossier.outcome[(dossier.outcome["field"] == "competitor") & (dossier.outcome["level"] == dossier.chosen)]
    lines = [Line(sentence(row, dossier.words)) for row in records(rows)]
    return (
        Part(
            "What last period's comparison says",
            lines,
            empty="No comparison was made: too few deals, or the first period.",
        ),
    )


def questions(dossier: Dossier) -> Pieces:
    """What to ask and to answer, from the team's own texts."""
    mine = [text for kind in ("question",) for text in _about(dossier, kind)]
    return (
        Part("Ask", assumed(mine or dossier.texts("question"), 4), empty=f"No questions. {NO_TEXTS}"),
        Part("Answer", assumed(_about(dossier, "answer"), 4), empty=f"No answers about it. {NO_TEXTS}"),
    )


def _about(dossier: Dossier, kind: str) -> list[dict[str, Any]]:
    """Texts written about this rival; those about doing nothing for buyers who decide nothing."""
    named = STATUS_QUO if dossier.chosen == observed.NO_DECISION else dossier.chosen
    rows = dossier.records.materials
    return records(rows[(rows["kind"] == kind) & (rows["competitor"] == named)])


def walk_away(dossier: Dossier) -> Pieces:
    """When to leave, and what never to say."""
    return (
        Part("Walk away when", assumed(dossier.texts("disqualifier"), 4), empty=f"No disqualifiers. {NO_TEXTS}"),
        Part("Never", assumed([text for text in dossier.texts("limit") if numbers.is_missing(text["topic"])], 3),
             empty=f"No limits. {NO_TEXTS}"),
    )  # fmt: skip


def verified(dossier: Dossier) -> Pieces:
    """How old the texts and the deals behind the card are."""
    texts = pd.to_datetime(
        pd.Series([text["added_on"] for kind in ("question", "answer") for text in _about(dossier, kind)])
    )
    closed = (
        pd.to_datetime(dossier.deals["closed_on"])
        if "closed_on" in dossier.deals
        else pd.Series(dtype="datetime64[us]")
    )
    lines = [] if texts.dropna().empty else [Line(f"Latest text about it: {numbers.day(texts.max())}")]
    lines += [] if closed.dropna().empty else [Line(f"Latest deal against it ended: {numbers.day(closed.max())}")]
    return (Part("Last verified", lines, empty="Neither texts nor deals about it carry a date."),)


SECTIONS: Mapping[str, Callable[[Dossier], Pieces]] = MappingProxyType(
    {"met": met, "why": why, "strong": strong, "questions": questions, "walk_away": walk_away, "verified": verified}
)


def render(dossier: Dossier, section: str) -> Shown:
    """One section of the card; a ParameterError lists what there is."""
    if section not in SECTIONS:
        raise ParameterError(f"show({section!r}): the battlecard has no such section; allowed: {allowed(SECTIONS)}")
    return Shown(SECTIONS[section](dossier), "document")


def results(dossier: Dossier) -> dict[str, Any]:
    """Key figures of the card."""
    rate = observed.rate_of(dossier.deals)
    kept = {name: None if numbers.is_missing(rate[name]) else rate[name] for name in ("estimate", "low", "high")}
    return {"n_deals": len(dossier.deals), "n_decided": rate["n"], "win_rate": kept["estimate"],
            "win_rate_low": kept["low"], "win_rate_high": kept["high"]}  # fmt: skip
