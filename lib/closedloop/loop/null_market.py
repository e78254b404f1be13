"""What null worlds of a market are made of: its outcomes in pools to shuffle, and all that is compared with them."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from closedloop.evidence.amounts import shrink_amounts
from closedloop.evidence.claims import false_discovery_q
from closedloop.evidence.rates import midp, shrink_rates, spread_beyond_luck, standardised
from closedloop.loop.comparisons import REP_LUCK
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import PersonaSet

if TYPE_CHECKING:
    from closedloop.loop.null_arms import Arms

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
World: TypeAlias = Mapping[str, Floats]  # the outcomes of each pool (1, 0, missing), and "<pool> <measure>" its sizes

DEALS = "deals"
SUPPORTED_Q, SUPPORTED_BEYOND = 0.10, 0.5  # as ``evidence.claims`` has them


@dataclass(frozen=True)
class Pool:
    """Outcomes that may change places with those of the same group (period); ``outcomes`` as in a World.

    ``sizes``: what belongs to an outcome and moves with it: amounts and days, by measure.
    """

    outcomes: Floats
    groups: Ints
    sizes: Mapping[str, Floats] = field(default_factory=dict)

    def world(self, name: str) -> World:
        """The real outcomes of the pool of that name."""
        return {name: self.outcomes, **{f"{name} {size}": values for size, values in self.sizes.items()}}

    def shuffled(self, name: str, rng: np.random.Generator) -> World:
        """The same, each group's in an order drawn from ``rng``."""
        drawn = np.lexsort((rng.random(len(self.outcomes)), self.groups))
        order = np.empty_like(drawn)
        order[np.argsort(self.groups, kind="stable")] = drawn
        return {key: values[order] for key, values in self.world(name).items()}


@dataclass(frozen=True)
class Tally:
    """Which rows bear which level of which field: the same in every world, so that counting is one product.

    ``field`` and ``level`` name the rows of ``member`` (levels x records, 0/1); a missing level is None.
    """

    field: NDArray[np.object_]
    level: NDArray[np.object_]
    code: Ints  # number of the field
    member: sparse.csr_array

    @classmethod
    def of(cls, by: pd.DataFrame, *, with_gaps: bool = True) -> "Tally":
        """Of records by their fields, already cut into levels; without gaps their records count nowhere."""
        parts, names = [], []
        for number, column in enumerate(by.columns):
            codes, found = pd.factorize(by[column], sort=True, use_na_sentinel=True)
            record = np.arange(len(by)) if with_gaps else np.flatnonzero(codes >= 0)
            place = np.where(codes < 0, len(found), codes)[record]
            shape, ones = (len(found) + 1, len(by)), np.ones(len(record), dtype=np.int8)
            parts.append(sparse.csr_array((ones, (place, record)), shape=shape))
            names += [(str(column), level, number) for level in [*map(str, found), None]]
        stack = sparse.csr_array(sparse.vstack(parts)) if parts else sparse.csr_array((0, len(by)), dtype=np.int8)
        field_, level_, code = zip(*names, strict=True) if names else ((), (), ())
        return cls(np.array(field_, object), np.array(level_, object), np.array(code, np.int64), stack)

    @property
    def is_named(self) -> Bools:
        """Which rows are levels, not gaps."""
        return np.array([level is not None for level in self.level], dtype=bool)

    def counts(self, hit: Floats) -> tuple[Floats, Floats]:
        """k and n of ``hit`` (missing ones left out) at every level."""
        known = ~np.isnan(hit)
        return self.member @ np.where(known, hit, 0.0), self.member @ known.astype(float)

    def counts_by(self, hit: Floats, groups: Ints) -> tuple[Floats, Floats]:
        """``counts`` inside each group: (levels, groups)."""
        known = np.flatnonzero(~np.isnan(hit))
        shape = (len(hit), groups.max(initial=0) + 1)
        n = sparse.csr_array((np.ones(len(known)), (known, groups[known])), shape=shape)
        k = sparse.csr_array((hit[known], (known, groups[known])), shape=shape)
        return (self.member @ k).toarray(), (self.member @ n).toarray()

    def totals(self, values: Floats) -> Floats:
        """The sum of ``values`` (one entry or row a level) over each level's field, at every level."""
        sums = np.zeros((self.code.max(initial=0) + 1, *values.shape[1:]))
        np.add.at(sums, self.code, values)
        return sums[self.code]


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
        return Tested(i, n[i], hits[i], sizes[i], n_all[i], base[i], midp(k[i], n[i], expected[i] / n[i]))

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
            apart = (base <= shrunk.low) | (base >= shrunk.high)
            is_supported = (q[own] <= SUPPORTED_Q) & (shrunk.beyond(self.threshold, base) > SUPPORTED_BEYOND) & apart
            found[own] = np.where(is_supported, shrunk.mean - base, np.nan)
        return found


