"""What records leave out: fields with gaps, days without records, and leads of which nobody records the lost ones."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.statistics.cumulative_incidence import share_by, win_curve
from closedloop.statistics.proportions import Floats, compare_in_strata, stratified_difference_p, wilson

FEW_RECORDED, FILLED = "few recorded", "filled by the outcome"
REASONS = ("", FEW_RECORDED, FILLED)
_ONE_SIDED, _TENTH = 0.05, 0.1  # so few of an outcome; so small a part of what is usual
_NO_LUCK = 0.001


def unfit(k: Floats, n: Floats, p: Floats, won: float, total: float, least: int, is_late: Any) -> NDArray[np.object_]:
    """Why levels with k of n cannot be compared: one of ``REASONS`` each, "" where they can.

    ``won`` of ``total``: all that record the field; ``is_late``: which levels are of fields filled after creation. One
    in twenty of an outcome is few, where that outcome is rare itself a tenth of what is usual.
    """
    if min(won, total - won) < least:
        return np.full(len(k), FEW_RECORDED, dtype=object)
    few_won, few_lost = (min(_ONE_SIDED, _TENTH * usual / total) for usual in (won, total - won))
    is_one_sided = (k <= few_won * n) | (n - k <= few_lost * n)
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


_NO_STRAY = 1e-4  # so seldom would there be as few records by luck
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
    return day if p <= _NO_STRAY else nothing


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


Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOST_WON = 0.9  # of the won leads, so many had been won by the usual time
_FIGURES = ("n_effective", "estimate", "low", "high", "baseline", "effect", "p", "beyond")


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
    """The share of all leads won within ``until`` days, those not seen for so long censored (``win_curve``).

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
    alone. Estimates are 1 - Kaplan & Meier's, drawn together over the groups (``compare_in_strata``): a group
    weighs as many leads as it has, each by the share of the won ones that are won by the age it was seen at. The
    baseline is the same curve of the wins that its leads would have had, day by day, as the others of their cohorts.
    p is the log-rank test's inside cohorts, group against rest, in the tails of the binomial distribution of the same
    mean and variance, which holds where a group has won hardly any. Rows, in sorted order, of groups of which
    ``least`` leads were seen for ``until`` days: level, n, n_effective, estimate, low, high, baseline, effect, p,
    beyond (posterior probability of an effect over ``threshold``) and reason (``unfit``). Sources: Mantel
    (1966), Cancer Chemother. Rep. 50, 163-170; Kaplan & Meier (1958), JASA 53, 457-481.
    """
    known = np.flatnonzero(~pd.isna(np.asarray(group, dtype=object)))
    code, names = pd.factorize(np.asarray(group, dtype=object)[known], sort=True)
    days, seen = leads.days[known], leads.seen[known]
    own = Followed(days, leads.is_won[known] & (days <= until), seen, pd.factorize(leads.cohort[known])[0])
    reached = np.bincount(code[own.seen >= until], minlength=len(names))
    shown = (reached >= least) & (np.asarray(names, dtype=object) != rare)
    if shown.sum() < 2 or not own.is_won.any():
        return pd.DataFrame(columns=["level", "n", *_FIGURES, "reason"])
    table = _table(own, code, len(names), until)
    share, baseline, whole, days = _curves(own, code, table, until)
    sizes, contrast, total = _sizes(own, code, len(names), (days, whole), until)
    pooled = float(whole[-1])
    k, expected = (part[shown, -1] * sizes[shown] for part in (share, baseline))
    found = compare_in_strata(k, sizes[shown], expected, contrast[shown], pooled, total, level)
    p = _log_rank(table)[shown]
    n, n_won = (np.bincount(code[of], minlength=len(names)) for of in (slice(None), leads.is_won[known]))
    reason = unfit(n_won[shown], n[shown], p, n_won.sum(), n.sum(), least, False)
    effect, beyond = found.estimate - found.baseline, found.shrunk.beyond(threshold, pooled)
    figures = (found.sizes, found.estimate, found.low, found.high, found.baseline, effect, p, beyond)
    fit = {name: np.where(reason == "", of, np.nan) for name, of in zip(_FIGURES, figures, strict=True)}
    return pd.DataFrame({"level": names[shown], "n": n[shown], **fit, "reason": reason})


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
