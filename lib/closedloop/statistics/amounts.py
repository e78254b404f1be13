"""Money and other positive, skewed measures: shrunk group means, ranges for one deal, and sales velocity."""

import math
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.statistics.proportions import midp, shrink_rates, squared_reach, wilson

Floats = NDArray[np.float64]
Estimate: TypeAlias = float | tuple[float, float, float]

_TAU_POINTS = 61
_REFUSED, _TELLING, _MOST_TESTED = 0.01, 0.5, 5_000
_EQUAL = 1e-12  # variance of the logs of amounts that are all the same
MOST_OF_ALL = 1 / 3  # of a group's money: one deal that makes more of it makes the mean
_TIMES_EQUAL = 3  # and so many times its equal share: of three deals each makes a third
UNEVEN, ONE_DEAL = "not log-normal", "one deal"
REASONS = ("", UNEVEN, ONE_DEAL)
_COLUMNS = ("group", "n", "estimate", "low", "high", "mean", "median", "baseline", "whole", "beyond", "p",
            "log_deviation", "factor", "largest", "reason")  # fmt: skip
_PER_DECIDED = ("group", "n", "k", "n_paid", "estimate", "low", "high", "baseline", "whole", "beyond", "p",
            "log_deviation", "reason")  # fmt: skip
_JEFFREYS = 0.5
_RESTING = ["low", "high", "beyond", "p"]  # what rests on the law of the amounts


class _Groups(NamedTuple):
    """Positive amounts, their logs, the code of each one's group, and the groups' sorted names and sizes."""

    money: Floats
    logs: Floats
    codes: NDArray[np.intp]
    names: NDArray[np.object_]
    n: Floats

    def sums(self, values: Floats) -> Floats:
        """The sum of ``values`` in each group."""
        return np.asarray(np.bincount(self.codes, weights=values, minlength=self.names.size), dtype=float)


def _grouped(amount: ArrayLike, group: ArrayLike) -> _Groups:
    """The amounts that are amounts (zero and missing ones are none), by group."""
    money, groups = np.asarray(amount, dtype=float), np.asarray(group, dtype=object)
    kept = (money > 0) & np.isfinite(money) & ~pd.isna(groups)
    codes, names = pd.factorize(groups[kept], sort=True)
    n = np.bincount(codes, minlength=names.size).astype(float)
    return _Groups(money[kept], np.log(money[kept]), codes, names, n)


def shrink_amounts(
    amount: ArrayLike,
    group: ArrayLike,
    level: float = 0.90,
    threshold: float = 0.10,
    *,
    is_bounded: bool = False,
) -> pd.DataFrame:
    """Mean amount of each group, pulled together on the log scale and brought back to money.

    log amount_ij ~ N(theta_i, s^2), theta_i ~ N(mu, tau^2): mu is integrated exactly, tau (half-normal(1)) on a grid;
    a mean is exp(theta_i + s^2 / 2), its interval that of both parts together. One row a group, in sorted order:
    group, n, estimate, low, high (money), mean and median (of the raw amounts), baseline (mean of all by the same law,
    for tests), whole (their plain mean, to be told), beyond (posterior probability that the group's mean differs from
    the baseline by more than the factor 1 + ``threshold``), p (Student's test on logs against the baseline),
    log_deviation (within groups), factor (of a mean to its typical amount, exp(theta)), largest (share of the group's
    money in its largest amount) and reason (one of ``REASONS``).
    Zero and missing amounts are left out; interval, beyond and p are NaN without two amounts in one group, and where
    the amounts are shown not to be log-normal (``UNEVEN``): the raw means then stand alone. ``is_bounded``: no value
    can lie far beyond those seen, as days; the factor is the smearing factor with its own error, whatever the law.
    Sources: Gelman et al., BDA3, 5.4; Zou, Huo and Taleban (2009), Environmetrics 20, 172-180 (interval); Duan (1983),
    JASA 78, 605-610 (smearing).
    """
    rows = _grouped(amount, group)
    if not rows.money.size:
        return pd.DataFrame(columns=list(_COLUMNS))
    mean, freedom = rows.sums(rows.logs) / rows.n, rows.money.size - rows.names.size
    residual = rows.logs - mean[rows.codes]
    variance = float((residual**2).sum() / freedom) if freedom > 0 else math.nan
    theta, error = _shrunk_means(mean, rows.n, variance)
    smear, gate = np.exp(residual), math.log1p(threshold)
    centre = math.log(float(rows.money.mean() / smear.mean()))  # the log mean of a group whose mean is that of all
    is_heavy = not is_bounded and _is_refused(rows, residual, variance, float(error.min()))
    is_free = is_bounded or is_heavy
    factor = _Factor.smearing(smear, level) if is_free else _Factor.log_normal(variance, freedom, level)
    reach = error * (float(scipy.special.stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else math.nan)
    off = theta - centre
    with np.errstate(divide="ignore", invalid="ignore"):  # equal amounts have no error
        beyond = scipy.special.ndtr((off - gate) / error) + scipy.special.ndtr((-gate - off) / error)
    estimate, sums = np.exp(theta) * factor.factor, rows.sums(rows.money)
    by_group = pd.Series(rows.money).groupby(rows.codes)
    columns = (
        rows.names, rows.n.astype(np.int64), estimate, estimate * np.exp(-np.hypot(reach, factor.below)),
        estimate * np.exp(np.hypot(reach, factor.above)), sums / rows.n,
        by_group.median().to_numpy(), math.exp(centre) * factor.factor, rows.money.mean(), beyond,
        _from_baseline(rows, centre), math.sqrt(variance), factor.factor, by_group.max().to_numpy() / sums, "",
    )  # fmt: skip
    table = pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))
    return _withheld(table, np.full(len(table), is_heavy), UNEVEN)


