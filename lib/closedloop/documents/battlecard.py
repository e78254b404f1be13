"""The battlecard of one competitor, or of buyers who decide nothing."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import Picture
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import Claim, backed, dots_of, first, where
from closedloop.documents.heard import heard
from closedloop.documents.part import Line, Part, assumed, share_lines
from closedloop.documents.pieces import Note, Piece, Sentence, Shown, stating
from closedloop.documents.selling import NO_NOTES, NO_TEXTS
from closedloop.documents.turning import firm, honestly
from closedloop.documents.wording import recorded, records
from closedloop.errors import ParameterError, allowed
from closedloop.loop.comparisons import TURNS
from closedloop.terms import NO_DECISION

_MOST = 5
Pieces = tuple[Piece, ...]
STATUS_QUO = "none"


def bottom_line(dossier: Dossier) -> list[Sentence]:
    """How often the rival is met, and how such deals end."""
    n, share = _first(dossier, "n_met"), _first(dossier, "met_share")
    if n is None or share is None:
        is_undecided = dossier.chosen == NO_DECISION
        named = "No decision was recorded" if is_undecided else f"{dossier.name} was met"
        return [Sentence(f"{named} in fewer than ten of the deals that ended: too few to tell.")]
    sizes = f"{numbers.count(n['estimate'])} of {numbers.count(n['n'])} ended deals"
    if dossier.chosen == NO_DECISION:
        return [stating(f"{sizes} had no decision ({numbers.rate(share['estimate'])}).", n, share)]
    told = [
        stating(
            f"{dossier.name} was met in {sizes} that record whom we met ({numbers.rate(share['estimate'])}).", n, share
        )
    ]
    if dossier.result("personas", "only_won"):
        return [*told, Sentence("Only won deals are recorded: how often we win against them cannot be told.")]
    rate, everyone = (
        _first(dossier, "win_rate"),
        first(dossier.plan, cell="strong", subject="market", measure="win_rate"),
    )
    if rate is None or everyone is None:
        return [*told, Sentence("Fewer than ten of them were decided: too few for a win rate.")]
    against, over_all = backed(rate, dossier.words), backed(everyone, dossier.words)
    text = f"We win {against} of decided deals against it; of all that record whom we met {over_all}."
    return [*told, stating(text, rate, everyone), *_recording(dossier)]


def _recording(dossier: Dossier) -> list[Sentence]:
    """That whom we met is recorded more often in deals of one outcome, where it is."""
    claim = first(dossier.plan, cell="strong", measure="recorded_share", verdict="supported")
    return [] if claim is None else [recorded(claim, dossier.words)]


def _told(dossier: Dossier, measure: str) -> pd.DataFrame:
    """The plan's claims of one measure on this rival."""
    return where(dossier.plan, subject=dossier.chosen, measure=measure)


def _first(dossier: Dossier, measure: str) -> Claim | None:
    """The claim of one measure on all deals with this rival."""
    return first(_told(dossier, measure), field="")


def _dots(claims: pd.DataFrame, dossier: Dossier, title: str, axis: str) -> Picture:
    """A figure of all deals and of kinds of deals, with a line at all deals."""
    words = dossier.words

    def named(claim: Claim) -> str:
        return words.condition(claim["field"], claim["level"]) if claim["field"] else "all deals"

    whole = claims.loc[claims["field"] == "", "estimate"]
    return dots_of(claims, words, title, axis, named, baseline=None if whole.empty else float(whole.iloc[0]))


def met(dossier: Dossier) -> Pieces:
    """In which deals the rival is met: by persona, product and channel, as shares of the ended deals of each."""
    shares = _told(dossier, "met_share")
    if shares.empty:
        return (Part("When you meet them", empty="Record deals.competitor; ten deals of a kind are enough."),)
    is_undecided = dossier.chosen == NO_DECISION
    title = "Which deals end without a decision?" if is_undecided else f"Where is {dossier.name} met?"
    axis = "share of ended deals of this kind" + ("" if is_undecided else " that record whom we met")
    return (_dots(shares, dossier, title, axis),)


