"""Ridge logistic regression whose penalty is learned from the data: empirical Bayes by Laplace's evidence."""

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError

Floats = NDArray[np.float64]

_STEPS = 50
_SPREADS = np.geomspace(0.02, 1.5, 8)  # of the coefficients, on the logit scale
_INTERCEPT_PRECISION = 1e-4


class RidgeFit:
    """A penalised logistic fit on distinct rows: coefficients, covariance and Laplace evidence.

    ``k`` successes of ``n`` cases a row; both may be weights. ``precision``: the penalty of each coefficient.
    """

    def __init__(self, design: Floats, k: Floats, n: Floats, precision: Floats, start: Floats) -> None:
        self.design, self.k, self.n, self.precision = design, k, n, precision
        self.coefficients = self._newton(start)
        curvature = self._curvature(self.coefficients)
        self.covariance: Floats = np.asarray(np.linalg.inv(curvature), dtype=float)
        log_determinant = float(np.linalg.slogdet(curvature)[1])
        self.evidence = self._objective(self.coefficients) + 0.5 * (np.log(precision).sum() - log_determinant)

    def _objective(self, coefficients: Floats) -> float:
        linear = self.design @ coefficients
        fit = (self.k * linear - self.n * np.logaddexp(0, linear)).sum()
        return float(fit - 0.5 * (self.precision * coefficients**2).sum())

    def _curvature(self, coefficients: Floats) -> Floats:
        rate = scipy.special.expit(self.design @ coefficients)
        weighted = self.design * (self.n * rate * (1 - rate))[:, None]
        return np.asarray(self.design.T @ weighted + np.diag(self.precision), dtype=float)

    def _newton(self, coefficients: Floats) -> Floats:
        """Newton's steps, halved while they do not improve; the objective is strictly concave."""
        value = self._objective(coefficients)
        for _ in range(_STEPS):
            rate = scipy.special.expit(self.design @ coefficients)
            slope = self.design.T @ (self.k - self.n * rate) - self.precision * coefficients
            step = np.linalg.solve(self._curvature(coefficients), slope)
            while self._objective(coefficients + step) < value - 1e-9:
                step = step / 2
            coefficients = coefficients + step
            value = self._objective(coefficients)
            if np.abs(step).max() < 1e-8:
                break
        return coefficients


def integrated_ridge(x: Floats, y: Floats, weights: Floats, scale: Floats) -> Floats:
    """Coefficients (1 + columns,), intercept first: averaged over a grid of their spread by its posterior weight.

    ``x``: (n, columns); ``y``: 0/1; ``scale``: the spread of each column's coefficient as a multiple of the common
    one, whose prior is half-normal(1). With few rows, or none that differ, the coefficients stay near 0.
    """
    design = np.hstack([np.ones((len(x), 1)), x])
    start, fits = np.zeros(design.shape[1]), []
    for spread in _SPREADS:
        precision = np.concatenate([[_INTERCEPT_PRECISION], 1 / (spread * scale) ** 2])
        fits.append(RidgeFit(design, weights * y, weights, precision, start))
        start = fits[-1].coefficients
    log_prior = -(_SPREADS**2) / 2 + np.log(_SPREADS)  # half-normal(1) on an even grid of logarithms
    posterior = scipy.special.softmax(np.array([fit.evidence for fit in fits]) + log_prior)
    return np.asarray(posterior @ np.array([fit.coefficients for fit in fits]), dtype=float)


_CROSSED_SPREADS = np.geomspace(0.02, 2.0, 9)  # of a column's effects, on the logit scale
_SWEEPS = 2
_CROSSED_INTERCEPT_PRECISION = 1e-6
_ENDS = ("", "_low", "_high")
_COLUMNS = ("column", "level", "n", *(f"log_odds{e}" for e in _ENDS), *(f"points{e}" for e in _ENDS))


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
    cells, k, n = _distinct(outcome, groups)
    design, owner, names = _design(cells)
    spreads = _spreads(design, owner, k, n, len(cells.columns))
    parts = [_column_effects(design, owner, k, n, spreads, c, level) for c in range(len(cells.columns))]
    table = pd.concat(parts, ignore_index=True)
    size = design[:, 1:].T @ n
    return table.assign(**names, n=size.astype(np.int64))[list(_COLUMNS)]


