"""Outcomes and shares in null worlds: compared as ``claims.comparisons`` and ``claims.arms`` compare them."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from closedloop.claims.arms import mean_pairs, pairs
from closedloop.claims.comparisons import Origin, gain_looks, whole
from closedloop.period.counting import LEAST_SHOWN
from closedloop.questions.refinement.drift import moves
from closedloop.statistics.amounts import compare_costs, mean_amounts, shrink_amounts, won_per_decided
from closedloop.statistics.proportions import (
    as_counted,
    exact_difference_p,
    midp,
    shrink_rates,
    spread_beyond_luck,
    standardised,
)
from closedloop.statistics.recording import compare_conversions, unfit
from closedloop.statistics.segmentation.indicators import effective_counts, strongest_pairs
from closedloop.terms import RARE
from closedloop.validation.worlds import (
    SUPPORTED_BEYOND,
    SUPPORTED_Q,
    Floats,
    Ints,
    Repeated,
    Tally,
    Tests,
    World,
)
from closedloop.workbench.redraws import ConversionRedraw

NOWHERE = Origin("", "", "", "", "")  # what is compared here is on no page
_THRESHOLD = 0.05  # of shares, as in ``claims.comparisons.share_looks``


@dataclass(frozen=True)
class Tested:
    """The tests of one comparison in one world, before any estimate is made; one entry a test.

    ``index``: the level's row in the tally, with n cases; ``hits`` of ``sizes`` as ``standardised`` gives them;
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
    ``luck``), and within personas as well (their effects there are those of ``shrink_crossed``).
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
        """The tests, as far as their p values; missing for levels that cannot be compared."""
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
        is_late = np.isin(self.tally.field[i].astype(str), list(self.late))
        for code in np.unique(self.tally.code[i]):
            own = self.tally.code[i] == code
            rows = i[own]
            reasons = unfit(k[rows], n[rows], p[own], k_all[rows[0]], n_all[rows[0]], self.least, is_late[own])
            p[own] = np.where(reasons == "", p[own], np.nan)
        return Tested(i, n[i], hits[i], sizes[i], n_all[i], base[i], p)

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

    def tested(self, world: World) -> Tests:
        """The p value of the spread between all levels."""
        k, n = self.tally.counts(world[self.pool][self.rows])
        named = self.tally.is_named
        p = np.array([spread_beyond_luck(k[named], n[named])])
        return Tests(p, 1 - p, 1 - p)


@dataclass(frozen=True)
class Sizes(Repeated):
    """Amounts or days of won deals, as ``claims.comparisons.amount_looks`` compares them by groups.

    ``rows``: the deals' places in the pool; ``groups``: the number of each one's group, -1 without one. ``least``: what
    a smaller value counts as. ``is_per_decided``: what is lost counts as well (``claims.comparisons.decided_looks``).
    """

    pool: str
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
    """What a won lead costs in each channel, as ``claims.comparisons.cost_looks`` compares it.

    The pool's records are leads; ``channel`` is the place of each one's among those with the money
    ``spent``, ``n`` leads each.
    """

    pool: str
    channel: Ints
    n: Floats
    spent: Floats

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
    """Shares of leads won until the usual day, as ``period.lead_records`` compares them by levels.

    ``pool`` holds the redraw's leads in their order: whether each was won, after how many days, and for how many it was
    seen. What a world shuffles is all three, so that the usual time stays.
    """

    pool: str
    redraw: ConversionRedraw

    def tested(self, world: World) -> Tests:
        """Each level against all leads of its cohorts."""
        made, days, seen = self.redraw, world[f"{self.pool} days"], world[f"{self.pool} seen"]
        leads = made.leads._replace(days=days, is_won=world[self.pool] == 1, seen=seen)
        compare = partial(compare_conversions, leads, least=LEAST_SHOWN, rare=RARE, threshold=made.threshold)
        tables = [compare(made.by[name], made.until) for name in made.by]
        return Tests.of(pd.concat(tables, ignore_index=True))


@dataclass(frozen=True)
class Arms(Repeated):
    """The drawn arms of one experiment, as ``claims.arms.arm_looks`` compares them with each other.

    The pool holds the experiment's leads; ``arm``: the place of each one's among the ``names``; ``control`` is one of
    them or none. ``is_amount``: by what a lead brought.
    """

    pool: str
    arm: Ints
    names: tuple[str, ...]
    threshold: float
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


@dataclass(frozen=True)
class ShareTests:
    """Tests of shares, (levels, groups) each, before any estimate is made: k of n, the share of all, and p or NaN."""

    k: Floats
    n: Floats
    base: Floats
    every: Floats

    @property
    def p(self) -> Floats:
        """The p values that count."""
        return self.every[~np.isnan(self.every)]


