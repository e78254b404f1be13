"""Rates in null worlds, compared as ``evidence.looks.rate_looks`` compares them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.claims.arms import mean_pairs, pairs
from closedloop.period.counting import LEAST_SHOWN, RARE
from closedloop.statistics.amounts import compare_costs, mean_amounts, shrink_amounts, won_per_decided
from closedloop.statistics.proportions import midp, shrink_rates, spread_beyond_luck
from closedloop.statistics.recording import Followed, compare_conversions, unfit
from closedloop.statistics.stratified import as_counted, standardised
from closedloop.validation.worlds import (
    SUPPORTED_BEYOND,
    SUPPORTED_Q,
    Bools,
    Floats,
    Ints,
    Pool,
    Repeated,
    Tally,
    Tests,
    World,
)


@dataclass(frozen=True)
class Tested:
    """The tests of one comparison in one world, before any estimate is made; one entry a test.

    ``index``: the level's row in the tally, with n cases; ``hits`` of ``sizes`` as ``rates.standardised`` gives them;
    ``n_field`` cases of the field at the pooled rate ``base``; ``p``: mid-p value against what its periods let expect.
    """

    index: Ints
    n: Floats
    hits: Floats
    sizes: Floats
    n_field: Floats
    base: Floats
    p: Floats


@dataclass(frozen=True)
class Comparison(Repeated):
    """One measure by all its fields: ``rows`` are its records' places in the pool, ``groups`` their periods there.

    ``gate``: records by seller; sellers are compared only in worlds where they differ beyond luck as a group (p <=
    ``luck``), and within personas as well (their effects there are those of ``evidence.crossed``).
    """

    pool: str
    rows: Ints
    groups: Ints
    tally: Tally
    measure: str
    threshold: float
    subject: str = "market"
    least: int = LEAST_SHOWN
    late: frozenset[str] = frozenset()  # fields that are filled after creation
    gate: Tally | None = None
    luck: float = 1.0

    def hits(self, world: World) -> Floats:
        """The records' outcomes in that world."""
        return world[self.pool][self.rows]

    def is_made(self, world: World) -> bool:
        """Is it compared at all in that world?"""
        if self.gate is None:
            return True
        k, n = self.gate.counts(self.hits(world))
        named = self.gate.is_named
        return bool(spread_beyond_luck(k[named], n[named]) <= self.luck)

    def tested(self, world: World) -> Tested:
        """The tests, as far as their p values."""
        k, n = self.tally.counts_by(self.hits(world), self.groups)
        k_all, n_all = self.tally.totals(k), self.tally.totals(n)
        share = np.divide(n, n_all, out=np.zeros_like(n), where=n_all > 0)
        expected, contrast = (share * k_all).sum(axis=1), (n * (1 - share)).sum(axis=1)
        k, n, k_all, n_all = (part.sum(axis=1) for part in (k, n, k_all, n_all))
        base = np.divide(k_all, n_all, out=np.zeros_like(k_all), where=n_all > 0)
        hits, sizes = standardised(k, n, expected, contrast, base, n_all)
        seen = (sizes >= self.least) & self.tally.is_named
        i = np.flatnonzero(seen & (self.tally.totals(seen.astype(float)) >= 2))
        p = midp(k[i], n[i], expected[i] / n[i])
        return Tested(
            i, n[i], hits[i], sizes[i], n_all[i], base[i], np.where(self._fits(i, k, n, k_all, n_all, p), p, np.nan)
        )

    def _fits(self, i: Ints, k: Floats, n: Floats, k_all: Floats, n_all: Floats, p: Floats) -> Bools:
        """Which of the levels ``i`` can be compared (``evidence.looks.unfit``)."""
        is_late = np.isin(self.tally.field[i].astype(str), list(self.late))
        fits = np.zeros(len(i), dtype=bool)
        for code in np.unique(self.tally.code[i]):
            own = self.tally.code[i] == code
            rows = i[own]
            reasons = unfit(k[rows], n[rows], p[own], k_all[rows[0]], n_all[rows[0]], self.least, is_late[own])
            fits[own] = reasons == ""
        return fits

    def effects(self, tested: Tested, q: Floats) -> Floats:
        """The effect of each test whose claim is supported; missing for all others.

        Estimates cost most, so they are made only for fields in which q allows a claim.
        """
        found = np.full(len(q), np.nan)
        field = self.tally.code[tested.index]
        for code in np.unique(field[q <= SUPPORTED_Q]):
            own = np.flatnonzero(field == code)
            base = float(tested.base[own[0]])
            shrunk = shrink_rates(tested.hits[own], tested.sizes[own])
            effect, below, above = as_counted(shrunk, tested.sizes[own] / tested.n[own], base)
            apart = (effect >= below) | (effect <= -above)
            is_supported = (q[own] <= SUPPORTED_Q) & (shrunk.beyond(self.threshold, base) > SUPPORTED_BEYOND) & apart
            found[own] = np.where(is_supported, effect, np.nan)
        return found


@dataclass(frozen=True)
class Spread(Repeated):
    """The spread of a field's levels against what luck alone would give: one test."""

    pool: str
    rows: Ints
    tally: Tally
    measure: str = "rep_spread"

    def tested(self, world: World) -> Tests:
        """The p value of the spread between all levels."""
        k, n = self.tally.counts(world[self.pool][self.rows])
        named = self.tally.is_named
        p = np.array([spread_beyond_luck(k[named], n[named])])
        return Tests(p, 1 - p, 1 - p)


