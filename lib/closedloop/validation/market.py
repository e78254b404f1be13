"""A market as its null worlds need it: every comparison that the notebooks themselves made, on outcomes to shuffle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from closedloop.errors import ParameterError
from closedloop.evidence.looks import SHORTEST_DAYS
from closedloop.loop.comparisons import LEAD_HITS, handed_off
from closedloop.loop.records import as_numbers, won
from closedloop.loop.situation import Situation
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.questions import families, store
from closedloop.questions.cells import run_cells
from closedloop.questions.period import OpenPeriod
from closedloop.questions.redraws import RateRedraw, SizeRedraw
from closedloop.validation.rates import Comparison, Family, NullMarket, Spread
from closedloop.validation.refinement import reviews
from closedloop.validation.sizes import Sizes
from closedloop.validation.worlds import DEALS, Ints, Pool, Tally

NOTEBOOKS = ("01_research", "02_personas", "03_leads", "04_handoff", "05_deals", "06_refinement")
_SIZED = {"age_days": "sales_cycle_days", "won_amount": "won_amount"}  # of won deals: column and measure


def null_market(market: str, out: Path, notebooks: Sequence[Path] = ()) -> NullMarket:
    """The market's outcomes, and all that its notebooks compare with them in every period, each run once without page.

    ``notebooks``: in place of the shipped ones. Errors: ParameterError for a market that does not exist, or has no
    outcome that could be shuffled.
    """
    shipped = [store.notebook_path(name) for name in NOTEBOOKS]
    return _Cut(open_warehouse(market), out).done(notebooks or shipped)


def _groups(situation: Situation, days: pd.Series) -> Ints:
    """A number for the period of each day; one for all in a market without dates."""
    if not situation.is_dated:
        return np.zeros(len(days), dtype=np.int64)
    return pd.factorize(situation.names_of(days))[0].astype(np.int64)


@dataclass
class _Cut:
    """A market on the way to its null worlds.

    ``places``: of each record in its pool, by id. ``left_out``: verbs whose comparisons are not made again.
    """

    warehouse: Warehouse
    out: Path
    pools: dict[str, Pool] = field(default_factory=dict)
    places: dict[str, pd.Series] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def done(self, notebooks: Sequence[Path]) -> NullMarket:
        """All families and reviews, period by period."""
        if self.warehouse.has("deals"):
            self._pool_deals(Situation.latest(self.warehouse))
        found: list[Family] = []
        name = self.warehouse.definition.name
        for period in self.warehouse.periods:
            for path in notebooks:
                if path.stem in store.PLANNING or self.warehouse.has_begun(period):
                    given = {"market": name, "period": period.name, "out": str(self.out)}
                    found += self._families(run_cells(path, given))
        reviewed = reviews(self.warehouse, self.out, self.pools, self.places) if _refined(notebooks) else ()
        planted_in, smallest = self._planted_in(found), self.warehouse.definition.claims.smallest_worth
        cut = NullMarket(name, self.pools, tuple(found), reviewed, planted_in, self.left_out, smallest)
        if not any(family.n_compared(cut.world) for family in found):
            raise ParameterError(
                f"{name!r} has no outcome to shuffle: self-test needs a field with two levels of ten decided records"
            )
        return cut

    def _pool_deals(self, final: Situation) -> None:
        ended = final.deals[final.deals["outcome"] != "open"]
        paid = ended.where(ended["outcome"] == "won")
        sizes = {size: paid[size].to_numpy(dtype=float) for size in _SIZED if size in paid}
        self.pools[DEALS] = Pool(as_numbers(won(ended)).to_numpy(), _groups(final, ended["closed_on"]), sizes)
        self.places[DEALS] = pd.Series(np.arange(len(ended)), index=ended["deal_id"])

    def _families(self, now: OpenPeriod) -> Iterator[Family]:
        """The families of a notebook as it was run: how they end, and who they are."""
        parts: dict[str, list[Any]] = {families.ENDING: [], families.WHO: []}
        for answer in now.answers.values():
            for redraw in answer.redraws:
                parts[families.family_of(redraw.measure)] += self.again(redraw, now)
            if len(answer.comparisons) and not answer.redraws:
                self.left_out[f"{now.notebook}: {answer.verb}"] = _why(answer)
        for name, made in parts.items():
            if made:
                yield Family(now.period.name, now.notebook, name, tuple(made))

    @singledispatchmethod
    def again(self, redraw: Any, now: OpenPeriod) -> list[Any]:
        """The comparison as it is made in every world."""
        raise NotImplementedError(type(redraw).__name__)

    @again.register
    def _(self, redraw: RateRedraw, now: OpenPeriod) -> list[Any]:
        pool, place = self._outcomes(redraw.table, redraw.outcome, now)
        found = place.reindex(redraw.ids)
        is_known = found.notna().to_numpy()
        rows = found[is_known].to_numpy(dtype=np.int64)
        groups, by = self.pools[pool].groups[rows], redraw.by[is_known]
        if redraw.within is not None:
            cells = redraw.within[is_known].astype("str").to_numpy() + " " + groups.astype(str).astype(object)
            groups = pd.factorize(cells)[0].astype(np.int64)
        about = (redraw.measure, redraw.threshold, redraw.subject)
        spread = Tally.of(by[[redraw.gate]]) if redraw.gate else None
        made: list[Any] = [] if spread is None else [Spread(pool, rows, spread)]
        return [*made, Comparison(pool, rows, groups, Tally.of(by), *about, spread, frozenset(redraw.late))]

    @again.register
    def _(self, redraw: SizeRedraw, now: OpenPeriod) -> list[Any]:
        rows = self.places[DEALS].loc[redraw.ids].to_numpy(dtype=np.int64)
        tally, least = Tally.of(redraw.groups.to_frame()), SHORTEST_DAYS if redraw.size == "age_days" else 0
        names = redraw.groups.to_numpy(object)
        return [Sizes(DEALS, redraw.measure, rows, names, tally, redraw.size, least, redraw.is_per_decided)]

    def _outcomes(self, table: str, outcome: str, now: OpenPeriod) -> tuple[str, pd.Series]:
        """The pool of an outcome, and each record's place in it: deals have one, leads one a day they are seen."""
        if table == DEALS:
            return DEALS, self.places[DEALS]
        leads = now.records["leads"]
        name = f"{outcome} {now.situation.on}"
        if name not in self.pools:
            hits = {measure.removesuffix("_rate"): column for measure, column in LEAD_HITS.items()}
            decided = leads[leads[hits[outcome]].notna()]
            hit = as_numbers(decided[hits[outcome]]).to_numpy()
            self.pools[name] = Pool(hit, _groups(now.situation, handed_off(decided)))
            self.places[name] = pd.Series(np.arange(len(decided)), index=decided["lead_id"])
        return name, self.places[name]

    def _planted_in(self, found: Sequence[Family]) -> int | None:
        """The family in which effects are planted: how the deals of the last complete period ended."""
        running = {period.name for period in self.warehouse.periods if period.running}
        own = [n for n, family in enumerate(found) if family.notebook == "05_deals" and family.widest]
        complete = [n for n in own if found[n].period not in running]
        return next(reversed(complete or own), None)


def _refined(notebooks: Sequence[Path]) -> bool:
    return any(path.stem == "06_refinement" for path in notebooks)


def _why(answer: Any) -> str:
    """Why an answer's comparisons are not made again."""
    return "rows are no records of a table" if not answer.is_recorded else "what it compares is not an outcome"
