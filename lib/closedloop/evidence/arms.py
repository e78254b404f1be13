"""Drawn arms of one experiment, compared with each other and never with their own mean."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.evidence.agreement import difference_interval
from closedloop.evidence.indicators import Floats
from closedloop.evidence.looks import LOOK_COLUMNS, Origin, meta_of, typed
from closedloop.evidence.rates import exact_difference_p, wilson

ALL_OTHERS = -1  # place of what an arm is compared with where no arm is its control
_QUANTILES = 400


class Pairs(NamedTuple):
    """Comparisons of arms, one entry each: places of the arm and of what it is compared with, k of n of both."""

    arm: NDArray[np.int64]
    other: NDArray[np.int64]
    k: Floats
    n: Floats
    k_other: Floats
    n_other: Floats

    @property
    def effect(self) -> Floats:
        """The rate of the arm less that of the other, a fraction."""
        return np.asarray(self.k / self.n - self.k_other / self.n_other, dtype=float)

    def difference(self, level: float = 0.90) -> tuple[Floats, Floats, Floats]:
        """``effect`` with both ends of Newcombe's interval."""
        return difference_interval(self.k, self.n, self.k_other, self.n_other, level)

    @property
    def p(self) -> Floats:
        """Exact two-sided mid-p value of equal rates."""
        return exact_difference_p(self.k, self.n, self.k_other, self.n_other)

    def beyond(self, threshold: float) -> Floats:
        """Posterior probability that the two rates differ by more than ``threshold`` (Jeffreys' prior for each).

        0 where the 90 % interval of the difference holds 0: such a difference is no finding.
        """
        steps = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        alpha, beta = (part[:, None] + 0.5 for part in (self.k_other, self.n_other - self.k_other))
        others = scipy.special.betaincinv(alpha, beta, steps)
        alpha, beta = (part[:, None] + 0.5 for part in (self.k, self.n - self.k))
        above, below = (np.clip(others + sign * threshold, 0.0, 1.0) for sign in (1, -1))
        inside = scipy.special.betainc(alpha, beta, above) - scipy.special.betainc(alpha, beta, below)
        _, low, high = self.difference()
        return np.where((low < 0) & (high > 0), 0.0, 1.0 - inside.mean(axis=1))


def pairs(k: ArrayLike, n: ArrayLike, control: int | None = None) -> Pairs:
    """Which arms (k successes of n) are compared with which: everything that was drawn is judged once.

    With a ``control`` (its place) every other arm against it; else of two arms the better against the other, and of
    more each against all others together. Fewer than two arms give no comparison.
    """
    hits, sizes = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    arms = np.arange(len(sizes))
    if len(arms) < 2:
        arms, others = arms[:0], arms[:0]
    elif control is not None:
        arms, others = arms[arms != control], np.full(len(arms) - 1, control)
    elif len(arms) == 2:
        best = int(np.argmax(hits / sizes))
        arms, others = np.array([best]), np.array([1 - best])
    else:
        others = np.full(len(arms), ALL_OTHERS)
    is_all = others == ALL_OTHERS
    k_other = np.where(is_all, hits.sum() - hits[arms], hits[others])
    n_other = np.where(is_all, sizes.sum() - sizes[arms], sizes[others])
    return Pairs(arms.astype(np.int64), others.astype(np.int64), hits[arms], sizes[arms], k_other, n_other)


def arm_looks(
    counts: pd.DataFrame,
    origin: Origin,
    *,
    measure: str,
    experiment: str,
    control: str | None = None,
    threshold: float = 0.03,
    level: float = 0.90,
) -> pd.DataFrame:
    """Causal looks at the arms of one experiment, each against what ``pairs`` compares it with.

    ``counts``: one row an arm, with level, k and n. The estimate (with Wilson's interval) is the arm's rate, the
    baseline that of the arm ``against`` (empty: all others together), n the smaller of both sizes; p and beyond are
    those of ``Pairs``.
    """
    found, rows = _compared(counts, control)
    low, high = wilson(found.k, found.n, level)
    columns: dict[str, Any] = {
        "estimate": found.k / found.n,
        "low": low,
        "high": high,
        "baseline": found.k_other / found.n_other,
        "effect": found.effect,
        "n": np.minimum(found.n, found.n_other),
        "p": found.p,
        "beyond": found.beyond(threshold),
    }
    meta = meta_of(origin, measure, "rate", "causal") | {"subject": experiment, "against": rows["against"]}
    return typed(rows.assign(**columns, **meta), LOOK_COLUMNS)


def arm_differences(counts: pd.DataFrame, control: str | None = None, level: float = 0.90) -> pd.DataFrame:
    """The differences of ``arm_looks`` as statements in points, with Newcombe's interval and n of both sides."""
    found, rows = _compared(counts, control)
    gap, low, high = found.difference(level)
    return rows.assign(estimate=gap, low=low, high=high, n=found.n + found.n_other)


def _compared(counts: pd.DataFrame, control: str | None) -> tuple[Pairs, pd.DataFrame]:
    """The comparisons, and field, level and against of each."""
    table = counts.sort_values("level", ignore_index=True)
    names = table["level"].astype(str).to_numpy(dtype=object)
    found = pairs(table["k"], table["n"], names.tolist().index(control) if control else None)
    against = np.where(found.other == ALL_OTHERS, "", names[found.other])
    return found, pd.DataFrame({"field": "arm", "level": names[found.arm], "against": against})
