"""Drawn arms in null worlds: compared with each other as the loop compares them."""

from dataclasses import dataclass

import numpy as np

from closedloop.evidence.arms import Pairs, pairs
from closedloop.loop.null_pools import SUPPORTED_BEYOND, SUPPORTED_Q, Floats, Ints, Tally, World


@dataclass(frozen=True)
class Drawn:
    """The tests of one experiment in one world: which arms are compared with which; one entry a look."""

    index: Ints
    p: Floats
    compared: Pairs


@dataclass(frozen=True)
class Arms:
    """The drawn arms of one experiment, as ``evidence.arms.arm_looks`` compares them with each other.

    ``rows``: the leads' places in the pool; ``tally`` names the arms, of which ``control`` is declared or none.
    """

    pool: str
    rows: Ints
    tally: Tally
    measure: str
    threshold: float
    subject: str
    control: str | None = None

    def is_made(self, world: World) -> bool:
        """It is compared in every world."""
        return True

    def tested(self, world: World) -> Drawn:
        """Each arm against the control, the other, or all others."""
        k, n = self.tally.counts(world[self.pool][self.rows])
        named = np.flatnonzero(self.tally.is_named)
        found = pairs(
            k[named], n[named], self.tally.level[named].tolist().index(self.control) if self.control else None
        )
        return Drawn(named[found.arm], found.p, found)

    def effects(self, tested: Drawn, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        is_supported = (q <= SUPPORTED_Q) & (tested.compared.beyond(self.threshold) > SUPPORTED_BEYOND)
        return np.where(is_supported, tested.compared.effect, np.nan)