def why(dossier: Dossier) -> Pieces:
    """Why buyers consider them: what buyers and sellers said about such deals."""
    buyers = "Why buyers turn to it, in their words' topics"
    return (
        Part(buyers, heard(dossier, "loss_topic", _MOST),
             empty="Ask buyers who said no; log it as a note of kind loss."),
        Part("Why, as sellers recorded it", _shares(dossier, "loss_reason_share", "sellers' reasons"),
             empty="Record deals.loss_reason; ten of a kind are enough."),
        Part("What is objected in such deals", heard(dossier, "objection", _MOST), empty=NO_NOTES),
    )  # fmt: skip


def _shares(dossier: Dossier, measure: str, whole: str) -> list[Line]:
    return share_lines(_told(dossier, measure).head(_MOST), dossier.words, whole)


def strong(dossier: Dossier) -> Pieces:
    """Where they are strong and where we win: win rates against them by persona, product and channel."""
    if dossier.chosen == NO_DECISION:
        text = "See the figure above: the share of deals of each kind that ended undecided."
        lines = [] if _told(dossier, "met_share").empty else [Line(text)]
        return (Part("Where deals stall", lines, empty="Record no_decision as an outcome of deals."),)
    rates = _told(dossier, "win_rate").sort_values("estimate", ascending=False, kind="stable")
    if rates.empty:
        lacking = Part("Where we win and for whom", empty="Ten decided deals of a kind against this rival are needed.")
        return (lacking, claimed(dossier))
    note = Note("Counted, not tested: read the intervals; overlapping ones say no difference.")
    title = f"Where do we win against {dossier.name}?"
    return (_dots(rates, dossier, title, "share of decided deals won"), note, claimed(dossier))


def claimed(dossier: Dossier) -> Part:
    """What the outcome claims say about this rival."""
    rows = where(dossier.outcome, field="competitor", level=dossier.chosen)
    rows = rows[~rows["measure"].isin(TURNS.values())]
    lines = [Line.of(said) for said in honestly(firm(rows, dossier.outcome), dossier.outcome, dossier.words)]
    empty = "No comparison was made: too few deals, or the first period."
    return Part("What last period's comparison says", lines, empty=empty)


def questions(dossier: Dossier) -> Pieces:
    """What to ask and to answer, from the team's own texts."""
    mine = _about(dossier, "question")
    return (
        Part("Ask", assumed(mine or dossier.texts("question"), 4), empty=f"No questions. {NO_TEXTS}"),
        Part("Answer", assumed(_about(dossier, "answer"), 4), empty=f"No answers about it. {NO_TEXTS}"),
    )


def _about(dossier: Dossier, kind: str) -> list[dict[str, Any]]:
    """Texts written about this rival; those about doing nothing for buyers who decide nothing."""
    named = STATUS_QUO if dossier.chosen == NO_DECISION else dossier.chosen
    rows = dossier.materials
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
    texts, deals = _first(dossier, "n_texts"), _first(dossier, "n_met")
    is_dated = dossier.words.definition.clock != "none"
    lines = [] if texts is None else [
        _aged(f"{numbers.count(texts['estimate'])} questions and answers about it, the latest written", texts)
    ]  # fmt: skip
    lines += [] if deals is None or not is_dated else [_aged("Latest deal with it ended", deals)]
    return (Part("Last verified", lines, empty="Neither texts nor deals about it carry a date."),)


def _aged(text: str, claim: Claim) -> Line:
    return Line.of(stating(f"{text} in {claim['last_period']}", claim))


SECTIONS: Mapping[str, Callable[[Dossier], Pieces]] = MappingProxyType(
    {"met": met, "why": why, "strong": strong, "questions": questions, "walk_away": walk_away, "verified": verified}
)


def render(dossier: Dossier, section: str) -> Shown:
    """One section of the card; a ParameterError lists what there is."""
    if section not in SECTIONS:
        raise ParameterError(f"show({section!r}): the battlecard has no such section; allowed: {allowed(SECTIONS)}")
    return Shown(SECTIONS[section](dossier), "document")


def results(dossier: Dossier) -> dict[str, Any]:
    """Key figures of the card; None where ten deals are lacking."""
    n, rate = _first(dossier, "n_met"), _first(dossier, "win_rate") or {}
    return {
        "n_deals": None if n is None else int(n["estimate"]),
        "n_decided": rate.get("n"),
        "win_rate": rate.get("estimate"),
        "win_rate_low": rate.get("low"),
        "win_rate_high": rate.get("high"),
    }
