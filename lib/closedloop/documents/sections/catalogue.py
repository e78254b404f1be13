"""Every section of every notebook by step and name, and the bottom line of each."""

import pandas as pd

from closedloop.documents.pieces import Missing, Sentence, Shown
from closedloop.documents.sections.bottom_line import bottom_line
from closedloop.documents.sections.deals import DEALS
from closedloop.documents.sections.handoff import HANDOFF
from closedloop.documents.sections.leads import LEADS
from closedloop.documents.sections.persona_sheet import turned_down
from closedloop.documents.sections.personas import PERSONAS
from closedloop.documents.sections.refinement import REFINEMENT
from closedloop.documents.sections.research import RESEARCH
from closedloop.documents.sections.review import REVIEW
from closedloop.documents.sections.section import Evidence, Pieces, Section, shown
from closedloop.errors import ParameterError, allowed

__all__ = ["SECTIONS", "Evidence", "Section", "bottom_line", "cited", "names", "render", "section"]

NOTHING_MISSING = "Every question of this page could be answered with the data at hand."


def _gaps(evidence: Evidence) -> Pieces:
    """What the step could not answer, each with what to collect."""
    reasons = list(dict.fromkeys(evidence.step.missing.values()))
    return tuple(map(Missing, reasons)) or (Sentence(NOTHING_MISSING),)


_PARTS = (*RESEARCH, *PERSONAS, *LEADS, *HANDOFF, *DEALS, *REFINEMENT, *REVIEW)
_STEPS = tuple(dict.fromkeys(part.step for part in _PARTS))
_GAPS = tuple(Section(step, "gaps", "What would answer the rest?", _gaps) for step in _STEPS)
SECTIONS = {(part.step, part.name): part for part in (*_PARTS, *_GAPS)}


def names(step: str) -> list[str]:
    """The sections of a step, in order."""
    return [name for owner, name in SECTIONS if owner == step]


def section(step: str, name: str) -> Section:
    """The section ``name`` of ``step``; a ParameterError lists what there is."""
    found = SECTIONS.get((step, name))
    if found is None:
        raise ParameterError(f"show({name!r}): the step {step!r} has no such section; allowed: {allowed(names(step))}")
    return found


def render(step: str, name: str, evidence: Evidence) -> Shown:
    """One section: a figure or a table and one computed sentence, or what is missing."""
    return Shown(shown(section(step, name), evidence))


def cited(step: str, evidence: Evidence) -> pd.DataFrame:
    """The claims that a page rests on: its own, and those of other pages that it points to."""
    if step != "personas":
        return evidence.claims
    others = turned_down(evidence)
    return pd.concat([evidence.claims, others[~others["claim_id"].isin(evidence.claims["claim_id"])]])
