"""What happened to a notebook, cell by cell: what it may take, how it ended, and the marks that say so."""

from dataclasses import dataclass, field
from typing import Any

from closedloop.terms import Status

_OWN_METADATA = ("kernelspec", "language_info", "widgets")
_INJECTED = "injected-parameters"


@dataclass(frozen=True)
class Limits:
    """What a notebook may take: seconds for its kernel's start, one cell, and all of it; bytes of one cell's output."""

    start_seconds: float = 60
    cell_seconds: float = 900
    run_seconds: float = 3600
    output_bytes: int = 4_000_000


@dataclass
class Trace:
    """What happened to a notebook, cell by cell, as it happened."""

    notebook: Any = None
    states: dict[int, str] = field(default_factory=dict)
    peak_mb: float | None = None
    signal: str = ""
    is_started: bool = False
    is_lost: bool = False
    limit: str = ""

    @property
    def last(self) -> int:
        """Number of the last cell that was begun, from 1."""
        return max(self.states, default=-1) + 1


class StartError(Exception):
    """The kernel did not become ready."""


def ending(error: Exception, trace: Trace) -> tuple[Status, str]:
    """How a run ended that raised ``error``, and the cause in one line."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    if isinstance(error, CellExecutionError):
        return Status.FAILED, f"cell {trace.last}: {_short(error.ename, error.evalue)}"
    if isinstance(error, CellTimeoutError):
        return Status.TIMED_OUT, f"cell {trace.last}: still running after {trace.limit}"
    if isinstance(error, DeadKernelError):
        return Status.KERNEL_DIED, f"cell {trace.last}: the kernel died{_why(trace)}"
    status = Status.FAILED if trace.is_started else Status.START_FAILED
    return status, str(error) if isinstance(error, StartError) else _short(type(error).__name__, str(error))


def _why(trace: Trace) -> str:
    hint = ", often for lack of memory" if trace.signal == "SIGKILL" else ""
    return f" ({trace.signal}{hint})" if trace.signal else ""


def _short(name: str, text: str) -> str:
    lines = text.strip().splitlines()
    return f"{name}: {lines[0][:300]}" if lines else name


def tell_truth(trace: Trace, status: Status) -> None:
    """Replace papermill's marks, timings and paths in the notebook by the state of every cell."""
    notebook = trace.notebook
    kept = {name: value for name, value in notebook.metadata.items() if name in _OWN_METADATA}
    notebook.metadata = type(notebook.metadata)(kept)
    notebook.metadata["closedloop"] = {"status": str(status)}
    for index, cell in enumerate(notebook.cells):
        tags = list(cell.metadata.get("tags", []))
        state = trace.states.get(index, "pending")
        cell.metadata = type(cell.metadata)({"tags": tags} if tags else {})
        if _INJECTED in tags:
            cell.id = _INJECTED  # papermill draws a new id each time
        if cell.cell_type == "code":
            cell.metadata["closedloop"] = {"state": state}
