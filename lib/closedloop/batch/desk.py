"""What is asked of a batch, what of it is current, and what it would do."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from closedloop.batch.ledger import Entry, Ledger, Limits
from closedloop.batch.markets import open_market
from closedloop.batch.perform import Task
from closedloop.batch.plan import DOCUMENTS, MAKES_SETS, PERSONAS, STANDING, Job, PeriodPlan, Planner, chains, in_order
from closedloop.errors import allowed
from closedloop.market.definition import read_definition
from closedloop.market.files import data_folder, hashes, root, runs_folder
from closedloop.market.kept import package_code
from closedloop.period.store import basis
from closedloop.terms import Status
from closedloop.workbench.notebooks import find_notebook, notebooks

OpenMarket = Callable[[str, Path, Callable[[], bool], ExitStack], list[PeriodPlan]]
_MOST_NAMED = 6
_ROWS = ("@start", "@ended")  # inputs that stand for the rows known then
_USUAL_SECONDS = 1.0  # of a notebook, until there are past runs
_OF_THE_SET = re.compile("/(proposal|personas)[.]yml$")  # of what a run left; pages are for people
_DATA = re.compile(f"{_OF_THE_SET.pattern}|/tables/|/claims/.*[.]parquet$")


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


def planner_of(request: Request) -> Planner:
    """The planner for a request; raises DefinitionError or ParameterError for what cannot be planned."""
    is_standing = request.out.resolve() == runs_folder().resolve()
    planner = Planner(notebooks(), STANDING if is_standing else str(request.out.resolve()), request.settings)
    planner.check()
    for name in request.only:
        find_notebook(name, planner.notebooks)  # which refuses an unknown one
    return planner


@dataclass(frozen=True)
class Desk:
    """What a request leads to: its jobs, which of them are current, and what they depend on."""

    request: Request
    planner: Planner
    ledger: Ledger

    @cached_property
    def only(self) -> set[str]:
        """The names of the notebooks that are wanted; all without one."""
        return {find_notebook(name, self.planner.notebooks).name for name in self.request.only}

    def jobs(self, market: str, periods: Sequence[PeriodPlan]) -> list[Job]:
        """What is asked for of a market and what that needs, with the documents that 02 led to the last time."""
        jobs = self.planner.jobs(market, periods, self.request.periods, self.only)
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
        if self.request.is_forced or entry is None or not entry.is_good:
            return None
        if not self.request.only_failed and (entry.inputs, entry.parameters) != (self.inputs(job), job.parameters):
            return None
        return replace(entry, status=Status.CACHED) if self.ledger.is_whole(entry) else None

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
            read = _DATA if job.is_document or entry.period == job.period else _OF_THE_SET
            found |= {path: digest for path, digest in entry.outputs.items() if read.search(path)}
        return found

    def task(self, job: Job) -> Task:
        """All that is needed to perform the job."""
        notebook = self.planner.notebooks[job.notebook]
        title = " · ".join(part for part in (notebook.title, job.subject, job.market, job.period) if part)
        inputs, before = self.inputs(job), self.ledger.entries.get(job.id)
        rows = [name for name in inputs if name.endswith(_ROWS)]
        renewed = before is not None and any(before.inputs.get(name, inputs[name]) != inputs[name] for name in rows)
        return Task(job, self.ledger.out, inputs, notebook.path, title, self.request.limits, renewed)

    def seconds(self, job: Job) -> float:
        """How long the job took last time, or else what a notebook usually takes."""
        entry = self.ledger.entries.get(job.id)
        return entry.seconds if entry and entry.seconds else _USUAL_SECONDS


@dataclass(frozen=True)
class Forecast:
    """Runs by id: ``current`` need not run, ``due`` will; ``grown`` of both are documents for whom 02 named last time.

    ``seconds``: what the due runs took last time (or usually take), shared by ``n_workers``.
    """

    current: tuple[str, ...]
    due: tuple[str, ...]
    grown: tuple[str, ...]
    seconds: float
    n_workers: int

    @property
    def n_runs(self) -> int:
        """All runs."""
        return len(self.current) + len(self.due)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"n_runs": self.n_runs, "n_current": len(self.current), **asdict(self)}

    def as_text(self) -> str:
        """For people."""
        lines = [f"{self.n_runs} runs: {len(self.current)} are current, {len(self.due)} would run."]
        if self.grown:
            lines.append(f"{len(self.grown)} of them are documents of the personas and competitors named last time.")
        if self.due:
            by_period: dict[str, list[str]] = {}
            for id_ in self.due:
                market, period, name = id_.split("/")
                by_period.setdefault(f"{market} {period}", []).append(name)
            lines += [f"  {period}: {allowed(names, _MOST_NAMED)}" for period, names in by_period.items()]
            takes = f"{self.seconds:.0f} s" if self.seconds < 100 else f"{self.seconds / 60:.0f} min"
            lines.append(f"About {takes} with {self.n_workers} at once.")
        return "\n".join(lines)


def forecast(request: Request, open_market: OpenMarket = open_market) -> Forecast:
    """What ``run`` would do with the request. Nothing runs, but a market that was never opened is opened.

    A run whose input would be made anew counts as due: it is found current after all when the bytes stay the same.
    """
    desk = Desk(request, planner_of(request), Ledger(request.out))
    jobs: dict[str, Job] = {}
    with ExitStack() as later:
        for market in request.markets:
            periods = open_market(market, request.out, lambda: False, later)
            jobs |= {job.id: job for job in desk.jobs(market, periods)}
    due: dict[str, Job] = {}
    for job in in_order(jobs):
        if any(need in due for need in job.needs) or desk.current(job) is None:
            due[job.id] = job
    # no less than the longest chain, nor than an even share of the work
    chain = max(chains(due, desk.seconds).values(), default=0.0)
    seconds = max(chain, sum(desk.seconds(job) for job in due.values()) / request.n_slots)
    current, grown = ([id_ for id_ in jobs if id_ not in due], [job.id for job in jobs.values() if job.is_document])
    return Forecast(tuple(current), tuple(due), tuple(grown), round(seconds, 1), request.n_slots)
