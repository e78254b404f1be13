"""How many deals end, and how, as time goes by, and how long that takes."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError, allowed
from closedloop.statistics.proportions import wilson
from closedloop.terms import OUTCOMES


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
    middle = estimate if math.isfinite(estimate) else math.nan
    return {"estimate": middle, "low": ends[0], "high": ends[1], "n": int(known.size)}


def median(values: ArrayLike, level: float = 0.90) -> dict[str, float]:
    """The median of values that are all known, the mean of the two in the middle, with the interval of ``quantile``."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return quantile(known, level=level) | {"estimate": float(np.median(known)) if known.size else math.nan}


Floats = NDArray[np.float64]

CAUSES = OUTCOMES[:3]
_ROUNDING = 1e-9
_COLUMNS = ("day", "cause", "estimate", "low", "high", "n_at_risk")


class _Incidence(NamedTuple):
    """Estimates and variances (causes x times) at the times of events, and the share that was still open then."""

    times: Floats
    estimate: Floats
    variance: Floats
    open_share: Floats


def win_curve(
    days: ArrayLike, outcome: ArrayLike, at_days: ArrayLike | None = None, level: float = 0.90
) -> pd.DataFrame:
    """Share of deals won, lost and undecided by each day since creation, open deals censored at their age.

    Aalen-Johansen's estimate with Aalen's variance and log-log intervals. ``days`` is the age at closing
    or, of open deals, now; deals without days or outcome are left out. One row a day and cause in
    ``CAUSES``: day, cause, estimate, low, high (fractions), n_at_risk (deals open just before that day);
    days are all distinct ages unless ``at_days`` names others. Beyond the last age, while deals are open,
    nothing is known: NaN. An estimate of 0 or 1 has Wilson's interval, of the deals whose state on that day is known.
    Errors: ParameterError for negative days or an unknown outcome. Sources: Aalen & Johansen (1978), Scand. J.
    Statist. 5; Pintilie (2006), Competing Risks, eq. 4.5.
    """
    ages, ends = _known(days, outcome)
    curve = _incidence(ages, ends)
    wanted = curve.times if at_days is None else np.atleast_1d(np.asarray(at_days, dtype=float))
    row = np.searchsorted(curve.times, wanted, side="right")  # 0: before the first age
    unknown = wanted > (curve.times[-1] if curve.times.size else -1.0)
    unknown &= curve.open_share[-1] > 1e-12 if curve.times.size else True
    estimate, variance = (
        np.where(unknown, np.nan, np.hstack([np.zeros((len(CAUSES), 1)), part])[:, row])
        for part in (curve.estimate, curve.variance)
    )
    estimate = np.where(np.abs(estimate - 1) < _ROUNDING, 1.0, estimate)  # a sum of many shares
    inside = np.where((estimate > 0) & (estimate < 1), estimate, np.nan)  # log(-log F) stays inside 0..1
    reach = scipy.stats.norm.isf((1 - level) / 2) * np.sqrt(np.maximum(variance, 0.0)) / (inside * np.log(inside))
    ends_inside = inside ** np.exp(-reach), inside ** np.exp(reach)
    at_risk = ages.size - np.searchsorted(np.sort(ages), wanted, side="left")
    n_told = ages.size - np.searchsorted(np.sort(ages[ends == "open"]), wanted, side="left")
    none_or_all = wilson(np.where(estimate == 1, n_told, 0), np.broadcast_to(n_told, estimate.shape), level)
    is_edge = (estimate == 0) | (estimate == 1)
    low, high = (np.where(is_edge, *both) for both in zip(none_or_all, ends_inside, strict=True))
    parts = (part.ravel(order="F") for part in (estimate, low, high))
    n_causes = len(CAUSES)
    columns = (np.repeat(wanted, n_causes), list(CAUSES) * wanted.size, *parts, np.repeat(at_risk, n_causes))
    return pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))


