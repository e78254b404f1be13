"""From markets and periods to a graph of notebooks, which grows when 02 names its personas and competitors."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any

from closedloop.batch.ledger import Entry
from closedloop.errors import ParameterError, allowed
from closedloop.market import where
from closedloop.market.definition import Claims
from closedloop.market.files import runs_folder, slug
from closedloop.period.store import ENDED, LOOKING_BACK, PLANNING, START
from closedloop.terms import Status
from closedloop.workbench.notebooks import Notebook, Value, check_values

PERSONAS = "02_personas"  # names the personas and competitors for whom documents are made
PER_PERSONA, PER_COMPETITOR = ("campaign_brief", "sales_playbook"), ("battlecard",)
DOCUMENTS = (*PER_PERSONA, *PER_COMPETITOR)
GIVEN = ("market", "period", "out", "persona", "competitor")
STANDING = "runs"  # the run folder of the project, by its name: executed notebooks are the same on every machine
MAKES_SETS = "06_refinement"  # of the next period, so that every notebook depends on its cells
_SET, _DEALS = (MAKES_SETS,), LOOKING_BACK[:3]
# what a notebook reads of its own period, and of the one before
READS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "01_research": ((), _SET),
    PERSONAS: (("01_research",), _SET),
    "03_leads": ((PERSONAS,), _SET),
    **dict.fromkeys(_DEALS, ((), _SET)),
    "07_review": ((*PLANNING, *_DEALS), ()),
    **dict.fromkeys(DOCUMENTS, (PLANNING, _DEALS)),
}


@dataclass(frozen=True)
class PeriodPlan:
    """A period that can run; ``data`` maps its start and its end to the fingerprint of the rows known then."""

    name: str
    looks_back: bool
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One run of a notebook.

    ``subject``: the persona or competitor that it is about; ``before``: the period before its own. ``data`` is the
    fingerprint of the rows that it may see, ``pages`` the pages of the same period by notebook.
    """

    market: str
    period: str
    notebook: str
    subject: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    before: str = ""
    data: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_document(self) -> bool:
        """Is this a document for people to act on?"""
        return self.notebook in DOCUMENTS

    @property
    def moment(self) -> str:
        """Is its period seen from its start, or when it had ended?"""
        return ENDED if self.notebook in LOOKING_BACK else START

    @property
    def stem(self) -> str:
        """The file name without its ending."""
        return f"{self.notebook}-{slug(self.subject)}" if self.subject else self.notebook

    @property
    def id(self) -> str:
        """``market/period/stem``, unique in a run folder."""
        return f"{self.market}/{self.period}/{self.stem}"

    def entry(self, status: Status, **details: Any) -> Entry:
        """An entry of the ledger for this run."""
        return Entry(self.id, self.market, self.period, self.notebook, dict(self.parameters), status, **details)


