"""The families of a notebook in null worlds, and the market that the worlds are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from closedloop.claims.ledger import false_discovery_q
from closedloop.validation.outcomes import Comparison
from closedloop.validation.worlds import SUPPORTED_Q, Floats, Pool, Repeated, Tests, World
from closedloop.workbench.families import rate_of


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

    ``name``: as ``questions.families`` names it, or that of a family which a verb closes itself.
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
