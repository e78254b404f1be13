"""A market's records as its null worlds need them: what 02, 03, 05 and 06 compare, period by period."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from closedloop.errors import ParameterError
from closedloop.evidence.indicators import level_text
from closedloop.evidence.looks import SHORTEST_DAYS, Origin
from closedloop.loop import turn
from closedloop.loop.arm_outcomes import AMOUNT, experiments, outcomes
from closedloop.loop.arms import is_fair, uneven
from closedloop.loop.channels import Matured, matured, spending
from closedloop.loop.comparisons import (
    LEAD_HITS,
    control_of,
    deal_levels,
    handed_off,
    late_fields,
    lead_levels,
    lead_measures,
    lead_window,
    persona_levels,
)
from closedloop.loop.conversions import cohorts
from closedloop.loop.counting import LEAST_SHOWN, RARE, levels
from closedloop.loop.edits import FEWEST_DEALS, split_fields
from closedloop.loop.in_force import set_in_force
from closedloop.loop.leaks import leaking
from closedloop.validation.arms import ArmAmounts, Arms
from closedloop.validation.conversions import Conversions
from closedloop.validation.drift import drifts
from closedloop.validation.rates import Comparison, Family, NullMarket, Promise, Review
from closedloop.validation.worlds import DEALS, Ints, Pool, Tally
from closedloop.validation.sizes import Sizes, Spending
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import as_numbers, lead_frame, won
from closedloop.loop.situation import Situation
from closedloop.loop.worth import PER_DECIDED
from closedloop.market.periods import Period
from closedloop.market.warehouse import Warehouse, open_warehouse

_DAYS = "sales_cycle_days"
_NOWHERE = Origin("03_leads", "experiments", "leads", "", "")  # of looks that nobody reads
_WORTH = 0.10  # of amounts: the factor less 1 that ``arm_amount_looks`` takes to matter
_SHARES = 20_000  # that a period's money is cut into: so many that two won leads seldom fall on the same


def null_market(market: str, out: Path) -> NullMarket:
    """The market's outcomes and all that is compared with them, in every period; sets in force are kept in ``out``.

    Errors: ParameterError for a market that does not exist, or has no outcome that could be shuffled.
    """
    return _Cut(open_warehouse(market), out).done()


def _ended(deals: pd.DataFrame) -> pd.DataFrame:
    return deals[deals["outcome"] != "open"]


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
        paid = ended.where(ended["outcome"] == "won")
        sizes = {measure: paid[name].to_numpy(dtype=float) for measure, name in self._sizes(final)}
        self.pools[DEALS] = Pool(as_numbers(won(ended)).to_numpy(), _groups(final, ended["closed_on"]), sizes)
        self.place = pd.Series(np.arange(len(ended)), index=ended["deal_id"])

    def _sizes(self, situation: Situation) -> Iterator[tuple[str, str]]:
        """The measures of won deals' sizes that the source has, and their columns."""
        if self.definition.clock == "day":
            yield _DAYS, "age_days"
        if "won_amount" in situation.deals:
            yield "won_amount", "won_amount"

    def _rows(self, deals: pd.DataFrame) -> Ints:
        return self.place.reindex(deals["deal_id"]).to_numpy(dtype=np.int64)

    def done(self) -> NullMarket:
        """All families and reviews, period by period."""
        name, families = self.definition.name, []
        sets = {period: set_in_force(name, period.name, self.out) for period in self.warehouse.periods}
        for period, in_force in sets.items():
            situation = Situation.planning(self.warehouse, period)
            families += [self._costs(situation, in_force), self._plan(situation, in_force)]
            if turn.has_begun(name, period.name):
                families.append(self._outcome(Situation.looking_back(self.warehouse, period), in_force))
        reviews, moves = tuple(self._reviews(sets)), drifts(self.warehouse, sets)
        planted_in, worth = self._planted_in(families), self.definition.claims.smallest_worth
        cut = NullMarket(name, self.pools, tuple(families), reviews, planted_in, moves, worth)
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

    def _comparison(
        self,
        pool: str,
        rows: Ints,
        by: pd.DataFrame,
        measure: str,
        subject: str = "market",
        late: Collection[str] = (),
    ) -> Comparison:
        groups, threshold = self.pools[pool].groups[rows], self.definition.claims.practical_threshold
        return Comparison(pool, rows, groups, Tally.of(by), measure, threshold, subject, late=frozenset(late))

    def _plan(self, situation: Situation, in_force: PersonaSet) -> Family:
        looked_at = [*self._by_persona(situation, in_force), *self._leads(situation, in_force)]
        compared = tuple(part for part in looked_at if isinstance(part, Comparison))
        arms = tuple(part for part in looked_at if isinstance(part, Arms))
        converted = tuple(self._conversions(situation, in_force, "plan"))
        return Family(situation.period.name, "plan", compared, converted, arms)

    def _conversions(self, situation: Situation, in_force: PersonaSet, moment: str) -> Iterator[Conversions]:
        """What 02 and 03, or 05, compare of how leads become won ones; nothing where lost deals are recorded."""
        frame = lead_frame(situation) if self.has_leads else pd.DataFrame()
        if frame.empty or not situation.has_only_won:
            return
        followed = cohorts(situation, frame.assign(persona=in_force.assign(frame)))
        if followed is not None:
            name = f"conversions {moment} {situation.period.name}"
            self.pools[name] = Conversions.pool_of(followed)
            by = {str(field): levels for field, levels in followed.by(situation).items()}
            yield Conversions(name, followed, by, self.definition.claims.practical_threshold)

    def _costs(self, situation: Situation, in_force: PersonaSet) -> Family:
        """What channels cost: won leads that fall on shares of the money, all of which are alike in a null world."""
        frame = lead_frame(situation) if self.has_leads else pd.DataFrame()
        if frame.empty or not self.has_deals:
            return Family(situation.period.name, "cost", ())
        grown = matured(situation, frame.assign(persona=in_force.assign(frame)))
        name, compared = f"money {situation.period.name}", []
        shares = self._pool_money(name, grown)
        for subject, totals in spending(grown).items():
            rows = np.arange(len(shares)) if subject == "market" else np.flatnonzero(shares["persona"] == subject)
            known = totals[(totals["spent"] > 0)].sort_index()
            if len(known) > 1:
                tally = Tally.of(shares.loc[rows, ["channel"]])
                n, spent = (known[of].to_numpy(dtype=float) for of in ("n", "spent"))
                compared.append(Spending(name, subject, rows, tally, n, spent))
        return Family(situation.period.name, "cost", (), tuple(compared))

    def _pool_money(self, name: str, grown: Matured) -> pd.DataFrame:
        """The pool of the money's shares, with the leads won in each; returns persona and channel of every share."""
        leads = grown.leads
        leads = leads[leads["channel_amount"] > 0] if "channel_amount" in leads else leads.head(0)
        by = leads.assign(won=as_numbers(leads["is_won"]).fillna(0.0)).groupby(["persona", "channel"])
        cells = by.agg(spent=("channel_amount", "sum"), won=("won", "sum"))
        n = np.ceil(_SHARES * cells["spent"] / cells["spent"].sum()).astype(np.int64)
        dealt = [np.arange(k) % of for k, of in zip(cells["won"].astype(int), n, strict=True)]
        won = np.concatenate([np.empty(0), *map(np.bincount, dealt, [None] * len(n), n)])
        self.pools[name] = Pool(won.astype(float), np.zeros(len(won), dtype=np.int64))
        shares: pd.DataFrame = cells.index.repeat(n).to_frame(index=False)
        return shares

    def _by_persona(self, situation: Situation, in_force: PersonaSet) -> Iterator[Comparison]:
        if self.has_deals and len(situation.closed_deals):
            deals = situation.closed_deals
            yield self._comparison(DEALS, self._rows(deals), in_force.assign(deals).to_frame("persona"), "win_rate")

    def _leads(self, situation: Situation, in_force: PersonaSet) -> Iterator[Comparison | Arms | ArmAmounts]:
        frame = lead_frame(situation) if self.has_leads else pd.DataFrame()
        if frame.empty:
            return
        frame = frame.assign(persona=in_force.assign(frame))
        places = {measure: self._pool_leads(situation, frame, measure) for measure in LEAD_HITS}
        part = lead_window(situation, frame)
        by = lead_levels(situation, part)
        for measure, fields in lead_measures(situation, by).items():
            known = part.index[part[LEAD_HITS[measure]].notna()]
            if len(known) >= LEAST_SHOWN and fields:
                pool, place = places[measure]
                yield self._comparison(pool, place[known].to_numpy(), by.loc[known, fields], measure)
        pool, place = places["accepted_rate"]
        for persona, told in persona_levels(by[part["is_accepted"].notna()]):
            yield self._comparison(pool, place[told.index].to_numpy(), told, "persona_accepted_rate", persona)
        for name, drawn in experiments(frame):
            yield from self._experiment(situation, name, drawn)

    def _pool_leads(self, situation: Situation, frame: pd.DataFrame, measure: str) -> tuple[str, pd.Series]:
        """The pool of the leads decided by then, and each one's place in it."""
        decided = frame[frame[LEAD_HITS[measure]].notna()]
        name = f"{measure} {situation.period.name}"
        self.pools[name] = Pool(
            as_numbers(decided[LEAD_HITS[measure]]).to_numpy(), _groups(situation, handed_off(decided))
        )
        return name, pd.Series(np.arange(len(decided)), index=decided.index)

    def _experiment(self, situation: Situation, name: str, leads: pd.DataFrame) -> Iterator[Arms | ArmAmounts]:
        """One experiment's arms by every outcome; its leads change places with each other alone."""
        control, threshold = control_of(self.definition, name), self.definition.claims.practical_threshold
        if not is_fair(uneven(leads, name, _NOWHERE)):
            return
        for outcome in outcomes(situation, leads):
            pool, table = f"{outcome.measure} {name} {situation.period.name}", outcome.by_arm(leads)
            told = leads[outcome.hit.notna() & leads["arm"].astype("str").isin(table["level"])]
            hit, groups = outcome.hit[told.index].to_numpy(), _groups(situation, handed_off(told))
            if control is not None and control not in set(table["level"]):
                continue
            amount = {} if outcome.amount is None else {"amount": outcome.amount[told.index].to_numpy()}
            self.pools[pool] = Pool(hit, groups, amount)
            rows, tally = np.arange(len(told)), Tally.of(told[["arm"]])
            yield Arms(pool, rows, tally, outcome.measure, threshold, name, control)
            if len(outcome.brought(leads)):
                yield ArmAmounts(pool, rows, tally, AMOUNT, _WORTH, name, control)

    def _outcome(self, situation: Situation, in_force: PersonaSet) -> Family:
        if not self.has_deals:
            return Family(situation.period.name, "outcome", ())
        deals = situation.closed_deals
        rows, personas = self._rows(deals), in_force.assign(deals)
        names, tally = personas.to_numpy(object), Tally.of(personas.to_frame("persona"))
        sizes = [
            Sizes(DEALS, measure, rows, names, tally, measure, SHORTEST_DAYS if measure == _DAYS else 0)
            for measure, _ in self._sizes(situation)
        ]
        if "won_amount" in deals:
            sizes.append(Sizes(DEALS, PER_DECIDED, rows, names, tally, "won_amount", is_per_decided=True))
        converted = self._conversions(situation, in_force, "outcome")
        return Family(situation.period.name, "outcome", tuple(self._deals(situation, in_force)), (*sizes, *converted))

    def _deals(self, situation: Situation, in_force: PersonaSet) -> Iterator[Comparison]:
        ended = situation.closed_deals.assign(persona=in_force.assign(situation.closed_deals))
        rows = self._rows(ended)
        late = late_fields(situation)
        yield self._comparison(DEALS, rows, deal_levels(situation, ended), "win_rate", late=late)
        if "rep_id" in ended and "rep_id" not in leaking(situation):
            reps = self._comparison(DEALS, rows, levels(ended, ["rep_id"], RARE), "win_rate", late=late)
            groups = pd.factorize(ended["persona"] + " " + pd.Series(reps.groups, ended.index).astype("str"))[0]
            yield replace(reps, groups=groups.astype(np.int64), spread=Tally.of(ended[["rep_id"]]))

    def _reviews(self, sets: dict[Period, PersonaSet]) -> Iterator[Review]:
        if not self.has_deals or self.definition.clock == "none":
            return
        for period, in_force in sets.items():
            if not period.running and period != self.warehouse.periods[-1]:
                promise = self._promise(Situation.planning(self.warehouse, period), in_force)
                yield from self._review(Situation.looking_back(self.warehouse, period), in_force, promise)

    def _promise(self, situation: Situation, in_force: PersonaSet) -> Promise:
        ended = situation.closed_deals
        rows = self._rows(ended)
        return Promise(rows, in_force.assign(ended).to_numpy(object), self.pools[DEALS].groups[rows])

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
            Tally.of(pd.DataFrame(cells, index=ended.index)),
            Tally.of(assigned.where(is_now).to_frame("persona")),
            0.10 / self.definition.claims.planned_periods,
        )
