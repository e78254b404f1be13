"""The models that a score chooses from: two base rates, ridge logistic regression, gradient boosting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from scipy.special import logit

from closedloop.evidence.design import Design, clock_fields
from closedloop.evidence.indicators import Floats
from closedloop.evidence.recency import plain_rate

Name = Literal["base rate", "lagged base rate", "logistic", "boosting"]
MODELS: Final[tuple[Name, ...]] = ("base rate", "lagged base rate", "logistic", "boosting")
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_RATE_WEIGHT = 3.0  # base rates are shrunk less than fields: they are what a score falls back to
_TUNING_SHARE = 0.75
_FEWEST_TUNED = 60


@dataclass(frozen=True)
class Learned:
    """A fitted model: ``chances`` maps the matrix of fields and the lagged rates to probabilities."""

    design: Design
    chances: Callable[[Floats, Floats], Floats]

    def predict(self, x: pd.DataFrame, rates: Floats) -> Floats:
        """Probability (n,) of rows ``x`` given what is known of base rates, (n, half-lives)."""
        return self.chances(self.design.matrix(x), rates)


def learn(
    name: Name, x: pd.DataFrame, y: Floats, rates: Floats, weights: Floats, dated: bool, rng: np.random.Generator
) -> Learned:
    """Fit one model to rows in order of time; a single outcome gives the base rate.

    ``dated``: lagged rates tell the time, and fields that only tell the time too are left out.
    """
    design = Design.of(x.drop(columns=clock_fields(x)) if dated else x)
    seed = int(rng.integers(2**31))
    if name == "lagged base rate":
        return Learned(design, lambda _, known: plain_rate(known))
    if name == "base rate" or len(np.unique(y)) < 2:
        share = (float(y.sum()) + 0.5) / (len(y) + 1)
        return Learned(design, lambda matrix, _: np.full(len(matrix), share))
    fit = _logistic if name == "logistic" else _boosting
    return Learned(design, fit(_joined(design.matrix(x), rates, dated), y, weights, dated, seed))


def _joined(matrix: Floats, rates: Floats, dated: bool) -> Floats:
    return np.hstack([matrix, logit(rates)]) if dated else matrix


def _logistic(x: Floats, y: Floats, weights: Floats, dated: bool, seed: int) -> Callable[[Floats, Floats], Floats]:
    strength = _strength(x, y, weights, dated, seed)
    predict = _ridge(x, y, weights, strength, dated)
    return lambda matrix, rates: predict(_joined(matrix, rates, dated))


def _ridge(x: Floats, y: Floats, weights: Floats, strength: float, dated: bool) -> Callable[[Floats], Floats]:
    from sklearn.linear_model import LogisticRegression

    centre = np.average(x, axis=0, weights=weights)
    spread = x.std(axis=0)
    spread = np.where(spread > 1e-9, spread, np.inf)  # a constant column says nothing
    if dated:
        spread[-3:] /= _RATE_WEIGHT
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=50)
    model.fit((x - centre) / spread, y, sample_weight=weights)

    def chances(other: Floats) -> Floats:
        found: Floats = model.predict_proba((other - centre) / spread)[:, 1]
        return found

    return chances


def _strength(x: Floats, y: Floats, weights: Floats, dated: bool, seed: int) -> float:
    """The strength that predicts the held-back rows best: the latest quarter, or a random one without dates."""
    order = np.arange(len(y)) if dated else np.random.default_rng(seed).permutation(len(y))
    cut = int(_TUNING_SHARE * len(y))
    seen, asked = order[:cut], order[cut:]
    if len(y) < _FEWEST_TUNED or len(np.unique(y[seen])) < 2:
        return 0.01
    losses = [_tried(x, y, weights, seen, asked, strength, dated) for strength in STRENGTHS]
    return STRENGTHS[int(np.argmin(losses))]


def _tried(
    x: Floats, y: Floats, weights: Floats, seen: np.ndarray, asked: np.ndarray, strength: float, dated: bool
) -> float:
    chance = np.clip(_ridge(x[seen], y[seen], weights[seen], strength, dated)(x[asked]), 1e-6, 1 - 1e-6)
    loss = -np.where(y[asked] == 1, np.log(chance), np.log1p(-chance))
    return float(np.average(loss, weights=weights[asked]))


def _boosting(x: Floats, y: Floats, weights: Floats, dated: bool, seed: int) -> Callable[[Floats, Floats], Floats]:
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
    ).fit(x, y, sample_weight=weights)

    def chances(matrix: Floats, rates: Floats) -> Floats:
        found: Floats = model.predict_proba(_joined(matrix, rates, dated))[:, 1]
        return found

    return chances