@dataclass(frozen=True)
class Shares(Repeated):
    """Shares of levels in every group, as ``claims.comparisons.share_looks`` compares them.

    The pool holds places among ``groups``, one a row of ``tally``: a world deals the rows out anew. ``weights``: of a
    survey, one a row, which stay with the rows. ``only``: the place of the one group that is told of.
    """

    pool: str
    tally: Tally
    groups: Ints
    names: tuple[str, ...]
    weights: Floats | None = None
    only: str = ""

    @cached_property
    def _asked(self) -> Ints:
        """The levels that are compared: of a question with yes and no, yes alone."""
        text = self.tally.level.astype(str)
        n_others = self.tally.totals((~np.isin(text, ("yes", "no"))).astype(np.float64))
        return np.flatnonzero(self.tally.is_named & ~((n_others == 0) & (text == "no")))

    @cached_property
    def _hits(self) -> Floats:
        """1 where a row (first axis) bears the level asked for, 0 where another of its field, missing without any."""
        member = self.tally.member.toarray().T.astype(float)
        known = np.column_stack([member[:, self.tally.code == code].any(axis=1) for code in self.tally.code])
        return np.where(known, member, np.nan)[:, self._asked]

    def tested(self, world: World) -> ShareTests:
        """Each group against all others, level by level."""
        mine = self.groups[world[self.pool].astype(np.int64)]
        is_in = np.equal.outer(mine, np.arange(len(self.names))).astype(float)
        if self.weights is None:
            hits, known = np.nan_to_num(self._hits), (~np.isnan(self._hits)).astype(float)
            k, n = hits.T @ is_in, known.T @ is_in
            k_rest, n_rest = k.sum(axis=1, keepdims=True) - k, n.sum(axis=1, keepdims=True) - n
            base = np.divide(k + k_rest, n + n_rest, out=np.zeros_like(n), where=n + n_rest > 0)
            counts = (k, n, k_rest, n_rest)
        else:
            parts = [(is_in[:, group] > 0, is_in[:, group] == 0) for group in range(len(self.names))]
            counted = [[effective_counts(self._hits[rows], self.weights[rows]) for rows in sides] for sides in parts]
            k, n, k_rest, n_rest = (np.column_stack([of[side][i] for of in counted]) for side in (0, 1) for i in (0, 1))
            base = np.divide(*effective_counts(self._hits, self.weights))[:, None] + np.zeros_like(k)
            counts = (*whole(k, n), *whole(k_rest, n_rest))
        shown = (is_in.sum(axis=0) >= LEAST_SHOWN) & (n > 0) & (n_rest > 0)
        told = shown & (np.isin(self.names, [self.only]) if self.only else True)
        p = np.full(k.shape, np.nan)
        p[told] = exact_difference_p(*(part[told] for part in counts))
        return ShareTests(np.where(shown, k, np.nan), n, base, p)

    def effects(self, tests: ShareTests, q: Floats) -> Floats:
        """The effect of each test whose claim is supported; estimates are made only where q allows a claim."""
        every, found = np.full(tests.every.shape, np.nan), np.full(tests.every.shape, np.nan)
        every[~np.isnan(tests.every)] = q
        for i in np.flatnonzero((every <= SUPPORTED_Q).any(axis=1)):
            own = ~np.isnan(tests.k[i])
            base, shrunk = tests.base[i, own], shrink_rates(tests.k[i, own], tests.n[i, own])
            apart = (base <= shrunk.low) | (base >= shrunk.high)
            is_supported = (every[i, own] <= SUPPORTED_Q) & (shrunk.beyond(_THRESHOLD, base) > SUPPORTED_BEYOND) & apart
            found[i, own] = np.where(is_supported, shrunk.mean - base, np.nan)
        return found[~np.isnan(tests.every)]


@dataclass(frozen=True)
class Associations(Repeated):
    """The strongest ``pairs`` of answers to different items; ``pools``: of each item one that deals its answers out."""

    pools: tuple[str, ...]
    answers: pd.DataFrame
    owner: Ints
    pairs: int

    def tested(self, world: World) -> Tests:
        """The strongest rank correlations, whose intervals hold for all pairs at once."""
        dealt, values = np.empty(self.answers.shape), self.answers.to_numpy()
        for item, pool in enumerate(self.pools):
            dealt[:, self.owner == item] = values[world[pool].astype(np.int64)][:, self.owner == item]
        strongest = strongest_pairs(pd.DataFrame(dealt, columns=self.answers.columns), self.owner).head(self.pairs)
        return Tests.of(gain_looks(strongest, NOWHERE, measure="association"))


@dataclass(frozen=True)
class Drifting(Repeated):
    """Rates or shares of personas in the last period against those before, as ``refinement.drift`` compares them.

    The pool holds the place of each deal's period, which a world deals out anew.
    """

    pool: str
    personas: Ints
    is_won: Floats
    shape: tuple[int, int]  # personas and periods
    measure: str
    threshold: float

    def tested(self, world: World) -> Tests:
        """Each persona now against before."""
        cell = self.personas * self.shape[1] + world[self.pool].astype(np.int64)
        n_cells, every = self.shape[0] * self.shape[1], np.ones(len(cell))
        won, n = (np.bincount(cell, of, n_cells).astype(float).reshape(self.shape) for of in (self.is_won, every))
        found = moves(won, n, self.threshold)[self.measure][1]
        figures = {name: getattr(found, name) for name in ("now", "before", "low", "high", "p", "beyond")}
        return Tests.of(pd.DataFrame(figures).rename(columns={"now": "estimate", "before": "baseline"}))
