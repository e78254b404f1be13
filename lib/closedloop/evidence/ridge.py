"""Ridge logistic regression whose penalty is learned from the data: empirical Bayes by Laplace's evidence."""

import numpy as np
import scipy
from numpy.typing import NDArray

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
