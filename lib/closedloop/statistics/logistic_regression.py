"""Ridge logistic regression whose penalty is learned from the data: empirical Bayes by Laplace's evidence."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError

Floats = NDArray[np.float64]

_STEPS = 50
_CLOSE = 1e-4  # a step that is shorter ends within its square of the maximum
_SPREADS = np.geomspace(0.02, 1.5, 8)  # of the coefficients, on the logit scale
_INTERCEPT_PRECISION = 1e-4
_LEVEL_SPREADS = np.geomspace(0.02, 2.0, 9)  # of the effects of a column's levels
_LEVEL_INTERCEPT_PRECISION = 1e-6
_SWEEPS = 2
_ENDS = ("", "_low", "_high")
_COLUMNS = ("column", "level", "n", *(f"log_odds{e}" for e in _ENDS), *(f"points{e}" for e in _ENDS))


class RidgeFit:
    """A penalised logistic fit on distinct rows: coefficients, covariance and Laplace evidence.

    ``k`` successes of ``n`` cases a row; both may be weights. ``precision``: the penalty of each coefficient.
    """

    def __init__(self, design: Floats, k: Floats, n: Floats, precision: Floats, start: Floats) -> None:
        self.design, self.k, self.n, self.precision = design, k, n, precision
        self.coefficients = self._newton(start)
        self.curvature = self._curvature(self._rates(self.coefficients))
        log_determinant = float(np.linalg.slogdet(self.curvature)[1])
        self.evidence = self._objective(self.coefficients) + 0.5 * (np.log(precision).sum() - log_determinant)

    @cached_property
    def covariance(self) -> Floats:
        """Of the coefficients, at the maximum."""
        return np.asarray(np.linalg.inv(self.curvature), dtype=float)

    def _objective(self, coefficients: Floats) -> float:
        linear = self.design @ coefficients
        fit = (self.k * linear - self.n * np.logaddexp(0, linear)).sum()
        return float(fit - 0.5 * (self.precision * coefficients**2).sum())

    def _rates(self, coefficients: Floats) -> Floats:
        return np.asarray(scipy.special.expit(self.design @ coefficients), dtype=float)

    def _curvature(self, rates: Floats) -> Floats:
        rows = self.design * np.sqrt(self.n * rates * (1 - rates))[:, None]
        return np.asarray(rows.T @ rows + np.diag(self.precision), dtype=float)  # of one matrix: half the work

    def _newton(self, coefficients: Floats) -> Floats:
        """Newton's steps, halved while they do not improve; the objective is strictly concave."""
        value = self._objective(coefficients)
        for _ in range(_STEPS):
            rates = self._rates(coefficients)
            slope = self.design.T @ (self.k - self.n * rates) - self.precision * coefficients
            step = np.linalg.solve(self._curvature(rates), slope)
            while self._objective(coefficients + step) < value - 1e-9:
                step = step / 2
            coefficients = coefficients + step
            value = self._objective(coefficients)
            if np.abs(step).max() < _CLOSE:
                break
        return coefficients


def integrated_ridge(x: Floats, y: Floats, weights: Floats, scale: Floats) -> Floats:
    """Coefficients (1 + columns,), intercept first: averaged over a grid of their spread by its posterior weight.

    ``x``: (n, columns); ``y``: 0/1; ``scale``: the spread of each column's coefficient as a multiple of the common
    one, whose prior is half-normal(1). With few rows, or none that differ, the coefficients stay near 0.
    """
    design = np.hstack([np.ones((len(x), 1)), x])
    precisions = [np.concatenate([[_INTERCEPT_PRECISION], 1 / (spread * scale) ** 2]) for spread in _SPREADS]
    fits, posterior = _scanned(design, weights * y, weights, precisions, _SPREADS)
    return np.asarray(posterior @ np.array([fit.coefficients for fit in fits]), dtype=float)


def _scanned(
    design: Floats, k: Floats, n: Floats, precisions: Sequence[Floats], spreads: Floats
) -> tuple[list[RidgeFit], Floats]:
    """Fits over a grid of spreads with these penalties, each begun where the last one ended; posterior weights."""
    fits, start = list[RidgeFit](), np.zeros(design.shape[1])
    for precision in precisions:
        fits.append(RidgeFit(design, k, n, precision, start))
        start = fits[-1].coefficients
    log_prior = -(spreads**2) / 2 + np.log(spreads)  # half-normal(1) on an even grid of logarithms
    return fits, np.asarray(scipy.special.softmax(np.array([fit.evidence for fit in fits]) + log_prior), dtype=float)


