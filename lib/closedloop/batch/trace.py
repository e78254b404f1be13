"""What happened to a notebook, cell by cell: what it may take, how it ended, and the marks that say so."""

import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from closedloop.terms import Status

GRACE_SECONDS = 5  # between an interrupt and the end of a process
_OWN_METADATA = ("kernelspec", "language_info", "widgets")
_INJECTED = "injected-parameters"
_CELL_FILE = re.compile(r"(?<!\S)\S*/ipykernel_\d+/(\d+)\.py")


@dataclass(frozen=True)
class Limits:
    """What a notebook may take: seconds for its start, one cell, and all of it; bytes of one cell's output."""

    start_seconds: float = 60
    cell_seconds: float = 900
    run_seconds: float = 3600
    output_bytes: int = 4_000_000


@dataclass
class Trace:
    """What happened to a notebook as it happened, its cells' ``states`` by index; cancelled until it has ended."""

    notebook: Any
    limits: Limits
    states: dict[int, str] = field(default_factory=dict)
    status: Status = Status.CANCELLED
    cause: str = ""
    peak_mb: float | None = None
    is_started: bool = False
    is_lost: bool = False  # through no fault of its own, so that it may be tried again
    _limit: str = ""
    _deadline: float = 0

    def start(self) -> None:
        """It can run its cells from now on."""
        self.is_started, self._deadline = True, time.monotonic() + self.limits.run_seconds

    def begin(self, index: int) -> float:
        """A cell begins; the seconds that it has: its own, or what is left of the notebook's."""
        self.states |= dict.fromkeys(range(index), "completed") | {index: "failed"}
        own, left = self.limits.cell_seconds, self._deadline - time.monotonic()
        whose = ("cell", own) if own <= left else ("notebook", self.limits.run_seconds)
        self._limit = "the {}'s limit of {:g} seconds".format(*whose)
        return min(own, left)

    def end(self, status: Status, cause: str = "") -> None:
        """How it ended, and why, in one line; what was noted first stays."""
        if self.status is Status.CANCELLED:
            self.status, self.cause = status, cause
        if self.status is Status.OK:
            self.states = dict.fromkeys(range(len(self.notebook.cells)), "completed")

    def finish(self, index: int, error: Sequence[str] | None) -> None:
        """A cell has ended; ``error``: its name and text."""
        if error is None:
            self.states[index] = "completed"
        else:
            self.end(Status.FAILED, f"{self._cell}: {short(*error)}")

    def be_late(self) -> None:
        """The cell is still running after its limit, or the process is not ready after its own."""
        if self.is_started:
            self.end(Status.TIMED_OUT, f"{self._cell}: still running after {self._limit}")
        self.end(Status.START_FAILED, f"the process was not ready after {self.limits.start_seconds:g} seconds")

    def die(self, code: int | None = None, why: str = "") -> None:
        """The process has ended before the notebook; ``code``: of its end, negative for a signal's number."""
        name = signal.Signals(-code).name if code is not None and code < 0 else why
        why = f" ({name}{', often for lack of memory' * (name == 'SIGKILL')})" if name else ""
        if self.is_started:
            self.end(Status.DIED, f"{self._cell}: the process died{why}")
        self.end(Status.START_FAILED, f"the process ended before it was ready{why}")

    @property
    def _cell(self) -> str:
        return f"cell {max(self.states, default=-1) + 1}"


def short(name: str, text: str) -> str:
    """An error in one line."""
    lines = text.strip().splitlines()
    return f"{name}: {lines[0][:300]}" if lines else name


def portable(text: str) -> str:
    """Text without the folders of cells' files, which are others in each process: warnings name them."""
    return _CELL_FILE.sub(r"cell-\1.py", text)


def cut(n_bytes: int) -> str:
    """What is said where a cell has shown more than ``n_bytes``."""
    return f"The rest of this cell's output was left out: it is longer than {n_bytes / 1e6:g} MB.\n"


def mark(trace: Trace) -> None:
    """Replace papermill's marks, timings and paths in the notebook by the state of every cell."""
    notebook = trace.notebook
    kept = {name: value for name, value in notebook.metadata.items() if name in _OWN_METADATA}
    notebook.metadata = type(notebook.metadata)(kept)
    notebook.metadata["closedloop"] = {"status": str(trace.status)}
    for index, cell in enumerate(notebook.cells):
        tags = list(cell.metadata.get("tags", []))
        cell.metadata = type(cell.metadata)({"tags": tags} if tags else {})
        if _INJECTED in tags:
            cell.id = _INJECTED  # papermill draws a new id each time
        if cell.cell_type == "code":
            cell.metadata["closedloop"] = {"state": trace.states.get(index, "pending")}