def mean_amounts(amount: ArrayLike, group: ArrayLike, level: float = 0.90, threshold: float = 0.10) -> pd.DataFrame:
    """``shrink_amounts`` as it may be told: of a group of which one amount makes over a third, the mean alone."""
    table = shrink_amounts(amount, group, level, threshold)
    is_one = (table["largest"] > MOST_OF_ALL) & (table["largest"] * table["n"] > _TIMES_EQUAL)
    return _withheld(table, is_one.to_numpy(dtype=bool), ONE_DEAL)


def _withheld(table: pd.DataFrame, which: NDArray[np.bool_], reason: str) -> pd.DataFrame:
    """The raw means of these groups, without what would rest on a law of their amounts."""
    if not which.any():
        return table
    chosen = pd.Series(which, index=table.index)
    rests = table[_RESTING].mask(chosen)
    return table.assign(
        **rests, estimate=table["estimate"].mask(chosen, table["mean"]), reason=table["reason"].mask(chosen, reason)
    )


class _Factor(NamedTuple):
    """Of a mean to its typical amount, and how far its interval reaches below and above, in logs."""

    factor: float
    below: float
    above: float

    @classmethod
    def smearing(cls, smear: Floats, level: float) -> Self:
        """The mean of what residuals of the logs bring in money, with its own error."""
        mean = float(smear.mean())
        error = float(scipy.stats.sem(smear)) / mean if smear.size > 1 else math.nan
        reach = float(scipy.stats.norm.isf((1 - level) / 2)) * error
        return cls(mean, reach, reach)

    @classmethod
    def log_normal(cls, variance: float, freedom: int, level: float) -> Self:
        """exp(s^2 / 2) with chi-squared limits of s^2: what a mean adds to them is added in squares (MOVER)."""
        if not freedom > 0:
            return cls(math.nan, math.nan, math.nan)
        tails = (1 + level) / 2, (1 - level) / 2
        high, low = (variance * freedom / float(scipy.special.chdtri(freedom, tail)) for tail in tails)
        return cls(math.exp(variance / 2), (variance - low) / 2, (high - variance) / 2)


def _is_refused(rows: _Groups, residual: Floats, variance: float, error: float) -> bool:
    """Are the amounts shown not to be log-normal, and does that matter for their mean?

    Shapiro & Wilk's test of the logs at 1 %: of truly log-normal amounts so few lose their interval. Of thousands every
    small departure is seen, so the mean under the law has to be off as well, by half a standard error or more.
    """
    has_others = rows.n[rows.codes] > 1
    tested = np.sort((residual * np.sqrt(rows.n / np.maximum(rows.n - 1, 1))[rows.codes])[has_others])
    tested = tested[:: math.ceil(tested.size / _MOST_TESTED) or 1]
    if tested.size < 3 or not variance > _EQUAL or scipy.stats.shapiro(tested).pvalue > _REFUSED:
        return False
    off = math.log(float(np.exp(residual).mean())) - variance / 2
    return abs(off) > _TELLING * math.hypot(error, variance / math.sqrt(2 * (rows.money.size - rows.names.size)))


