"""One job performed, here or on a Dask cluster: a notebook run, its page written, its files noted."""

import atexit
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from closedloop.batch.ledger import Entry, Limits, Trace
from closedloop.batch.plan import Job
from closedloop.batch.runner.engine import execute
from closedloop.batch.runner.parent import NoFork, Parent, ParentLost
from closedloop.errors import ClosedLoopError, WriteError
from closedloop.market.files import hashes, write_atomic
from closedloop.period import store
from closedloop.terms import Status

Execute = Callable[..., Trace]  # as of ``engine.execute``
_MOST_LOST = 2  # how often a task may lose the worker that performs it, until it counts as failed
_CONNECT_SECONDS = 30
_OURS = ("closedloop.batch.", "ipykernel_launcher")
_RENEWED = "Made again: what is recorded of this period has changed since the page was last made."
_CARD_FILES = [f"{record}-{ending}" for record in ("lead", "deal") for ending in ("card.csv", "chance.csv", "card.sql")]
_OWN_FILES = {
    "03_leads": ("call-list.csv", "wake-up-list.csv", *_CARD_FILES),
    "06_refinement": ("proposal.yml", "personas.yml"),
}


@dataclass(frozen=True)
class Task:
    """A job with all that is needed to perform it, on this machine or another one with the same folders.

    ``is_renewed``: it was done before, and other rows are known of its period now.
    """

    job: Job
    out: Path
    inputs: Mapping[str, str]
    source: Path
    title: str = ""
    limits: Limits = field(default_factory=Limits)
    is_renewed: bool = False

    @property
    def folder(self) -> Path:
        """Where the period's files are."""
        return self.out / self.job.market / self.job.period

    def entry(self, status: Status, **details: Any) -> Entry:
        """An entry of the ledger for the job."""
        return self.job.entry(status, inputs=self.inputs, **details)


class Bench:
    """A process that performs tasks: each thread drives one notebook at a time, all forked from one warm parent."""

    def __init__(self, execute: Execute = execute, n_slots: int = 1) -> None:
        self._execute, self.parent, self.n_slots = execute, Parent(), n_slots
        self._threads = ThreadPoolExecutor(n_slots)
        self._can_fork, self._lock = True, threading.Lock()

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task in the next thread that is free."""
        return self._threads.submit(self.perform, task)

    def perform(self, task: Task) -> Entry:
        """Run the task's notebook; whatever goes wrong is in the entry."""
        began = time.monotonic()
        try:
            entry = _written(task, self._executed(task))
        except Exception as error:
            entry = _failed(task, error)
        return replace(entry, seconds=round(time.monotonic() - began, 3))

    def _executed(self, task: Task) -> Trace:
        """Run the notebook in a forked process; in an ordinary kernel where there are none, which is said once."""
        given = (task.source, task.job.parameters, task.limits)
        try:
            return self._execute(*given, self.parent if self._can_fork else None)
        except NoFork as error:
            with self._lock:  # several threads may be refused at once
                is_first, self._can_fork = self._can_fork, False
            if is_first:
                print(f"closedloop: ordinary kernels, which start more slowly, are used: {error}", file=sys.stderr)
            return self._execute(*given, None)

    def warm_up(self) -> None:
        """Have the parent import its libraries while this process plans."""
        with suppress(NoFork, ParentLost):  # who asks it for a process is told
            self.parent.begin()

    def stop(self) -> None:
        """Kill what works, and start nothing more."""
        self.parent.stop()
        kill_children()

    def close(self) -> None:
        """End the threads, and the parent with all that it has forked."""
        self._threads.shutdown()
        self.parent.close()


_bench = Bench()  # in a worker process of a cluster: kept from task to task


class Cluster:
    """Performs tasks on the workers of the Dask scheduler at ``address``; those of a lost worker go to another one.

    The workers see the project and the run folder at the same paths as the runner does. Raises ClosedLoopError when
    nobody answers at the address, or no worker has come.
    """

    def __init__(self, address: str) -> None:
        from distributed import Client  # which takes half a second, and hardly anybody needs it

        try:
            self.client: Any = Client(address, timeout=_CONNECT_SECONDS)
            self.client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            found = f"no cluster answers at --scheduler {address} ({error})"
            raise ClosedLoopError(f"{found}; allowed: the address of a running one, like tcp://host:8786") from error
        self.executor = self.client.get_executor(pure=False, retries=_MOST_LOST)
        self.n_slots = sum(self.client.nthreads().values())

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task on some worker."""
        future: Future[Entry] = self.executor.submit(_perform_here, task)
        return future

    def stop(self) -> None:
        """Cancel what waits, and kill what runs on the workers."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.client.run(_stop_here)

    def close(self) -> None:
        """Leave the cluster as it was."""
        self.client.run(_close_here)
        self.client.close()


def _perform_here(task: Task) -> Entry:
    return _bench.perform(task)


def _stop_here() -> None:
    _bench.stop()


@atexit.register
def _close_here() -> None:
    global _bench
    _bench.close()
    _bench = Bench()


Place = Bench | Cluster  # where tasks are performed, ``n_slots`` at once


def kill_children() -> None:
    """End every process of ours that this one has started, and what they have started."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(part.startswith(_OURS) for part in child.cmdline()):
                for process in [*child.children(recursive=True), child]:
                    process.kill()


def _written(task: Task, trace: Trace) -> Entry:
    """The page and the executed notebook, and the entry that names all files; a bad end takes the claims back."""
    from nbformat import writes

    from closedloop.presentation.page import notebook_html

    job, status, cause, results = task.job, trace.status, trace.cause, trace.results
    if status is Status.OK and (n := int(results.get("n_missing", 0))):
        status, cause = Status.OK_WITH_WARNINGS, f"{n} section{'s' * (n > 1)} without evidence"
    is_good = status in (Status.OK, Status.OK_WITH_WARNINGS)
    if not is_good:
        store.set_aside(task.folder, job.notebook)
    notice = _RENEWED if task.is_renewed else ""
    if not is_good:
        notice = f"Not finished: {cause}. Nothing on this page is corrected for what was compared."
    about: dict[str, Any] = {"is_document": job.is_document, "pages": job.pages, "notice": notice}
    files = [task.folder / f"{job.stem}{ending}" for ending in (".ipynb", ".html")]
    write_atomic(files[0], writes(trace.notebook).encode())
    write_atomic(files[1], notebook_html(trace.notebook, task.title, **about).encode())
    if is_good:  # and what the notebook itself left in the run folder
        own = (f"claims/{job.stem}.*", f"tables/{store.step_of(job.stem)}.*", f"documents/{job.stem}.*")
        patterns = (*own, *_OWN_FILES.get(job.notebook, ()))
        files += [path for pattern in patterns for path in task.folder.glob(pattern)]
    outputs = hashes(files, task.out)
    return task.entry(status, cause=cause, peak_mb=trace.peak_mb, outputs=outputs, results=results)


def _failed(task: Task, error: Exception) -> Entry:
    """The cause in one line; the whole story of an error of our own in a file beside the run."""
    if isinstance(error, ClosedLoopError):
        return task.entry(Status.FAILED, cause=str(error))
    lines = str(error).strip().splitlines() or [""]
    path, cause = task.folder / f"{task.job.stem}.error.txt", f"{type(error).__name__}: {lines[0][:300]}"
    with suppress(WriteError):  # a full disk must not hide what went wrong
        write_atomic(path, "".join(traceback.format_exception(error)).encode())
    return task.entry(Status.FAILED, cause=cause, outputs=hashes([path], task.out))
