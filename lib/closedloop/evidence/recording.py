"""Fields with gaps: whether the gaps depend on the outcome, and which levels cannot be compared at all."""

from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.evidence.rates import Floats, wilson
from closedloop.evidence.strata import stratified_difference_p

FEW_RECORDED, FILLED = "few recorded", "filled by the outcome"
REASONS = ("", FEW_RECORDED, FILLED)
_ONE_SIDED, _NO_LUCK = 0.05, 0.001  # so few of the other outcome, and so surely not by luck


def unfit(k: Floats, n: Floats, p: Floats, won: float, total: float, least: int, is_late: Any) -> NDArray[np.object_]:
    """Why levels with k of n cannot be compared: one of ``REASONS`` each, "" where they can.

    ``won`` of ``total``: all that record the field; ``is_late``: which levels are of fields filled after creation.
    """
    if min(won, total - won) < least:
        return np.full(len(k), FEW_RECORDED, dtype=object)
    is_one_sided = (k <= _ONE_SIDED * n) | (k >= (1 - _ONE_SIDED) * n)
    return np.where(np.asarray(is_late, dtype=bool) & is_one_sided & (p <= _NO_LUCK), FILLED, "").astype(object)


def recorded_shares(frame: pd.DataFrame, hit: pd.Series, strata: pd.Series, threshold: float = 0.03) -> pd.DataFrame:
    """Is a field recorded as often for failures as for successes? One row (columns of a look) a field that has gaps.

    ``frame``: the fields; ``hit``: the outcome (boolean, missing rows are left out). The estimate is the share recorded
    among successes with Wilson's interval, the baseline that among failures, n all cases; p compares them within
    ``strata`` (periods; Mantel-Haenszel), beyond is the posterior probability of a difference over ``threshold``.
    """
    known = hit.notna()
    is_won, stratum = hit[known].astype(bool), strata[known]
    rows = []
    for name in frame.columns:
        recorded = frame.loc[known, name].notna()
        if recorded.all() or not recorded.any() or not 0 < is_won.sum() < len(is_won):
            continue
        n_lost, n_won = pd.crosstab(is_won, stratum).to_numpy(dtype=float)
        k_lost, k_won = pd.crosstab(is_won, stratum, recorded, aggfunc="sum").fillna(0).to_numpy(dtype=float)
        low, high = wilson(k_won.sum(), n_won.sum())
        shares = (k_won.sum() + 0.5) / (n_won.sum() + 1), (k_lost.sum() + 0.5) / (n_lost.sum() + 1)
        error = np.sqrt(sum(p * (1 - p) / n for p, n in zip(shares, (n_won.sum(), n_lost.sum()), strict=True)))
        effect = k_won.sum() / n_won.sum() - k_lost.sum() / n_lost.sum()
        edges = scipy.special.ndtr((np.array([-threshold, threshold]) - effect) / error)
        rows.append(
            {
                "field": name,
                "estimate": k_won.sum() / n_won.sum(),
                "low": float(low),
                "high": float(high),
                "baseline": k_lost.sum() / n_lost.sum(),
                "effect": effect,
                "n": len(is_won),
                "p": float(stratified_difference_p(k_won, n_won, k_lost, n_lost)),
                "beyond": 1 - float(np.diff(edges)[0]),
            }
        )
    return pd.DataFrame(rows)
