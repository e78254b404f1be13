"""Fields with gaps: whether the gaps depend on the outcome, and which levels cannot be compared at all."""

from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.statistics.cumulative_incidence import share_by
from closedloop.statistics.proportions import Floats, wilson
from closedloop.statistics.stratified import stratified_difference_p

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


NO_LUCK = 1e-4  # so seldom would there be as few records by luck
_TRIED = 10  # records at either end that may be strays


def recorded_days(came: ArrayLike, happened: ArrayLike, last: float) -> tuple[float, float]:
    """First and last day of the records of what happened; -inf and inf where they cover all that is known.

    One entry a case: the day on which it ``came`` and that on which the first of it ``happened`` (NaN: nothing known),
    all numbers of days; ``last``: the last day known. A source begins late where hardly any of the earlier cases has a
    record, though as many as the later ones show should have had one by then; it ends early where the records stop
    though so many are still to come: by luck it would be so once in ten thousand times. Some strays before and after do
    not hide that.
    """
    entered, event = (np.asarray(part, dtype=float) for part in (came, happened))
    known = np.isfinite(entered) & (entered <= last)
    entered, event = entered[known], event[known]
    days = np.unique(event[np.isfinite(event)])
    if not days.size:
        return -np.inf, np.inf
    begins = _most_surely([(day, _before(entered, event, day, last)) for day in days[:_TRIED]], -np.inf)
    is_late = entered >= begins
    entered, event = entered[is_late], event[is_late]
    ends = _most_surely([(day, _after(entered, event, day, last)) for day in days[-_TRIED:]], np.inf)
    return begins, ends


def _most_surely(tried: list[tuple[float, float]], nothing: float) -> float:
    """The day whose p value is least, where that is no luck."""
    day, p = min(tried, key=lambda one: one[1])
    return day if p <= NO_LUCK else nothing


def _before(entered: Floats, event: Floats, day: float, last: float) -> float:
    """Chance of so few records before ``day``, had what happened been recorded by then as it was afterwards."""
    early = entered < day
    later = ~early
    if not early.any() or not later.any():
        return 1.0
    due = _share_by(entered[later], event[later], last, day - entered[early]).sum()
    return _as_few((event[early] < day).sum(), due, np.isfinite(event[later]).sum())


def _after(entered: Floats, event: Floats, day: float, last: float) -> float:
    """Chance of so few records after ``day``, had what happened been recorded from then on as it was before."""
    seen = entered <= day
    known = np.where(event <= day, event, np.nan)
    waiting = np.isnan(known)
    ages = np.r_[day - entered[waiting], last - entered[waiting]]
    by_day, by_now = np.split(_share_by(entered[seen], known[seen], day, ages), 2)
    due = ((by_now - by_day) / np.maximum(1 - by_day, 1e-12)).sum()
    return _as_few((event > day).sum(), due, np.isfinite(known).sum())


def _as_few(n: int, due: float, n_elsewhere: int) -> float:
    """Chance of ``n`` records or fewer where ``due`` are, which is known from ``n_elsewhere`` of them alone.

    Two Poisson counts, given their sum. Source: Przyborowski & Wilenski (1940), Biometrika 31, 313-323.
    """
    share = due / (due + n_elsewhere) if due > 0 else 0.0
    return float(scipy.stats.binom.cdf(n, n + n_elsewhere, share))


def _share_by(entered: Floats, event: Floats, last: float, ages: Floats) -> Floats:
    """The share of cases to which it has happened by each age, cases without a record followed until ``last``."""
    happened = event <= last
    days = np.where(happened, event, last) - entered
    return share_by(days[days >= 0], happened[days >= 0], ages)
