"""Closed Loop: evidence for marketing and sales. ``open_period``, and the verbs that notebooks call."""

from importlib import import_module
from typing import Any

_HOMES = {
    "adjust": "adjust",
    "amounts": "amounts",
    "champion_challenger": "champion_challenger",
    "claims_of": "review",
    "cycle": "amounts",
    "disagreements": "handoff",
    "drift": "drift",
    "edits": "edits",
    "false_lines": "review",
    "findings": "review",
    "first_touch": "first_touch",
    "joint_questions": "handoff",
    "kept_goals": "review",
    "loss_reasons": "loss_reasons",
    "next_set": "next_set",
    "open_period": "period",
    "other_orders": "other_orders",
    "outcomes": "win_rates",
    "promised_rates": "promised_rates",
    "promises": "goals",
    "rejections": "handoff",
    "requests": "review",
    "sellers": "sellers",
    "set_changes": "review",
    "waterfall": "handoff",
    "win_curve": "win_rates",
    "win_rates": "win_rates",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """A verb is imported when it is asked for: the command line starts without the estimators."""
    if name not in _HOMES:
        raise AttributeError(f"closedloop has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"closedloop.questions.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
