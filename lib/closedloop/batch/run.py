"""The runner: takes jobs whose inputs exist, works on as many as there is room for, and records each one's end."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from closedloop.batch import markets, report
from closedloop.batch.desk import Desk
from closedloop.batch.ledger import Entry, Ledger, Limits, locked
from closedloop.batch.notebooks import find_notebook, notebooks
from closedloop.batch.perform import Bench, Execute, Place, ThisMachine, kill_children
from closedloop.batch.plan import PERSONAS, STANDING, Job, PeriodPlan, Planner, chains
from closedloop.batch.progress import Listener
from closedloop.batch.runner.parent import ENVIRONMENT
from closedloop.market import kept
from closedloop.market.files import runs_folder, sweep
from closedloop.terms import Status
from closedloop.workbench import store

OpenMarket = Callable[[str, Path, Callable[[], bool]], list[PeriodPlan]]
_POLL_SECONDS = 0.2
CANCELLED = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass(frozen=True)
class Request:
    """What is asked for: markets, periods (all when empty), settings and names of notebooks, and where to write.

    ``scheduler`` is the address of a Dask cluster that works on the plan; empty for this machine.
    """

    markets: Sequence[str]
    periods: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    out: Path = field(default_factory=runs_folder)
    n_workers: int = 0
    is_forced: bool = False
    only: Sequence[str] = ()
    only_failed: bool = False
    limits: Limits = field(default_factory=Limits)
    scheduler: str = ""

    @property
    def n_slots(self) -> int:
        """How many runs at once on this machine."""
        return self.n_workers or os.cpu_count() or 1


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
        self._chains: dict[str, float] = {}
        self._due: set[str] = set()  # jobs whose needs have ended, and that were found not to be current

    def run(self, jobs: Iterable[Job], place: Place) -> None:
        """Run ``jobs`` and all that they lead to; returns when none is left, or after a signal."""
        self._add(jobs)
        while (self.waiting or self.running) and self.interruption.signal is None:
            self._settle()
            for job in self._ready()[: place.n_slots - len(self.running)]:
                self.listener.started(job.id)
                self.running[place.submit(self.desk.task(self.waiting.pop(job.id)))] = job
            for future in wait(self.running, _POLL_SECONDS, FIRST_COMPLETED).done:
                self._end(self.running.pop(future), future.result())
        if self.interruption.signal is not None:
            self._cancel(place)

    def _add(self, jobs: Iterable[Job]) -> None:
        self.waiting |= {job.id: job for job in jobs if job.id not in self.ended}
        for entry in [entry for entry in self.ended.values() if not entry.is_good]:
            self._skip(entry)
        self._chains = chains(self.waiting, self.desk.seconds)
        self.listener.planned(len(self.waiting) + len(self.running) + len(self.ended))

    def _ready(self) -> list[Job]:
        """Those whose needs have ended, the beginning of the longest chain first."""
        ready = [job for job in self.waiting.values() if all(need in self.ended for need in job.needs)]
        return sorted(ready, key=lambda job: (-self._chains[job.id], job.id))

    def _settle(self) -> None:
        """Take out of the queue what is still current, and what that leads to."""
        while unseen := [job for job in self._ready() if job.id not in self._due]:
            for job in unseen:
                if entry := self.desk.current(job):
                    del self.waiting[job.id]
                    self.desk.ledger.note(entry)
                    self._end(job, entry)
                else:
                    self._due.add(job.id)

    def _end(self, job: Job, entry: Entry) -> None:
        self.ended[entry.id] = entry
        if entry.status is not Status.CACHED:
            self.desk.ledger.record(entry)
        self.listener.finished(entry)
        if not entry.is_good:
            self._skip(entry)
        elif job.notebook == PERSONAS:
            grown = self.desk.grown(job, entry)
            for other in [other for other in self.waiting.values() if _is_document_beside(other, job)]:
                del self.waiting[other.id]  # for somebody whom 02 named the last time
            self._add(grown)

    def _skip(self, cause: Entry) -> None:
        """Everything that needs ``cause``, directly or through others, is skipped."""
        lost = {cause.id}
        while more := {job.id for job in self.waiting.values() if lost & set(job.needs)} - lost:
            lost |= more
        text = f"needs {cause.id}, which ended as {cause.status}"
        jobs = [self.waiting.pop(id_) for id_ in sorted(lost - {cause.id})]
        self._note(Status.SKIPPED, text, jobs)

    def _cancel(self, place: Place) -> None:
        self._note(Status.CANCELLED, "stopped", list(self.running.values()))
        while self.running:
            place.stop()
            for future in wait(self.running, _POLL_SECONDS).done:
                del self.running[future]

    def _note(self, status: Status, cause: str, jobs: Iterable[Job]) -> None:
        entries = {job.id: job.entry(status, cause=cause) for job in jobs}
        self.ended |= entries
        if entries:
            self.desk.ledger.record(*entries.values())
        for entry in entries.values():
            self.listener.finished(entry)


def _is_document_beside(job: Job, named: Job) -> bool:
    return job.is_document and (job.market, job.period) == (named.market, named.period)


def run(
    request: Request,
    listener: Listener,
    open_market: OpenMarket = markets.open_market,
    execute: Execute | None = None,
) -> Summary:
    """Run the loop of the requested markets and periods, and write ledger, pages and index under ``request.out``.

    Raises ParameterError or DefinitionError before anything runs, LockedError when another runner is at work.
    """
    interruption = Interruption()
    with ExitStack() as stack:
        stack.callback(listener.close)
        planner = planner_of(request)
        stack.enter_context(locked(request.out))
        stack.enter_context(environment(**ENVIRONMENT, MPLBACKEND=None))  # no backend for figures but the kernel's own
        stack.enter_context(interruption.noticed())
        bench = Bench(execute)
        stack.callback(bench.close)
        if not request.scheduler:
            bench.warm_up()
        ledger = Ledger(request.out)
        sweep(request.out)
        kept.forget()
        ledger.flush()  # takes in what a killed batch has left
        desk = desk_of(request, planner, ledger)
        runner = Runner(desk, listener, interruption)
        try:
            jobs = _jobs(request, desk, open_market, interruption)
            place = _place(request, bench)
            stack.callback(place.close)
            runner.run(jobs, place)
        except BaseException:
            kill_children()
            raise
        finally:
            ledger.flush()
        changed = {(e.market, e.period) for e in runner.ended.values() if e.status is not Status.CACHED}
        for market, period in sorted(changed):
            store.merge_claims(request.out / market / period)
        index = report.write_index(request.out, ledger.entries.values())
    return Summary(runner.ended, _exit_code(runner.ended, interruption), index)


def planner_of(request: Request) -> Planner:
    """The planner for a request; raises DefinitionError or ParameterError for what cannot be planned."""
    is_standing = request.out.resolve() == runs_folder().resolve()
    planner = Planner(notebooks(), STANDING if is_standing else str(request.out.resolve()), request.settings)
    planner.check()
    return planner


def desk_of(request: Request, planner: Planner, ledger: Ledger) -> Desk:
    """The desk for a request."""
    only = [find_notebook(name, planner.notebooks).name for name in request.only]
    return Desk(planner, ledger, request.limits, request.is_forced, only, request.only_failed)


def _place(request: Request, bench: Bench) -> Place:
    if not request.scheduler:
        return ThisMachine(bench, request.n_slots)
    from closedloop.batch.desk import Cluster

    return Cluster(request.scheduler)


def _jobs(request: Request, desk: Desk, open_market: OpenMarket, interruption: Interruption) -> list[Job]:
    """The jobs of all markets, which are opened side by side; none after a signal."""

    def is_stopped() -> bool:
        return interruption.signal is not None

    with ThreadPoolExecutor(len(request.markets)) as threads:
        opened = {name: threads.submit(open_market, name, request.out, is_stopped) for name in request.markets}
        while wait(opened.values(), _POLL_SECONDS).not_done:  # which lets a signal be noticed
            continue
    periods = {market: future.result() for market, future in opened.items()}
    if is_stopped():
        return []
    return [job for market, known in periods.items() for job in desk.jobs(market, known, request.periods)]


@contextmanager
def environment(**values: str | None) -> Iterator[None]:
    """Variables that processes inherit which are started within the block; None: without it."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in values.items() if value is not None})
    for name in values.keys() - {name for name, value in values.items() if value is not None}:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _exit_code(entries: Mapping[str, Entry], interruption: Interruption) -> int:
    if interruption.signal is not None:
        return CANCELLED[signal.Signals(interruption.signal)]
    return 0 if all(entry.is_good for entry in entries.values()) else 1
