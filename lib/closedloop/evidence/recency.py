"""Base rates as they were known: moving averages of outcomes that lag behind the row they describe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.indicators import Floats

HALF_LIVES = (50.0, 200.0, 1000.0)
_PRIOR_ROWS = 10.0
_PLAIN = 1  # the half-life that is the lagged base rate on its own


def lagged_rates(y: Floats, lag_rows: int, half_life_rows: float) -> Floats:
    """Rate (n + 1,) known before each row and after the last: outcomes up to ``lag_rows`` rows earlier.

    ``y``: outcomes 0/1 in order of time. An exponential moving average that begins at one half, weighing ten rows.
    """
    keep = 0.5 ** (1 / half_life_rows)
    hits = scipy.signal.lfilter([1.0], [1.0, -keep], y)
    seen = scipy.signal.lfilter([1.0], [1.0, -keep], np.ones(len(y)))
    rate = (np.concatenate([[0.0], hits]) + 0.5 * _PRIOR_ROWS) / (np.concatenate([[0.0], seen]) + _PRIOR_ROWS)
    known = np.maximum(np.arange(len(y) + 1) - lag_rows, 0)
    lagged: Floats = rate[known]
    return lagged


@dataclass(frozen=True)
class RateHistory:
    """Rates (n + 1, half-lives) without lag, the times of the n rows (None: undated), and the lag in rows."""

    rates: Floats
    when: pd.Series | None
    lag_rows: int

    @classmethod
    def of(cls, y: Floats, when: pd.Series | None, lag_rows: int) -> RateHistory:
        """From outcomes in order of time."""
        return cls(np.column_stack([lagged_rates(y, 0, h) for h in HALF_LIVES]), when, lag_rows)

    def lagged(self) -> Floats:
        """(n, half-lives) what was known before each row."""
        n = len(self.rates) - 1
        known: Floats = self.rates[np.maximum(np.arange(n) - self.lag_rows, 0)]
        return known

    def lagged_rate(self) -> Floats:
        """(n,) the lagged base rate alone."""
        return self.lagged()[:, _PLAIN]

    def at(self, n: int, when: pd.Series | None) -> Floats:
        """(n, half-lives) at these times; rows after the history, and rows without a time, see its end."""
        last = len(self.rates) - 1
        if when is None or self.when is None:
            return np.repeat(self.rates[[last]], n, axis=0)
        place = np.searchsorted(self.when.to_numpy(), when.to_numpy(), side="left")
        known = np.where(place >= last, last, np.maximum(place - self.lag_rows, 0))
        rates: Floats = self.rates[known]
        return rates


def plain_rate(rates: Floats) -> Floats:
    """(n,) the lagged base rate among (n, half-lives)."""
    return rates[:, _PLAIN]
