"""How good probabilities are: loss, calibration, ranking, comparison; and what another rule would have been worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.indicators import Floats, Ints

Flags = NDArray[np.bool_]
_EDGE = 1e-6


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; all NaN when it cannot be told."""

    estimate: float
    low: float
    high: float


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Mean squared distance of probabilities ``p`` from outcomes ``y`` (0/1); NaN without rows. Brier (1950)."""
    outcome, chance = _pair(y, p)
    return float(np.mean((outcome - chance) ** 2)) if len(outcome) else np.nan


def log_loss(y: ArrayLike, p: ArrayLike) -> float:
    """Mean negative log-likelihood in nats, probabilities cut at one in a million; NaN without rows."""
    outcome, chance = _pair(y, p)
    return float(_losses(outcome, chance).mean()) if len(outcome) else np.nan


def calibration_table(y: ArrayLike, p: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Predicted against observed in ``bins`` groups of equal size, from the lowest probabilities to the highest.

    Columns: bin (from 1), n, predicted, observed, low, high (90 % Wilson interval of observed). Rows with the same
    probability in one order of the input stay in that order; no rows give an empty table.
    """
    outcome, chance = _pair(y, p)
    groups = [g for g in np.array_split(np.argsort(chance, kind="stable"), bins) if len(g)]
    n = np.array([len(g) for g in groups], dtype=float)
    hits = np.array([outcome[g].sum() for g in groups], dtype=float)
    low, high = wilson(hits, n)
    return pd.DataFrame(
        {
            "bin": np.arange(1, len(groups) + 1),
            "n": n.astype(int),
            "predicted": np.array([chance[g].mean() for g in groups], dtype=float),
            "observed": hits / np.maximum(n, 1),
            "low": low,
            "high": high,
        }
    )


