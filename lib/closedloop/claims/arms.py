"""Drawn arms of one experiment, compared with each other and never with their own mean."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, meta_of, typed
from closedloop.statistics.proportions import difference_interval, exact_difference_p, wilson
from closedloop.statistics.segmentation.indicators import Floats

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
        return np.asarray(self.k / self.n - self.baseline, dtype=float)

    @property
    def baseline(self) -> Floats:
        """The rate of the other."""
        return self.k_other / self.n_other

    def estimate(self, level: float = 0.90) -> tuple[Floats, Floats, Floats]:
        """The rate of the arm with Wilson's interval."""
        return (self.k / self.n, *wilson(self.k, self.n, level))

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


def _compared_with(means: Floats, control: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the arms that are compared, and of what each is compared with: all that was drawn is judged once.

    With a ``control`` (its place) every other arm against it; else of two arms the better against the other, and of
    more each against all others together. Fewer than two arms give no comparison.
    """
    arms = np.arange(len(means), dtype=np.int64)
    if len(arms) < 2:
        return arms[:0], arms[:0]
    if control is not None:
        return arms[arms != control], np.full(len(arms) - 1, control)
    if len(arms) == 2:
        best = int(np.argmax(means))
        return arms[[best]], arms[[1 - best]]
    return arms, np.full(len(arms), ALL_OTHERS)


def _of_others(sums: Floats, arms: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
    """A sum over what each arm is compared with."""
    return np.where(others == ALL_OTHERS, sums.sum() - sums[arms], sums[others])


def pairs(k: ArrayLike, n: ArrayLike, control: int | None = None) -> Pairs:
    """The comparisons of arms with k successes of n each; ``control``: the place of the one declared, if any."""
    hits, sizes = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    arms, others = _compared_with(hits / sizes, control)
    rest = (_of_others(sums, arms, others) for sums in (hits, sizes))
    return Pairs(arms, others, hits[arms], sizes[arms], *rest)


class MeanPairs(NamedTuple):
    """Comparisons of arms by a mean, one entry each; places as in ``Pairs``, sizes, means and squared errors.

    ``baseline``: the mean of what the arm is compared with.
    """

    arm: NDArray[np.int64]
    other: NDArray[np.int64]
    n: Floats
    n_other: Floats
    mean: Floats
    baseline: Floats
    square: Floats
    square_other: Floats

    @property
    def effect(self) -> Floats:
        """The mean of the arm less that of the other."""
        return np.asarray(self.mean - self.baseline, dtype=float)

    def estimate(self, level: float = 0.90) -> tuple[Floats, Floats, Floats]:
        """The mean of the arm with Student's interval; no less than nothing was brought."""
        reach = scipy.stats.t.isf((1 - level) / 2, self.n - 1) * np.sqrt(self.square)
        return self.mean, np.maximum(self.mean - reach, 0.0), self.mean + reach

    @property
    def _error(self) -> Floats:
        return np.sqrt(self.square + self.square_other)

    @property
    def _freedom(self) -> Floats:
        """Welch's degrees of freedom."""
        with np.errstate(invalid="ignore", divide="ignore"):
            own = self.square**2 / (self.n - 1) + self.square_other**2 / (self.n_other - 1)
            return np.asarray((self.square + self.square_other) ** 2 / own, dtype=float)

    def difference(self, level: float = 0.90) -> tuple[Floats, Floats, Floats]:
        """``effect`` with both ends of Welch's interval."""
        reach = scipy.stats.t.isf((1 - level) / 2, self._freedom) * self._error
        return self.effect, self.effect - reach, self.effect + reach

    @property
    def p(self) -> Floats:
        """Welch's two-sided test of equal means; NaN where nothing varies. Source: Welch (1947), Biometrika 34."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(2 * scipy.stats.t.sf(np.abs(self.effect) / self._error, self._freedom), dtype=float)

    def beyond(self, threshold: float) -> Floats:
        """Posterior probability (flat prior) of a difference over ``threshold`` times the other's mean.

        0 where the 90 % interval of the difference holds 0, as in ``Pairs``.
        """
        gate = threshold * self.baseline
        with np.errstate(invalid="ignore", divide="ignore"):
            above, below = ((sign * self.effect - gate) / self._error for sign in (1, -1))
        _, low, high = self.difference()
        return np.where((low < 0) & (high > 0), 0.0, scipy.special.ndtr(above) + scipy.special.ndtr(below))


def mean_pairs(values: ArrayLike, arm: ArrayLike, n_arms: int, control: int | None = None) -> MeanPairs:
    """The comparisons of arms by the mean of ``values``; ``arm``: the place of each value's arm among ``n_arms``."""
    value, place = np.asarray(values, dtype=float), np.asarray(arm, dtype=np.int64)
    n, total, square = (np.bincount(place, of, n_arms).astype(float) for of in (np.ones(len(value)), value, value**2))
    arms, others = _compared_with(total / n, control)
    sides = []
    for size, summed, squared in (
        (n[arms], total[arms], square[arms]),
        tuple(_of_others(sums, arms, others) for sums in (n, total, square)),
    ):
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(squared - summed**2 / size, 0.0) / (size - 1)
            sides.append((size, summed / size, variance / size))
    return MeanPairs(arms, others, *(part for pair in zip(*sides, strict=True) for part in pair))


def arm_looks(
    rows: pd.DataFrame,
    origin: Origin,
    *,
    measure: str,
    experiment: str,
    control: str | None = None,
    threshold: float = 0.03,
    level: float = 0.90,
) -> pd.DataFrame:
    """Causal looks at the arms of one experiment, each against what ``pairs`` compares it with.

    ``rows``: one an arm, with level, k and n; or one a lead, with level and the amount that it brought, 0 where
    it brought nothing. The estimate (Wilson's interval, of a mean Student's) is the arm's rate or mean, the baseline
    that of the arm ``against`` (empty: all others together), n the smaller of both sizes; p and beyond are those of
    ``Pairs`` or ``MeanPairs``. ``threshold``: a fraction, of amounts a factor less 1.
    """
    found, compared = _compared(rows, control)
    estimate, low, high = found.estimate(level)
    columns: dict[str, Any] = {
        "estimate": estimate,
        "low": low,
        "high": high,
        "baseline": found.baseline,
        "effect": found.effect,
        "n": np.minimum(found.n, found.n_other),
        "p": found.p,
        "beyond": found.beyond(threshold),
    }
    unit = "rate"
    if "amount" in rows:  # the deviation of the logarithm of a mean, for one lead (delta method)
        unit, values = "amount", rows["amount"].astype(float)
        columns["log_deviation"] = values.std() / values.mean()
    meta = meta_of(origin, measure, unit, "causal") | {"subject": experiment, "against": compared["against"]}
    return typed(compared.assign(**columns, **meta), LOOK_COLUMNS)


def arm_differences(rows: pd.DataFrame, control: str | None = None, level: float = 0.90) -> pd.DataFrame:
    """The differences of ``arm_looks`` as statements in points or money, with their interval and n of both sides."""
    found, compared = _compared(rows, control)
    gap, low, high = found.difference(level)
    return compared.assign(estimate=gap, low=low, high=high, n=found.n + found.n_other)


def _compared(rows: pd.DataFrame, control: str | None) -> tuple[Pairs | MeanPairs, pd.DataFrame]:
    """The comparisons, and field, level and against of each."""
    arm, levels = pd.factorize(rows["level"].astype(str), sort=True)
    names = np.asarray(levels, dtype=object)
    place = names.tolist().index(control) if control else None
    found: Pairs | MeanPairs
    if "amount" in rows:
        found = mean_pairs(rows["amount"], arm, len(names), place)
    else:
        k, n = (np.bincount(arm, rows[name], len(names)) for name in ("k", "n"))
        found = pairs(k, n, place)
    against = np.where(found.other == ALL_OTHERS, "", names[found.other])
    return found, pd.DataFrame({"field": "arm", "level": names[found.arm], "against": against})


def uneven_look(sizes: pd.Series, drawn: pd.Series, origin: Origin, *, measure: str, experiment: str) -> pd.DataFrame:
    """A look at whether the arms of one experiment are as large as they were drawn: at the arm that is furthest off.

    ``sizes``: leads by arm; ``drawn``: the share that was drawn into each (they sum to 1). p is that of Pearson's
    chi-square over all arms; any true difference is a fault, so ``beyond`` is 1. Source: Fabijan et al. (2019), KDD,
    on sample ratio mismatch.
    """
    n, expected = int(sizes.sum()), drawn * sizes.sum()
    furthest = str(((sizes - expected).abs() / np.sqrt(expected)).idxmax())
    low, high = wilson(sizes[furthest], n)
    row: dict[str, Any] = {
        "field": "arm",
        "level": furthest,
        "estimate": sizes[furthest] / n,
        "low": float(low),
        "high": float(high),
        "baseline": drawn[furthest],
        "effect": sizes[furthest] / n - drawn[furthest],
        "n": n,
        "p": float(scipy.stats.chisquare(sizes, expected).pvalue),
        "beyond": 1.0,
    }
    return typed([row | meta_of(origin, measure, "rate", "descriptive") | {"subject": experiment}], LOOK_COLUMNS)
