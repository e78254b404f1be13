"""The first thing people read on a page: one to three computed sentences."""

import pandas as pd

from closedloop.documents.arms import winners
from closedloop.documents.findings import value
from closedloop.documents.pieces import Listing, Sentence, Shown, span, stating
from closedloop.documents.sections.conversions import how_many
from closedloop.documents.sections.deals import worth_order
from closedloop.documents.sections.handoff import accepted, neglected, waited
from closedloop.documents.sections.leads import score_verdict
from closedloop.documents.sections.personas import counted_personas
from closedloop.documents.sections.refinement import duel_verdict, edits_summary
from closedloop.documents.sections.research import chosen
from closedloop.documents.sections.section import Evidence, ranked
from closedloop.documents.summaries import summary
from closedloop.documents.turning import holding, honestly


def bottom_line(evidence: Evidence) -> Shown:
    """The step's key figures, the finding that holds most clearly, and how much was looked at."""
    lines = [*_LEADS[evidence.step.name](evidence), *_finding(evidence)][:3]
    return Shown((Listing(lines),), "bottom-line")


def _finding(evidence: Evidence) -> list[Sentence]:
    """The largest effect that holds, like for like too; else one that does not, said so; else that nothing differs."""
    claims = evidence.claims[~evidence.claims["family"].str.endswith("recording")]
    looked = claims[claims["family"] != "none"]
    supported = looked[looked["verdict"] == "supported"]
    held = pd.concat([ranked(part) for part in (holding(looked, claims), supported)])
    if len(held):
        return honestly(held.head(1), evidence.claims, evidence.words)
    return [] if looked.empty else summary(claims, evidence.words)


def _research(evidence: Evidence) -> list[Sentence]:
    k, n = evidence.result("recommended_k"), evidence.first("n_rows")
    what = f"{k} segments" if k and k > 1 else "one market, without segments that could be trusted"
    verdict = evidence.result("verdict") or "not judged"
    if n is None:
        return [Sentence("Nothing is recorded that could be cut into segments.")]
    found = f"{value(n, evidence.words)} rows of {n['source_table']} show {what} (verdict: {verdict})."
    return [stating(found, n, chosen(evidence))]


def _personas(evidence: Evidence) -> list[Sentence]:
    return [counted_personas(evidence)]


def _leads(evidence: Evidence) -> list[Sentence]:
    came, listed = evidence.first("n_reached", level="inquiry"), evidence.first("n_listed")
    known = "Fewer than ten leads are known" if evidence.result("n_leads") else "No leads are known"
    if came is not None:
        known = f"{value(came, evidence.words)} leads came in the periods looked at"
    waiting = "nobody waits to be called"
    if listed is not None:
        waiting = f"{value(listed, evidence.words)} records wait on the list to call"
    verdict = score_verdict(evidence)
    cited = [claim for claim in (came, listed) if claim is not None]
    score = stating(f"{known}; {waiting}. Lead score: {verdict}.", *cited)
    return [score, *winners(evidence.claims, evidence.words)[:1]]


def _handoff(evidence: Evidence) -> list[Sentence]:
    nothing = "Too few hand-offs are recorded to measure a promise between the teams."
    return [*neglected(evidence), *accepted(evidence), *waited(evidence)] or [Sentence(nothing)]


def _deals(evidence: Evidence) -> list[Sentence]:
    rate, days = evidence.first("win_rate", field="", family="none"), evidence.first("median_cycle_days", field="")
    found = {told: evidence.first(f"n_{told}") for told in ("won", "lost", "open")}
    counts = {told: claim for told, claim in found.items() if claim is not None}
    told = ", ".join(f"{value(claim, evidence.words)} {outcome}" for outcome, claim in counts.items())
    tail = f"; {told}." if told else "."
    if rate is None and evidence.result("only_won"):
        return [
            stating(f"Only won deals are recorded, so no win rate can be told{tail}", *counts.values()),
            *how_many(evidence),
        ]
    if rate is None:
        return [stating(f"Too few deals are decided for a win rate{tail}", *counts.values())]
    takes, when = "", ""
    if days is not None:
        is_apart = span(days) != span(rate)
        when, of = (f" in {span(rate)}", f" of {span(days)}") if is_apart else ("", "")
        takes = f", after {value(days, evidence.words)} (median{of})"
    cited = [rate, *([] if days is None else [days]), *counts.values()]
    won = stating(f"{value(rate, evidence.words)} of decided deals are won{when}{takes}{tail}", *cited)
    return [won, *worth_order(evidence)]


def _refinement(evidence: Evidence) -> list[Sentence]:
    return [duel_verdict(evidence), edits_summary(evidence)]


def _review(evidence: Evidence) -> list[Sentence]:
    looked = evidence.claims[evidence.claims["family"] == "outcome"]
    supported, leaning, refused = (int((looked["verdict"] == v).sum()) for v in ("supported", "leaning", "refused"))
    held = len(holding(looked, evidence.claims))
    less = f", {supported - held} not like for like" if supported > held else ""
    text = f"{held} finding{'s hold' if held != 1 else ' holds'}{less}, {leaning} to watch; "
    counted = stating(f"{text}for {refused} comparisons the data are too few.", looked)
    return [*neglected(evidence), counted, *worth_order(evidence)]


_LEADS = {
    "research": _research,
    "personas": _personas,
    "leads": _leads,
    "handoff": _handoff,
    "deals": _deals,
    "refinement": _refinement,
    "review": _review,
}
