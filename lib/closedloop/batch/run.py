"""The runner: takes jobs whose inputs exist, works on as many as there are cores, and records each one's end."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from closedloop.batch import moments, report
from closedloop.batch.ledger import Entry, Ledger, locked
from closedloop.batch.notebooks import notebooks
from closedloop.batch.perform import Compute, Desk, Execute
from closedloop.batch.plan import PLAN, Job, PeriodPlan, Planner
from closedloop.batch.progress import Listener
from closedloop.batch.workers import Workers, kill_children
from closedloop.market.place import runs_folder
from closedloop.terms import Status

OpenMarket = Callable[[str, Path], list[PeriodPlan]]
_POLL_SECONDS = 0.2
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
CANCELLED = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass(frozen=True)
class Request:
    """What is asked for: markets, periods (all when empty), settings of notebooks, and where to write."""

    markets: Sequence[str]
    periods: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    out: Path = field(default_factory=runs_folder)
    n_workers: int = 0
    is_forced: bool = False


@dataclass(frozen=True)
class Summary:
    """How a whole batch ended: the runs by id, the process's exit code, and the page to open."""

    entries: Mapping[str, Entry]
    exit_code: int
    index: Path

    @property
    def bad(self) -> dict[str, Entry]:
        """The runs that did not succeed."""
        return {id_: entry for id_, entry in self.entries.items() if not entry.is_good}


class Interruption:
    """Notes the first SIGINT or SIGTERM, so that the runner can stop between two thoughts."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.signal = number

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Handle both signals within the block; only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.note) for number in CANCELLED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Runner:
    """Runs one graph of jobs, which may grow while it runs."""

    def __init__(self, desk: Desk, listener: Listener, interruption: Interruption) -> None:
        self.desk, self.listener, self.interruption = desk, listener, interruption
        self.waiting: dict[str, Job] = {}
        self.running: dict[Future[Entry], Job] = {}
        self.ended: dict[str, Entry] = {}

    def run(self, jobs: Iterable[Job], threads: ThreadPoolExecutor, n_workers: int) -> None:
        """Run ``jobs`` and all that they lead to; returns when none is left, or after a signal."""
        self._add(jobs)
        while (self.waiting or self.running) and self.interruption.signal is None:
            for job in self._ready()[: n_workers - len(self.running)]:
                self.listener.started(job.id)
                self.running[threads.submit(self.desk.perform, self.waiting.pop(job.id))] = job
            for future in wait(self.running, _POLL_SECONDS, FIRST_COMPLETED).done:
                self._end(self.running.pop(future), future.result())
        if self.interruption.signal is not None:
            self._cancel()

    def _add(self, jobs: Iterable[Job]) -> None:
        self.waiting |= {job.id: job for job in jobs}
        self.listener.planned(len(self.waiting) + len(self.running) + len(self.ended))

    def _ready(self) -> list[Job]:
        ready = [job for job in self.waiting.values() if all(need in self.ended for need in job.needs)]
        return sorted(ready, key=lambda job: (job.order, job.id))

    def _end(self, job: Job, entry: Entry) -> None:
        self._note(entry)
        if not entry.is_good:
            self._skip(entry)
        elif job.notebook == PLAN:
            documents = self.desk.documents(job, entry)
            self._add(documents)
            self.desk.retire(job, documents)

    def _note(self, *entries: Entry) -> None:
        self.ended |= {entry.id: entry for entry in entries}
        self.desk.ledger.record(*entries)
        for entry in entries:
            self.listener.finished(entry)

    def _skip(self, cause: Entry) -> None:
        """Everything that needs ``cause``, directly or through others, is skipped."""
        lost = {cause.id}
        while more := {job.id for job in self.waiting.values() if lost & set(job.needs)} - lost:
            lost |= more
        text = f"needs {cause.id}, which ended as {cause.status}"
        jobs = [self.waiting.pop(id_) for id_ in sorted(lost - {cause.id})]
        self._note(*(self.desk.entry(job, Status.SKIPPED, cause=text) for job in jobs))

    def _cancel(self) -> None:
        cancelled = [self.desk.entry(job, Status.CANCELLED, cause="stopped") for job in self.running.values()]
        while self.running:
            kill_children()
            for future in wait(self.running, _POLL_SECONDS).done:
                del self.running[future]
        self._note(*cancelled)


def run(
    request: Request,
    listener: Listener,
    open_market: OpenMarket = moments.open_market,
    compute: Compute = moments.compute,
    execute: Execute | None = None,
) -> Summary:
    """Run the loop of the requested markets and periods, and write ledger, pages and index under ``request.out``.

    Raises ParameterError or DefinitionError before anything runs, LockedError when another runner is at work.
    """
    planner = Planner(notebooks(), _out_parameter(request.out), request.settings)
    planner.check()
    n_workers = request.n_workers or os.cpu_count() or 1
    interruption, workers = Interruption(), Workers(n_workers)
    with (
        locked(request.out),
        _environment(),
        interruption.noticed(),
        ThreadPoolExecutor(n_workers) as threads,
    ):
        desk = Desk(planner, Ledger(request.out), workers, compute, execute, is_forced=request.is_forced)
        runner = Runner(desk, listener, interruption)
        try:
            opened = partial(_opened, workers, open_market, request.out)
            jobs = _jobs(request, planner, threads, opened, interruption)
            runner.run(jobs, threads, n_workers)
        except BaseException:
            kill_children()
            raise
        finally:
            listener.close()
            workers.close()
        index = report.write_index(request.out, desk.ledger.entries.values())
    return Summary(runner.ended, _exit_code(runner.ended, interruption), index)


def _opened(workers: Workers, open_market: OpenMarket, out: Path, market: str) -> list[PeriodPlan]:
    return workers.call(market, open_market, market, out)


def _out_parameter(out: Path) -> str | None:
    """The default folder is not passed on, so that executed notebooks are the same on every machine."""
    return None if out.resolve() == runs_folder().resolve() else str(out.resolve())


def _jobs(
    request: Request,
    planner: Planner,
    threads: ThreadPoolExecutor,
    opened: Callable[[str], list[PeriodPlan]],
    interruption: Interruption,
) -> list[Job]:
    """The jobs of all markets, which are opened side by side; none after a signal."""
    markets = {market: threads.submit(opened, market) for market in request.markets}
    while interruption.signal is None and wait(markets.values(), _POLL_SECONDS).not_done:
        continue
    if interruption.signal is not None:
        kill_children()
        return []
    periods = {market: future.result() for market, future in markets.items()}
    return [job for market, known in periods.items() for job in planner.jobs(market, known, request.periods)]


@contextmanager
def _environment() -> Iterator[None]:
    """What workers and kernels inherit: one thread each, a fixed hash seed, and no backend for figures."""
    before = {name: os.environ.get(name) for name in (*_ENVIRONMENT, "MPLBACKEND")}
    os.environ.update(_ENVIRONMENT)
    os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def _exit_code(entries: Mapping[str, Any], interruption: Interruption) -> int:
    if interruption.signal is not None:
        return CANCELLED[signal.Signals(interruption.signal)]
    return 0 if all(entry.is_good for entry in entries.values()) else 1