def ece(y: ArrayLike, p: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean |observed - predicted| over groups of equal size; NaN without rows."""
    table = calibration_table(y, p, bins)
    if table.empty:
        return np.nan
    return float(np.average((table["observed"] - table["predicted"]).abs(), weights=table["n"]))


def calibration_slope(y: ArrayLike, p: ArrayLike) -> float:
    """Slope of the outcome on the logit of the probability: 1 is calibrated, below 1 overconfident (Cox, 1958).

    NaN when one outcome is absent or the probabilities do not differ.
    """
    from sklearn.linear_model import LogisticRegression

    outcome, chance = _pair(y, p)
    if len(np.unique(outcome)) < 2 or np.ptp(chance) == 0:
        return np.nan
    logit = scipy.special.logit(np.clip(chance, _EDGE, 1 - _EDGE))[:, None]
    return float(LogisticRegression(C=np.inf).fit(logit, outcome).coef_[0, 0])


def auc(y: ArrayLike, p: ArrayLike) -> float:
    """Chance that a row with outcome 1 ranks above one with 0, ties half; NaN when one outcome is absent."""
    return auc_within(y, p, np.zeros(np.size(y)))


def auc_within(y: ArrayLike, p: ArrayLike, block: ArrayLike) -> float:
    """AUC of pairs inside the same block only, so that a base rate that moves over time earns nothing.

    Each block counts by its number of pairs; NaN when no block holds both outcomes.
    """
    return auc_within_interval(y, p, block).estimate


def auc_within_interval(y: ArrayLike, p: ArrayLike, block: ArrayLike, level: float = 0.90) -> Interval:
    """AUC inside blocks with the interval of DeLong, DeLong & Clarke-Pearson (1988), blocks independent."""
    outcome, chance = _pair(y, p)
    codes = pd.factorize(np.asarray(block), use_na_sentinel=False)[0]
    areas, variances, pairs = _delong(outcome == 1, chance, codes.astype(np.int64))
    if not len(pairs):
        return Interval(np.nan, np.nan, np.nan)
    weight = pairs / pairs.sum()
    estimate, error = float(weight @ areas), float(np.sqrt(weight**2 @ variances))
    reach = float(scipy.stats.norm.ppf(0.5 + level / 2)) * error
    return Interval(estimate, max(estimate - reach, 0.0), min(estimate + reach, 1.0))


def paired_bootstrap(
    y: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    *,
    rng: np.random.Generator,
    block: ArrayLike | None = None,
    measure: Literal["log_loss", "auc_within"] = "log_loss",
    draws: int = 1000,
    level: float = 0.90,
) -> Interval:
    """By how much ``p_b`` is better than ``p_a`` on the same rows; above 0 means that b is better.

    The gain is log-loss of a minus that of b, or the AUC inside blocks of b minus that of a. Rows are drawn with
    replacement (inside blocks for the AUC). NaN for fewer than two rows.
    """
    outcome, a = _pair(y, p_a)
    _, b = _pair(y, p_b)
    if len(outcome) < 2:
        return Interval(np.nan, np.nan, np.nan)
    places = np.zeros(len(outcome)) if block is None else np.asarray(block)
    if measure == "log_loss":
        gains = _losses(outcome, a) - _losses(outcome, b)
        n, estimate = len(gains), float(gains.mean())
        drawn = np.array([gains[rng.integers(0, n, n)].mean() for _ in range(draws)])
    else:
        estimate = auc_within(outcome, b, places) - auc_within(outcome, a, places)
        drawn = _auc_gains(outcome, a, b, places, min(draws, 300), rng)
    if not np.isfinite(drawn).any():
        return Interval(estimate, np.nan, np.nan)
    low, high = np.nanquantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(estimate, float(low), float(high))


def _pair(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    outcome, chance = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    if outcome.shape != chance.shape or outcome.ndim != 1:
        raise ParameterError(f"outcomes and probabilities have the shapes {outcome.shape} and {chance.shape}; one each")
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise ParameterError("outcomes hold other values than 0 and 1; leave rows without an outcome out")
    return outcome, chance


def _losses(outcome: Floats, chance: Floats) -> Floats:
    cut = np.clip(chance, _EDGE, 1 - _EDGE)
    return np.asarray(-np.where(outcome == 1, np.log(cut), np.log1p(-cut)))


def _auc_gains(outcome: Floats, a: Floats, b: Floats, block: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,) the AUC inside blocks of b less that of a, of rows drawn with replacement inside each block."""
    areas, pairs = np.zeros((2, draws)), np.zeros(draws)
    for name in pd.unique(block):
        rows = np.flatnonzero(block == name)
        times = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=draws).astype(float)
        hits, misses = times * (outcome[rows] == 1), times * (outcome[rows] == 0)
        pairs += hits.sum(axis=1) * misses.sum(axis=1)
        areas += [_pairs_won(chance[rows], hits, misses) for chance in (a, b)]
    with np.errstate(invalid="ignore"):
        return np.asarray((areas[1] - areas[0]) / pairs, dtype=float)


def _pairs_won(chance: Floats, hits: Floats, misses: Floats) -> Floats:
    """(draws,) how many pairs of a hit and a miss the chances put in the right order; ties count half."""
    order = np.argsort(chance, kind="stable")
    first = np.flatnonzero(np.diff(chance[order], prepend=-np.inf) > 0)  # of each value
    above, below = (np.add.reduceat(times[:, order], first, axis=1) for times in (hits, misses))
    lower = np.cumsum(below, axis=1) - below
    return np.asarray((above * (lower + below / 2)).sum(axis=1), dtype=float)


def _delong(is_hit: Flags, chance: Floats, block: Ints) -> tuple[Floats, Floats, Floats]:
    """AUC, its variance and the number of pairs of each block that holds both outcomes; all blocks at once."""
    m, n = (np.bincount(block, side, minlength=1) for side in (is_hit, ~is_hit))
    others = _ranks(chance, block) - _ranks(chance, 2 * block + is_hit)  # of a hit: misses below it, ties half
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.where(is_hit, others / n[block], 1 - others / m[block])
        areas = np.bincount(block, above * is_hit, minlength=len(m)) / m
        spreads = []
        for side, size in ((is_hit, m), (~is_hit, n)):
            mean = np.bincount(block, above * side, minlength=len(m)) / size
            squares = np.bincount(block, (above - mean[block]) ** 2 * side, minlength=len(m))
            spreads.append(np.where(size > 1, squares / (size - 1) / size, 0.25))
    both = (m > 0) & (n > 0)
    return areas[both], np.asarray(spreads).sum(axis=0)[both], (m * n)[both].astype(float)


