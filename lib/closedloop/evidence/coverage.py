"""From which day to which day a source recorded what happens to cases that another source names."""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from closedloop.evidence.curves import Floats, share_by

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
