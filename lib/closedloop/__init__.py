"""Closed Loop: evidence for marketing and sales. ``open_period``, and the verbs that notebooks call."""

from importlib import import_module
from typing import Any

_HOMES = {
    "acceptance": "questions.leads.acceptance",
    "adjust": "questions.deals.win_rates",
    "amounts": "questions.deals.amounts",
    "anti_personas": "questions.personas.promised_rates",
    "arms": "questions.leads.arms",
    "attributes": "questions.personas.attributes",
    "buying": "questions.personas.buying",
    "cadence": "questions.personas.buying",
    "call_list": "questions.leads.call_list",
    "champion_challenger": "questions.refinement.champion_challenger",
    "changes": "questions.personas.history",
    "channels": "questions.leads.channels",
    "competitors": "questions.personas.competitors",
    "describe": "questions.research.segments",
    "drift": "questions.refinement.drift",
    "edits": "questions.refinement.edits",
    "explore": "questions.research.profiles",
    "first_touch": "questions.handoff.promises",
    "funnel": "questions.leads.funnel",
    "handoff": "questions.handoff.waterfall",
    "joint_questions": "questions.handoff.waterfall",
    "lead_win_rates": "questions.leads.acceptance",
    "leaks": "questions.leads.leaks",
    "materials": "questions.personas.topics",
    "nearest": "questions.personas.attributes",
    "next_set": "questions.refinement.edits",
    "offer": "questions.research.targets",
    "open_document": "workbench.cells",
    "open_period": "workbench.period",
    "other_orders": "questions.refinement.champion_challenger",
    "outcomes": "questions.deals.outcomes",
    "planned_tests": "questions.leads.planned_tests",
    "prevalence": "questions.personas.attributes",
    "profile": "questions.research.profiles",
    "promised_rates": "questions.personas.promised_rates",
    "promises": "questions.handoff.promises",
    "recognise": "questions.personas.recognition",
    "sample_size": "questions.research.sample",
    "review": "questions.refinement.review",
    "score": "questions.leads.scores",
    "score_over_stage": "questions.leads.stages",
    "segments": "questions.research.segments",
    "stability": "questions.personas.history",
    "stage_days": "questions.personas.buying",
    "target_criteria": "questions.research.targets",
    "targets": "questions.research.targets",
    "topics": "questions.personas.topics",
    "waves": "questions.research.waves",
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
