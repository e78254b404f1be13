"""One notebook, one kernel, one truthful outcome: papermill with an engine that keeps its own account.

Papermill's own marks are not used: after a dead kernel or a timeout they call every cell completed.
"""

import logging
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

from closedloop.batch.parameters import Value
from closedloop.terms import Status

RESULTS_MIME = "application/vnd.closedloop.results+json"
START_SECONDS, CELL_SECONDS, N_STARTS = 60, 900, 3
_OWN_METADATA = ("kernelspec", "language_info", "widgets")
_INJECTED = "injected-parameters"


@dataclass
class Trace:
    """What happened to a notebook, cell by cell, as it happened."""

    notebook: Any = None
    states: dict[int, str] = field(default_factory=dict)
    peak_mb: float | None = None
    signal: str = ""
    is_started: bool = False

    @property
    def last(self) -> int:
        """Number of the last cell that was begun, from 1."""
        return max(self.states, default=-1) + 1


@dataclass(frozen=True)
class Execution:
    """How a notebook ended; ``notebook`` is what a reader gets, also of a failed run (None without any)."""

    status: Status
    cause: str
    notebook: Any
    results: Mapping[str, Any]
    peak_mb: float | None


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    trace: Trace
    sockets: Path

    def create_kernel_manager(self) -> Any:
        """A manager that talks through Unix sockets in a private folder instead of open TCP ports."""
        manager = super().create_kernel_manager()
        manager.transport, manager.ip = "ipc", str(self.sockets / "s")
        manager.connection_file = str(self.sockets / "kernel.json")
        return manager

    def papermill_execute_cells(self) -> None:
        self.trace.is_started = True
        try:
            for index, cell in enumerate(self.nb.cells):
                self.trace.states[index] = "failed"
                self.execute_cell(cell, index)
                self.trace.states[index] = "completed"
        finally:
            process = getattr(self.km.provisioner, "process", None)
            if process is not None:
                self.trace.peak_mb = _peak_mb(process.pid)
                self.trace.signal = _signal_name(process.poll())


class _TruthfulEngine(Engine):  # type: ignore[misc]  # papermill has no types
    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        trace: Trace = kwargs["trace"]
        trace.notebook = nb_man.nb
        seconds = {"timeout": kwargs["cell_seconds"], "startup_timeout": START_SECONDS}
        client = _Client(nb_man, kernel_name=kernel_name, **seconds)
        client.log.setLevel(logging.CRITICAL)  # the ledger tells it; a log line would repeat data
        client.trace = trace
        with TemporaryDirectory(prefix="kernel-") as sockets:  # a short path: sockets allow some hundred characters
            client.sockets = Path(sockets)
            client.execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


papermill_engines.register("closedloop", _TruthfulEngine)
logging.getLogger("papermill").setLevel(logging.ERROR)  # parameters are checked by us: it knows no "str | None"


def _peak_mb(pid: int) -> float | None:
    """Highest resident memory of a process so far, in MB of 10^6 bytes; None where the system is silent."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None


def _signal_name(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else ""


def execute(source: Path, parameters: Mapping[str, Value], cell_seconds: int = CELL_SECONDS) -> Execution:
    """Run the notebook at ``source`` from top to bottom in a kernel of its own.

    What a notebook does never raises: it is in the status and the cause. A kernel that does not start is tried
    again twice; a cell that fails is not.
    """
    for attempt in range(1, N_STARTS + 1):
        trace = Trace()
        status, cause = _attempt(source, parameters, cell_seconds, trace)
        if status is not Status.START_FAILED or attempt == N_STARTS:
            break
    if trace.notebook is not None:
        _tell_truth(trace, status)
    return Execution(status, cause, trace.notebook, recorded_results(trace.notebook), trace.peak_mb)


def _attempt(source: Path, parameters: Mapping[str, Value], cell_seconds: int, trace: Trace) -> tuple[Status, str]:
    options = {
        "engine_name": "closedloop",
        "kernel_name": "python3",
        "language": "python",
        "progress_bar": False,
    }
    try:
        execute_notebook(
            str(source), None, parameters=dict(parameters), trace=trace, cell_seconds=cell_seconds, **options
        )
    except (CellExecutionError, PapermillExecutionError) as error:
        return Status.FAILED, f"cell {trace.last}: {_short(error.ename, error.evalue)}"
    except CellTimeoutError:
        return Status.TIMED_OUT, f"cell {trace.last}: still running after {cell_seconds} seconds"
    except DeadKernelError:
        return Status.KERNEL_DIED, f"cell {trace.last}: the kernel died{_why(trace)}"
    except Exception as error:
        status = Status.FAILED if trace.is_started else Status.START_FAILED
        return status, _short(type(error).__name__, str(error))
    return Status.OK, ""


def _why(trace: Trace) -> str:
    hint = ", often for lack of memory" if trace.signal == "SIGKILL" else ""
    return f" ({trace.signal}{hint})" if trace.signal else ""


def _short(name: str, text: str) -> str:
    lines = text.strip().splitlines()
    return f"{name}: {lines[0][:300]}" if lines else name


def _tell_truth(trace: Trace, status: Status) -> None:
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


def recorded_results(notebook: Any) -> dict[str, Any]:
    """The key figures that the notebook's last results display holds; none without one."""
    found: dict[str, Any] = {}
    for cell in notebook.cells if notebook is not None else ():
        for output in cell.get("outputs", []):
            found = dict(output.get("data", {}).get(RESULTS_MIME, found))
    return found
