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
    "changes": "persona_history",
    "channels": "channels",
    "competitors": "competitors",
    "cycle": "amounts",
    "describe": "segments",
    "explore": "profiles",
    "funnel": "funnel",
    "history": "persona_history",
    "lead_progress": "persona_outcomes",
    "lead_win_rates": "acceptance",
    "leaks": "leaks",
    "loss_reasons": "loss_reasons",
    "materials": "materials",
    "nearest": "likeness",
    "offer": "targets",
    "open_period": "period",
    "outcomes": "win_rates",
    "persona_sizes": "recognition",
    "planned_tests": "planned_tests",
    "prevalence": "likeness",
    "profile": "profiles",
    "promised_win_rates": "persona_outcomes",
    "recognise": "recognition",
    "sample_size": "sample",
    "score": "scores",
    "score_over_stage": "stages",
    "segments": "segments",
    "sellers": "sellers",
    "stability": "persona_history",
    "stage_days": "buying",
    "target_criteria": "targets",
    "targets": "targets",
    "topics": "topics",
    "wake_up": "call_list",
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
