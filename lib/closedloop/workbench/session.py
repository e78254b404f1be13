"""The session in which a notebook runs: its shell, the running cell, and the cells before it."""

import sys
from typing import Any


def cells_run() -> list[str]:
    """The sources of the cells that this session has run; none outside a notebook."""
    shell = shell_of()
    return [str(source) for source in shell.user_ns.get("In", [])] if shell else []


def running_cell() -> tuple[str, int]:
    """Id and number of the running cell; a cell without an id is never run twice."""
    shell = shell_of()
    number = int(shell.execution_count) if shell else 0
    parent: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}
    return str(parent.get("metadata", {}).get("cellId") or f"run {number}"), number


def is_example() -> bool:
    """Does the running cell only show what could be asked? It is in no family then."""
    shell = shell_of()
    source = str((shell.user_ns.get("In") or [""])[-1]) if shell else ""
    return source.lstrip().startswith("# example")


def shell_of() -> Any:
    """The shell of this session; None outside one."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