@dataclass(frozen=True)
class Sized:
    """The looks at amounts or days of one comparison in one world; one entry a look."""

    index: Ints
    p: Floats
    effect: Floats
    beyond: Floats


@dataclass(frozen=True)
class Sizes:
    """Amounts or days of won deals, as ``evidence.looks.amount_looks`` compares them by persona.

    ``rows``: the deals' places in the pool; ``personas``: theirs; ``tally`` names the levels.
    """

    pool: str
    measure: str
    rows: Ints
    personas: NDArray[np.object_]
    tally: Tally
    least: float = 0.0  # what a smaller value counts as
    subject: str = "market"

    def is_made(self, world: World) -> bool:
        """It is compared in every world."""
        return True

    def tested(self, world: World) -> Sized:
        """Each persona's mean against that of all."""
        size, won = world[f"{self.pool} {self.measure}"][self.rows], world[self.pool][self.rows] == 1
        known = won & ((size > 0) | (np.isfinite(size) & (self.least > 0)))
        personas = pd.Series(self.personas[known])
        counted = personas.map(personas.value_counts()).to_numpy(dtype=float) >= LEAST_SHOWN
        table = shrink_amounts(np.maximum(size[known], self.least)[counted], personas[counted])
        table = table if len(table) > 1 else table.head(0)
        place = {level: i for i, level in enumerate(self.tally.level)}
        index = np.array([place[level] for level in table["group"]], dtype=np.int64)
        effect = table["estimate"] - table["baseline"]
        beyond = table["beyond"].where(~table["baseline"].between(table["low"], table["high"], inclusive="neither"), 0)
        return Sized(index, *(part.to_numpy(dtype=float) for part in (table["p"], effect, beyond)))

    def effects(self, tested: Sized, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        return np.where((q <= SUPPORTED_Q) & (tested.beyond > SUPPORTED_BEYOND), tested.effect, np.nan)


@dataclass(frozen=True)
class Family:
    """All looks at outcomes of one moment."""

    period: str
    name: str
    comparisons: tuple[Comparison, ...]
    sizes: tuple[Sizes, ...] = ()
    arms: "tuple[Arms, ...]" = ()

    def n_looks(self, world: World) -> int:
        """How many looks it has in that world."""
        return sum(len(tested.p) for _, tested, _ in self.supported(world))

    def supported(self, world: World) -> list[tuple[Any, Any, Floats]]:
        """Each comparison made in that world, its tests, and the effects of those that are supported."""
        parts: tuple[Any, ...] = (*self.comparisons, *self.sizes, *self.arms)
        made = [(part, part.tested(world)) for part in parts if part.is_made(world)]
        sizes = np.cumsum([len(tested.p) for _, tested in made])
        q = false_discovery_q(np.concatenate([np.empty(0), *(tested.p for _, tested in made)]))
        own = np.split(q, sizes)[: len(made)]
        return [(part, tested, part.effects(tested, q)) for (part, tested), q in zip(made, own, strict=True)]


@dataclass(frozen=True)
class Promise:
    """Whose the deals were from which a persona set's win rates come: rows of the pool and their personas."""

    rows: Ints
    personas: NDArray[np.object_]


@dataclass(frozen=True)
class Review:
    """What refinement looks at when a period has ended; ``rows``: all deals ended so far, ``groups`` their periods.

    ``splits``: their levels by persona and field; ``now``: personas of those that ended in the period (``is_now``).
    """

    period: str
    in_force: PersonaSet
    promise: Promise
    rows: Ints
    groups: Ints
    is_now: Bools
    splits: Tally
    now: Tally
    rate: float


@dataclass(frozen=True)
class NullMarket:
    """A market cut up so that any number of its null worlds can be made and looked at without its database."""

    name: str
    pools: Mapping[str, Pool]
    families: tuple[Family, ...]
    reviews: tuple[Review, ...]
    planted_in: int | None  # the family in which effects are planted: the outcomes of the last complete period

    @property
    def world(self) -> World:
        """The real one."""
        return dict(ChainMap(*(dict(pool.world(name)) for name, pool in self.pools.items())))

    def shuffled(self, rng: np.random.Generator) -> World:
        """A null world: within each period, who was won and who was accepted is drawn anew."""
        return dict(ChainMap(*(dict(pool.shuffled(name, rng)) for name, pool in self.pools.items())))
