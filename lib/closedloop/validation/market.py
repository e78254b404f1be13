"""A market as its null worlds need it: every comparison that the notebooks themselves made, on outcomes to shuffle."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import SHORTEST_DAYS
from closedloop.market.kept import fingerprint_of
from closedloop.market.periods import Period
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.period import store
from closedloop.period.counting import as_numbers, won
from closedloop.period.lead_records import handed_off, lead_frame
from closedloop.period.situation import Situation
from closedloop.statistics.segmentation.indicators import ranked_answers
from closedloop.validation.families import Family, NullMarket, Unrepeated
from closedloop.validation.outcomes import (
    Arms,
    Associations,
    Comparison,
    Conversions,
    Drifting,
    Shares,
    Sizes,
    Spending,
    Spread,
)
from closedloop.validation.procedures import Orders, Promises, Score, Signals, Splits, Targets
from closedloop.validation.worlds import DEALS, Bools, Errors, Ints, Money, Pool, Tally
from closedloop.workbench import redraws
from closedloop.workbench.answer import family_of
from closedloop.workbench.cells import ensure, run_cells
from closedloop.workbench.redraws import Compared, read_compared

NOTEBOOKS = ("01_research", "02_personas", "03_leads", "04_handoff", "05_deals", "06_refinement")
EDIT, PROMISE, SIGNAL, TARGETS = "edit", "promise", "signal", "targets"  # families that a verb closes itself
_SIZES = ("age_days", "won_amount")  # of won deals


def null_market(
    market: str, out: Path, notebooks: Sequence[Path] = (), periods: Sequence[str] = (), *, is_learned: bool = False
) -> NullMarket:
    """The market's outcomes, and all that its notebooks compared with them in these periods (all unless given).

    What the shipped notebooks compared is read from the run folder ``out``; those that have not left it of what is
    there today are run first, without a page. ``notebooks``: in place of the shipped ones; their cells are run, and
    nothing is written. ``is_learned``: scores and signals are made again as well, for which cells are run too. Errors:
    ParameterError for a market that does not exist, or has no outcome that could be shuffled.
    """
    warehouse = open_warehouse(market)
    cut = Cut(warehouse)
    shipped = [path for name in NOTEBOOKS if (path := store.notebook_path(name)).exists()]
    for period in (one for one in warehouse.periods if not periods or one.name in periods):
        for path in notebooks or shipped:
            if path.stem in store.PLANNING or warehouse.has_begun(period):
                with redirect_stdout(sys.stderr):  # standard output is the report's
                    found = _compared(warehouse, period, path, out, is_run=bool(notebooks) or is_learned)
                cut.add(path.stem, period, found)
    return cut.done()


def _compared(warehouse: Warehouse, period: Period, path: Path, out: Path, *, is_run: bool) -> Compared:
    """What one notebook compared in one period."""
    given = {"market": warehouse.definition.name, "period": period.name, "out": str(out)}
    if is_run:
        return Compared.of(path.stem, run_cells(path, given, is_draft=True).answers.values())
    ensure(path.stem, given["market"], period.name, out)
    return read_compared(out / given["market"] / period.name, path.stem)


@dataclass
class Cut:
    """A market on the way to its null worlds.

    ``places``: of each record in its pool, by id. ``left_out``: verbs whose comparisons are not made again.
    """

    warehouse: Warehouse
    pools: dict[str, Pool] = field(default_factory=dict)
    places: dict[str, pd.Series] = field(default_factory=dict)
    families: list[Family] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, notebook: str, period: Period, compared: Compared) -> None:
        """All families of a notebook: who they are, how they end, drift, and those that a verb closed itself."""
        at = Situation.planning if notebook in store.PLANNING else Situation.looking_back
        situation, parts = at(self.warehouse, period), dict[str, list[Any]]()
        for redraw in compared.redraws:
            measure = "association" if isinstance(redraw, redraws.AssociationRedraw) else getattr(redraw, "measure", "")
            name = _OWN.get(type(redraw)) or getattr(redraw, "family", "") or family_of(measure)
            parts.setdefault(name, []).extend(self.again(redraw, situation))
        self.families += [Family(period.name, notebook, name, tuple(made)) for name, made in parts.items() if made]
        self.left_out |= compared.left_out

    def done(self) -> NullMarket:
        """The market with all that was added."""
        running = {period.name for period in self.warehouse.periods if period.running}
        wide = [n for n, family in enumerate(self.families) if family.widest]
        own = [n for n in wide if self.families[n].notebook == "05_deals"] or wide
        complete = [n for n in own if self.families[n].period not in running]
        planted_in = next(reversed(complete or own), None)
        definition = self.warehouse.definition
        about = (planted_in, self.left_out, definition.claims.smallest_worth)
        return NullMarket(definition.name, self.pools, tuple(self.families), *about)

    # pools

    def _deals(self, ids: pd.Series) -> tuple[Ints, Bools]:
        """The places of these deals among all that were won or lost, and which of them are there."""
        if DEALS not in self.pools:
            final = Situation.latest(self.warehouse)
            hit = won(final.deals)
            ended = final.deals[hit.notna() | (final.deals["outcome"] == "won")]
            sizes = {
                name: ended[name].where(ended["outcome"] == "won").to_numpy(dtype=float, na_value=np.nan)
                for name in _SIZES
                if name in ended
            }
            outcomes = as_numbers(hit[ended.index]).to_numpy()
            self.pools[DEALS] = Pool(outcomes, _groups(final, ended["closed_on"]), sizes)
            self.places[DEALS] = pd.Series(np.arange(len(ended)), index=ended["deal_id"])
        return _placed(self.places[DEALS], ids)

    def _leads(self, outcome: str, situation: Situation, ids: pd.Series) -> tuple[str, tuple[Ints, Bools]]:
        """The pool of an outcome of leads as known on the day, and these leads' places in it."""
        name = f"{outcome} {situation.on}"
        if name not in self.pools:
            leads = lead_frame(situation)
            decided = leads[leads[outcome].notna()]
            self.pools[name] = Pool(as_numbers(decided[outcome]).to_numpy(), _groups(situation, handed_off(decided)))
            self.places[name] = pd.Series(np.arange(len(decided)), index=decided["lead_id"])
        return name, _placed(self.places[name], ids)

    def _own(self, kind: str, key: pd.Series, pool: Pool) -> str:
        """A pool of its own, by the digest of its records: the same records are dealt out alike wherever they are."""
        name = f"{kind} {fingerprint_of(key)[:16]}"
        before = self.pools.get(name, pool).sizes
        self.pools[name] = replace(pool, sizes={**before, **pool.sizes})
        return name

    # comparisons

    @singledispatchmethod
    def again(self, redraw: Any, situation: Situation) -> list[Any]:
        """The comparison as it is made in every world."""
        raise NotImplementedError(type(redraw).__name__)

    @again.register
    def _(self, redraw: redraws.Learned, situation: Situation) -> list[Any]:
        return [Unrepeated(redraw.measure)] if redraw.measure else []

    @again.register
    def _(self, redraw: redraws.RateRedraw, situation: Situation) -> list[Any]:
        pool, (rows, is_known) = (
            (DEALS, self._deals(redraw.ids))
            if redraw.table == DEALS
            else self._leads(redraw.outcome, situation, redraw.ids)
        )
        groups, by = self.pools[pool].groups[rows], redraw.by[is_known]
        if redraw.within is not None:
            cells = redraw.within[is_known].astype("str").to_numpy() + " " + groups.astype(str).astype(object)
            groups = pd.factorize(cells)[0].astype(np.int64)
        about = (redraw.measure, redraw.threshold, redraw.subject, redraw.least, frozenset(redraw.late))
        gate = Tally.of(by[[redraw.gate]]) if redraw.gate else None
        made: list[Any] = [] if gate is None else [Spread(pool, rows, gate)]
        return [*made, Comparison(pool, rows, groups, Tally.of(by), *about, gate, redraw.luck)]

    @again.register
    def _(self, redraw: redraws.SizeRedraw, situation: Situation) -> list[Any]:
        rows, is_known = self._deals(redraw.ids)
        least = SHORTEST_DAYS if redraw.size == "age_days" else 0.0
        groups = pd.factorize(redraw.groups[is_known], sort=True)[0].astype(np.int64)
        return [Sizes(DEALS, rows, groups, redraw.size, least, redraw.is_per_decided)]

    @again.register
    def _(self, redraw: redraws.CostRedraw, situation: Situation) -> list[Any]:
        is_paid = (redraw.spent > 0).to_numpy() & redraw.groups.notna().to_numpy()
        channel, names = pd.factorize(redraw.groups[is_paid].astype("str"), sort=True)
        spent = redraw.spent[is_paid].to_numpy(dtype=float)
        if len(names) < 2:
            return []
        leads = lead_frame(situation).set_index("lead_id")["is_won"]
        hit = as_numbers(leads.reindex(redraw.ids[is_paid])).fillna(0.0).to_numpy()
        pool = self._own(f"money {redraw.subject}", redraw.ids, Money.of(hit, spent=spent))
        n, money = (np.bincount(channel, of, len(names)).astype(float) for of in (None, spent))
        return [Spending(pool, channel.astype(np.int64), n, money)]

    @again.register
    def _(self, redraw: redraws.ArmRedraw, situation: Situation) -> list[Any]:
        arm, names = pd.factorize(redraw.arms.astype("str"), sort=True)
        hit = redraw.hit.to_numpy(dtype=float)
        sizes = {} if redraw.amount is None else {"amount": redraw.amount.to_numpy(dtype=float)}
        key = redraw.ids.astype("str") + " " + redraw.hit.astype("str")
        leads = Pool.of(hit, _groups(situation, redraw.days), **sizes)
        pool = self._own(f"arms {redraw.experiment}", key, leads)
        about = (redraw.threshold, redraw.control, redraw.amount is not None)
        return [Arms(pool, arm.astype(np.int64), tuple(map(str, names)), *about)]

    @again.register
    def _(self, redraw: redraws.ConversionRedraw, situation: Situation) -> list[Any]:
        leads = redraw.leads
        pool = Pool.of(leads.is_won.astype(float), leads.cohort, days=leads.days, seen=leads.seen)
        return [Conversions(self._own("conversions", redraw.ids, pool), redraw)]

    @again.register
    def _(self, redraw: redraws.ShareRedraw, situation: Situation) -> list[Any]:
        groups, names = pd.factorize(redraw.groups.astype("str"), sort=True)
        tally, weights = Tally.of(redraw.by), None if redraw.weights is None else redraw.weights.to_numpy(dtype=float)
        pool = self._own(redraw.measure, redraw.groups.astype("str"), Pool.of(np.arange(len(groups), dtype=float)))
        return [Shares(pool, tally, groups.astype(np.int64), tuple(map(str, names)), weights, redraw.group)]

    @again.register
    def _(self, redraw: redraws.AssociationRedraw, situation: Situation) -> list[Any]:
        answers, owner = ranked_answers(redraw.items)
        order = Pool.of(np.arange(len(answers), dtype=float))
        pools = [self._own(f"answers {name}", redraw.items[name], order) for name in redraw.items]
        return [Associations(tuple(pools), answers, owner, redraw.pairs)]

    @again.register
    def _(self, redraw: redraws.DriftRedraw, situation: Situation) -> list[Any]:
        rows, is_known = self._deals(redraw.ids)
        period = pd.Categorical(redraw.period[is_known], pd.Index(redraw.periods)).codes.astype(float)
        personas = pd.Categorical(redraw.personas[is_known], pd.Index(redraw.groups)).codes.astype(np.int64)
        pool = self._own("periods", redraw.ids[is_known], Pool.of(period))
        shape = (len(redraw.groups), len(redraw.periods))
        return [Drifting(pool, personas, self.pools[DEALS].outcomes[rows], shape, redraw.measure, redraw.threshold)]

    @again.register
    def _(self, redraw: redraws.OrderRedraw, situation: Situation) -> list[Any]:
        pool, (rows, _) = self._leads(redraw.outcome, situation, redraw.ids)
        return [Orders(pool, rows, redraw)]

    @again.register
    def _(self, redraw: redraws.SplitRedraw, situation: Situation) -> list[Any]:
        rows, is_known = self._deals(redraw.ids)
        by, persona = redraw.by[is_known], redraw.personas[is_known]
        cells = {f"{one} {name}": by[name].where(persona == one) for one in persona.unique() for name in by}
        tally = Tally.of(pd.DataFrame(cells, index=by.index))
        return [Splits(DEALS, rows, self.pools[DEALS].groups[rows], tally, redraw.gate, redraw.rate)]

    @again.register
    def _(self, redraw: redraws.PromiseRedraw, situation: Situation) -> list[Any]:
        rows, is_known = self._deals(redraw.ids)
        is_promised, is_now = (part[is_known].to_numpy(dtype=bool) for part in (redraw.is_promised, redraw.is_now))
        by = redraw.personas[is_known].where(redraw.personas[is_known].isin(redraw.promising)).to_frame("persona")
        groups = self.pools[DEALS].groups[rows]
        return [Promises(DEALS, rows, groups, Tally.of(by), is_promised, is_now, redraw.threshold)]

    @again.register
    def _(self, redraw: redraws.TargetRedraw, situation: Situation) -> list[Any]:
        rows, is_known = self._deals(redraw.ids)
        errors = Errors.of(np.full(len(redraw.others) * len(redraw.segments), np.nan))
        drawn = self._own(f"errors {situation.on}", redraw.ids, errors)
        return [Targets(DEALS, rows, replace(redraw, deals=redraw.deals[is_known]), drawn)]

    @again.register
    def _(self, redraw: redraws.ScoreRedraw, situation: Situation) -> list[Any]:
        pool = self._own("score", redraw.ids, Pool.of(redraw.is_won.to_numpy(dtype=float)))
        if redraw.asked is None or redraw.asked_is_won is None:
            return [Score(pool, redraw)]
        outcomes = Pool.of(redraw.asked_is_won.to_numpy(dtype=float))
        return [Score(pool, redraw, self._own("asked", redraw.asked.iloc[:, 0], outcomes))]

    @again.register
    def _(self, redraw: redraws.SignalRedraw, situation: Situation) -> list[Any]:
        rows, is_known = self._deals(redraw.ids)
        levels, periods = redraw.levels[is_known], situation.names_of(redraw.days)[is_known]
        return [Signals(DEALS, rows, levels, periods.to_numpy(dtype=object), redraw)]


_OWN = {
    redraws.SplitRedraw: EDIT,
    redraws.PromiseRedraw: PROMISE,
    redraws.SignalRedraw: SIGNAL,
    redraws.TargetRedraw: TARGETS,
}


def _groups(situation: Situation, days: pd.Series) -> Ints:
    """A number for the period of each day; one for all in a market without dates."""
    if not situation.is_dated:
        return np.zeros(len(days), dtype=np.int64)
    return pd.factorize(situation.names_of(days))[0].astype(np.int64)


def _placed(places: pd.Series, ids: pd.Series) -> tuple[Ints, Bools]:
    """The places of these records, and which of them have one."""
    found = places.reindex(ids)
    is_known = found.notna().to_numpy()
    return found[is_known].to_numpy(dtype=np.int64), is_known
