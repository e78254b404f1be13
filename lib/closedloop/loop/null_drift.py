"""Drift in null worlds: which deals closed in which period is drawn anew, so that nothing moves with time."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.claims import false_discovery_q
from closedloop.evidence.drift import Drift
from closedloop.loop.drift import compared
from closedloop.loop.null_pools import SUPPORTED_BEYOND, SUPPORTED_Q


@dataclass(frozen=True)
class Drifting:
    """The decided deals that 06 compares in one period: persona, is_won, period, the last of the ``names`` is now."""

    period: str
    measure: str
    family: str
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
