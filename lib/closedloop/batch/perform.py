"""One job performed: a notebook run in a process forked from a warm parent, its page written, its files noted."""

import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from closedloop.batch.ledger import Entry, Limits
from closedloop.batch.notebooks import Value
from closedloop.batch.plan import Job
from closedloop.batch.runner.parent import NoFork, Parent, ParentLost
from closedloop.errors import ClosedLoopError, WriteError
from closedloop.market.files import hashes, write_atomic
from closedloop.terms import Status
from closedloop.workbench import store

if TYPE_CHECKING:
    from closedloop.batch.runner.engine import Execution

_OURS = ("closedloop.batch.", "ipykernel_launcher")
_OWN_FILES = {"03_leads": ("call-list.csv", "wake-up-list.csv"), "06_refinement": ("proposal.yml", "personas.yml")}


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
    """A job with all that is needed to perform it, on this machine or another one with the same folders."""

    job: Job
    out: Path
    inputs: Mapping[str, str]
    source: Path
    title: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def folder(self) -> Path:
        """Where the period's files are."""
        return self.out / self.job.market / self.job.period

    def entry(self, status: Status, **details: Any) -> Entry:
        """An entry of the ledger for the job."""
        return self.job.entry(status, inputs=self.inputs, **details)


class Bench:
    """Where a process performs tasks, by many threads at once, in processes forked from one warm parent."""

    def __init__(self, execute: Execute | None = None) -> None:
        self._execute, self.parent = execute, Parent()
        self._can_fork = True

    def perform(self, task: Task) -> Entry:
        """Run the task's notebook; whatever goes wrong is in the entry."""
        began = time.monotonic()
        try:
            entry = _written(task, self._executed(task))
        except Exception as error:
            entry = _failed(task, error)
        return replace(entry, seconds=round(time.monotonic() - began, 3))

    def _executed(self, task: Task) -> "Execution":
        """Run the notebook in a forked process; in an ordinary kernel where there are none, which is said once."""
        from closedloop.batch.runner.engine import execute

        given = (task.source, task.job.parameters, task.limits)
        try:
            return (self._execute or execute)(*given, self.parent if self._can_fork else None)
        except NoFork as error:
            if self._can_fork:
                print(f"closedloop: ordinary kernels, which start more slowly, are used: {error}", file=sys.stderr)
            self._can_fork = False
            return (self._execute or execute)(*given, None)

    def warm_up(self) -> None:
        """Have the parent import its libraries while this process plans."""
        with suppress(NoFork, ParentLost):  # who asks it for a process is told
            self.parent.begin()

    def stop(self) -> None:
        """Kill what works, and start nothing more."""
        self.parent.stop()
        kill_children()

    def close(self) -> None:
        """End the parent and all that it has forked."""
        self.parent.close()


class Place(Protocol):
    """Where tasks are performed: this machine or a cluster. ``n_slots``: how many at once."""

    n_slots: int

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task some time soon."""

    def stop(self) -> None:
        """Kill what runs."""

    def close(self) -> None:
        """Give back all that was taken."""


class ThisMachine:
    """Threads of this process that each drive one notebook at a time."""

    def __init__(self, bench: Bench, n_slots: int) -> None:
        self.bench, self.n_slots = bench, n_slots
        self.threads = ThreadPoolExecutor(n_slots)

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task in the next thread that is free."""
        return self.threads.submit(self.bench.perform, task)

    def stop(self) -> None:
        """Kill all processes that work."""
        self.bench.stop()

    def close(self) -> None:
        """End the threads; nothing runs any more."""
        self.threads.shutdown()


def kill_children() -> None:
    """End every process of ours that this one has started, and what they have started."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(part.startswith(_OURS) for part in child.cmdline()):
                for process in [*child.children(recursive=True), child]:
                    process.kill()


def _written(task: Task, execution: "Execution") -> Entry:
    """The page and the executed notebook, and the entry that names all files; a bad end takes the claims back."""
    from nbformat import writes

    from closedloop.presentation.page import notebook_html

    job, status, cause, files = task.job, execution.status, execution.cause, list[Path]()
    if status is Status.OK and (n := int(execution.results.get("n_missing", 0))):
        status, cause = Status.OK_WITH_WARNINGS, f"{n} section{'s' * (n > 1)} without evidence"
    is_good = status in (Status.OK, Status.OK_WITH_WARNINGS)
    if not is_good:
        store.set_aside(task.folder, job.notebook)
    if execution.notebook is not None:
        notice = "" if is_good else f"Not finished: {cause}. Nothing on this page is corrected for what was compared."
        about: dict[str, Any] = {"is_document": job.is_document, "pages": job.pages, "notice": notice}
        html = notebook_html(execution.notebook, task.title, **about)
        files = [task.folder / f"{job.stem}{ending}" for ending in (".ipynb", ".html")]
        write_atomic(files[0], str(writes(execution.notebook)).encode())  # type: ignore[no-untyped-call]
        write_atomic(files[1], html.encode())
    files += _left(task) if is_good else []
    details = {"peak_mb": execution.peak_mb, "outputs": hashes(files, task.out), "results": execution.results}
    return task.entry(status, cause=cause, **details)


def _left(task: Task) -> Iterator[Path]:
    """What the notebook itself left in the run folder."""
    stem, own = task.job.stem, _OWN_FILES.get(task.job.notebook, ())
    for pattern in (f"claims/{stem}.*", f"tables/{store.step_of(stem)}.*", f"documents/{stem}.*", *own):
        yield from task.folder.glob(pattern)


def _failed(task: Task, error: Exception) -> Entry:
    """The cause in one line; the whole story of an error of our own in a file beside the run."""
    if isinstance(error, ClosedLoopError):
        return task.entry(Status.FAILED, cause=str(error))
    lines = str(error).strip().splitlines() or [""]
    path, cause = task.folder / f"{task.job.stem}.error.txt", f"{type(error).__name__}: {lines[0][:300]}"
    with suppress(WriteError):  # a full disk must not hide what went wrong
        write_atomic(path, "".join(traceback.format_exception(error)).encode())
    return task.entry(Status.FAILED, cause=cause, outputs=hashes([path], task.out))