def days_to_most(days: ArrayLike, outcome: ArrayLike, share: float = 0.90) -> float:
    """Days by which that share of all that are ever won had been won: where ``win_curve`` reaches it.

    ``days`` and ``outcome`` as there: what is still open counts as not known yet, so that slow ones are not missed.
    NaN without a won one.
    """
    curve = _incidence(*_known(days, outcome))
    won = curve.estimate[CAUSES.index("won")]
    if not won.size or won[-1] <= 0:
        return math.nan
    return float(curve.times[np.searchsorted(won, share * won[-1])])


def share_by(days: ArrayLike, happened: ArrayLike, at_days: ArrayLike) -> Floats:
    """Share of cases to which it has happened by each of ``at_days``: 1 - Kaplan & Meier, as of ``win_curve``.

    ``days``: until it happened, else until the case was last seen. Beyond the last day what was known then.
    """
    curve = _incidence(*_known(days, np.where(happened, "won", "open")))
    steps = np.r_[0.0, curve.estimate[CAUSES.index("won")]]
    return np.asarray(steps[np.searchsorted(curve.times, at_days, side="right")], dtype=float)


def _known(days: ArrayLike, outcome: ArrayLike) -> tuple[Floats, NDArray[np.object_]]:
    """Ages and outcomes of the deals that have both."""
    ages, ends = np.asarray(days, dtype=float), np.asarray(outcome, dtype=object)
    has_both = np.isfinite(ages) & ~pd.isna(ends)
    ages, ends = ages[has_both], ends[has_both]
    if (ages < 0).any():
        raise ParameterError(f"win_curve: found {ages.min():g} days; allowed are 0 and more; mend created_on")
    unknown = sorted(set(ends) - set(OUTCOMES))
    if unknown:
        raise ParameterError(f"win_curve: found outcome {unknown[0]!r}; allowed are {allowed(OUTCOMES)}")
    return ages, ends


def _incidence(ages: Floats, ends: NDArray[np.object_]) -> _Incidence:
    """Aalen-Johansen's estimate and Aalen's variance at every distinct age."""
    times, position = np.unique(ages, return_inverse=True)
    leaving = np.bincount(position, minlength=times.size)
    at_risk = (ages.size - np.r_[0, np.cumsum(leaving)[:-1]])[: times.size].astype(float)
    events = np.array([np.bincount(position[ends == c], minlength=times.size) for c in CAUSES], dtype=float)
    closed = events.sum(axis=0)
    open_share = np.cumprod(1 - closed / at_risk)
    before = np.r_[1.0, open_share[:-1]][: times.size]
    estimate = np.cumsum(before * events / at_risk, axis=1)
    return _Incidence(times, estimate, _aalen(events, closed, at_risk, before, estimate), open_share)


def _aalen(events: Floats, closed: Floats, at_risk: Floats, before: Floats, estimate: Floats) -> Floats:
    """Aalen's variance (causes x times); the squares of F(t) - F(t_j) are expanded so that sums run once.

    Once all that are at risk close, F does not move any more: those terms are 0, not 0 / 0.
    """
    left, one_less = at_risk - closed, at_risk - 1
    first = _over(closed, one_less * left)
    second = _over(before**2 * events * (at_risk - events), at_risk**2 * one_less)
    third = _over(before * events * (at_risk - events), at_risk * left * one_less)
    squares = (
        estimate**2 * np.cumsum(first)
        - 2 * estimate * np.cumsum(estimate * first, axis=1)
        + np.cumsum(estimate**2 * first, axis=1)
    )
    cross = estimate * np.cumsum(third, axis=1) - np.cumsum(estimate * third, axis=1)
    return np.asarray(squares + np.cumsum(second, axis=1) - 2 * cross, dtype=float)


def _over(above: Floats, below: Floats) -> Floats:
    """A quotient that is 0 where its denominator is."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def cycle_days(days: ArrayLike, outcome: ArrayLike, level: float = 0.90) -> dict[str, float]:
    """sales_cycle_days: the ``median`` days of won deals: estimate, low, high and n."""
    ages, ends = _known(days, outcome)
    return median(ages[ends == "won"], level)