def shrink_crossed(y: ArrayLike, groups: pd.DataFrame, level: float = 0.90) -> pd.DataFrame:
    """Shrunk effect of every level of every column on a yes/no outcome, all columns together.

    Ridge logistic regression: the effects of one column are N(0, spread^2) on the logit scale; each column's
    spread has a half-normal(1) prior and is integrated over 9 points, the others at their posterior means.
    ``y``: one 0/1 a row; ``groups``: one column a factor (a missing value is a level of its own, "missing").
    One row a column and level, against the column's average row: column, level, n, log_odds, log_odds_low,
    log_odds_high, points, points_low, points_high (change of the overall rate if every row had this level,
    as a fraction: the marginal effect).
    Empty columns or rows give no rows. Errors: ParameterError when ``y`` and ``groups`` differ in length.
    Source: Gelman & Hill (2007), Data Analysis Using Regression and Multilevel Models, ch. 14.
    """
    outcome = np.asarray(y, dtype=float)
    if len(outcome) != len(groups):
        raise ParameterError(f"shrink_crossed: found {len(outcome)} outcomes for {len(groups)} rows of groups")
    if not len(groups) or not len(groups.columns):
        return pd.DataFrame(columns=list(_COLUMNS))
    text = groups.astype(object).where(groups.notna(), "missing").astype(str)
    fields = list(text.columns)
    cells = text.assign(__k=outcome).groupby(fields, sort=True)["__k"].agg(["sum", "size"]).reset_index()
    k, n = (cells[name].to_numpy(dtype=float) for name in ("sum", "size"))
    flags = [pd.get_dummies(cells[name], dtype=float) for name in fields]
    design = np.column_stack([np.ones(len(cells)), *flags])
    owner = np.repeat(np.arange(-1, len(fields)), [1, *(part.shape[1] for part in flags)])  # -1: the intercept

    def scanned(column: int) -> tuple[list[RidgeFit], Floats]:
        tried = [np.where(np.arange(len(fields)) == column, spread, spreads)[owner] for spread in _LEVEL_SPREADS]
        precisions = [np.where(owner < 0, _LEVEL_INTERCEPT_PRECISION, 1 / spread**2) for spread in tried]
        return _scanned(design, k, n, precisions, _LEVEL_SPREADS)

    spreads = np.full(len(fields), 0.3)
    for column in [*range(len(fields))] * _SWEEPS:  # the posterior mean of each, the others held
        spreads[column] = scanned(column)[1] @ _LEVEL_SPREADS
    parts = [_effects(design, owner == column, n, *scanned(column), level) for column in range(len(fields))]
    levels = {
        "column": [str(fields[column]) for column in owner[1:]],
        "level": [str(name) for part in flags for name in part],
    }
    sizes = (design[:, 1:].T @ n).astype(np.int64)
    return pd.concat(parts, ignore_index=True).assign(**levels, n=sizes)[list(_COLUMNS)]


def _effects(
    design: Floats, own: NDArray[np.bool_], n: Floats, fits: list[RidgeFit], weight: Floats, level: float
) -> pd.DataFrame:
    """Effects of one column's levels: the mixture over its spread, as log odds and as points of the overall rate.

    They are taken against their average, in which the intercept's uncertainty cancels.
    """
    contrast: Floats = np.eye(int(own.sum())) - design[:, own].T @ n / n.sum()
    effects = np.array([contrast @ fit.coefficients[own] for fit in fits])
    covariances = np.array([fit.covariance[np.ix_(own, own)] for fit in fits])
    within = np.einsum("ij,fjk,ik->fi", contrast, covariances, contrast)
    mean = weight @ effects
    reach = scipy.stats.norm.isf((1 - level) / 2) * np.sqrt(weight @ (within + effects**2) - mean**2)
    coefficients = weight @ np.array([fit.coefficients for fit in fits])
    others = design @ coefficients - design[:, own] @ mean
    average = n @ scipy.special.expit(design @ coefficients) / n.sum()
    found: dict[str, Floats] = {}
    for end, effect in zip(_ENDS, (mean, mean - reach, mean + reach), strict=True):
        found[f"log_odds{end}"] = effect
        found[f"points{end}"] = n @ scipy.special.expit(others[:, None] + effect) / n.sum() - average
    return pd.DataFrame(found)
