"""The models that a score chooses from: two base rates, ridge logistic regression, gradient boosting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import scipy

from closedloop.errors import ParameterError
from closedloop.evidence.design import Design, clock_fields
from closedloop.evidence.indicators import Floats
from closedloop.evidence.recency import HALF_LIVES, plain_rate
from closedloop.evidence.ridge import integrated_ridge

ModelName = Literal["base rate", "lagged base rate", "logistic", "boosting", "own learner"]
MODELS: Final[tuple[ModelName, ...]] = ("base rate", "lagged base rate", "logistic", "boosting")
_MEMORIES = (0.1, 0.3, 1.0)  # shares of the half-life that are tried
_LATEST_ROWS = 400  # that judge the memories
_SLIGHT = 0.01  # a memory of less weight is left out
_FORGOTTEN = 7  # half-lives after which a row weighs under a hundredth
_RATE_WEIGHT = 3.0  # base rates are shrunk less than fields: they are what a score falls back to


@dataclass(frozen=True)
class Learned:
    """A fitted model: ``chances`` maps the matrix of fields and the lagged rates to probabilities."""

    design: Design
    chances: Callable[[Floats, Floats], Floats]

    def predict(self, x: pd.DataFrame, rates: Floats) -> Floats:
        """Probability (n,) of rows ``x`` given what is known of base rates, (n, half-lives)."""
        return self.chances(self.design.matrix(x), rates)


def learn(
    name: ModelName,
    x: pd.DataFrame,
    y: Floats,
    rates: Floats,
    half_life_rows: float,
    rng: np.random.Generator,
    learner: Any = None,
    design: Design | None = None,
) -> Learned:
    """Fit one model to rows in order of time; a single outcome gives the base rate.

    ``learner``: the classifier of scikit-learn that "own learner" is. ``design``: of these rows (``design_of``), where
    it is known.

    ``half_life_rows``: after how many rows one weighs half; infinite without dates. With dates the lagged rates tell
    the time, and fields that only tell the time too are left out.
    """
    dated = bool(np.isfinite(half_life_rows))
    seed = int(rng.integers(2**31))
    if name == "lagged base rate":
        return Learned(Design((), {}), lambda _, known: plain_rate(known))
    if name == "base rate" or len(np.unique(y)) < 2:
        share = (float(y.sum()) + 0.5) / (len(y) + 1)
        return Learned(Design((), {}), lambda matrix, _: np.full(len(matrix), share))
    design = design or design_of(x, half_life_rows)
    joined = _joined(design.matrix(x), rates, dated)
    if name == "own learner":
        fit = _own(joined, y, learner, seed)
    else:
        fit = _logistic(joined, y, half_life_rows) if name == "logistic" else _boosting(joined, y, half_life_rows, seed)
    return Learned(design, lambda matrix, known: fit(_joined(matrix, known, dated)))


def design_of(x: pd.DataFrame, half_life_rows: float) -> Design:
    """The columns learned from rows; with dates without those that only tell the time."""
    return Design.of(x.drop(columns=clock_fields(x)) if np.isfinite(half_life_rows) else x)


def named(learner: Any) -> ModelName:
    """The name under which a learner is judged; errors: ParameterError for one that gives no probabilities."""
    from sklearn.base import BaseEstimator, is_classifier

    usual: tuple[ModelName, ...] = ("logistic", "boosting")
    if isinstance(learner, str) and learner in usual:
        return usual[usual.index(learner)]
    if isinstance(learner, BaseEstimator) and is_classifier(learner) and hasattr(learner, "predict_proba"):
        return "own learner"
    raise ParameterError(
        f"learner = {learner!r} gives no probabilities; allowed: logistic, boosting, or a classifier of "
        "scikit-learn with predict_proba, such as RandomForestClassifier()"
    )


def _joined(matrix: Floats, rates: Floats, dated: bool) -> Floats:
    return np.hstack([matrix, scipy.special.logit(rates)]) if dated else matrix


def _weights(n: int, half_life_rows: float) -> Floats:
    """Of ``n`` rows in order of time; the last weighs 1."""
    return np.asarray(0.5 ** (np.arange(n)[::-1] / half_life_rows), dtype=float)


def _logistic(x: Floats, y: Floats, half_life_rows: float) -> Callable[[Floats], Floats]:
    """Ridge logistic regression around the base rate.

    The penalty is learned by its evidence. A market that moved is followed by a shorter memory: fits of several
    memories are averaged by how well each, without the latest rows, predicts these (Bayesian model averaging with
    predictive weights).
    """
    if not np.isfinite(half_life_rows):
        return _ridge(x, y, half_life_rows)
    memories = [half_life_rows * share for share in _MEMORIES]
    cut = len(y) - _LATEST_ROWS
    if cut < _LATEST_ROWS or len(np.unique(y[:cut])) < 2:
        return _ridge(x, y, half_life_rows)
    told = [_log_likelihood(y[cut:], _ridge(x[:cut], y[:cut], memory)(x[cut:])) for memory in memories]
    weight = scipy.special.softmax(told)
    fits = [(share, _ridge(x, y, memory)) for share, memory in zip(weight, memories, strict=True) if share > _SLIGHT]
    total = sum(share for share, _ in fits)
    return lambda other: np.asarray(sum(share * fit(other) for share, fit in fits) / total, dtype=float)


def _log_likelihood(y: Floats, p: Floats) -> float:
    return float(np.log(np.where(y == 1, p, 1 - p)).sum())


def _ridge(x: Floats, y: Floats, half_life_rows: float) -> Callable[[Floats], Floats]:
    """One memory's fit; rows that weigh under a hundredth are left out."""
    first = int(max(0, len(y) - _FORGOTTEN * half_life_rows)) if np.isfinite(half_life_rows) else 0
    rows, weights = x[first:], _weights(len(y) - first, half_life_rows)
    centre = np.average(rows, axis=0, weights=weights)
    scale = np.ones(x.shape[1])
    if np.isfinite(half_life_rows):
        scale[-len(HALF_LIVES) :] *= _RATE_WEIGHT
    found = integrated_ridge(rows - centre, y[first:], weights, scale)
    return lambda other: np.asarray(scipy.special.expit(found[0] + (other - centre) @ found[1:]), dtype=float)


def _boosting(x: Floats, y: Floats, half_life_rows: float, seed: int) -> Callable[[Floats], Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=8,
        min_samples_leaf=30,
        l2_regularization=5.0,
        max_bins=32,  # weighted bins of many values take longer than the trees
        early_stopping=False,
        random_state=seed,
    ).fit(x, y, sample_weight=_weights(len(y), half_life_rows))
    return lambda other: np.asarray(model.predict_proba(other)[:, 1], dtype=float)


def _own(x: Floats, y: Floats, learner: Any, seed: int) -> Callable[[Floats], Floats]:
    """A clone of a classifier that was handed in, seeded wherever it takes a seed."""
    from sklearn.base import clone

    model = clone(learner)
    seeds = {name: seed for name in model.get_params() if name.split("__")[-1] == "random_state"}
    model.set_params(**seeds).fit(x, y)
    return lambda other: np.asarray(model.predict_proba(other)[:, 1], dtype=float)
