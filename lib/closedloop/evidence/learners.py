"""The models that a score chooses from: two base rates, ridge logistic regression, gradient boosting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from closedloop.evidence.design import Design, clock_fields
from closedloop.evidence.indicators import Floats
from closedloop.evidence.recency import plain_rate
from closedloop.evidence.ridge import integrated_ridge

Name = Literal["base rate", "lagged base rate", "logistic", "boosting"]
MODELS: Final[tuple[Name, ...]] = ("base rate", "lagged base rate", "logistic", "boosting")
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
    """Ridge logistic regression around the base rate; the penalty is learned by its evidence."""
    centre = np.average(x, axis=0, weights=weights)
    scale = np.ones(x.shape[1])
    if dated:
        scale[-3:] *= _RATE_WEIGHT
    found = integrated_ridge(x - centre, y, weights, scale)

    def chances(matrix: Floats, rates: Floats) -> Floats:
        return np.asarray(expit(found[0] + (_joined(matrix, rates, dated) - centre) @ found[1:]), dtype=float)

    return chances


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
