"""Survey weights: shares of answers that stand for different numbers of people, and how many equal ones are as sure."""

import numpy as np

from closedloop.evidence.indicators import Floats


def effective_size(weights: Floats) -> float:
    """How many answers of equal weight are as sure as these: the square of the sum over the sum of squares.

    Source: Kish (1965), Survey Sampling, 11.7.
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def as_effective(weights: Floats) -> Floats:
    """Weights that sum to their effective size: of so many rows a likelihood may be taken to be."""
    scaled: Floats = weights.astype(float) * (effective_size(weights) / weights.sum())
    return scaled


def effective_counts(hit: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Successes k and cases n, (m,) each, of the equally weighted sample that tells each weighted share as surely.

    ``hit``: (rows, m) of 0, 1 or NaN (not answered); ``weights``: (rows,) above 0, of which only the ratios matter.
    k / n is the weighted share. n is Kish's effective size, and smaller where those who give the rarer answer weigh
    most, so that the share's linearised variance is larger; both are 0 where nobody answered. Source: Korn & Graubard
    (1998), Survey Methodology 24, 193-201, without their correction for few clusters.
    """
    weight = np.where(np.isnan(hit), 0.0, weights[:, None])
    value = np.nan_to_num(hit)
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (weight * value).sum(axis=0) / total
        kish = total**2 / (weight**2).sum(axis=0)
        linearised = share * (1 - share) * total**2 / (weight**2 * (value - share) ** 2).sum(axis=0)
        n = np.fmin(kish, np.where(linearised > 0, linearised, np.nan))
        return np.nan_to_num(np.minimum(share * n, n)), np.nan_to_num(n)


def weighted_mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """The weighted mean of known ``values`` and its standard error (linearised)."""
    mean = float(np.average(values, weights=weights))
    squares = ((weights * (values - mean)) ** 2).sum() * len(values) / max(len(values) - 1, 1)
    return mean, float(np.sqrt(squares) / weights.sum())
