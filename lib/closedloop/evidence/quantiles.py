"""Medians and other quantiles with the interval that their order statistics give."""

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike


def quantile(values: ArrayLike, q: float = 0.5, level: float = 0.90) -> dict[str, float]:
    """The least value that a share ``q`` of all do not exceed, with its order-statistic interval: any distribution.

    ``values``: durations, amounts or counts; an infinite one is a wait without an end so far. Returns estimate, low,
    high (in the unit of the values) and n; NaN where a figure is infinite, without values, and for the interval where
    they are too few for the level. Source: Conover (1999), Practical Nonparametric Statistics, 3.2.
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if not known.size:
        return {"estimate": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    estimate = float(np.quantile(known, q, method="inverted_cdf"))
    low, high = scipy.stats.quantile_test(known, p=q).confidence_interval(level)
    ends = (float(low), float(high)) if np.isfinite([estimate, low, high]).all() else (math.nan, math.nan)
    found = dict(zip(("estimate", "low", "high"), (estimate, *ends), strict=True))
    return {**found, "estimate": estimate if math.isfinite(estimate) else math.nan, "n": int(known.size)}
