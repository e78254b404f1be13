"""Rates in null worlds, compared as ``evidence.looks.rate_looks`` compares them."""

from dataclasses import dataclass

import numpy as np

from closedloop.evidence.rates import midp, shrink_rates, spread_beyond_luck
from closedloop.evidence.recording import unfit
from closedloop.evidence.strata import as_counted, standardised
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.validation.worlds import (
    SUPPORTED_BEYOND,
    SUPPORTED_Q,
    Bools,
    Floats,
    Ints,
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
