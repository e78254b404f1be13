"""One job from its inputs to its entry in the ledger: computed, executed, or still current."""

import hashlib
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from closedloop.batch.ledger import Entry, Ledger, hashes, sha256, write_atomic
from closedloop.batch.moments import Turn
from closedloop.batch.parameters import Value
from closedloop.batch.plan import DOCUMENTS, OUTCOME, PLAN, STEPS, Job, Planner
from closedloop.batch.workers import WorkerDied, Workers
from closedloop.errors import ClosedLoopError
from closedloop.market.place import data_folder, root
from closedloop.terms import Status

if TYPE_CHECKING:
    from closedloop.batch.engine import Execution

_OWN_FILES = {
    PLAN: ("claims-plan.parquet", "personas.yml"),
    OUTCOME: ("claims-outcome.parquet", "proposal.yml", "claims.parquet", "claims.csv"),
}


Compute = Callable[[str, str, str, Path], Turn]


class Execute(Protocol):
    """Runs the notebook at ``source`` with ``parameters``."""

    def __call__(self, source: Path, parameters: Mapping[str, Value]) -> "Execution":
        """How it ended."""


class Desk:
    """Where jobs are performed, by many threads at once: each changes nothing but the files of its own job."""

    def __init__(
        self,
        planner: Planner,
        ledger: Ledger,
        workers: Workers,
        compute: Compute,
        execute: Execute | None,
        is_forced: bool = False,
    ) -> None:
        self.planner, self.ledger, self.workers = planner, ledger, workers
        self.compute, self._execute, self.is_forced = compute, execute, is_forced

    @cached_property
    def package(self) -> str:
        """Fingerprint of this package's source."""
        return _fingerprint(Path(__file__).parents[1].rglob("*"))

    def perform(self, job: Job) -> Entry:
        """Run ``job`` unless it is current; whatever goes wrong is in the entry."""
        began, inputs = time.monotonic(), self.inputs(job)
        if not self.is_forced and self.ledger.is_current(job.id, inputs, job.parameters):
            return replace(self.ledger.entries[job.id], status=Status.CACHED)
        try:
            entry = self._turn(job) if job.is_turn else self._notebook(job)
        except WorkerDied as error:
            entry = self.entry(job, Status.KERNEL_DIED, cause=str(error))
        except Exception as error:
            entry = self._failed(job, error)
        return replace(entry, inputs=inputs, seconds=round(time.monotonic() - began, 3))

    def entry(self, job: Job, status: Status, **details: Any) -> Entry:
        """An entry for ``job``."""
        return Entry(job.id, job.market, job.period, job.notebook, dict(job.parameters), status, **details)

    def _folder(self, job: Job) -> Path:
        return self.ledger.out / job.market / job.period

    def inputs(self, job: Job) -> dict[str, str]:
        """What the result depends on, by path: rows it may see, definition, committed sets, source, its moment's files.

        A moment replays earlier ones from the rows that it may see, so those say all about them.
        """
        if job.is_turn:
            market = data_folder() / job.market
            found = {"lib/closedloop": self.package, f"data/{job.market}@{job.moment}": job.data}
            return found | hashes([market / "market.toml", *market.glob("personas/*")], root())
        turn = self.ledger.entries[job.needs[0]]
        return {**turn.inputs, **turn.outputs, **hashes([self.planner.notebooks[job.notebook].path], root())}

    def _turn(self, job: Job) -> Entry:
        turn = self.workers.call(job.market, self.compute, job.notebook, job.market, job.period, self.ledger.out)
        missing = {step: n for step, n in (turn.missing or {}).items() if n}
        results: dict[str, Any] = {"missing": missing}
        if job.notebook == PLAN:
            results |= {"personas": list(turn.personas), "competitors": list(turn.competitors)}
        status, cause = _warned(sum(missing.values()))
        outputs = hashes(_files_of(self._folder(job), job.notebook), self.ledger.out)
        return self.entry(job, status, cause=cause, peak_mb=turn.peak_mb, outputs=outputs, results=results)

    def _notebook(self, job: Job) -> Entry:
        execution = self._executor(self.planner.notebooks[job.notebook].path, job.parameters)
        status, cause = execution.status, execution.cause
        if status is Status.OK:
            status, cause = _warned(self._n_missing(job, execution))
        written = self._write(job, execution)
        extra = (self._folder(job) / "documents").glob(f"{job.stem}.*")
        outputs = hashes([*written, *extra], self.ledger.out)
        details = {"peak_mb": execution.peak_mb, "outputs": outputs, "results": execution.results}
        return self.entry(job, status, cause=cause, **details)

    @property
    def _executor(self) -> Execute:
        from closedloop.batch.engine import execute

        return self._execute or execute

    def _n_missing(self, job: Job, execution: "Execution") -> int:
        step = self.planner.notebooks[job.notebook].step
        turn = self.ledger.entries[job.needs[0]].results.get("missing", {})
        return int(turn.get(step, 0)) or len(execution.results.get("missing") or ())

    def _write(self, job: Job, execution: "Execution") -> list[Path]:
        from nbformat import writes

        from closedloop.documents.export import notebook_html

        if execution.notebook is None:
            return []
        notebook = self._folder(job) / f"{job.stem}.ipynb"
        write_atomic(notebook, str(writes(execution.notebook)).encode())  # type: ignore[no-untyped-call]
        html = notebook_html(execution.notebook, self._title(job), is_document=job.is_document, pages=job.pages)
        write_atomic(notebook.with_suffix(".html"), html.encode())
        return [notebook, notebook.with_suffix(".html")]

    def _title(self, job: Job) -> str:
        parts = (self.planner.notebooks[job.notebook].title, job.subject, job.market, job.period)
        return " · ".join(part for part in parts if part)

    def _failed(self, job: Job, error: Exception) -> Entry:
        """The cause in one line; the whole story of an error of our own in a file beside the run."""
        if isinstance(error, ClosedLoopError):
            return self.entry(job, Status.FAILED, cause=str(error))
        lines = str(error).strip().splitlines() or [""]
        path = self._folder(job) / f"{job.stem}.error.txt"
        write_atomic(path, "".join(traceback.format_exception(error)).encode())
        outputs = hashes([path], self.ledger.out)
        return self.entry(job, Status.FAILED, cause=f"{type(error).__name__}: {lines[0][:300]}", outputs=outputs)

    def documents(self, plan: Job, entry: Entry) -> list[Job]:
        """The document runs for the personas and competitors that a plan has named."""
        return self.planner.documents(plan, entry.results["personas"], entry.results["competitors"])

    def retire(self, plan: Job, documents: Iterable[Job]) -> None:
        """Forget documents of personas and competitors that this period no longer has."""
        kept = {job.id for job in documents}
        same = [e for e in self.ledger.entries.values() if (e.market, e.period) == (plan.market, plan.period)]
        self.ledger.retire([e.id for e in same if e.notebook in DOCUMENTS and e.id not in kept])


def _warned(n_missing: int) -> tuple[Status, str]:
    if not n_missing:
        return Status.OK, ""
    return Status.OK_WITH_WARNINGS, f"{n_missing} section{'s' * (n_missing > 1)} without evidence"


def _files_of(folder: Path, moment: str) -> list[Path]:
    tables = [path for step in STEPS[moment] for path in (folder / "tables").glob(f"{step}.*")]
    return [*tables, *(folder / name for name in _OWN_FILES[moment])]


def _fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()