def _ranks(values: Floats, group: Ints) -> Floats:
    """(n,) the rank of each value in its group, from 1; the mean of their ranks where some are equal."""
    order = np.lexsort((values, group))
    ordered, of = values[order], group[order]
    is_new_group = np.diff(of, prepend=-1) != 0
    is_new = is_new_group | (np.diff(ordered, prepend=np.nan) != 0)
    first = np.flatnonzero(is_new)
    length = np.diff(first, append=len(values))
    begin = np.maximum.accumulate(np.where(is_new_group, np.arange(len(values)), 0))
    found = np.empty(len(values))
    found[order] = np.repeat(first + (length + 1) / 2, length) - begin
    return found


LEAST_EFFECTIVE = 50.0


@dataclass(frozen=True)
class RuleValue:
    """Rate of success under another rule; estimate, low and high are NaN when it is refused.

    ``n``: records of the log that the rule would have taken. ``effective_n``: how many records taken by the rule
    itself would say as much.
    """

    estimate: float
    low: float
    high: float
    n: int
    effective_n: float
    is_refused: bool


def rule_value(
    y: ArrayLike, logged: ArrayLike, other: ArrayLike, *, level: float = 0.90, least: float = LEAST_EFFECTIVE
) -> RuleValue:
    """The rate of ``y`` that another rule would have reached, self-normalised by inverse propensities (SNIPS).

    ``y``: 0/1, of (n,) records that the logged rule took; ``logged``: the probability (0, 1] with which it took each;
    ``other``: the probability [0, 1] with which the other rule would have. Every record that the other rule takes
    must have had a chance. Below an effective sample (Kish, 1965) of ``least`` the value is refused: no number.
    The interval is Wilson's at the size whose binomial variance is the mean of two: the delta method's, which is too
    small when few of the heavy records succeed, and that of the effective sample, which is too large then.
    Swaminathan & Joachims (2015). Raises ParameterError for other values or lengths.
    """
    outcome, chance, wanted = (np.asarray(values, dtype=float) for values in (y, logged, other))
    if not outcome.shape == chance.shape == wanted.shape or outcome.ndim != 1:
        shapes = (outcome.shape, chance.shape, wanted.shape)
        raise ParameterError(f"outcomes and both probabilities have the shapes {shapes}; one each for every record")
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise ParameterError("outcomes hold other values than 0 and 1; leave records without an outcome out")
    if not ((chance > 0) & (chance <= 1)).all():
        raise ParameterError("a logged probability is not above 0 and at most 1; leave records without one out")
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ParameterError("the other rule's probability is not within 0 and 1")
    weight = wanted / chance
    n, total = int((weight > 0).sum()), float(weight.sum())
    effective_n = total**2 / float((weight**2).sum()) if total > 0 else 0.0
    if effective_n < least:
        return RuleValue(np.nan, np.nan, np.nan, n, effective_n, is_refused=True)
    value = float(weight @ outcome) / total
    spread = value * (1 - value)
    variance = (float((weight**2) @ (outcome - value) ** 2) / total**2 + spread / effective_n) / 2
    size = spread / variance if variance > 0 else effective_n
    low, high = wilson(value * size, size, level)
    return RuleValue(value, float(low), float(high), n, effective_n, is_refused=False)


def taken_first(score: ArrayLike, logged: ArrayLike, places: float) -> Floats:
    """(n,) probability with which a rule that takes the highest ``score`` first fills ``places`` with each record.

    The log stands for all who could have been taken: each record for 1 / ``logged`` of them. Records of equal score
    share what places are left.
    """
    frame = pd.DataFrame({"score": np.asarray(score, dtype=float), "stands_for": 1 / np.asarray(logged, dtype=float)})
    groups = frame.groupby("score")["stands_for"].sum().sort_index(ascending=False)
    left = places - (groups.cumsum() - groups)
    return np.asarray(frame["score"].map((left / groups).clip(0, 1)), dtype=float)
