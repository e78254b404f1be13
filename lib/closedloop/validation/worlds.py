"""What null worlds shuffle and count by: pools of outcomes, and the levels that records bear in every world."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from closedloop.terms import RARE

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
World: TypeAlias = Mapping[str, Floats]  # the outcomes of each pool (1, 0, missing), and "<pool> <measure>" its sizes

DEALS = "deals"
SUPPORTED_Q, SUPPORTED_BEYOND = 0.10, 0.5  # as ``claims.ledger`` has them


@dataclass(frozen=True)
class Pool:
    """Outcomes that may change places with those of the same group (period); ``outcomes`` as in a World.

    ``sizes``: what belongs to an outcome and moves with it: amounts and days, by measure.
    """

    outcomes: Floats
    groups: Ints
    sizes: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: Floats, groups: Ints | None = None, **sizes: Floats) -> Self:
        """A pool of one group, unless ``groups`` are given."""
        return cls(outcomes, np.zeros(len(outcomes), dtype=np.int64) if groups is None else groups, sizes)

    def world(self, name: str) -> World:
        """The real outcomes of the pool of that name."""
        return {name: self.outcomes, **{f"{name} {size}": values for size, values in self.sizes.items()}}

    def shuffled(self, name: str, seed: str) -> World:
        """The same, each group's in an order that ``seed`` and the name settle."""
        drawn = np.lexsort((generator(f"{seed}/{name}").random(len(self.outcomes)), self.groups))
        order = np.empty_like(drawn)
        order[np.argsort(self.groups, kind="stable")] = drawn
        return {key: values[order] for key, values in self.world(name).items()}


@dataclass(frozen=True)
class Money(Pool):
    """Leads that money was ``spent`` on: in a null world each won lead falls on the money, wherever it was spent."""

    def shuffled(self, name: str, seed: str) -> World:
        """As many won leads, drawn with chances in proportion to the money of each; one may be drawn again."""
        spent, n_won = self.sizes["spent"], int(self.outcomes.sum())
        drawn = generator(f"{seed}/{name}").choice(len(spent), n_won, p=spent / spent.sum())
        return {name: np.bincount(drawn, minlength=len(spent)).astype(float), f"{name} spent": spent}


@dataclass(frozen=True)
class Errors(Pool):
    """Errors of estimates that rest on no outcome: standard normal in each null world, missing in the real one."""

    def shuffled(self, name: str, seed: str) -> World:
        """As many, drawn anew."""
        return {name: generator(f"{seed}/{name}").standard_normal(len(self.outcomes))}


def generator(seed: str) -> np.random.Generator:
    """The generator of that seed: the same text always draws the same numbers."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))


@dataclass(frozen=True)
class Tests:
    """What one comparison finds in one world, one entry a test; ``beyond`` 0 where the interval holds the baseline."""

    __test__: ClassVar[bool] = False  # pytest collects classes of such a name

    p: Floats
    effect: Floats
    beyond: Floats

    @classmethod
    def of(cls, compared: pd.DataFrame) -> "Tests":
        """Of comparisons with estimate, low, high, baseline, p and beyond."""
        holds = (compared["low"] < compared["baseline"]) & (compared["baseline"] < compared["high"])
        columns = compared["p"], compared["estimate"] - compared["baseline"], compared["beyond"].where(~holds, 0.0)
        return cls(*(part.to_numpy(dtype=float) for part in columns))


class Repeated:
    """A comparison of a notebook that is made again in every world."""

    def is_made(self, world: World) -> bool:
        """Is it made at all in that world?"""
        return True

    def tested(self, world: World) -> Any:
        """Its tests in that world, with their ``p``."""
        raise NotImplementedError

    def effects(self, tests: Any, q: Floats) -> Floats:
        """The effect of each test whose claim ``claims.ledger`` would support; missing for all others."""
        return np.where((q <= SUPPORTED_Q) & (tests.beyond > SUPPORTED_BEYOND), tests.effect, np.nan)


@dataclass(frozen=True)
class Tally:
    """Which rows bear which level of which field: the same in every world, so that counting is one product.

    ``field`` and ``level`` name the rows of ``member`` (levels x records, 0/1); the level of what is ``RARE`` is None.
    A record without a level counts nowhere.
    """

    field: NDArray[np.object_]
    level: NDArray[np.object_]
    code: Ints  # number of the field
    member: sparse.csr_array

    @classmethod
    def of(cls, by: pd.DataFrame) -> "Tally":
        """Of records by their fields, already cut into levels."""
        parts, names = [], []
        for number, column in enumerate(by.columns):
            codes, found = pd.factorize(by[column], sort=True, use_na_sentinel=True)
            record = np.flatnonzero(codes >= 0)
            shape, ones = (len(found), len(by)), np.ones(len(record), dtype=np.int8)
            parts.append(sparse.csr_array((ones, (codes[record], record)), shape=shape))
            names += [(str(column), None if level == RARE else str(level), number) for level in found]
        stack = sparse.csr_array(sparse.vstack(parts)) if parts else sparse.csr_array((0, len(by)), dtype=np.int8)
        field_, level_, code = zip(*names, strict=True) if names else ((), (), ())
        return cls(np.array(field_, object), np.array(level_, object), np.array(code, np.int64), stack)

    @property
    def is_named(self) -> Bools:
        """Which rows are levels of their own."""
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
