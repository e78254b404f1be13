"""Rates of a group like for like: its adjusted difference, drift over time, and what a promised rate lets expect."""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from closedloop.errors import ParameterError
from closedloop.statistics.proportions import Floats, counted, exact_difference_p, wilson

# Where only the mix makes the crude difference, the adjusted one turns by chance in one tail of this level.
REVERSAL_LEVEL = 0.95


@dataclass(frozen=True)
class Adjusted:
    """A group's difference in rate from the rest, crude and inside strata (fractions; NaN where undefined).

    ``low`` and ``high`` belong to the adjusted difference. ``reversal``: its interval at REVERSAL_LEVEL, whatever
    the level of the others, lies wholly on the other side of 0 than the crude difference. ``n`` is the number of
    cases in strata that hold both sides.
    """

    crude: float
    adjusted: float
    low: float
    high: float
    reversal: bool
    n: int

    @property
    def turns(self) -> str:
        """Does the difference turn round? yes: surely; maybe: only its estimate is on the other side; else no."""
        return "yes" if self.reversal else "maybe" if self.crude * self.adjusted < 0 else "no"

    def answer(self, worth: float) -> str:
        """``turns``, or "nothing" where like compared with like surely leaves no difference of ``worth`` (a fraction).

        That is so where the interval holds 0, lies within ``worth`` either side of it, and leaves out the crude
        difference. An interval of that kind which is too wide for it shows that the difference may not hold: "maybe".
        """
        is_less = self.low <= 0 <= self.high and not self.low <= self.crude <= self.high
        if is_less and max(-self.low, self.high) <= worth:
            return "nothing"
        return "maybe" if is_less and not self.reversal else self.turns


def adjusted_difference(k1: Floats, n1: Floats, k0: Floats, n0: Floats, level: float = 0.90) -> Adjusted:
    """Mantel-Haenszel's difference of rates between a group and the rest over the strata of a confounder.

    k1 of n1 in the group, k0 of n0 in the rest, each (strata,). Strata with one side only say nothing about the
    adjusted difference. Sato's variance.
    Sources: Greenland & Robins (1985), Biometrics 41, 55-68; Sato (1989), Biometrics 45, 1323-1324.
    """
    crude = float(k1.sum() / n1.sum() - k0.sum() / n0.sum()) if n1.sum() > 0 and n0.sum() > 0 else float("nan")
    both = (n1 > 0) & (n0 > 0)
    k1, n1, k0, n0 = k1[both], n1[both], k0[both], n0[both]
    adjusted, error = float("nan"), float("nan")
    if both.any():
        total = n1 + n0
        weight = n1 * n0 / total
        adjusted = float((weight * (k1 / n1 - k0 / n0)).sum() / weight.sum())
        p = (n1**2 * k0 - n0**2 * k1 + n1 * n0 * (n0 - n1) / 2) / total**2
        q = (k1 * (n0 - k0) + k0 * (n1 - k1)) / (2 * total)
        error = float(np.sqrt(max((adjusted * p.sum() + q.sum()) / weight.sum() ** 2, 0.0)))
    reach, reach_of_reversal = (float(scipy.stats.norm.isf((1 - of) / 2)) * error for of in (level, REVERSAL_LEVEL))
    reversal = crude * adjusted < 0 and abs(adjusted) > reach_of_reversal
    return Adjusted(crude, adjusted, adjusted - reach, adjusted + reach, reversal, int((n1 + n0).sum()))


FEWEST_EARLIER = 4  # periods, before the spread between periods can be told from luck
_PARTS = 2


@dataclass(frozen=True)
class Drift:
    """Rates now and before, one entry a group; ``error`` is that of their difference, NaN where either has no case.

    ``low``, ``high``: Wilson's interval of the rate now alone. ``beyond``:
    probability that the difference is over the threshold. ``sizes``: cases of a single sample that would say as much.
    ``deviation``: standard deviation of the true rates between periods; NaN where it was not asked.
    """

    now: Floats
    before: Floats
    error: Floats
    low: Floats
    high: Floats
    p: Floats
    beyond: Floats
    sizes: Floats
    deviation: float