@dataclass(frozen=True)
class Planner:
    """Makes jobs for the notebooks of one project, with the parameters that the caller sets."""

    notebooks: Mapping[str, Notebook]
    out: str = STANDING
    settings: Mapping[str, str] = field(default_factory=dict)

    def jobs(
        self, market: str, periods: Sequence[PeriodPlan], names: Sequence[str] = (), only: Collection[str] = ()
    ) -> list[Job]:
        """The loop's notebooks called ``only`` of the periods called ``names``, and all that they need (all without).

        ``periods`` are all of the market's, in their order of time. A period's notebooks need the persona set that 06
        of the period before makes, so 06 of all earlier periods is among the jobs.
        """
        chosen, every, wanted, before = chosen_periods(market, periods, names), dict[str, Job](), set[str](), ""
        for period in periods:
            loop = [name for name in (*PLANNING, *LOOKING_BACK * period.looks_back) if name in self.notebooks]
            like = Job(market, period.name, "", before=before, pages={name: f"{name}.html" for name in loop})
            for name in loop:
                job = self._completed(replace(like, notebook=name))
                every[job.id] = replace(job, data=period.data.get(job.moment, ""))
            if period in chosen:
                asked = [name for name in (*loop, *DOCUMENTS) if name in self.notebooks and (not only or name in only)]
                jobs = [replace(like, notebook=name) for name in asked]
                wanted |= {need for job in jobs for need in self._needs(job)} | {job.id for job in jobs}
            before = period.name
        for job in reversed(every.values()):
            wanted |= set(job.needs) if job.id in wanted else set()
        return [job for job in every.values() if job.id in wanted]

    def documents(self, named: Job, personas: Iterable[str], competitors: Iterable[str]) -> list[Job]:
        """The playbooks, briefs and battlecards for whom ``named``, the job of 02, has named."""
        pairs = [(name, subject) for name in PER_PERSONA for subject in personas]
        pairs += [(name, subject) for name in PER_COMPETITOR for subject in competitors]
        jobs = [replace(named, notebook=name, subject=subject) for name, subject in pairs]
        return [self._completed(job) for job in jobs if job.notebook in self.notebooks]

    def _completed(self, job: Job) -> Job:
        """The job with its parameters and needs."""
        notebook = self.notebooks[job.notebook]
        kind = "competitor" if job.notebook in PER_COMPETITOR else "persona"
        given: dict[str, Value] = {"market": job.market, "period": job.period, "out": self.out}
        given |= {kind: job.subject} if job.subject else {}
        wanted = [parameter for parameter in notebook.parameters if parameter.name in self.settings]
        parameters = given | {parameter.name: parameter.parse(self.settings[parameter.name]) for parameter in wanted}
        check_values(notebook.parameters, parameters, notebook.path.name)
        same = PER_PERSONA if job.notebook in PER_PERSONA else ()
        pages = dict(job.pages) | {name: f"{name}-{slug(job.subject)}.html" for name in same}
        return replace(job, parameters=parameters, needs=self._needs(job), pages=pages)

    def _needs(self, job: Job) -> tuple[str, ...]:
        own, earlier = READS[job.notebook]
        needed = [(job.period, name) for name in own] + [(job.before, name) for name in earlier if job.before]
        return tuple(f"{job.market}/{period}/{name}" for period, name in needed if name in self.notebooks)

    def check(self) -> None:
        """Refuse settings that no notebook declares, that the plan itself gives, or that cannot be; and any other than
        the market's own for the standing run folder."""
        known = [p for notebook in self.notebooks.values() for p in notebook.parameters if p.name not in GIVEN]
        free = sorted({parameter.name for parameter in known})
        for name in self.settings:
            if name not in free:
                raise ParameterError(f"no notebook has a parameter {name!r} to set; allowed: {allowed(free)}")
        given = {p.name: value for p in known if p.name in self.settings
                 if (value := p.parse(self.settings[p.name])) != p.default}  # fmt: skip
        where.check(str(given.get("where") or ""))
        try:
            Claims(**{name: value for name, value in given.items() if name in Claims.model_fields})  # type: ignore[arg-type]
        except ValueError as error:
            raise ParameterError(f"--set {given}: {str(error).splitlines()[2].strip()}") from error
        if given and self.out == STANDING:
            found = f"--set {' '.join(sorted(given))}: other settings than the market's own never feed {runs_folder()}"
            raise ParameterError(f"{found}; allowed: with --out, a run folder of their own")


def chosen_periods(market: str, periods: Sequence[PeriodPlan], names: Sequence[str]) -> list[PeriodPlan]:
    """Those of ``periods`` that are asked for by name, all without a name; ``latest`` is the last one."""
    known = {period.name: period for period in periods}
    unknown = [name for name in names if name not in known and name != "latest"]
    if unknown:
        found = f"period = {unknown[0]!r} does not exist in {market}"
        raise ParameterError(f"{found}; allowed: latest, {allowed(known)}")
    wanted = {periods[-1].name if name == "latest" else name for name in names}
    return [period for period in periods if period.name in wanted or not names]


def in_order(jobs: Mapping[str, Job]) -> list[Job]:
    """Every job after those that it needs."""
    order = TopologicalSorter({id_: [need for need in job.needs if need in jobs] for id_, job in jobs.items()})
    return [jobs[id_] for id_ in order.static_order()]


def chains(jobs: Mapping[str, Job], seconds: Callable[[Job], float]) -> dict[str, float]:
    """For each job the seconds of the longest chain that begins with it: a runner takes the longest first."""
    found = dict.fromkeys(jobs, 0.0)
    for job in reversed(in_order(jobs)):
        found[job.id] += seconds(job)  # to those of the longest chain that follows
        for need in job.needs:
            if need in found:
                found[need] = max(found[need], found[job.id])
    return found
