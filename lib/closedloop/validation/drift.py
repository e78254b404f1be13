"""Drift in null worlds: which deals closed in which period is drawn anew, so that nothing moves with time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.claims import false_discovery_q
from closedloop.evidence.drift import Drift
from closedloop.loop.drift import MIX, OUTCOME, RATE, SHARE, by_period, compared
from closedloop.loop.edits import FEWEST_DEALS
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import decided
from closedloop.loop.situation import Situation
from closedloop.market.periods import Period
from closedloop.market.warehouse import Warehouse
from closedloop.validation.worlds import SUPPORTED_BEYOND, SUPPORTED_Q


@dataclass(frozen=True)
class Drifting:
    """The decided deals that 06 compares in one period: persona, is_won, period, the last of the ``names`` is now."""

    period: str
    measure: str
    name: str
    deals: pd.DataFrame
    names: list[str]
    personas: list[str]
    threshold: float

    @property
    def n_looks(self) -> int:
        """How many groups are compared."""
        return len(self._found(self.deals).p)

    def supported(self, rng: np.random.Generator) -> int:
        """Moves that are claimed in a world drawn from ``rng``: all of them wrong."""
        shuffled = self.deals.assign(period=rng.permutation(self.deals["period"].to_numpy()))
        found = self._found(shuffled)
        apart = (found.before <= found.low) | (found.before >= found.high)
        q = false_discovery_q(found.p)
        return int(((q <= SUPPORTED_Q) & (found.beyond > SUPPORTED_BEYOND) & apart).sum())

    def _found(self, deals: pd.DataFrame) -> Drift:
        return compared(deals, self.names, self.personas, self.threshold)[self.measure][1]


def drifts(warehouse: Warehouse, sets: Mapping[Period, PersonaSet]) -> tuple[Drifting, ...]:
    """What 06 compares with earlier periods, in every period that has ended with deals enough."""
    found: list[Drifting] = []
    if not warehouse.has("deals") or warehouse.definition.clock == "none":
        return ()
    for period, in_force in sets.items():
        situation = Situation.looking_back(warehouse, period)
        if period.running or situation.in_period(decided(situation)["closed_on"]).sum() < FEWEST_DEALS:
            continue
        deals, names = by_period(situation, in_force)
        if len(names) > 1:
            of = (deals[["persona", "is_won", "period"]], names, in_force.ids)
            threshold = warehouse.definition.claims.practical_threshold
            pairs = ((OUTCOME, RATE), (MIX, SHARE))
            found += [Drifting(period.name, measure, family, *of, threshold) for family, measure in pairs]
    return tuple(found)
