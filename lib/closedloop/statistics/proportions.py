"""Rates of groups: intervals, shrinkage, like compared with like inside strata (periods), and what a size can show."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError

Floats = NDArray[np.float64]

_MU_POINTS = 41
_M_POINTS = 25
_MU_REACH = 4.5  # half-width of the grid of means, in its own standard errors
_SMALLEST_M = 0.2
_LARGEST_M = 20_000.0
_JEFFREYS = 0.5
_ROUNDING = 1e-9
_COCHRAN = 5.0  # expected count below which the chi-square distribution is not trusted
_MONTE_CARLO_SEED = 20_240_101  # a p value is a function of its counts alone


@dataclass(frozen=True)
class ShrunkRates:
    """Posterior rates of groups that are drawn from one population; every array has one entry a group.

    ``alpha`` and ``beta`` are the moment-matched beta posterior, ``baseline`` the posterior mean of the
    population's rate and ``spread`` the posterior mean of its spread between groups (in points, as a
    fraction).
    """

    mean: Floats
    low: Floats
    high: Floats
    alpha: Floats
    beta: Floats
    baseline: float
    spread: float

    def chance_below(self, value: ArrayLike) -> Floats:
        """Posterior probability that each group's rate is below ``value`` (a fraction)."""
        edge = np.clip(np.asarray(value, dtype=float), 0.0, 1.0)
        return np.asarray(scipy.special.betainc(self.alpha, self.beta, edge), dtype=float)

    def beyond(self, threshold: float, baseline: ArrayLike | None = None) -> Floats:
        """Posterior probability that each rate is more than ``threshold`` (a fraction) from the baseline."""
        centre = np.asarray(self.baseline if baseline is None else baseline, dtype=float)
        return 1.0 - self.chance_below(centre + threshold) + self.chance_below(centre - threshold)


def at_rate(difference: float, rate: float) -> float:
    """What a difference at a rate of one half is at another rate: about as much in log odds (times 4p(1 - p))."""
    return float(difference * 4 * rate * (1 - rate))


