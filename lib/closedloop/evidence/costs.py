"""What a success costs in each group that money was spent on, beside all other groups together."""

from typing import NamedTuple, TypeAlias

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.evidence.rates import midp, wilson

Floats: TypeAlias = NDArray[np.float64]

_JEFFREYS = 0.5


class Costs(NamedTuple):
    """Money for a success, one entry a group: its estimate and interval, the others' cost, and how they compare."""

    estimate: Floats
    low: Floats
    high: Floats
    baseline: Floats
    p: Floats
    beyond: Floats


def compare_costs(k: ArrayLike, n: ArrayLike, spent: ArrayLike, level: float = 0.90, threshold: float = 0.10) -> Costs:
    """Cost of a success (money over successes) of each group against that of all others together.

    k successes of n cases for the money ``spent`` (above 0), one entry a group. The interval is that of the rate of
    success (Wilson), the money given; a group without a success has no estimate and no upper end. ``baseline``: the
    others' money over their successes. p allows for the luck of both sides: if a success cost the same everywhere, the
    group's part of all successes would be binomial at its part of all money (mid-p, which agrees with the interval of
    the two costs' ratio). ``beyond``: posterior probability (Jeffreys) of a ratio over 1 + ``threshold`` either way.
    Source: Przyborowski & Wilenski (1940), Biometrika 31, 313-323, on the ratio of two Poisson rates.
    """
    hits, cases, money = (np.asarray(part, dtype=float) for part in (k, n, spent))
    other_hits, other_money = hits.sum() - hits, money.sum() - money
    low_rate, high_rate = wilson(hits, cases, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, high = (np.where(hits > 0, money / part, np.nan) for part in (hits, cases * low_rate))
        baseline = np.where(other_hits > 0, other_money / other_hits, np.nan)
        odds = money / other_money  # of a success's being the group's, were costs equal
    posterior = scipy.stats.beta(hits + _JEFFREYS, other_hits + _JEFFREYS)
    dearer, cheaper = (odds * factor / (1 + odds * factor) for factor in (1 / (1 + threshold), 1 + threshold))
    beyond = posterior.cdf(dearer) + posterior.sf(cheaper)
    p = np.where(other_money > 0, midp(hits, np.full(hits.shape, hits.sum()), money / money.sum()), np.nan)
    return Costs(estimate, money / (cases * high_rate), high, baseline, p, beyond)
