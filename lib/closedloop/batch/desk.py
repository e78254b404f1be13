"""The runner's desk: what each job depends on, whether it is still current, and what a plan leads to."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from closedloop.batch.ledger import Entry, Ledger, hashes
from closedloop.batch.moments import package
from closedloop.batch.perform import Task
from closedloop.batch.plan import DOCUMENTS, PLAN, Job, Planner
from closedloop.batch.trace import Limits
from closedloop.market.place import data_folder, root
from closedloop.terms import Status

_USUAL_SECONDS = {True: 6.0, False: 0.6}  # of a moment, of a notebook: until there are past runs


@dataclass(frozen=True)
class Desk:
    """``only``: names of the notebooks that are wanted, all without one; ``only_failed``: what succeeded stays."""

    planner: Planner
    ledger: Ledger
    limits: Limits = field(default_factory=Limits)
    is_forced: bool = False
    only: Collection[str] = ()
    only_failed: bool = False

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
        """What the result depends on, by path: rows it may see, definition, committed sets, source, its moment's files.

        A moment replays earlier ones from the rows that it may see, so those say all about them.
        """
        if job.is_turn:
            market = data_folder() / job.market
            found = {"lib/closedloop": package(), f"data/{job.market}@{job.moment}": job.data}
            files = [root() / "requirements.lock", market / "market.toml", *market.glob("personas/*.yml")]
            return found | hashes(files, root())
        turn = self.ledger.entries[job.needs[0]]
        files = [self.planner.notebooks[job.notebook].path, data_folder() / job.market / "personas" / "names.toml"]
        return {**turn.inputs, **turn.outputs, **hashes(files, root())}

    def task(self, job: Job) -> Task:
        """All that is needed to perform the job."""
        task = Task(job, self.ledger.out, self.inputs(job), limits=self.limits)
        if job.is_turn:
            return task
        notebook = self.planner.notebooks[job.notebook]
        missing = self.ledger.entries[job.needs[0]].results.get("missing", {})
        title = " · ".join(part for part in (notebook.title, job.subject, job.market, job.period) if part)
        return replace(task, source=notebook.path, title=title, n_missing=int(missing.get(notebook.step, 0)))

    def seconds(self, job: Job) -> float:
        """How long the job took last time, or else what such a job usually takes."""
        entry = self.ledger.entries.get(job.id)
        return entry.seconds if entry and entry.seconds else _USUAL_SECONDS[job.is_turn]

    def wanted(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of ``jobs`` that were asked for; moments always are, since notebooks read them."""
        return [job for job in jobs if job.is_turn or not self.only or job.notebook in self.only]

    def grown(self, plan: Job, entry: Entry) -> list[Job]:
        """The documents of the personas and competitors that a plan has named; those of others are forgotten."""
        documents = self.planner.documents(plan, entry.results["personas"], entry.results["competitors"])
        kept = {job.id for job in documents}
        same = [e for e in self.ledger.entries.values() if (e.market, e.period) == (plan.market, plan.period)]
        self.ledger.retire([e.id for e in same if e.notebook in DOCUMENTS and e.id not in kept])
        return self.wanted(documents)

    def expected(self, plan: Job) -> list[Job]:
        """The documents that a plan named the last time that it was computed."""
        entry = self.ledger.entries.get(plan.id)
        if plan.notebook != PLAN or entry is None or "personas" not in entry.results:
            return []
        documents = self.planner.documents(plan, entry.results["personas"], entry.results["competitors"])
        return self.wanted(documents)