def drift(k: ArrayLike, n: ArrayLike, *, threshold: float = 0.03, level: float = 0.90) -> Drift:
    """The last period's rate of each group against the rate of all earlier periods together.

    ``k`` of ``n``: (groups, periods), in order of time, the last column is now. From four earlier periods on their
    rates' variance beyond luck, one for all groups, is estimated by moments (DerSimonian & Laird 1986, Controlled
    Clinical Trials 7, 177-188) and added to the error; p is then Student's with as many degrees of freedom as it was
    estimated from. Without any, p is the exact mid-p value of two samples. ParameterError for fewer than two periods.
    """
    hits, sizes = counted(k, n)
    if hits.ndim != 2 or hits.shape[1] < 2:
        raise ParameterError(f"drift: found counts of shape {hits.shape}; needed are (groups, 2 or more periods)")
    k_now, n_now, k_before, n_before = hits[:, -1], sizes[:, -1], hits[:, :-1].sum(axis=1), sizes[:, :-1].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        now, before = k_now / n_now, k_before / n_before
        pooled = (k_now + k_before) / (n_now + n_before)
        spread = pooled * (1 - pooled)
        variance, degrees = _between(hits[:, :-1], sizes[:, :-1])
        weight = ((sizes[:, :-1] / n_before[:, None]) ** 2).sum(axis=1)
        error = np.sqrt(spread * (1 / n_now + 1 / n_before) + np.nan_to_num(variance) * (1 + weight))
        p = exact_difference_p(k_now, n_now, k_before, n_before)
        if variance > 0:
            p = 2 * scipy.stats.t.sf(np.abs(now - before) / error, degrees)
        p = np.where(np.isfinite(error), p, np.nan)
        over = [scipy.stats.norm.sf((threshold - sign * (now - before)) / error) for sign in (1, -1)]
        low, high = wilson(k_now, n_now, level)
        return Drift(
            now=now,
            before=before,
            error=error,
            low=low,
            high=high,
            p=p,
            beyond=over[0] + over[1],
            sizes=spread / error**2,
            deviation=float(np.sqrt(variance)),
        )


def _between(hits: Floats, sizes: Floats) -> tuple[float, int]:
    """Variance of the true rates between earlier periods, and its degrees of freedom; NaN for too few periods."""
    if (sizes > 0).any(axis=0).sum() < FEWEST_EARLIER:
        return np.nan, 0
    rate = np.divide(hits.sum(axis=1), sizes.sum(axis=1), out=np.zeros(len(hits)), where=sizes.sum(axis=1) > 0)
    spread = rate * (1 - rate)
    used = (spread > 0) & ((sizes > 0).sum(axis=1) > 1)
    k, n, rate, spread = hits[used], sizes[used], rate[used, None], spread[used, None]
    degrees = int((n > 0).sum() - len(n))
    if degrees < 1:
        return np.nan, 0
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.nansum((k - n * rate) ** 2 / (n * spread))
    total = n.sum(axis=1)
    scale = float(((total - (n**2).sum(axis=1) / total) / spread[:, 0]).sum())
    # What moves periods moves all groups alike to some part, so the groups do not each bring their own degrees.
    return max(0.0, float(statistic - degrees) / scale), min(degrees, _PARTS * int((n > 0).any(axis=0).sum() - 1))


def predictive_midp(k: ArrayLike, n: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Floats:
    """Two-sided mid-p value of k successes in n against a rate that is itself only known as Beta(alpha, beta).

    The tails are those of the beta-binomial, the prior predictive distribution (Box 1980, JRSS A 143, 383-430): a
    rate known well gives ``midp``'s. NaN where n is 0.
    """
    hits, sizes = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    known = scipy.stats.betabinom(sizes, np.asarray(alpha, dtype=float), np.asarray(beta, dtype=float))
    here = known.pmf(hits) / 2
    below = known.cdf(hits - 1) + here
    return np.where(sizes > 0, np.clip(2 * np.minimum(below, 1 - below), 0.0, 1.0), np.nan)


def beta_of(mean: ArrayLike, low: ArrayLike, high: ArrayLike, level: float = 0.90) -> tuple[Floats, Floats]:
    """Alpha and beta of the beta distribution with this mean and, by its variance, about this interval."""
    centre = np.clip(np.asarray(mean, dtype=float), 1e-6, 1 - 1e-6)
    half = (np.asarray(high, dtype=float) - np.asarray(low, dtype=float)) / 2 / scipy.stats.norm.ppf((1 + level) / 2)
    size = np.maximum(centre * (1 - centre) / np.maximum(half, 1e-6) ** 2 - 1, 1e-3)
    return centre * size, (1 - centre) * size
