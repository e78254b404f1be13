"""From markets and periods to a graph of runs, which grows when a plan names its personas and competitors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from closedloop.batch.ledger import Entry
from closedloop.batch.notebooks import Notebook
from closedloop.batch.parameters import Value, check_values
from closedloop.errors import ParameterError, allowed
from closedloop.market.place import slug
from closedloop.terms import Status

PLAN, OUTCOME = "plan", "outcome"
STEPS = {PLAN: ("research", "personas", "leads"), OUTCOME: ("handoff", "deals", "refinement", "review")}
PER_PERSONA, PER_COMPETITOR = ("campaign_brief", "sales_playbook"), ("battlecard",)
DOCUMENTS = (*PER_PERSONA, *PER_COMPETITOR)
GIVEN = ("market", "period", "out", "persona", "competitor")


@dataclass(frozen=True)
class PeriodPlan:
    """A period that can run; ``data`` maps each moment to the fingerprint of the rows that it may see."""

    name: str
    looks_back: bool
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One run: a moment of the loop ("plan", "outcome") or a notebook.

    ``number``: the place of its period in time. ``data`` is the fingerprint of the rows that a moment may see,
    ``pages`` the pages of the same period by notebook.
    """

    market: str
    period: str
    notebook: str
    moment: str
    subject: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    number: int = 0
    data: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_document(self) -> bool:
        """Is this a document for people to act on?"""
        return self.notebook in DOCUMENTS

    @property
    def is_turn(self) -> bool:
        """Is this the computation of a moment rather than a notebook?"""
        return self.notebook in (PLAN, OUTCOME)

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
    out: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def jobs(self, market: str, periods: Sequence[PeriodPlan], names: Sequence[str] = ()) -> list[Job]:
        """The moments and loop notebooks of the periods called ``names`` (all without a name).

        ``periods`` are all of the market's, in their order of time. What a period is planned from, the outcome of the
        one before it, is computed even if that one was not asked for.
        """
        chosen = {period.name for period in chosen_periods(market, periods, names)}
        jobs: list[Job] = []
        before: tuple[str, ...] = ()
        for number, period in enumerate(periods):
            is_chosen = period.name in chosen
            needed = is_chosen or any(later.name in chosen for later in periods[number + 1 : number + 2])
            moments = self._moments(period)[0 if is_chosen else -1 :] if needed else []
            turns = self._turns(market, period, moments, before, number)
            before = (turns[-1].id,) if turns else ()
            jobs += turns
            for turn in turns if is_chosen else ():
                steps = [n for n in self.notebooks.values() if n.step in STEPS[turn.notebook]]
                jobs += [self._notebook(notebook, turn, "", number) for notebook in steps]
        return jobs

    def documents(self, plan: Job, personas: Iterable[str], competitors: Iterable[str]) -> list[Job]:
        """The playbooks, briefs and battlecards for what a finished plan names."""
        wanted = [(name, subject) for name in PER_PERSONA for subject in personas]
        wanted += [(name, subject) for name in PER_COMPETITOR for subject in competitors]
        known = [(self.notebooks[name], subject) for name, subject in wanted if name in self.notebooks]
        return [self._notebook(notebook, plan, subject, plan.number) for notebook, subject in known]

    def _moments(self, period: PeriodPlan) -> list[str]:
        return [PLAN, OUTCOME] if period.looks_back else [PLAN]

    def _turns(
        self, market: str, period: PeriodPlan, moments: Sequence[str], before: tuple[str, ...], number: int
    ) -> list[Job]:
        steps = [step for moment in moments for step in STEPS[moment]]
        pages = {n.name: f"{n.name}.html" for n in self.notebooks.values() if n.step in steps}
        turns: list[Job] = []
        for moment in moments:
            needs = (turns[-1].id,) if turns else before
            data = period.data.get(moment, "")
            turns.append(Job(market, period.name, moment, moment, needs=needs, number=number, data=data, pages=pages))
        return turns

    def _notebook(self, notebook: Notebook, turn: Job, subject: str, number: int) -> Job:
        kind = "competitor" if notebook.name in PER_COMPETITOR else "persona"
        given: dict[str, Value] = {"market": turn.market, "period": turn.period}
        given |= {"out": self.out} if self.out else {}
        given |= {kind: subject} if subject else {}
        parameters = given | self._set_for(notebook)
        check_values(notebook.parameters, parameters, notebook.path.name)
        place = (turn.market, turn.period, notebook.name, turn.moment, subject)
        same = PER_PERSONA if notebook.name in PER_PERSONA else ()
        pages = dict(turn.pages) | {name: f"{name}-{slug(subject)}.html" for name in same}
        return Job(*place, parameters=parameters, needs=(turn.id,), number=number, pages=pages)

    def _set_for(self, notebook: Notebook) -> dict[str, Value]:
        chosen = [parameter for parameter in notebook.parameters if parameter.name in self.settings]
        return {parameter.name: parameter.parse(self.settings[parameter.name]) for parameter in chosen}

    def check(self) -> None:
        """Refuse settings that no notebook declares, that the plan itself gives, or of another type."""
        free = sorted({p.name for n in self.notebooks.values() for p in n.parameters} - set(GIVEN))
        for name in self.settings:
            if name not in free:
                raise ParameterError(f"no notebook has a parameter {name!r} to set; allowed: {allowed(free)}")
        for notebook in self.notebooks.values():
            self._set_for(notebook)


def chosen_periods(market: str, periods: Sequence[PeriodPlan], names: Sequence[str]) -> list[PeriodPlan]:
    """Those of ``periods`` that are asked for by name, all without a name; ``latest`` is the last one."""
    known = {period.name: period for period in periods}
    unknown = [name for name in names if name not in known and name != "latest"]
    if unknown:
        found = f"period = {unknown[0]!r} does not exist in {market}"
        raise ParameterError(f"{found}; allowed: latest, {allowed(known)}")
    wanted = {periods[-1].name if name == "latest" else name for name in names}
    return [period for period in periods if period.name in wanted or not names]


def chains(jobs: Mapping[str, Job], seconds: Callable[[Job], float]) -> dict[str, float]:
    """For each job the seconds of the longest chain that begins with it: a runner takes the longest first."""
    followers: dict[str, list[str]] = {id_: [] for id_ in jobs}
    for job in jobs.values():
        for need in job.needs:
            if need in followers:
                followers[need].append(job.id)
    found: dict[str, float] = {}
    # every job comes after what it needs when periods are walked in their order of time, plans before outcomes
    for job in sorted(jobs.values(), key=lambda job: (-job.number, job.is_turn, job.notebook == PLAN)):
        found[job.id] = seconds(job) + max((found[id_] for id_ in followers[job.id]), default=0.0)
    return found
