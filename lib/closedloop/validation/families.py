"""The families of a notebook in null worlds: what they claim though nothing differs, and of an effect planted there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from closedloop.claims.ledger import alike, false_discovery_q
from closedloop.validation.outcomes import Comparison
from closedloop.validation.worlds import SUPPORTED_Q, Floats, Pool, Repeated, Tests, World, generator
from closedloop.workbench.answer import rate_of


@dataclass(frozen=True)
class Unrepeated(Repeated):
    """A comparison that is not made again here, because it takes long: it counts in the size of its family."""

    measure: str

    def tested(self, world: World) -> Tests:
        """A test without a p value."""
        return Tests(*np.full((3, 1), np.nan))


@dataclass(frozen=True)
class Family:
    """One family of a notebook in one period: every comparison in it, as it is made again in each world.

    ``name``: as ``workbench.answer`` names it, or that of a family which a verb closes itself.
    """

    period: str
    notebook: str
    name: str
    parts: tuple[Any, ...]

    @property
    def widest(self) -> Comparison | None:
        """The comparison of the whole market's win rates by most levels, in which effects are planted."""
        wide = [part for part in self.parts if isinstance(part, Comparison) and part.gate is None]
        own = [part for part in wide if part.measure == "win_rate" and part.subject == "market"]
        return max(own, key=lambda part: len(part.tally.level), default=None)

    def n_compared(self, world: World) -> int:
        """How many comparisons it holds in that world."""
        return sum(len(part.tested(world).p) for part in self.parts if part.is_made(world))

    def supported(self, world: World) -> list[tuple[Any, Any, Floats]]:
        """Each comparison made in that world, its tests, and the effects of those that are supported."""
        made = [(part, part.tested(world)) for part in self.parts if part.is_made(world)]
        sizes = np.cumsum([len(tests.p) for _, tests in made])
        q = false_discovery_q(np.concatenate([np.empty(0), *(tests.p for _, tests in made)]))
        q *= SUPPORTED_Q / rate_of(self.name)  # one rule for all parts: a stricter family's q count for more
        own = np.split(q, sizes)[: len(made)]
        return [(part, tests, part.effects(tests, q)) for (part, tests), q in zip(made, own, strict=True)]

    def n_claims(self, world: World) -> int:
        """How many claims it supports in that world."""
        return sum(int((~np.isnan(effects)).sum()) for _, _, effects in self.supported(world))


@dataclass(frozen=True)
class NullMarket:
    """A market cut up so that any number of its null worlds can be made and looked at without its database.

    ``planted_in``: the family in which effects are planted. ``left_out``: what notebooks compare and worlds do not.
    """

    name: str
    pools: Mapping[str, Pool]
    families: tuple[Family, ...]
    planted_in: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    smallest: float = 0.10

    @property
    def world(self) -> World:
        """The real one."""
        return {key: values for name, pool in self.pools.items() for key, values in pool.world(name).items()}

    def null_world(self, number: int) -> World:
        """The null world of that number: in each pool it is drawn anew who has which outcome."""
        seed = f"{self.name}/self-test/{number}"
        return {key: values for name, pool in self.pools.items() for key, values in pool.shuffled(name, seed).items()}


EFFECTS = (0.05, 0.10, 0.15)


class Planted(NamedTuple):
    """One planted effect: was it found, at which n, and would its field have been said to make no difference?"""

    is_found: bool
    n: int
    is_denied: bool


def planted(market: NullMarket, number: int) -> dict[float, Planted]:
    """Each of ``EFFECTS`` planted in the null world of that number; none where no level has room for it."""
    if market.planted_in is None:
        return {}
    family, world = market.families[market.planted_in], market.null_world(number)
    rng = generator(f"{market.name}/planted/{number}")
    found = {effect: _planted(family, world, effect, rng, market.smallest) for effect in EFFECTS}
    return {effect: one for effect, one in found.items() if one is not None}


def _planted(family: Family, world: World, effect: float, rng: np.random.Generator, smallest: float) -> Planted | None:
    """An effect on a level drawn from all that are compared; None where none has room for it."""
    comparison = family.widest
    assert comparison is not None
    before = comparison.tested(world)
    for i in map(int, rng.permutation(len(before.index))):
        share, base = before.n[i] / before.n_field[i], float(before.base[i])
        outside = -share / (1 - share) if share < 1 else np.inf  # how the other deals move, so that the rate stays
        signs = [s for s in (1, -1) if share < 1 and all(0 < base + s * effect * of < 1 for of in (1, outside))]
        if not signs:
            continue
        sign, row = int(rng.choice(signs)), int(before.index[i])
        is_in = comparison.tally.member[[row]].toarray()[0] > 0
        outcomes = world[comparison.pool].copy()
        for rows, change in ((comparison.rows[is_in], 1), (comparison.rows[~is_in], outside)):
            outcomes[rows] = _moved(outcomes[rows], base, sign * effect * change, rng)
        altered = {**world, comparison.pool: outcomes}
        tested, effects = next(found[1:] for found in family.supported(altered) if found[0] is comparison)
        is_found = bool((np.sign(effects[tested.index == row]) == sign).any())
        own = comparison.tally.code[tested.index] == comparison.tally.code[row]
        rates = {"unit": "rate", "n": tested.n, "n_effective": tested.sizes, "baseline": tested.base, "p": tested.p}
        return Planted(is_found, int(before.n[i]), bool(alike(pd.DataFrame(rates)[own], smallest).all()))
    return None


def _moved(outcomes: Floats, base: float, change: float, rng: np.random.Generator) -> Floats:
    """Outcomes whose rate ``base`` moves by ``change``: as many failures as needed succeed, or the other way round."""
    chance, from_, to = (change / (1 - base), 0.0, 1.0) if change > 0 else (-change / base, 1.0, 0.0)
    return np.where((outcomes == from_) & (rng.random(len(outcomes)) < chance), to, outcomes)