def counted(k: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """Both counts as float arrays of one shape; a success count outside 0..n is refused."""
    hits, sizes = np.broadcast_arrays(np.asarray(k, dtype=float), np.asarray(n, dtype=float))
    wrong = (hits < 0) | (hits > sizes)
    if wrong.any():
        found = f"{hits[wrong].flat[0]:g} of {sizes[wrong].flat[0]:g}"
        raise ParameterError(f"counts: found {found}; allowed are 0 <= k <= n; mend the counts that are passed in")
    return hits, sizes


def wilson(k: ArrayLike, n: ArrayLike, level: float = 0.90) -> tuple[Floats, Floats]:
    """Wilson's score interval of a rate: (low, high) as fractions, NaN where n is 0.

    Source: Wilson (1927), JASA 22, 209-212.
    """
    hits, sizes = counted(k, n)
    z = scipy.stats.norm.isf((1 - level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = hits / sizes
        centre = (rate + z**2 / (2 * sizes)) / (1 + z**2 / sizes)
        half = z * np.sqrt(rate * (1 - rate) / sizes + z**2 / (4 * sizes**2)) / (1 + z**2 / sizes)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def difference_interval(
    k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike, level: float = 0.90
) -> tuple[Floats, Floats, Floats]:
    """The rate of a group (1) less that of another (2): estimate, low, high as fractions; NaN where one is empty.

    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10 (of two Wilson intervals).
    """
    (low1, high1), (low2, high2) = wilson(k1, n1, level), wilson(k2, n2, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.asarray(k1, dtype=float) / np.asarray(n1, dtype=float)
        second = np.asarray(k2, dtype=float) / np.asarray(n2, dtype=float)
    gap = np.asarray(first - second, dtype=float)
    return gap, gap - np.hypot(first - low1, high2 - second), gap + np.hypot(high1 - first, second - low2)


def shrink_rates(k: ArrayLike, n: ArrayLike, level: float = 0.90) -> ShrunkRates:
    """Integrated empirical Bayes: rates pulled together as far as their spread allows, with honest intervals.

    k_i ~ Bin(n_i, p_i), p_i ~ Beta(mu M, (1 - mu) M); mu (Jeffreys) and M (half-normal(1) on the spread of
    the logits) are integrated over 41 x 25 points, not plugged in: a plug-in covers too little with few
    groups. The grid of mu follows M, so that it is fine where the groups agree and wide where they do not.
    Each group's mixture is matched by a beta of equal mean and variance. A group with n = 0 gets the prior
    predictive. Shapes: one entry a group. Source: Gelman et al., Bayesian Data Analysis (3rd ed.), 5.3,
    with a proper prior.
    """
    hits, sizes = counted(k, n)
    hits, sizes = np.atleast_1d(hits), np.atleast_1d(sizes)
    mu, m, log_prior = _grid(hits, sizes)
    a, b = (mu * m).ravel(), ((1 - mu) * m).ravel()
    log_weight = log_prior.ravel() + _log_likelihood(hits, sizes, a, b)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    total = sizes[:, None] + a + b
    means = (hits[:, None] + a) / total
    mean = means @ weight
    variance = (means * (1 - means) / (total + 1)) @ weight + (means**2) @ weight - mean**2
    size = mean * (1 - mean) / np.maximum(variance, 1e-18) - 1  # of the beta distribution of that mean and variance
    alpha, beta, tail = mean * size, (1 - mean) * size, (1 - level) / 2
    low, high = scipy.special.betaincinv(alpha, beta, tail), scipy.special.betaincinv(alpha, beta, 1 - tail)
    spread = np.sqrt(a * b / (a + b + 1)) / (a + b)
    return ShrunkRates(mean, low, high, alpha, beta, float(weight @ (a / (a + b))), float(weight @ spread))


def _grid(hits: Floats, sizes: Floats) -> tuple[Floats, Floats, Floats]:
    """The grid of mu (41 x 25), of M (25) and the log prior with the cell sizes (41 x 25)."""
    m = np.geomspace(_SMALLEST_M, max(_LARGEST_M, 20 * sizes.max(initial=0.0)), _M_POINTS)
    seen = sizes > 0
    size, rate = sizes[seen, None], hits[seen, None] / sizes[seen, None]
    worth = size / (1 + (size - 1) / (m + 1))  # each group's observations, less what its own level costs
    total = worth.sum(axis=0) + 2 * _JEFFREYS
    centre = ((worth * rate).sum(axis=0) + _JEFFREYS) / total
    error = 1 / np.sqrt(total * centre * (1 - centre))
    steps = np.linspace(-_MU_REACH, _MU_REACH, _MU_POINTS)[:, None]
    mu = scipy.special.expit(scipy.special.logit(centre) + steps * error)
    variance = mu * (1 - mu)
    spread = 1 / np.sqrt(variance * (m + 1))  # of the logits, to first order
    density = -(spread**2) / 2 + np.log(spread * m / (m + 1))  # half-normal(1), as a density of ln M
    return mu, m, density + _JEFFREYS * np.log(variance) + np.log(error)


def _log_likelihood(hits: Floats, sizes: Floats, a: Floats, b: Floats) -> Floats:
    """Beta-binomial log-likelihood of all groups at every grid point, without the binomial coefficients."""
    seen = sizes > 0
    won, lost = hits[seen, None], (sizes - hits)[seen, None]
    joint = scipy.special.gammaln(won + a) + scipy.special.gammaln(lost + b) - scipy.special.gammaln(won + lost + a + b)
    prior = scipy.special.gammaln(a) + scipy.special.gammaln(b) - scipy.special.gammaln(a + b)
    return np.asarray((joint - prior).sum(axis=0), dtype=float)


def standardised(
    k: ArrayLike, n: ArrayLike, expected: ArrayLike, contrast: ArrayLike, baseline: ArrayLike, total: ArrayLike
) -> tuple[Floats, Floats]:
    """Successes and cases (k, n) of groups as if strata (periods) did not differ: like is compared with like.

    ``expected``: each group's successes at its strata's rates; ``contrast``: its cases, each times the share of its
    stratum that is not in the group; ``total``: cases of all groups, which win at ``baseline``. A case whose stratum
    holds nobody else says nothing about the group, so it does not count. The rates' differences are those of Mantel &
    Haenszel (``stratified``); with one stratum k and n stay as they are.
    """
    hits, sizes = counted(k, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = 1 - sizes / np.asarray(total, dtype=float)
        comparable = np.where(others > 0, np.asarray(contrast, dtype=float) / others, 0.0)
    fair = hits - np.asarray(expected, dtype=float) + comparable * np.asarray(baseline, dtype=float)
    return np.clip(fair, 0.0, comparable), comparable


class Compared(NamedTuple):
    """Groups beside what their strata let expect, one entry a group; ``sizes``: the cases that can be compared.

    ``shrunk``: rates as if strata did not differ, for tests against the pooled rate. ``estimate``, ``low``, ``high``
    and ``baseline``: as counted, in the strata that each group has; without shrinkage the estimate is k of n.
    """

    shrunk: ShrunkRates
    sizes: Floats
    estimate: Floats
    low: Floats
    high: Floats
    baseline: Floats


def compare_in_strata(
    k: ArrayLike,
    n: ArrayLike,
    expected: ArrayLike,
    contrast: ArrayLike,
    pooled: float,
    total: float,
    level: float = 0.90,
) -> Compared:
    """Groups' rates, shrunk together and each compared with all cases of its own strata (periods).

    Arguments as of ``standardised``. The baseline is ``expected`` of n, the pooled rate where n is 0. The interval is
    that of the group's own rate, whatever share of its strata it holds. A group of all cases keeps what it counts, and
    so does one whose rate, were strata alike, would lie below 0 or above 1 (with Wilson's interval).
    """
    hits, sizes = standardised(k, n, expected, contrast, pooled, total)
    cases = np.asarray(n, dtype=float)
    is_all = (cases > 0) & (cases >= total)
    hits, sizes = np.where(is_all, np.asarray(k, dtype=float), hits), np.where(is_all, cases, sizes)
    shrunk = shrink_rates(hits, sizes, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        baseline = np.where(cases > 0, np.asarray(expected, dtype=float) / cases, pooled)
        share = np.where(cases > 0, sizes / cases, 1.0)
        own = np.asarray(k, dtype=float) / cases
        told = baseline + share * (np.where(sizes > 0, hits / sizes, pooled) - pooled)
    effect, below, above = as_counted(shrunk, share, pooled)
    estimate, low, high = np.clip(baseline + np.array([effect, effect - below, effect + above]), 0.0, 1.0)
    is_cut = (
        (cases > 0) & ~is_all & ~np.isclose(own, told, rtol=0, atol=_ROUNDING)
    )  # what they count is not what is shrunk
    kept = (own, *wilson(k, cases, level))
    estimate, low, high = (np.where(is_cut, ours, of) for ours, of in zip(kept, (estimate, low, high), strict=True))
    return Compared(shrunk, sizes, estimate, low, high, baseline)


def as_counted(shrunk: ShrunkRates, share: ArrayLike, pooled: float | Floats) -> tuple[Floats, Floats, Floats]:
    """Differences from what strata let expect, and how far their intervals reach below and above them.

    ``share``: of each group's cases, those that can be compared. Its rate as counted differs by so much less, and is
    known from all its cases.
    """
    known, reach = np.asarray(share, dtype=float), np.sqrt(np.asarray(share, dtype=float))
    return known * (shrunk.mean - pooled), reach * (shrunk.mean - shrunk.low), reach * (shrunk.high - shrunk.mean)


def stratified_difference_p(k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike) -> Floats:
    """Two-sided p value of equal rates in a group (1) and the rest (2) inside strata; NaN where no stratum has both.

    Shapes: (..., strata), one p for each leading entry. Without continuity correction; where nobody or everybody
    succeeded in every stratum, nothing differs: p = 1. Source: Mantel & Haenszel (1959), J. Natl. Cancer Inst. 22,
    719-748.
    """
    (hits1, sizes1), (hits2, sizes2) = counted(k1, n1), counted(k2, n2)
    total, hits = sizes1 + sizes2, hits1 + hits2
    is_shared = (sizes1 > 0) & (sizes2 > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = sizes1 * hits / total
        variance = sizes1 * sizes2 * hits * (total - hits) / (total**2 * (total - 1))
        excess = np.where(is_shared, hits1 - expected, 0.0).sum(axis=-1)
        noise = np.sqrt(np.where(is_shared, variance, 0.0).sum(axis=-1))
        z = np.where(noise > 0, excess / noise, 0.0)
    return np.where(is_shared.any(axis=-1), 2 * scipy.stats.norm.sf(np.abs(z)), np.nan)


def midp(k: ArrayLike, n: ArrayLike, baseline: ArrayLike) -> Floats:
    """Two-sided mid-p value of k successes in n against a fixed baseline rate; NaN where undefined.

    Twice the smaller tail, the observed count weighing half. Source: Lancaster (1961), JASA 56, 223-234.
    """
    hits, sizes = counted(k, n)
    rate = np.asarray(baseline, dtype=float)
    below = scipy.stats.binom.cdf(hits - 1, sizes, rate) + scipy.stats.binom.pmf(hits, sizes, rate) / 2
    above = scipy.stats.binom.sf(hits, sizes, rate) + scipy.stats.binom.pmf(hits, sizes, rate) / 2
    return np.where(sizes > 0, np.minimum(2 * np.minimum(below, above), 1.0), np.nan)


def exact_difference_p(k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike) -> Floats:
    """Two-sided mid-p value of equal rates in a group (1) and the rest (2), margins held; NaN where either is empty.

    Fisher's test with half the observed table's weight: for many comparisons with small cells, where the score
    test's tail is too light. Source: Hwang & Yang (2001), Statistica Sinica 11, 807-826.
    """
    (hits1, sizes1), (hits2, sizes2) = counted(k1, n1), counted(k2, n2)
    table = (sizes1 + sizes2, hits1 + hits2, sizes1)
    half = scipy.stats.hypergeom.pmf(hits1, *table) / 2
    tail = np.minimum(scipy.stats.hypergeom.cdf(hits1 - 1, *table), scipy.stats.hypergeom.sf(hits1, *table)) + half
    return np.where((sizes1 > 0) & (sizes2 > 0), np.minimum(2 * tail, 1.0), np.nan)


def spread_beyond_luck(
    k: ArrayLike, n: ArrayLike, *, draws: int = 4_000, rng: np.random.Generator | None = None
) -> float:
    """P value of the question whether the groups' rates differ at all; NaN with fewer than two groups.

    Pearson's chi-square. Where an expected cell is below 5 its distribution comes from ``draws`` tables with
    the same margins (exact conditional null, sampled), from ``rng`` or a generator of fixed seed.
    """
    hits, sizes = counted(k, n)
    hits, sizes = hits[sizes > 0].ravel(), sizes[sizes > 0].ravel()
    if hits.size < 2:
        return math.nan
    rate = hits.sum() / sizes.sum()
    if rate in (0.0, 1.0):
        return 1.0
    found = _chi_square(hits, sizes, rate)
    if sizes.min() * min(rate, 1 - rate) >= _COCHRAN:
        return float(scipy.stats.chi2.sf(found, hits.size - 1))
    source = rng or np.random.default_rng(_MONTE_CARLO_SEED)
    tables = source.multivariate_hypergeometric(sizes.astype(np.int64), int(hits.sum()), size=draws)
    at_least = _chi_square(tables, sizes, rate) >= found * (1 - 1e-12)
    return float((1 + at_least.sum()) / (1 + draws))


def _chi_square(hits: NDArray[np.float64] | NDArray[np.int64], sizes: Floats, rate: float) -> Floats:
    """Pearson's statistic over the last axis for success counts with a common rate."""
    return np.asarray(((hits - sizes * rate) ** 2 / (sizes * rate * (1 - rate))).sum(axis=-1), dtype=float)


def squared_reach(power: float, alpha: float) -> float:
    """The squared distance, in standard errors, that a test of that size and power has to bridge."""
    return float((scipy.stats.norm.isf(alpha / 2) + scipy.stats.norm.ppf(power)) ** 2)


def needed_n(baseline: float, difference: float, power: float = 0.80, alpha: float = 0.05) -> int:
    """Size that each of two groups needs for the difference to be seen, from the baseline towards one half.

    n = (z_alpha/2 + z_power)^2 (p1 (1 - p1) + p2 (1 - p2)) / difference^2, rounded up: the unpooled normal
    formula. Source: Fleiss, Levin & Paik (2003), Statistical Methods for Rates and Proportions, ch. 4.
    """
    first = min(baseline, 1 - baseline)
    if not (first >= 0 and 0 < difference <= 1 - first):
        raise ParameterError(
            f"needed_n: found baseline {baseline} and difference {difference}; allowed are a baseline in "
            "0..1 and a difference above 0 that stays in 0..1; mend smallest_worth in market.toml"
        )
    second = first + difference
    noise = first * (1 - first) + second * (1 - second)
    return max(1, math.ceil(squared_reach(power, alpha) * noise / difference**2 - 1e-9))


def visible_difference(n: ArrayLike, baseline: ArrayLike, power: float = 0.80, alpha: float = 0.05) -> Floats:
    """The smallest difference of rates that groups of size n show: the inverse of ``needed_n``.

    A fraction; NaN where n is 0 or a missing baseline gives nothing to differ from.
    """
    reach, rate = squared_reach(power, alpha), np.asarray(baseline, dtype=float)
    size = np.asarray(n, dtype=float)
    size = np.where(size > 0, size, np.nan)
    first = np.minimum(rate, 1 - rate)
    slope = reach * (1 - 2 * first)
    root = np.sqrt(slope**2 + 8 * reach * first * (1 - first) * (size + reach))
    return np.asarray((slope + root) / (2 * (size + reach)), dtype=float)


def multinomial_intervals(counts: ArrayLike, level: float = 0.90) -> tuple[Floats, Floats]:
    """Simultaneous intervals (low, high) of the shares of all categories; NaN when nothing was counted.

    Source: Goodman (1965), Technometrics 7, 247-254.
    """
    tallies = np.asarray(counts, dtype=float)
    total = tallies.sum()
    critical = scipy.stats.chi2.isf((1 - level) / max(tallies.size, 1), 1)
    with np.errstate(invalid="ignore"):
        half = np.sqrt(critical * (critical + 4 * tallies * (total - tallies) / total))
    centre, size = critical + 2 * tallies, 2 * (critical + total)
    return (centre - half) / size, (centre + half) / size


_HARM_Z = 2.373  # O'Brien & Fleming's bound at the first of two looks of a two-sided test at 10 %


@dataclass(frozen=True)
class Trial:
    """A test of two arms of equal size, judged once at the end, and stopped half-way only for harm.

    ``n_per_arm``: records each arm needs. ``harm``: how far (a fraction) the new arm may be behind when half of them
    are decided; further behind, stop.
    """

    n_per_arm: int
    harm: float


def trial(usual: float, other: float, *, level: float = 0.90, power: float = 0.80) -> Trial:
    """The smallest test of two arms that finds the difference of ``other`` from ``usual`` with this power.

    ``usual``, ``other``: rates of success within (0, 1), which differ. Two proportions, sides of the interval equal,
    variances of the rates themselves (Fleiss, Levin & Paik 2003, section 4). Half-way the new arm is stopped when it
    is behind by more than O'Brien & Fleming's (1979) bound; ahead, the test goes on, so the error at the end stays as
    planned. Raises ParameterError for other rates.
    """
    if not (0 < usual < 1 and 0 < other < 1 and usual != other):
        raise ParameterError(f"rates {usual!r} and {other!r} are not two different rates between 0 and 1")
    mean = (usual + other) / 2
    at_end, found = scipy.stats.norm.ppf((1 + level) / 2), scipy.stats.norm.ppf(power)
    spread = at_end * math.sqrt(2 * mean * (1 - mean)) + found * math.sqrt(usual * (1 - usual) + other * (1 - other))
    n = math.ceil((spread / (other - usual)) ** 2)
    return Trial(n, float(_HARM_Z * math.sqrt(2 * usual * (1 - usual) / math.ceil(n / 2))))