@dataclass(frozen=True)
class Sizes(Repeated):
    """Amounts or days of won deals, as ``evidence.looks.amount_looks`` compares them by groups.

    ``rows``: the deals' places in the pool; ``groups``: the number of each one's group, -1 without one. ``least``: what
    a smaller value counts as. ``is_per_decided``: what is lost counts as well (``evidence.money_looks.decided_looks``).
    """

    pool: str
    measure: str
    rows: Ints
    groups: Ints
    size: str
    least: float = 0.0
    is_per_decided: bool = False

    def tested(self, world: World) -> Tests:
        """Each group's mean against that of all."""
        outcome, size = world[self.pool][self.rows], world[f"{self.pool} {self.size}"][self.rows]
        has_size = (size > 0) | (np.isfinite(size) & (self.least > 0))
        known = ~np.isnan(outcome) if self.is_per_decided else has_size  # only won deals have sizes
        known &= self.groups >= 0
        known[known] = (np.bincount(self.groups[known]) >= LEAST_SHOWN)[self.groups[known]]
        is_won, amount, groups = outcome[known] == 1, np.maximum(size[known], self.least), self.groups[known]
        if self.is_per_decided:
            table = won_per_decided(is_won, amount, groups)
        elif self.least:  # days have a least value, and are bounded
            table = shrink_amounts(amount, groups, is_bounded=True)
        else:
            table = mean_amounts(amount, groups)
        return Tests.of(table if len(table) > 1 else table.head(0))


@dataclass(frozen=True)
class Spending(Repeated):
    """What a won lead costs in each channel, as ``evidence.money_looks.cost_looks`` compares it.

    The pool's records are the subject's leads; ``channel`` is the place of each one's among those with the money
    ``spent``, ``n`` leads each.
    """

    pool: str
    subject: str
    channel: Ints
    n: Floats
    spent: Floats
    measure: str

    def is_made(self, world: World) -> bool:
        """It is compared where anything was won."""
        return bool(world[self.pool].sum() > 0)

    def tested(self, world: World) -> Tests:
        """Each channel's cost against that of the others."""
        k = np.bincount(self.channel, world[self.pool], len(self.n))
        costs = pd.DataFrame(compare_costs(k, np.maximum(self.n, k), self.spent)._asdict())
        return Tests.of(costs.assign(estimate=costs["estimate"].fillna(costs["low"]))[self.n >= LEAST_SHOWN])


@dataclass(frozen=True)
class Conversions(Repeated):
    """Shares of leads won ``until`` the usual day, as ``loop.conversions`` compares them by the levels ``by``.

    ``pool`` holds the ``leads`` in their order: whether each was won, after how many days, and for how many it was
    seen. What a world shuffles is all three, so that the usual time stays.
    """

    pool: str
    leads: Followed
    by: pd.DataFrame
    until: float
    threshold: float
    measure: str

    @staticmethod
    def pool_of(leads: Followed) -> Pool:
        """The pool of these leads."""
        return Pool(leads.is_won.astype(float), leads.cohort, {"days": leads.days, "seen": leads.seen})

    def tested(self, world: World) -> Tests:
        """Each level against all leads of its cohorts."""
        days, seen = (world[f"{self.pool} {name}"] for name in ("days", "seen"))
        leads = self.leads._replace(days=days, is_won=world[self.pool] == 1, seen=seen)
        about = {"least": LEAST_SHOWN, "rare": RARE, "threshold": self.threshold}
        tables = [compare_conversions(leads, self.by[name], self.until, **about) for name in self.by]  # type: ignore[arg-type]
        return Tests.of(pd.concat(tables, ignore_index=True))


@dataclass(frozen=True)
class Arms(Repeated):
    """The drawn arms of one experiment, as ``evidence.arms.arm_looks`` compares them with each other.

    The pool holds the experiment's leads; ``arm``: the place of each one's among the ``names``; ``control`` is one of
    them or none. ``is_amount``: by what a lead brought, as ``claims.arms.arm_looks`` does then, too.
    """

    pool: str
    arm: Ints
    names: tuple[str, ...]
    measure: str
    threshold: float
    subject: str
    control: str | None = None
    is_amount: bool = False

    def is_made(self, world: World) -> bool:
        """By amounts it is compared where ten leads or more of every arm pay."""
        if not self.is_amount:
            return True
        paying = self.arm[(world[self.pool] * world[f"{self.pool} amount"]) > 0]
        return bool(np.bincount(paying, minlength=len(self.names)).min() >= LEAST_SHOWN)

    def tested(self, world: World) -> Tests:
        """Each arm against the control, the other, or all others."""
        hit, control = world[self.pool], self.names.index(self.control) if self.control else None
        if self.is_amount:
            means = mean_pairs(hit * world[f"{self.pool} amount"], self.arm, len(self.names), control)
            return Tests(means.p, means.effect, means.beyond(self.threshold))
        k, n = (np.bincount(self.arm, of, len(self.names)) for of in (hit, None))
        found = pairs(k, n, control)
        return Tests(found.p, found.effect, found.beyond(self.threshold))
