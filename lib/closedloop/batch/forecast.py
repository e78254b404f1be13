"""What a batch would do, told before it does it: how many runs, how many of them are current, and how long it takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from closedloop.batch import moments
from closedloop.batch.desk import Desk
from closedloop.batch.ledger import Ledger
from closedloop.batch.plan import PLAN, Job, PeriodPlan, chains
from closedloop.batch.run import OpenMarket, Request, desk_of, planner_of
from closedloop.batch.workers import Workers


@dataclass(frozen=True)
class Forecast:
    """Runs by id: ``current`` need not run, ``due`` will; ``grown`` of both are documents that a plan named last time.

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

    def told(self) -> str:
        """For people."""
        lines = [f"{self.n_runs} runs: {len(self.current)} are current, {len(self.due)} would run."]
        if self.grown:
            lines.append(f"{len(self.grown)} of them are documents of the personas and competitors named last time.")
        if self.due:
            by_period: dict[str, list[str]] = {}
            for id_ in self.due:
                market, period, name = id_.split("/")
                by_period.setdefault(f"{market} {period}", []).append(name)
            lines += [f"  {period}: {_listed(names)}" for period, names in by_period.items()]
            lines.append(f"About {_minutes(self.seconds)} with {self.n_workers} at once.")
        return "\n".join(lines)


def _listed(names: Sequence[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def forecast(request: Request, open_market: OpenMarket = moments.open_market) -> Forecast:
    """What ``run`` would do with the request. Nothing runs, but a market that was never opened is opened.

    A run whose input would be made anew counts as due: it is found current after all when the bytes stay the same.
    """
    desk = desk_of(request, planner_of(request), Ledger(request.out))
    jobs = {job.id: job for job in _jobs(request, desk, open_market)}
    grown = {job.id: job for plan in jobs.values() for job in desk.expected(plan)}
    every, due = jobs | grown, {}
    for job in sorted(every.values(), key=lambda job: (job.number, not job.is_turn, job.notebook != PLAN)):
        if any(need in due for need in job.needs) or desk.current(job) is None:
            due[job.id] = job
    current = tuple(id_ for id_ in every if id_ not in due)
    return Forecast(current, tuple(due), tuple(grown), _seconds(due, desk, request.n_slots), request.n_slots)


def _jobs(request: Request, desk: Desk, open_market: OpenMarket) -> Iterable[Job]:
    workers = Workers(1)
    try:
        for market in request.markets:
            periods: list[PeriodPlan] = open_market(
                market, request.out, lambda task, *given: workers.call(given[0], task, *given)
            )
            yield from desk.wanted(desk.planner.jobs(market, periods, request.periods))
    finally:
        workers.close()


def _seconds(due: Mapping[str, Job], desk: Desk, n_workers: int) -> float:
    """No less than the longest chain, nor than an even share of the work."""
    chain = max(chains(due, desk.seconds).values(), default=0.0)
    return round(max(chain, sum(desk.seconds(job) for job in due.values()) / n_workers), 1)