def _shrunk_means(mean: Floats, n: Floats, variance: float) -> tuple[Floats, Floats]:
    """Posterior means and standard errors of the groups' log means, over the grid of tau."""
    if not len(mean) or not variance > 0:
        return np.asarray(mean, dtype=float), np.full(len(mean), np.nan)
    own = variance / n
    tau = np.geomspace(0.1 * math.sqrt(own.min()), max(3.0, math.sqrt(own.max())), _TAU_POINTS)[:, None]
    worth = 1 / (own + tau**2)
    total = worth.sum(axis=1)
    mu = (worth @ mean) / total
    fit = -0.5 * (worth * (mean - mu[:, None]) ** 2).sum(axis=1) + 0.5 * np.log(worth).sum(axis=1)
    log_weight = fit - 0.5 * np.log(total) - tau[:, 0] ** 2 / 2 + np.log(tau[:, 0])
    weight = scipy.special.softmax(log_weight)
    pull = own / (own + tau**2)
    means = pull * mu[:, None] + (1 - pull) * mean
    spreads = (1 - pull) * own + pull**2 / total[:, None]
    theta = weight @ means
    return theta, np.sqrt(weight @ (spreads + (means - theta) ** 2))


def _from_baseline(rows: _Groups, centre: float) -> Floats:
    """Student's test of each group's logs against ``centre``; NaN below two values.

    As for rates, the baseline is taken as given though the group is part of it: that errs on the safe side.
    """
    centred = rows.logs - centre
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = rows.sums(centred) / rows.n
        variance = rows.sums((centred - mean[rows.codes]) ** 2) / (rows.n - 1)
        score = np.where(variance > 0, np.abs(mean) / np.sqrt(variance / rows.n), np.nan)
    return np.asarray(2 * scipy.stats.t.sf(score, np.maximum(rows.n - 1, 1)), dtype=float)


def needed_n_ratio(log_deviation: ArrayLike, ratio: float, power: float = 0.80, alpha: float = 0.05) -> Floats:
    """Size that each of two groups needs to show means a factor 1 + ``ratio`` apart; NaN if unknown.

    n = 2 (z_alpha/2 + z_power)^2 s^2 / log(1 + ratio)^2, rounded up, with s the deviation of the logs.
    """
    reach = squared_reach(power, alpha)
    deviation = np.asarray(log_deviation, dtype=float)
    return np.asarray(np.ceil(2 * reach * deviation**2 / math.log1p(ratio) ** 2), dtype=float)


def visible_ratio(n: ArrayLike, log_deviation: ArrayLike, power: float = 0.80, alpha: float = 0.05) -> Floats:
    """The smallest factor between two means that groups of size n show: the inverse of ``needed_n_ratio``."""
    reach = squared_reach(power, alpha)
    size = np.asarray(n, dtype=float)
    error = np.sqrt(2 * reach / np.where(size > 0, size, np.nan))
    return np.asarray(np.exp(error * np.asarray(log_deviation, dtype=float)))


def conformal_range(past_amounts: ArrayLike, level: float = 0.90) -> tuple[float, float]:
    """Range that holds the next amount with at least that probability, whatever the amounts' distribution.

    Split-conformal: the order statistics floor((n + 1) tail) and ceil((n + 1) (1 - tail)) of the past
    amounts (missing ones left out); NaN when there are too few. For a range around predictions pass the
    past ratios of amount and prediction, and multiply. Source: Vovk, Gammerman & Shafer (2005); Lei et al.
    (2018), JASA 113.
    """
    past = np.sort(np.asarray(past_amounts, dtype=float))
    past = past[np.isfinite(past)]
    lower = math.floor((past.size + 1) * (1 - level) / 2 + 1e-9)
    if lower < 1:
        return math.nan, math.nan
    return float(past[lower - 1]), float(past[past.size - lower])


