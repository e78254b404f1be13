"""How many leads become won ones, where nobody records which are lost: followed from their coming, censored today."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.statistics.cumulative_incidence import Floats, win_curve
from closedloop.statistics.recording import unfit
from closedloop.statistics.stratified import compare_in_strata

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOST_WON = 0.9  # of the won leads, so many had been won by the usual time
_COLUMNS = ("level", "n", "n_effective", "estimate", "low", "high", "baseline", "effect", "p", "beyond", "reason")


class Followed(NamedTuple):
    """Leads and how long each could be followed, one entry a lead.

    ``days``: from its coming until it was won, else until the last day known. ``seen``: from its coming until the last
    day known, won or not; a lead that was given up goes on to be followed, as one that is not won. ``cohort``: number
    of the period in which it came.
    """

    days: Floats
    is_won: Bools
    seen: Floats
    cohort: Ints


def usual_days(leads: Followed) -> float:
    """Days within which nine of ten won leads had been won, but no more than half of the leads had; NaN without any."""
    won = leads.days[leads.is_won]
    if not won.size:
        return np.nan
    return float(min(np.quantile(won, _MOST_WON, method="higher"), np.quantile(leads.seen, 0.5, method="lower")))


def converted(leads: Followed, until: float, level: float = 0.90) -> dict[str, float]:
    """The share of all leads won within ``until`` days, those not seen for so long censored (``curves.win_curve``).

    Returns estimate, low, high (fractions) and n.
    """
    outcome = np.where(leads.is_won, "won", "open")
    curve = win_curve(leads.days, outcome, at_days=[until], level=level)
    found = curve[curve["cause"] == "won"].iloc[0]
    return {**{name: float(found[name]) for name in ("estimate", "low", "high")}, "n": len(leads.days)}


def compare_conversions(
    leads: Followed,
    group: ArrayLike,
    until: float,
    *,
    least: int = 10,
    rare: str | None = None,
    threshold: float = 0.03,
    level: float = 0.90,
) -> pd.DataFrame:
    """Each group's share of leads won within ``until`` days, against what all leads of its cohorts let expect.

    ``group``: the level that each lead bears; leads without one count nowhere, those called ``rare`` in the baseline
    alone. Estimates are 1 - Kaplan & Meier's, drawn together over the groups (``strata.compare_in_strata``): a group
    weighs as many leads as it has, each by the share of the won ones that are won by the age it was seen at. The
    baseline is the same curve of the wins that its leads would have had, day by day, as the others of their cohorts.
    p is the log-rank test's inside cohorts, group against rest, in the tails of the binomial distribution of the same
    mean and variance, which holds where a group has won hardly any. Rows, in sorted order, of groups of which
    ``least`` leads were seen for ``until`` days: level, n, n_effective, estimate, low, high, baseline, effect, p,
    beyond (posterior probability of an effect over ``threshold``) and reason (``recording.unfit``). Sources: Mantel
    (1966), Cancer Chemother. Rep. 50, 163-170; Kaplan & Meier (1958), JASA 53, 457-481.
    """
    known = np.flatnonzero(~pd.isna(np.asarray(group, dtype=object)))
    code, names = pd.factorize(np.asarray(group, dtype=object)[known], sort=True)
    days, seen = leads.days[known], leads.seen[known]
    own = Followed(days, leads.is_won[known] & (days <= until), seen, pd.factorize(leads.cohort[known])[0])
    reached = np.bincount(code[own.seen >= until], minlength=len(names))
    shown = (reached >= least) & (np.asarray(names, dtype=object) != rare)
    if shown.sum() < 2 or not own.is_won.any():
        return pd.DataFrame(columns=list(_COLUMNS))
    table = _table(own, code, len(names), until)
    share, baseline, whole, days = _curves(own, code, table, until)
    sizes, contrast, total = _sizes(own, code, len(names), (days, whole), until)
    pooled = float(whole[-1])
    k, expected = (part[shown, -1] * sizes[shown] for part in (share, baseline))
    found = compare_in_strata(k, sizes[shown], expected, contrast[shown], pooled, total, level)
    p = _log_rank(table)[shown]
    n, n_won = (np.bincount(code[of], minlength=len(names)) for of in (slice(None), leads.is_won[known]))
    reason = unfit(n_won[shown], n[shown], p, n_won.sum(), n.sum(), least, False)
    figures = {
        "n_effective": found.sizes,
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "baseline": found.baseline,
        "effect": found.estimate - found.baseline,
        "p": p,
        "beyond": found.shrunk.beyond(threshold, pooled),
    }
    fit = {name: np.where(reason == "", values, np.nan) for name, values in figures.items()}
    return pd.DataFrame({"level": names[shown], "n": n[shown], **fit, "reason": reason})[list(_COLUMNS)]


class _Table(NamedTuple):
    """Won leads and leads at risk of each group (rows) on every day of a cohort on which one was won (columns)."""

    won: Floats
    at_risk: Floats
    age: Floats


def _table(leads: Followed, code: Ints, n_groups: int, until: float) -> _Table:
    width = until + 1.0
    key = leads.cohort * width + np.minimum(leads.days, until)
    cells = np.unique(key[leads.is_won])
    came = np.searchsorted(cells, leads.cohort * width, side="left")
    left = np.searchsorted(cells, key, side="right")
    at_risk, won = np.zeros((n_groups, len(cells) + 1)), np.zeros((n_groups, len(cells)))
    np.add.at(at_risk, (code, came), 1.0)
    np.add.at(at_risk, (code, left), -1.0)
    np.add.at(won, (code[leads.is_won], left[leads.is_won] - 1), 1.0)
    return _Table(won, np.cumsum(at_risk, axis=1)[:, :-1], cells % width)


def _log_rank(table: _Table) -> Floats:
    """Two-sided mid-p value of each group against the rest of its cohorts; NaN where it meets nobody."""
    n, d = table.at_risk.sum(axis=0), table.won.sum(axis=0)
    share = table.at_risk / n
    is_met = (share > 0) & (share < 1)
    observed, expected = (np.where(is_met, part, 0.0).sum(axis=1) for part in (table.won, share * d))
    variance = (share * (1 - share) * d * (n - d) / np.maximum(n - 1, 1)).sum(axis=1)
    can_differ = variance > 0
    expected = np.where(can_differ, expected, np.nan)
    chance = 1 - variance / expected
    upper = (_at_least(observed, expected / chance, chance) + _at_least(observed + 1, expected / chance, chance)) / 2
    return np.asarray(np.minimum(2 * np.minimum(upper, 1 - upper), 1.0), dtype=float)


def _at_least(k: Floats, n: Floats, chance: Floats) -> Floats:
    """Chance of ``k`` or more successes; ``n`` need not be whole."""
    inside = (k > 0) & (k < n + 1)
    found = scipy.special.betainc(np.where(inside, k, 1.0), np.where(inside, n - k + 1, 1.0), chance)
    return np.where(np.isnan(n), np.nan, np.where(inside, found, np.where(k <= 0, 1.0, 0.0)))


def _curves(leads: Followed, code: Ints, table: _Table, until: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Shares won by every day of a win: of each group, of each as its cohorts let expect, of all; and the days."""
    ages, place = np.unique(table.age, return_inverse=True)
    n_left = np.zeros((len(table.won), len(ages) + 1))
    np.add.at(n_left, (code, np.searchsorted(ages, np.minimum(leads.days, until), side="right")), 1.0)
    at_risk = np.cumsum(n_left[:, ::-1], axis=1)[:, ::-1][:, 1:]
    let_expect = table.at_risk * (table.won.sum(axis=0) / table.at_risk.sum(axis=0))
    of_day = np.eye(len(ages))[place]
    won, expected = table.won @ of_day, let_expect @ of_day
    group, baseline, whole = (
        1 - np.cumprod(1 - np.divide(hits, n, out=np.zeros_like(hits), where=n > 0), axis=-1)
        for hits, n in ((won, at_risk), (expected, at_risk), (won.sum(axis=0), at_risk.sum(axis=0)))
    )
    return group, baseline, whole, ages


def _sizes(
    leads: Followed, code: Ints, n_groups: int, curve: tuple[Floats, Floats], until: float
) -> tuple[Floats, Floats, float]:
    """Each group's leads, each by the part of its time that was seen; those that meet others; and all leads.

    ``curve``: days, and the share of all leads won by then. A lead met by others counts by the share of its cohort that
    is not in its group.
    """
    days, share = curve
    part = np.r_[0.0, share][np.searchsorted(days, np.minimum(leads.seen, until), side="right")] / share[-1]
    size = np.zeros((n_groups, leads.cohort.max() + 1))
    np.add.at(size, (code, leads.cohort), part)
    whole = size.sum(axis=0)
    others = 1 - np.divide(size, whole, out=np.zeros_like(size), where=whole > 0)
    return size.sum(axis=1), (size * others).sum(axis=1), float(whole.sum())