def _distinct(outcome: Floats, groups: pd.DataFrame) -> tuple[pd.DataFrame, Floats, Floats]:
    """Distinct combinations of levels with their successes and sizes."""
    text = groups.astype(object).where(groups.notna(), "missing").astype(str)
    columns = list(text.columns)
    counts = text.assign(__k=outcome).groupby(columns, sort=True)["__k"].agg(["sum", "size"]).reset_index()
    return counts[columns], counts["sum"].to_numpy(dtype=float), counts["size"].to_numpy(dtype=float)


def _design(cells: pd.DataFrame) -> tuple[Floats, NDArray[np.intp], dict[str, list[str]]]:
    """Intercept and one indicator a level; which column owns each indicator; the levels' names."""
    blocks, owner, column, level = [np.ones((len(cells), 1))], [-1], [], []
    for position, name in enumerate(cells.columns):
        codes, levels = pd.factorize(cells[name], sort=True)
        blocks.append(np.eye(len(levels))[codes])
        owner += [position] * len(levels)
        column += [str(name)] * len(levels)
        level += [str(value) for value in levels]
    return np.hstack(blocks), np.array(owner), {"column": column, "level": level}


def _precision(owner: NDArray[np.intp], spreads: Floats) -> Floats:
    """The penalty of each coefficient: its column's, and next to none for the intercept."""
    return np.where(owner < 0, _CROSSED_INTERCEPT_PRECISION, 1 / spreads[owner] ** 2)


def _scan(
    design: Floats, owner: NDArray[np.intp], k: Floats, n: Floats, spreads: Floats, column: int
) -> tuple[list[RidgeFit], Floats]:
    """Fits over the grid of one column's spread, and their posterior weights."""
    fits: list[RidgeFit] = []
    start = np.zeros(design.shape[1])
    for spread in _CROSSED_SPREADS:
        trial = np.where(np.arange(spreads.size) == column, spread, spreads)
        fits.append(RidgeFit(design, k, n, _precision(owner, trial), start))
        start = fits[-1].coefficients
    log_prior = -(_CROSSED_SPREADS**2) / 2 + np.log(_CROSSED_SPREADS)  # half-normal(1) on an even grid of logarithms
    return fits, np.asarray(scipy.special.softmax(np.array([fit.evidence for fit in fits]) + log_prior), dtype=float)


def _spreads(design: Floats, owner: NDArray[np.intp], k: Floats, n: Floats, n_columns: int) -> Floats:
    """Posterior mean spread of each column, the others held, in a few sweeps."""
    spreads = np.full(n_columns, 0.3)
    for _ in range(_SWEEPS):
        for column in range(n_columns):
            _, weight = _scan(design, owner, k, n, spreads, column)
            spreads[column] = weight @ _CROSSED_SPREADS
    return spreads


def _column_effects(
    design: Floats, owner: NDArray[np.intp], k: Floats, n: Floats, spreads: Floats, column: int, level: float
) -> pd.DataFrame:
    """Effects of one column's levels: the mixture over its spread, on both scales."""
    fits, weight = _scan(design, owner, k, n, spreads, column)
    own = owner == column
    against_average: Floats = np.eye(int(own.sum())) - design[:, own].T @ n / n.sum()
    effects = np.array([against_average @ fit.coefficients[own] for fit in fits])
    within = np.array([_variances(against_average, fit.covariance[np.ix_(own, own)]) for fit in fits])
    mean = weight @ effects
    reach = scipy.stats.norm.isf((1 - level) / 2) * np.sqrt(weight @ (within + effects**2) - mean**2)
    scale = dict(zip(_ENDS, (mean, mean - reach, mean + reach), strict=True))
    coefficients = weight @ np.array([fit.coefficients for fit in fits])
    others = design @ coefficients - design[:, own] @ mean
    average = float(n @ scipy.special.expit(design @ coefficients) / n.sum())
    return pd.DataFrame(
        {f"log_odds{end}": effect for end, effect in scale.items()}
        | {f"points{end}": _marginal(others, effect, n) - average for end, effect in scale.items()}
    )


def _variances(contrast: Floats, covariance: Floats) -> Floats:
    """Variances of the effects against their average, in which the intercept's uncertainty cancels."""
    return np.asarray(np.einsum("ij,jk,ik->i", contrast, covariance, contrast), dtype=float)


def _marginal(others: Floats, effect: Floats, n: Floats) -> Floats:
    """The rate over all rows if each had the level with that effect; one value an effect."""
    return np.asarray(n @ scipy.special.expit(others[:, None] + effect) / n.sum(), dtype=float)
