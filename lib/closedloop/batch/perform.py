"""One job performed: a moment computed by the market's worker, or a notebook run in a forked process, and written."""

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from closedloop.batch.ledger import Entry, WriteError, hashes, write_atomic
from closedloop.batch.moments import Turn
from closedloop.batch.parameters import Value
from closedloop.batch.parent import NoFork, Parent, ParentLost
from closedloop.batch.plan import PLAN, STEPS, Job
from closedloop.batch.trace import Limits
from closedloop.batch.workers import WorkerDied, WorkerLate, Workers, kill_children
from closedloop.errors import ClosedLoopError
from closedloop.terms import Status

if TYPE_CHECKING:
    from closedloop.batch.engine import Execution

_OWN_FILES = {
    PLAN: ("claims-plan.parquet", "personas.yml", "call-list.csv", "wake-up-list.csv", "plan.json"),
    "outcome": ("claims-outcome.parquet", "proposal.yml", "claims.parquet", "claims.csv", "outcome.json"),
}
Compute = Callable[[str, str, str, Path], Turn]


class Execute(Protocol):
    """Runs the notebook at ``source`` with ``parameters``."""

    def __call__(
        self,
        source: Path,
        parameters: Mapping[str, Value],
        limits: Limits | None = None,
        parent: Parent | None = None,
    ) -> "Execution":
        """How it ended."""


@dataclass(frozen=True)
class Task:
    """A job with all that is needed to perform it, on this machine or another one with the same folders.

    ``source`` and ``title`` are the notebook's, ``n_missing`` the sections of it for which its moment found nothing.
    """

    job: Job
    out: Path
    inputs: Mapping[str, str]
    source: Path | None = None
    title: str = ""
    n_missing: int = 0
    limits: Limits = field(default_factory=Limits)

    @property
    def folder(self) -> Path:
        """Where the period's files are."""
        return self.out / self.job.market / self.job.period

    def entry(self, status: Status, **details: Any) -> Entry:
        """An entry of the ledger for the job."""
        return self.job.entry(status, inputs=self.inputs, **details)


class Bench:
    """Where a process performs tasks, by many threads at once: workers for moments, forked processes for notebooks."""

    def __init__(self, compute: Compute, execute: Execute | None = None, n_workers: int = 1) -> None:
        self.compute, self._execute = compute, execute
        self.workers, self.parent = Workers(n_workers), Parent()
        self._can_fork = True

    def perform(self, task: Task) -> Entry:
        """Run the task's job; whatever goes wrong is in the entry."""
        began = time.monotonic()
        self.warm_up()
        try:
            entry = self._turn(task) if task.job.is_turn else self._notebook(task)
        except WorkerDied as error:
            entry = task.entry(Status.DIED, cause=str(error))
        except WorkerLate as error:
            entry = task.entry(Status.TIMED_OUT, cause=str(error))
        except Exception as error:
            entry = _failed(task, error)
        return replace(entry, seconds=round(time.monotonic() - began, 3))

    def stop(self) -> None:
        """Kill what works, and start nothing more."""
        self.parent.stop()
        kill_children()

    def close(self) -> None:
        """End all that works."""
        self.workers.close()
        self.parent.close()

    def _turn(self, task: Task) -> Entry:
        job, limit = task.job, task.limits.run_seconds
        turn = self.workers.call(
            job.market, self.compute, job.notebook, job.market, job.period, task.out, seconds=limit
        )
        missing = {step: n for step, n in (turn.missing or {}).items() if n}
        results: dict[str, Any] = {"missing": missing}
        if job.notebook == PLAN:
            results |= {"personas": list(turn.personas), "competitors": list(turn.competitors)}
        status, cause = _warned(sum(missing.values()))
        outputs = hashes(_files_of(task.folder, job.notebook), task.out)
        return task.entry(status, cause=cause, peak_mb=turn.peak_mb, outputs=outputs, results=results)

    def _notebook(self, task: Task) -> Entry:
        execution = self._executed(task)
        status, cause = execution.status, execution.cause
        if status is Status.OK:
            status, cause = _warned(task.n_missing or len(execution.results.get("missing") or ()))
        written = _write(task, execution)
        extra = (task.folder / "documents").glob(f"{task.job.stem}.*")
        outputs = hashes([*written, *extra], task.out)
        details = {"peak_mb": execution.peak_mb, "outputs": outputs, "results": execution.results}
        return task.entry(status, cause=cause, **details)

    def _executed(self, task: Task) -> "Execution":
        """Run the notebook in a forked process; in an ordinary kernel where there are none, which is said once."""
        assert task.source is not None
        given = (task.source, task.job.parameters, task.limits)
        try:
            return self._executor(*given, self.parent if self._can_fork else None)
        except NoFork as error:
            if self._can_fork:
                print(f"closedloop: ordinary kernels, which start more slowly, are used: {error}", file=sys.stderr)
            self._can_fork = False
            return self._executor(*given, None)

    @property
    def _executor(self) -> Execute:
        from closedloop.batch.engine import execute

        return self._execute or execute

    def warm_up(self) -> None:
        """Have the parent of notebooks import its libraries while this process plans, or computes a moment."""
        if self._can_fork:
            with suppress(NoFork, ParentLost):  # who asks it for a process is told
                self.parent.begin()


def _write(task: Task, execution: "Execution") -> list[Path]:
    from nbformat import writes

    from closedloop.documents.export import notebook_html

    if execution.notebook is None:
        return []
    job = task.job
    notebook = task.folder / f"{job.stem}.ipynb"
    write_atomic(notebook, str(writes(execution.notebook)).encode())  # type: ignore[no-untyped-call]
    html = notebook_html(execution.notebook, task.title, is_document=job.is_document, pages=job.pages)
    write_atomic(notebook.with_suffix(".html"), html.encode())
    return [notebook, notebook.with_suffix(".html")]


def _failed(task: Task, error: Exception) -> Entry:
    """The cause in one line; the whole story of an error of our own in a file beside the run."""
    if isinstance(error, ClosedLoopError):
        return task.entry(Status.FAILED, cause=str(error))
    lines = str(error).strip().splitlines() or [""]
    path, cause = task.folder / f"{task.job.stem}.error.txt", f"{type(error).__name__}: {lines[0][:300]}"
    with suppress(WriteError):  # a full disk must not hide what went wrong
        write_atomic(path, "".join(traceback.format_exception(error)).encode())
    return task.entry(Status.FAILED, cause=cause, outputs=hashes([path], task.out))


def _warned(n_missing: int) -> tuple[Status, str]:
    if not n_missing:
        return Status.OK, ""
    return Status.OK_WITH_WARNINGS, f"{n_missing} section{'s' * (n_missing > 1)} without evidence"


def _files_of(folder: Path, moment: str) -> list[Path]:
    tables = [path for step in STEPS[moment] for path in (folder / "tables").glob(f"{step}.*")]
    return [*tables, *(folder / name for name in _OWN_FILES[moment])]
