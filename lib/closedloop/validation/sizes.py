"""Looks at money and days in null worlds: what won deals bring and take, and what a won lead costs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.evidence.amounts import mean_amounts, shrink_amounts
from closedloop.evidence.costs import compare_costs
from closedloop.evidence.decided import won_per_decided
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.validation.worlds import SUPPORTED_BEYOND, SUPPORTED_Q, Floats, Ints, Tally, World


@dataclass(frozen=True)
class Sized:
    """The looks at money or days of one comparison in one world; one entry a look.

    ``beyond`` is 0 where the interval holds the baseline, so that no claim can be made.
    """

    index: Ints
    p: Floats
    effect: Floats
    beyond: Floats

    @classmethod
    def of(cls, index: Ints, looks: pd.DataFrame) -> "Sized":
        """Of looks with their estimate, low, high, baseline, p and beyond, and their places in a tally."""
        holds = looks["baseline"].between(looks["low"], looks["high"], inclusive="neither")
        columns = looks["p"], looks["estimate"] - looks["baseline"], looks["beyond"].where(~holds, 0.0)
        return cls(index, *(part.to_numpy(dtype=float) for part in columns))

    def effects(self, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        return np.where((q <= SUPPORTED_Q) & (self.beyond > SUPPORTED_BEYOND), self.effect, np.nan)


@dataclass(frozen=True)
class Sizes:
    """Amounts or days of won deals, as ``evidence.looks.amount_looks`` compares them by persona.

    ``rows``: the deals' places in the pool; ``personas``: theirs; ``tally`` names the levels. ``is_per_decided``: what
    is lost counts as well, as in ``evidence.looks.decided_looks``.
    """

    pool: str
    measure: str
    rows: Ints
    personas: NDArray[np.object_]
    tally: Tally
    size: str
    least: float = 0.0  # what a smaller value counts as
    is_per_decided: bool = False
    subject: str = "market"

    def is_made(self, world: World) -> bool:
        """It is compared in every world."""
        return True

    def tested(self, world: World) -> Sized:
        """Each persona's mean against that of all."""
        outcome, size = world[self.pool][self.rows], world[f"{self.pool} {self.size}"][self.rows]
        has_size = (size > 0) | (np.isfinite(size) & (self.least > 0))
        known = ~np.isnan(outcome) if self.is_per_decided else has_size  # only won deals have sizes
        personas = pd.Series(self.personas[known])
        counted = personas.map(personas.value_counts()).to_numpy(dtype=float) >= LEAST_SHOWN
        won, amount, group = (
            outcome[known][counted] == 1,
            np.maximum(size[known], self.least)[counted],
            personas[counted],
        )
        if self.is_per_decided:
            table = won_per_decided(won, amount, group)
        else:  # days have a least value, and are bounded
            table = shrink_amounts(amount, group, is_bounded=True) if self.least else mean_amounts(amount, group)
        table = table if len(table) > 1 else table.head(0)
        place = {level: i for i, level in enumerate(self.tally.level)}
        return Sized.of(np.array([place[level] for level in table["group"]], dtype=np.int64), table)

    def effects(self, tested: Sized, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        return tested.effects(q)


@dataclass(frozen=True)
class Spending:
    """What a won lead costs in each channel, as ``evidence.looks.cost_looks`` compares it.

    The pool's records are equal shares of all money, which won leads fall on: in a null world each is as likely to
    bring one as any other. ``rows``: the subject's records; ``tally``: their channels; ``n`` leads and the money
    ``spent`` of every level of the tally.
    """

    pool: str
    subject: str
    rows: Ints
    tally: Tally
    n: Floats
    spent: Floats
    measure: str = "cost_per_won_amount"

    def is_made(self, world: World) -> bool:
        """It is compared where anything was won."""
        return bool(world[self.pool][self.rows].sum() > 0)

    def tested(self, world: World) -> Sized:
        """Each channel's cost against that of the others."""
        k = self.tally.counts(world[self.pool][self.rows])[0][self.tally.is_named]
        costs = pd.DataFrame(compare_costs(k, np.maximum(self.n, k), self.spent)._asdict())
        costs = costs.assign(estimate=costs["estimate"].fillna(costs["low"]))
        shown = np.flatnonzero(self.n >= LEAST_SHOWN)
        return Sized.of(np.flatnonzero(self.tally.is_named)[shown], costs.iloc[shown])

    def effects(self, tested: Sized, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        return tested.effects(q)
