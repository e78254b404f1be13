"""Rates in null worlds, the families of a notebook, and the market that worlds are made of."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from closedloop.evidence.claims import false_discovery_q
from closedloop.evidence.rates import midp, shrink_rates, spread_beyond_luck
from closedloop.evidence.recording import unfit
from closedloop.evidence.strata import as_counted, standardised
from closedloop.loop.comparisons import REP_LUCK
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.validation.worlds import SUPPORTED_BEYOND, SUPPORTED_Q, Bools, Floats, Ints, Pool, Tally, World


@dataclass(frozen=True)
class Tested:
    """The tests of one comparison in one world, before any estimate is made; one entry a look.

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
class Comparison:
    """One measure by all its fields: ``rows`` are its records' places in the pool, ``groups`` their periods there.

    ``spread``: records by rep; reps are compared only in worlds where they differ beyond luck as a group, and within
    personas as well, by the same p values as ``deals`` (their effects there are those of ``evidence.crossed``).
    """

    pool: str
    rows: Ints
    groups: Ints
    tally: Tally
    measure: str
    threshold: float
    subject: str = "market"
    spread: Tally | None = None
    late: frozenset[str] = frozenset()  # fields that are filled after creation

    def hits(self, world: World) -> Floats:
        """The records' outcomes in that world."""
        return world[self.pool][self.rows]

    def is_made(self, world: World) -> bool:
        """Is it compared at all in that world?"""
        if self.spread is None:
            return True
        k, n = self.spread.counts(self.hits(world))
        named = self.spread.is_named
        return bool(spread_beyond_luck(k[named], n[named]) <= REP_LUCK)

    def tested(self, world: World) -> Tested:
        """The looks of ``evidence.looks.rate_looks`` as far as their p values."""
        k, n = self.tally.counts_by(self.hits(world), self.groups)
        k_all, n_all = self.tally.totals(k), self.tally.totals(n)
        share = np.divide(n, n_all, out=np.zeros_like(n), where=n_all > 0)
        expected, contrast = (share * k_all).sum(axis=1), (n * (1 - share)).sum(axis=1)
        k, n, k_all, n_all = (part.sum(axis=1) for part in (k, n, k_all, n_all))
        base = np.divide(k_all, n_all, out=np.zeros_like(k_all), where=n_all > 0)
        hits, sizes = standardised(k, n, expected, contrast, base, n_all)
        seen = (sizes >= LEAST_SHOWN) & self.tally.is_named
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
            reasons = unfit(k[rows], n[rows], p[own], k_all[rows[0]], n_all[rows[0]], LEAST_SHOWN, is_late[own])
            fits[own] = reasons == ""
        return fits

    def effects(self, tested: Tested, q: Floats) -> Floats:
        """The effect of each look whose claim is supported, by ``evidence.claims``' rule; missing for all others.

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
class Spread:
    """The spread of a field's levels against what luck alone would give: one comparison."""

    pool: str
    rows: Ints
    tally: Tally
    measure: str = "rep_spread"

    def is_made(self, world: World) -> bool:
        """It is compared in every world."""
        return True

    def tested(self, world: World) -> "Luck":
        """The p value of the spread between all levels."""
        k, n = self.tally.counts(world[self.pool][self.rows])
        named = self.tally.is_named
        return Luck(np.array([spread_beyond_luck(k[named], n[named])]))

    def effects(self, tested: "Luck", q: Floats) -> Floats:
        """One less the p value where the claim is supported; missing where it is not."""
        return np.where((q <= SUPPORTED_Q) & (1 - tested.p > SUPPORTED_BEYOND), 1 - tested.p, np.nan)


class Luck(NamedTuple):
    """The test of one spread in one world."""

    p: Floats


@dataclass(frozen=True)
class Family:
    """One family of a notebook in one period: every comparison in it that is made again in each world."""

    period: str
    notebook: str
    name: str
    parts: tuple[Any, ...]

    @property
    def widest(self) -> Comparison | None:
        """The comparison of the whole market's rates by most levels, in which effects are planted; None without any."""
        wide = [part for part in self.parts if isinstance(part, Comparison) and part.spread is None]
        own = [part for part in wide if part.measure == "win_rate" and part.subject == "market"]
        return max(own, key=lambda part: len(part.tally.level), default=None)

    def n_compared(self, world: World) -> int:
        """How many comparisons it holds in that world."""
        return sum(len(tested.p) for _, tested, _ in self.supported(world))

    def supported(self, world: World) -> list[tuple[Any, Any, Floats]]:
        """Each comparison made in that world, its tests, and the effects of those that are supported."""
        made = [(part, part.tested(world)) for part in self.parts if part.is_made(world)]
        sizes = np.cumsum([len(tested.p) for _, tested in made])
        q = false_discovery_q(np.concatenate([np.empty(0), *(tested.p for _, tested in made)]))
        own = np.split(q, sizes)[: len(made)]
        return [(part, tested, part.effects(tested, q)) for (part, tested), q in zip(made, own, strict=True)]


@dataclass(frozen=True)
class NullMarket:
    """A market cut up so that any number of its null worlds can be made and looked at without its database.

    ``planted_in``: the family in which effects are planted. ``left_out``: what notebooks compare and worlds do not.
    """

    name: str
    pools: Mapping[str, Pool]
    families: tuple[Family, ...]
    reviews: tuple[Any, ...]
    planted_in: int | None
    left_out: Mapping[str, str]
    smallest: float = 0.10

    @property
    def world(self) -> World:
        """The real one."""
        return dict(ChainMap(*(dict(pool.world(name)) for name, pool in self.pools.items())))

    def shuffled(self, rng: np.random.Generator) -> World:
        """A null world: within each period, who was won and who was accepted is drawn anew."""
        return dict(ChainMap(*(dict(pool.shuffled(name, rng)) for name, pool in self.pools.items())))
