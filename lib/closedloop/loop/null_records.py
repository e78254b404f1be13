"""A market's records as its null worlds need them: what 02, 03, 05 and 06 compare, period by period."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from closedloop.errors import ParameterError
from closedloop.evidence.indicators import level_text
from closedloop.evidence.looks import SHORTEST_DAYS
from closedloop.loop import turn
from closedloop.loop.comparisons import (
    LEAD_HITS,
    control_of,
    deal_levels,
    experiments,
    handed_off,
    lead_levels,
    lead_measures,
    lead_window,
    persona_levels,
)
from closedloop.loop.counting import LEAST_SHOWN, levels
from closedloop.loop.edits import FEWEST_DEALS, split_fields
from closedloop.loop.null_arms import Arms
from closedloop.loop.null_market import (
    DEALS,
    Comparison,
    Family,
    Ints,
    NullMarket,
    Pool,
    Promise,
    Review,
    Sizes,
    Tally,
)
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame, won
from closedloop.loop.situation import Situation
from closedloop.market.periods import Period
from closedloop.market.warehouse import Warehouse, open_warehouse


def null_market(market: str, out: Path) -> NullMarket:
    """The market's outcomes and all that is compared with them, in every period; sets in force are kept in ``out``.

    Errors: ParameterError for a market that does not exist, or has no outcome that could be shuffled.
    """
    return _Cut(open_warehouse(market), out).done()


def _ended(deals: pd.DataFrame) -> pd.DataFrame:
    return deals[deals["outcome"] != "open"]


def _hits(flags: pd.Series) -> pd.Series:
    """A flag as 1, 0 or missing."""
    return flags.astype("Float64").astype("float64")


def _groups(situation: Situation, days: pd.Series) -> Ints:
    """A number for the period of each day; one for all in a market without dates."""
    if not situation.is_dated:
        return np.zeros(len(days), dtype=np.int64)
    return pd.factorize(situation.names_of(days))[0].astype(np.int64)


class _Cut:
    """A market on the way to its null worlds."""

    def __init__(self, warehouse: Warehouse, out: Path) -> None:
        self.warehouse, self.out = warehouse, out
        self.definition = warehouse.definition
        self.has_deals, self.has_leads = warehouse.has("deals"), warehouse.has("leads")
        self.pools: dict[str, Pool] = {}
        self.place = pd.Series(dtype="int64")  # of each ended deal in its pool, by deal_id
        if self.has_deals:
            self._pool_deals(Situation.latest(warehouse))

    def _pool_deals(self, final: Situation) -> None:
        ended = _ended(final.deals)
        sizes = {measure: ended[name].to_numpy(dtype=float) for measure, name in self._sizes(final)}
        self.pools[DEALS] = Pool(_hits(won(ended)).to_numpy(), _groups(final, ended["closed_on"]), sizes)
        self.place = pd.Series(np.arange(len(ended)), index=ended["deal_id"])

    def _sizes(self, situation: Situation) -> Iterator[tuple[str, str]]:
        """The measures of won deals' sizes that the source has, and their columns."""
        if self.definition.clock == "day":
            yield "sales_cycle_days", "age_days"
        if "won_amount" in situation.deals:
            yield "won_amount", "won_amount"

    def _rows(self, deals: pd.DataFrame) -> Ints:
        return self.place.reindex(deals["deal_id"]).to_numpy(dtype=np.int64)

    def done(self) -> NullMarket:
        """All families and reviews, period by period."""
        name, families = self.definition.name, []
        sets = {period: turn.set_in_force(name, period.name, self.out) for period in self.warehouse.periods}
        for period, in_force in sets.items():
            families.append(self._plan(Situation.planning(self.warehouse, period), in_force))
            if turn.has_begun(name, period.name):
                families.append(self._outcome(Situation.looking_back(self.warehouse, period), in_force))
        cut = NullMarket(name, self.pools, tuple(families), tuple(self._reviews(sets)), self._planted_in(families))
        if not any(family.n_looks(cut.world) for family in families):
            raise ParameterError(
                f"{name!r} has no outcome to shuffle: self-test needs a field with two levels of ten decided records"
            )
        return cut

    def _planted_in(self, families: list[Family]) -> int | None:
        running = {period.name for period in self.warehouse.periods if period.running}
        found = [n for n, f in enumerate(families) if f.name == "outcome" and f.comparisons]
        complete = [n for n in found if families[n].period not in running]
        return next(reversed(complete or found), None)

    def _comparison(self, pool: str, rows: Ints, by: pd.DataFrame, measure: str, subject: str = "market") -> Comparison:
        groups, threshold = self.pools[pool].groups[rows], self.definition.claims.practical_threshold
        return Comparison(pool, rows, groups, Tally.of(by), measure, threshold, subject)

    def _plan(self, situation: Situation, in_force: PersonaSet) -> Family:
        looked_at = [*self._by_persona(situation, in_force), *self._leads(situation, in_force)]
        compared = tuple(part for part in looked_at if isinstance(part, Comparison))
        arms = tuple(part for part in looked_at if isinstance(part, Arms))
        return Family(situation.period.name, "plan", compared, arms=arms)

    def _by_persona(self, situation: Situation, in_force: PersonaSet) -> Iterator[Comparison]:
        if self.has_deals and len(situation.closed_deals):
            deals = situation.closed_deals
            yield self._comparison(DEALS, self._rows(deals), in_force.assign(deals).to_frame("persona"), "win_rate")

    def _leads(self, situation: Situation, in_force: PersonaSet) -> Iterator[Comparison | Arms]:
        frame = lead_frame(situation) if self.has_leads else pd.DataFrame()
        if frame.empty:
            return
        frame = frame.assign(persona=in_force.assign(frame))
        places = {measure: self._pool_leads(situation, frame, measure) for measure in LEAD_HITS}
        part = lead_window(situation, frame)
        by = lead_levels(situation, part)
        for measure, fields in lead_measures(by).items():
            known = part.index[part[LEAD_HITS[measure]].notna()]
            if len(known) >= LEAST_SHOWN and fields:
                pool, place = places[measure]
                yield self._comparison(pool, place[known].to_numpy(), by.loc[known, fields], measure)
        pool, place = places["accepted_rate"]
        for persona, told in persona_levels(by[part["is_accepted"].notna()]):
            yield self._comparison(pool, place[told.index].to_numpy(), told, "persona_accepted_rate", persona)
        yield from self._experiments(frame, pool, place)

    def _pool_leads(self, situation: Situation, frame: pd.DataFrame, measure: str) -> tuple[str, pd.Series]:
        """The pool of the leads decided by then, and each one's place in it."""
        decided = frame[frame[LEAD_HITS[measure]].notna()]
        name = f"{measure} {situation.period.name}"
        self.pools[name] = Pool(_hits(decided[LEAD_HITS[measure]]).to_numpy(), _groups(situation, handed_off(decided)))
        return name, pd.Series(np.arange(len(decided)), index=decided.index)

    def _experiments(self, frame: pd.DataFrame, pool: str, place: pd.Series) -> Iterator[Arms]:
        threshold = self.definition.claims.practical_threshold
        for name, part in experiments(frame):
            shown = part[part.groupby("arm")["arm"].transform("size") >= LEAST_SHOWN]
            control = control_of(self.definition, name)
            if control is None or (shown["arm"] == control).any():
                tally = Tally.of(shown[["arm"]], with_gaps=False)
                yield Arms(pool, place[shown.index].to_numpy(), tally, "accepted_rate", threshold, name, control)

    def _outcome(self, situation: Situation, in_force: PersonaSet) -> Family:
        if not self.has_deals:
            return Family(situation.period.name, "outcome", ())
        deals = situation.closed_deals
        rows, personas = self._rows(deals), in_force.assign(deals)
        tally = Tally.of(personas.to_frame("persona"))
        sizes = [
            Sizes(DEALS, measure, rows, personas.to_numpy(object), tally, SHORTEST_DAYS if column == "age_days" else 0)
            for measure, column in self._sizes(situation)
        ]
        return Family(situation.period.name, "outcome", tuple(self._deals(situation, in_force)), tuple(sizes))

    def _deals(self, situation: Situation, in_force: PersonaSet) -> Iterator[Comparison]:
        ended = situation.closed_deals.assign(persona=in_force.assign(situation.closed_deals))
        rows = self._rows(ended)
        yield self._comparison(DEALS, rows, deal_levels(situation, ended), "win_rate")
        if "rep_id" in ended:
            reps = self._comparison(DEALS, rows, levels(ended, ["rep_id"]), "win_rate")
            groups = pd.factorize(ended["persona"] + " " + pd.Series(reps.groups, ended.index).astype("str"))[0]
            yield replace(reps, groups=groups.astype(np.int64), spread=Tally.of(ended[["rep_id"]]))

    def _reviews(self, sets: dict[Period, PersonaSet]) -> Iterator[Review]:
        if not self.has_deals or self.definition.clock == "none":
            return
        promise, before = Promise(np.empty(0, np.int64), np.empty(0, object)), None
        for period, in_force in sets.items():
            if before is None or in_force.personas != before.personas:
                promise = self._promise(Situation.planning(self.warehouse, period), in_force)
            before = in_force
            if not period.running and period != self.warehouse.periods[-1]:
                yield from self._review(Situation.looking_back(self.warehouse, period), in_force, promise)

    def _promise(self, situation: Situation, in_force: PersonaSet) -> Promise:
        """Research promises by all deals so far, refinement by those of the window."""
        ended = _ended(situation.deals) if in_force.origin == "research" else situation.closed_deals
        return Promise(self._rows(ended), in_force.assign(ended).to_numpy(object))

    def _review(self, situation: Situation, in_force: PersonaSet, promise: Promise) -> Iterator[Review]:
        ended = _ended(situation.deals)
        is_now = situation.in_period(ended["closed_on"]).to_numpy(dtype=bool)
        if won(ended)[is_now].notna().sum() < FEWEST_DEALS:
            return
        closed, assigned = ended[won(ended).notna()], in_force.assign(ended)
        levels = {name: level_text(ended[name]) for name in split_fields(situation, closed)}
        cells = {
            f"{persona} {name}": text.where(assigned == persona)
            for persona in in_force.ids
            for name, text in levels.items()
        }
        rows = self._rows(ended)
        yield Review(
            situation.period.name,
            in_force,
            promise,
            rows,
            self.pools[DEALS].groups[rows],
            is_now,
            Tally.of(pd.DataFrame(cells, index=ended.index), with_gaps=False),
            Tally.of(assigned.where(is_now).to_frame("persona"), with_gaps=False),
            0.10 / self.definition.claims.planned_periods,
        )
