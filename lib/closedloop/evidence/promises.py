"""A promised rate against what came: a promise is itself only known within its interval."""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from closedloop.evidence.indicators import Floats


def predictive_midp(k: ArrayLike, n: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Floats:
    """Two-sided mid-p value of k successes in n against a rate that is itself only known as Beta(alpha, beta).

    The tails are those of the beta-binomial, the prior predictive distribution (Box 1980, JRSS A 143, 383-430): a
    rate known well gives ``midp``'s. NaN where n is 0.
    """
    hits, sizes = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    known = scipy.stats.betabinom(sizes, np.asarray(alpha, dtype=float), np.asarray(beta, dtype=float))
    here = known.pmf(hits) / 2
    below = known.cdf(hits - 1) + here
    return np.where(sizes > 0, np.clip(2 * np.minimum(below, 1 - below), 0.0, 1.0), np.nan)


def beta_of(mean: ArrayLike, low: ArrayLike, high: ArrayLike, level: float = 0.90) -> tuple[Floats, Floats]:
    """Alpha and beta of the beta distribution with this mean and, by its variance, about this interval."""
    centre = np.clip(np.asarray(mean, dtype=float), 1e-6, 1 - 1e-6)
    half = (np.asarray(high, dtype=float) - np.asarray(low, dtype=float)) / 2 / scipy.stats.norm.ppf((1 + level) / 2)
    size = np.maximum(centre * (1 - centre) / np.maximum(half, 1e-6) ** 2 - 1, 1e-3)
    return centre * size, (1 - centre) * size
