"""Money and days in null worlds: what won deals bring and take, and what a won lead costs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.amounts import mean_amounts, shrink_amounts
from closedloop.evidence.costs import compare_costs
from closedloop.evidence.decided import won_per_decided
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.validation.worlds import Floats, Ints, Repeated, Tests, World


@dataclass(frozen=True)
class Sizes(Repeated):
    """Amounts or days of won deals, as ``evidence.looks.amount_looks`` compares them by groups.

    ``rows``: the deals' places in the pool; ``groups``: the number of each one's group, -1 without one. ``least``: what
    a smaller value counts as. ``is_per_decided``: what is lost counts as well (``evidence.money_looks.decided_looks``).
    """

    pool: str
    measure: str
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
    """What a won lead costs in each channel, as ``evidence.money_looks.cost_looks`` compares it.

    The pool's records are the subject's leads; ``channel`` is the place of each one's among those with the money
    ``spent``, ``n`` leads each.
    """

    pool: str
    subject: str
    channel: Ints
    n: Floats
    spent: Floats
    measure: str

    def is_made(self, world: World) -> bool:
        """It is compared where anything was won."""
        return bool(world[self.pool].sum() > 0)

    def tested(self, world: World) -> Tests:
        """Each channel's cost against that of the others."""
        k = np.bincount(self.channel, world[self.pool], len(self.n))
        costs = pd.DataFrame(compare_costs(k, np.maximum(self.n, k), self.spent)._asdict())
        return Tests.of(costs.assign(estimate=costs["estimate"].fillna(costs["low"]))[self.n >= LEAST_SHOWN])
