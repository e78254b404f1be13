"""Closed Loop: evidence for marketing and sales. ``open_period``, and the verbs that notebooks call."""

from importlib import import_module
from typing import Any

_HOMES = {
    "adjust": "adjust",
    "amounts": "amounts",
    "cycle": "amounts",
    "describe": "segments",
    "explore": "profiles",
    "loss_reasons": "loss_reasons",
    "offer": "targets",
    "open_period": "period",
    "outcomes": "win_rates",
    "profile": "profiles",
    "sample_size": "sample",
    "segments": "segments",
    "sellers": "sellers",
    "target_criteria": "targets",
    "targets": "targets",
    "waves": "waves",
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
