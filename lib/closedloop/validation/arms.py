"""Drawn arms in null worlds: compared with each other as the notebooks compare them."""

from dataclasses import dataclass

import numpy as np

from closedloop.evidence.arms import mean_pairs, pairs
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.validation.worlds import Ints, Repeated, Tests, World


@dataclass(frozen=True)
class Arms(Repeated):
    """The drawn arms of one experiment, as ``evidence.arms.arm_looks`` compares them with each other.

    The pool holds the experiment's leads; ``arm``: the place of each one's among the ``names``; ``control`` is one of
    them or none. ``is_amount``: by what a lead brought, as ``evidence.arms.arm_amount_looks`` does.
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
