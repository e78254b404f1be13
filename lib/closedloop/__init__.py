"""Closed Loop: evidence for marketing and sales. ``open_period``, and the verbs that notebooks call."""

from importlib import import_module
from typing import Any

_HOMES = {
    "adjust": "questions.deals.win_rates",
    "amounts": "questions.deals.amounts",
    "anti_personas": "questions.personas.promised_rates",
    "arms": "questions.leads.arms",
    "attributes": "questions.personas.attributes",
    "buying": "questions.personas.buying",
    "call_list": "questions.leads.call_list",
    "card": "questions.personas.signals",
    "champion_challenger": "questions.refinement.champion_challenger",
    "channels": "questions.leads.channels",
    "competitors": "questions.personas.topics",
    "drift": "questions.refinement.drift",
    "edits": "questions.refinement.edits",
    "explore": "questions.research.sample",
    "first_touch": "questions.handoff.promises",
    "funnel": "questions.leads.conversions",
    "handoff": "questions.handoff.waterfall",
    "joint_questions": "questions.handoff.waterfall",
    "lead_card": "questions.leads.lead_card",
    "leaks": "questions.leads.conversions",
    "next_set": "questions.refinement.edits",
    "offer": "questions.research.targets",
    "open_document": "workbench.cells",
    "open_period": "workbench.period",
    "other_orders": "questions.refinement.other_orders",
    "outcomes": "questions.deals.outcomes",
    "planned_tests": "questions.leads.arms",
    "profile": "questions.research.segments",
    "promised_rates": "questions.personas.promised_rates",
    "promises": "questions.handoff.promises",
    "recognise": "questions.personas.recognition",
    "review": "questions.refinement.review",
    "score": "questions.leads.scores",
    "segments": "questions.research.segments",
    "signal_tests": "questions.refinement.signal_tests",
    "signals": "questions.personas.signals",
    "stability": "questions.personas.recognition",
    "targets": "questions.research.targets",
    "topics": "questions.personas.topics",
    "waves": "questions.research.segments",
    "win_rates": "questions.deals.win_rates",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A verb is imported when it is asked for: the command line starts without the estimators."""
    if name not in _HOMES:
        raise AttributeError(f"closedloop has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"closedloop.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
