"""What a batch would do, said before it does it: how many runs, how many of them are current, and how long it takes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from closedloop.batch import markets
from closedloop.batch.ledger import Ledger
from closedloop.batch.plan import Job, chains, in_order
from closedloop.batch.run import OpenMarket, Request, desk_of, planner_of


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
            lines += [f"  {period}: {_listed(names)}" for period, names in by_period.items()]
            lines.append(f"About {_minutes(self.seconds)} with {self.n_workers} at once.")
        return "\n".join(lines)


def _listed(names: Sequence[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def forecast(request: Request, open_market: OpenMarket = markets.open_market) -> Forecast:
    """What ``run`` would do with the request. Nothing runs, but a market that was never opened is opened.

    A run whose input would be made anew counts as due: it is found current after all when the bytes stay the same.
    """
    desk = desk_of(request, planner_of(request), Ledger(request.out))
    jobs: dict[str, Job] = {}
    for market in request.markets:
        periods = open_market(market, request.out, lambda: False)
        jobs |= {job.id: job for job in desk.jobs(market, periods, request.periods)}
    due: dict[str, Job] = {}
    for job in in_order(jobs):
        if any(need in due for need in job.needs) or desk.current(job) is None:
            due[job.id] = job
    # no less than the longest chain, nor than an even share of the work
    chain = max(chains(due, desk.seconds).values(), default=0.0)
    seconds = max(chain, sum(desk.seconds(job) for job in due.values()) / request.n_slots)
    current, grown = ([id_ for id_ in jobs if id_ not in due], [job.id for job in jobs.values() if job.is_document])
    return Forecast(tuple(current), tuple(due), tuple(grown), round(seconds, 1), request.n_slots)
