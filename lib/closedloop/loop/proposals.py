"""Persona sets that refinement proposes, and that wait for people in markets with ``accept = "manual"``."""

from pathlib import Path

import yaml

from closedloop.errors import ParameterError
from closedloop.market.definition import Definition, check_slug


def proposed_period(path: Path) -> str:
    """The period for which the proposal at ``path`` was made; ParameterError when there is none to accept."""
    if not path.exists():
        raise ParameterError(f"{path} does not exist; run the period first: closedloop run")
    stored = yaml.safe_load(path.read_text("utf-8")) or {}
    if "personas" not in stored:
        reason = stored.get("reason") or stored.get("verdict") or "none was made"
        raise ParameterError(f"{path} holds no persona set to accept: {reason}")
    return check_slug("period", str(stored["period"]))


def waiting(definition: Definition, folder: Path) -> list[str]:
    """Periods under ``folder`` (a market's) whose proposal waits to be accepted."""
    if definition.accept != "manual":
        return []
    found = []
    for path in sorted(folder.glob("*/proposal.yml")):
        try:
            target = definition.folder / "personas" / f"{proposed_period(path)}.yml"
        except ParameterError:
            continue
        found += [] if target.exists() else [path.parent.name]
    return found