def velocity(n_open: float, win_rate: Estimate, amount: Estimate, cycle_days: Estimate) -> dict[str, float]:
    """Sales velocity per day = opportunities x win rate x average amount / cycle, with its interval.

    Each factor is a number or (estimate, low, high), all of one level; their log errors are added as independent
    ones (delta method). Returns estimate, low, high (money per day); NaN where a factor is missing or the
    cycle is 0 days.
    """
    factors = [part if isinstance(part, tuple) else (part, part, part) for part in (win_rate, amount, cycle_days)]
    rate, money, days = (estimate for estimate, _, _ in factors)
    value = n_open * rate * money / days if days > 0 else math.nan
    reach = math.hypot(*(math.log(high / low) / 2 if low > 0 else math.nan for _, low, high in factors))
    return {"estimate": value, "low": value * math.exp(-reach), "high": value * math.exp(reach)}


def won_per_decided(
    is_won: ArrayLike, amount: ArrayLike, group: ArrayLike, level: float = 0.90, threshold: float = 0.10
) -> pd.DataFrame:
    """Won amount per decided deal of each group: its shrunk win rate times its shrunk mean amount.

    One entry a decided deal: is it won (else lost), its amount (money, looked at where it was won), its group. A won
    deal without an amount counts as won, and is taken to pay like the group's others. One row for each group that has
    an amount, in sorted order: group, n (decided), k (won), n_paid (won with an amount), estimate, low, high, baseline
    (of all deals by the same law, for tests), whole (their plain mean, to be told), beyond (posterior probability of a
    factor over 1 + ``threshold`` from the baseline), p (Student's test of the unshrunk logarithm against it), and
    log_deviation (of the logarithm, for one decided deal of any group). The log
    errors of rate and mean amount are added as independent ones, each side for itself (MOVER); interval, beyond and p
    are NaN where the mean amount has no interval (``reason``). Sources: ``shrink_rates``, ``mean_amounts``.
    """
    deals = pd.DataFrame({"won": np.asarray(is_won, dtype=bool), "amount": np.asarray(amount, dtype=float)})
    deals = deals.assign(group=np.asarray(group, dtype=object)).dropna(subset="group")
    paid = deals[deals["won"] & (deals["amount"] > 0)].assign(log=lambda rows: np.log(rows["amount"]))
    if paid.empty:
        return pd.DataFrame(columns=list(_PER_DECIDED))
    counted = deals.groupby("group")["won"].agg(n="size", k="sum")
    rates = shrink_rates(counted["k"], counted["n"], level)
    log_variance = scipy.special.polygamma(1, rates.alpha) - scipy.special.polygamma(1, rates.alpha + rates.beta)
    logs = paid.groupby("group")["log"].agg(n_paid="size", mean="mean", variance="var")
    groups = counted.assign(rate=rates.mean, rate_variance=log_variance).join(logs, how="inner")
    money = mean_amounts(paid["amount"], paid["group"], level).set_index("group").loc[groups.index]
    z, share = float(scipy.stats.norm.isf((1 - level) / 2)), float(deals["won"].mean())
    estimate, baseline = groups["rate"] * money["estimate"], share * money["baseline"]
    by_rate = z * np.sqrt(groups["rate_variance"])
    below, above = (np.hypot(by_rate, np.log(money[end] / money["estimate"])) for end in ("low", "high"))
    error, off, gate = (below + above) / (2 * z), np.log(estimate / baseline), math.log1p(threshold)
    # unshrunk; as for amounts, the baseline is taken as given though the group is part of it: on the safe side
    won = groups["k"] / groups["n"]
    own_error = np.sqrt((1 - won) / groups["k"] + groups["variance"] / groups["n_paid"])
    score = (np.log(won) + groups["mean"] - np.log(baseline / money["factor"])).abs() / own_error
    p = pd.Series(2 * scipy.stats.t.sf(score, np.maximum(groups["n_paid"] - 1, 1)), index=groups.index)
    table: pd.DataFrame = groups.assign(
        estimate=estimate, low=estimate * np.exp(-below), high=estimate * np.exp(above), baseline=baseline,
        whole=share * money["whole"],
        beyond=scipy.special.ndtr((off - gate) / error) + scipy.special.ndtr((-gate - off) / error),
        p=p.where((groups["n_paid"] > 1) & money["low"].notna()),
        log_deviation=math.sqrt((1 - share + money["log_deviation"].iloc[0] ** 2) / share),
        reason=money["reason"],
    )  # fmt: skip
    return table.rename_axis("group").reset_index().loc[:, list(_PER_DECIDED)]


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
