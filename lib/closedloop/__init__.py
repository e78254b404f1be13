"""Closed Loop: evidence for marketing and sales. ``open_period``, and the verbs that notebooks call."""

from importlib import import_module
from typing import Any

_HOMES = {
    "acceptance": "acceptance",
    "adjust": "adjust",
    "amounts": "amounts",
    "anti_personas": "persona_outcomes",
    "arms": "arms",
    "attributes": "attributes",
    "buying": "buying",
    "cadence": "buying",
    "call_list": "call_list",
    "champion_challenger": "champion_challenger",
    "changes": "persona_history",
    "channels": "channels",
    "competitors": "competitors",
    "cycle": "amounts",
    "describe": "segments",
    "disagreements": "handoff",
    "drift": "drift",
    "edits": "edits",
    "explore": "profiles",
    "first_touch": "first_touch",
    "funnel": "funnel",
    "joint_questions": "handoff",
    "lead_win_rates": "acceptance",
    "leaks": "leaks",
    "loss_reasons": "loss_reasons",
    "materials": "materials",
    "nearest": "likeness",
    "next_set": "next_set",
    "offer": "targets",
    "open_battlecard": "documents",
    "open_brief": "documents",
    "open_period": "period",
    "open_playbook": "documents",
    "other_orders": "other_orders",
    "outcomes": "win_rates",
    "planned_tests": "planned_tests",
    "prevalence": "likeness",
    "profile": "profiles",
    "promised_rates": "promised_rates",
    "promises": "goals",
    "recognise": "recognition",
    "rejections": "handoff",
    "sample_size": "sample",
    "review": "review",
    "score": "scores",
    "score_over_stage": "stages",
    "segments": "segments",
    "sellers": "sellers",
    "stability": "persona_history",
    "stage_days": "buying",
    "target_criteria": "targets",
    "targets": "targets",
    "topics": "topics",
    "waterfall": "handoff",
    "waves": "waves",
    "win_curve": "win_rates",
    "win_rates": "win_rates",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A verb is imported when it is asked for: the command line starts without the estimators."""
    if name not in _HOMES:
        raise AttributeError(f"closedloop has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"closedloop.questions.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
