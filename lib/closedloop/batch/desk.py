"""The same plan on a Dask cluster: each worker process has a bench of its own; artefacts go through shared folders."""

import atexit
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from distributed import Client

from closedloop.batch.ledger import Entry, Ledger, Limits
from closedloop.batch.perform import Bench, Task
from closedloop.batch.plan import DOCUMENTS, MAKES_SETS, PERSONAS, Job, PeriodPlan, Planner
from closedloop.errors import ClosedLoopError
from closedloop.market.definition import read_definition
from closedloop.market.files import data_folder, hashes, root
from closedloop.market.kept import package_code
from closedloop.period.step import basis
from closedloop.terms import Status

_MOST_LOST = 2  # how often a task may lose the worker that performs it, until it counts as failed
_CONNECT_SECONDS = 30
_bench = Bench()  # in a worker process: kept from task to task


class Cluster:
    """Performs tasks on the workers of the Dask scheduler at ``address``; those of a lost worker go to another one.

    The workers see the project and the run folder at the same paths as the runner does. Raises ClosedLoopError when
    nobody answers at the address, or no worker has come.
    """

    def __init__(self, address: str) -> None:
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


_USUAL_SECONDS = 1.0  # of a notebook, until there are past runs
_OF_THE_SET = ("proposal.yml", "personas.yml")


@dataclass(frozen=True)
class Desk:
    """``only``: names of the notebooks that are wanted, all without one; ``only_failed``: what succeeded stays."""

    planner: Planner
    ledger: Ledger
    limits: Limits = field(default_factory=Limits)
    is_forced: bool = False
    only: Collection[str] = ()
    only_failed: bool = False

    def jobs(self, market: str, periods: Sequence[PeriodPlan], names: Sequence[str]) -> list[Job]:
        """What is asked for of a market and what that needs, with the documents that 02 led to the last time."""
        jobs = self.planner.jobs(market, periods, names, self.only)
        ended = [(job, self.ledger.entries.get(job.id)) for job in jobs if job.notebook == PERSONAS]
        return jobs + [document for job, entry in ended if entry for document in self._wanted(self._led_to(job, entry))]

    def grown(self, named: Job, entry: Entry) -> list[Job]:
        """The documents for those whom 02 has just named; those of others are forgotten."""
        documents = self._led_to(named, entry)
        kept = {job.id for job in documents}
        same = [e for e in self.ledger.entries.values() if (e.market, e.period) == (named.market, named.period)]
        self.ledger.retire([e.id for e in same if e.notebook in DOCUMENTS and e.id not in kept])
        return self._wanted(documents)

    def _led_to(self, named: Job, entry: Entry) -> list[Job]:
        personas, competitors = entry.results.get("personas") or (), entry.results.get("competitors") or ()
        return self.planner.documents(named, personas, competitors)

    def _wanted(self, documents: Iterable[Job]) -> list[Job]:
        return [job for job in documents if not self.only or job.notebook in self.only]

    def current(self, job: Job) -> Entry | None:
        """The job's entry when it need not run again, else None."""
        entry = self.ledger.entries.get(job.id)
        if self.is_forced or entry is None:
            return None
        if self.only_failed:
            is_current = entry.is_good and self.ledger.is_whole(entry)
        else:
            is_current = self.ledger.is_current(job.id, self.inputs(job), job.parameters)
        return replace(entry, status=Status.CACHED) if is_current else None

    def inputs(self, job: Job) -> dict[str, str]:
        """What the result depends on, by path: rows, settings, sets, cells, words, lock, package, and what others left.

        Those are claims and tables; of the period before, the loop's notebooks read the persona set alone.
        """
        found = basis(read_definition(job.market), job.period, job.moment, job.data)
        words = (data_folder() / job.market).rglob("*.toml")
        known = self.planner.notebooks
        cells = [known[name].path for name in (job.notebook, MAKES_SETS) if name in known]
        files = [*cells, root() / "requirements.lock", *words]
        found |= {"lib/closedloop": package_code()} | hashes(files, root())
        for entry in (self.ledger.entries[need] for need in job.needs):
            reads_all = job.is_document or entry.period == job.period
            found |= {path: digest for path, digest in entry.outputs.items() if _is_read(path, reads_all)}
        return found

    def task(self, job: Job) -> Task:
        """All that is needed to perform the job."""
        notebook = self.planner.notebooks[job.notebook]
        title = " · ".join(part for part in (notebook.title, job.subject, job.market, job.period) if part)
        return Task(job, self.ledger.out, self.inputs(job), notebook.path, title, self.limits)

    def seconds(self, job: Job) -> float:
        """How long the job took last time, or else what a notebook usually takes."""
        entry = self.ledger.entries.get(job.id)
        return entry.seconds if entry and entry.seconds else _USUAL_SECONDS


def _is_read(path: str, reads_all: bool) -> bool:
    """May another notebook read this output? Pages are for people."""
    name = path.split("/", 2)[2]
    is_data = name.startswith("tables/") or (name.startswith("claims/") and name.endswith(".parquet"))
    return name in _OF_THE_SET or (reads_all and is_data)
