"""The runner: takes jobs whose inputs exist, works on as many as there is room for, and records each one's end."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from closedloop.batch.desk import Desk, OpenMarket, Request, planner_of
from closedloop.batch.ledger import Entry, Ledger, locked
from closedloop.batch.markets import open_market
from closedloop.batch.perform import Bench, Cluster, Execute, Place, kill_children
from closedloop.batch.plan import PERSONAS, Job, chains
from closedloop.batch.progress import Listener
from closedloop.batch.runner.engine import execute
from closedloop.batch.runner.parent import ENVIRONMENT
from closedloop.market import kept
from closedloop.market.files import sweep
from closedloop.period import store
from closedloop.terms import Status

_POLL_SECONDS = 0.2
_LIBRARIES = ("papermill.iorw", "papermill.parameterize", "closedloop.batch.report")
CANCELLED: Mapping[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


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


class Runner:
    """Runs one graph of jobs, which may grow while it runs."""

    def __init__(self, desk: Desk, listener: Listener, signals: Sequence[int]) -> None:
        self.desk, self.listener, self.signals = desk, listener, signals  # a first signal ends it between two thoughts
        self.waiting: dict[str, Job] = {}
        self.running: dict[Future[Entry], Job] = {}
        self.ended: dict[str, Entry] = {}
        self._chains: dict[str, float] = {}
        self._due: set[str] = set()  # jobs whose needs have ended, and that were found not to be current

    def run(self, jobs: Iterable[Job], place: Place) -> None:
        """Run ``jobs`` and all that they lead to; returns when none is left, or after a signal."""
        self._add(jobs)
        while (self.waiting or self.running) and not self.signals:
            self._settle()
            for job in self._ready()[: place.n_slots - len(self.running)]:
                self.listener.started(job.id)
                self.running[place.submit(self.desk.task(self.waiting.pop(job.id)))] = job
            for future in wait(self.running, _POLL_SECONDS, FIRST_COMPLETED).done:
                self._end(self.running.pop(future), future.result())
        if self.signals:
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
            same = [one for one in self.waiting.values() if (one.market, one.period) == (job.market, job.period)]
            for document in (one for one in same if one.is_document):
                del self.waiting[document.id]  # for somebody whom 02 named the last time
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


def run(
    request: Request, listener: Listener, open_market: OpenMarket = open_market, execute: Execute = execute
) -> Summary:
    """Run the loop of the requested markets and periods, and write ledger, pages and index under ``request.out``.

    Raises ParameterError or DefinitionError before anything runs, LockedError when another runner is at work.
    """
    with ExitStack() as stack:
        stack.callback(listener.close)
        planner = planner_of(request)
        stack.enter_context(locked(request.out))
        stack.enter_context(environment(**ENVIRONMENT, MPLBACKEND=None))  # no backend for figures but the kernel's own
        signals = stack.enter_context(noticed())
        place = Cluster(request.scheduler) if request.scheduler else Bench(execute, request.n_slots)
        stack.callback(place.close)
        if isinstance(place, Bench):
            place.warm_up()
        ledger, index = Ledger(request.out), request.out / "index.html"
        is_stale = _is_stale(index)
        sweep(request.out)
        ledger.flush()  # takes in what a killed batch has left
        runner = Runner(Desk(request, planner, ledger), listener, signals)
        try:
            with ExitStack() as later:
                runner.run(_jobs(runner.desk, open_market, signals, later), place)
        except BaseException:
            kill_children()
            raise
        finally:
            ledger.flush()
        kept.forget()
        changed = {(e.market, e.period) for e in runner.ended.values() if e.status is not Status.CACHED}
        for market, period in sorted(changed):
            store.merge_claims(request.out / market / period)
        if changed or is_stale:
            from closedloop.batch.report import write_index  # half the time of a run that has nothing to do

            write_index(request.out, ledger.entries.values())
    code = 0 if all(entry.is_good for entry in runner.ended.values()) else 1
    return Summary(runner.ended, CANCELLED[signals[0]] if signals else code, index)


def _is_stale(index: Path) -> bool:
    """Is the index missing, or older than a ledger, a self-test or a backtest that it shows?"""
    shown = (index.with_name("manifest.json"), *index.parent.glob("*/*.json"))
    return not index.exists() or any(path.stat().st_mtime > index.stat().st_mtime for path in shown if path.exists())


def _jobs(desk: Desk, open_market: OpenMarket, signals: Sequence[int], later: ExitStack) -> list[Job]:
    """The jobs of all markets, which are opened side by side; none after a signal."""
    request = desk.request
    with ThreadPoolExecutor(len(request.markets)) as threads:
        opened = {
            name: threads.submit(open_market, name, request.out, lambda: bool(signals), later)
            for name in request.markets
        }
        while wait(opened.values(), _POLL_SECONDS).not_done:  # which lets a signal be noticed
            for name in _LIBRARIES:  # they are made ready: time to import what the runs will need
                import_module(name)
    periods = {market: future.result() for market, future in opened.items()}
    return [] if signals else [job for market, known in periods.items() for job in desk.jobs(market, known)]


@contextmanager
def noticed() -> Iterator[list[int]]:
    """The signals to stop that come within the block, where it runs in a main thread: no other one can take them."""
    found: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, lambda number, _: found.append(number)) for n in CANCELLED if is_main}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def environment(**values: str | None) -> Iterator[None]:
    """Variables that processes inherit which are started within the block; None: without it."""
    before = dict(os.environ)
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
