"""Drawn arms in null worlds: compared with each other as the loop compares them."""

from dataclasses import dataclass

import numpy as np

from closedloop.evidence.arms import MeanPairs, Pairs, mean_pairs, pairs
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.validation.worlds import SUPPORTED_BEYOND, SUPPORTED_Q, Floats, Ints, Tally, World


@dataclass(frozen=True)
class Drawn:
    """The tests of one experiment in one world: which arms are compared with which; one entry a look."""

    index: Ints
    p: Floats
    compared: Pairs | MeanPairs


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

    def _control(self, named: Ints) -> int | None:
        """The place of the declared control among the ``named`` arms."""
        return self.tally.level[named].tolist().index(self.control) if self.control else None

    def is_made(self, world: World) -> bool:
        """It is compared in every world."""
        return True

    def tested(self, world: World) -> Drawn:
        """Each arm against the control, the other, or all others."""
        k, n = self.tally.counts(world[self.pool][self.rows])
        named = np.flatnonzero(self.tally.is_named)
        found = pairs(k[named], n[named], self._control(named))
        return Drawn(named[found.arm], found.p, found)

    def effects(self, tested: Drawn, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        is_supported = (q <= SUPPORTED_Q) & (tested.compared.beyond(self.threshold) > SUPPORTED_BEYOND)
        return np.where(is_supported, tested.compared.effect, np.nan)


@dataclass(frozen=True)
class ArmAmounts(Arms):
    """What a lead of each arm brings, as ``evidence.arms.arm_amount_looks`` compares it."""

    def _brought(self, world: World) -> tuple[Floats, Ints]:
        """The amount of each lead, 0 where nothing is won, and the place of its arm among those named."""
        hit, amount = world[self.pool][self.rows], world[f"{self.pool} amount"][self.rows]
        place = self.tally.member[np.flatnonzero(self.tally.is_named)].toarray().argmax(axis=0)
        return hit * amount, place.astype(np.int64)

    def is_made(self, world: World) -> bool:
        """It is compared where ten leads or more of every arm pay."""
        amount, place = self._brought(world)
        return bool(np.bincount(place[amount > 0], minlength=int(self.tally.is_named.sum())).min() >= LEAST_SHOWN)

    def tested(self, world: World) -> Drawn:
        """Each arm against the control, the other, or all others."""
        amount, place = self._brought(world)
        named = np.flatnonzero(self.tally.is_named)
        found = mean_pairs(amount, place, len(named), self._control(named))
        return Drawn(named[found.arm], found.p, found)
