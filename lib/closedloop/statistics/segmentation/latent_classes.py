"""Latent classes: mixtures of independent items, fitted to many weighted samples at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from closedloop.statistics.segmentation.indicators import Floats, Patterns

_TINY = 1e-12
_CHECK_EVERY = 5
QUICK_STEPS = 150  # bootstrap fits: labels settle long before the likelihood does


@dataclass(frozen=True)
class Mixtures:
    """R mixtures of k classes over the same P patterns: shares (R, k), chances (R, k, L levels)."""

    shares: Floats
    chances: Floats

    def take(self, which: NDArray[np.int64]) -> Mixtures:
        """The mixtures with these numbers."""
        return Mixtures(self.shares[which], self.chances[which])

    def exact(self) -> Mixtures:
        """The same mixtures in double precision."""
        return Mixtures(self.shares.astype(np.float64), self.chances.astype(np.float64))

    def by_share(self) -> Mixtures:
        """The same mixtures, the classes of each ordered by share, the largest first."""
        order = np.argsort(-self.shares, axis=1, kind="stable")
        return Mixtures(
            np.take_along_axis(self.shares, order, 1),
            np.take_along_axis(self.chances, order[:, :, None], 1),
        )

    def posterior(self, indicators: Floats) -> tuple[Floats, Floats]:
        """Posterior (R, k, P) and log density (R, P) of every pattern."""
        r, k, n_levels = self.chances.shape
        logs = np.log(np.maximum(self.chances, _TINY)).reshape(r * k, n_levels)
        joint = (logs @ indicators.T).reshape(r, k, -1)
        joint += np.log(np.maximum(self.shares, _TINY))[:, :, None]
        peak = joint.max(axis=1, keepdims=True)
        joint -= peak
        np.exp(joint, out=joint)
        total = joint.sum(axis=1, keepdims=True)
        joint /= total
        return joint, (np.log(total) + peak)[:, 0]


def fit_mixtures(
    patterns: Patterns,
    weights: Floats,
    k: int,
    rng: np.random.Generator,
    *,
    starts: int = 10,
    tolerance: float = 1e-6,
    trial_steps: int | None = None,
    most_steps: int = 2000,
) -> Mixtures:
    """Fit one mixture of k classes to each weighted sample; shape of ``weights`` (R samples, P patterns).

    ``tolerance`` is the gain in log-likelihood per five steps at which a run stops. With ``trial_steps`` only the
    best start of each sample goes on after so many steps (the trial in single precision), for at most ``most_steps``.
    All samples and starts advance in one matrix product.
    Method: Lazarsfeld & Henry (1968); Linzer & Lewis (2011), poLCA.
    """
    n_samples = len(weights)
    sample = np.repeat(np.arange(n_samples), starts)
    tried_on = patterns.coarse() if trial_steps else patterns
    drawn = weights[sample].astype(tried_on.indicators.dtype)
    begun = _random_mixtures(tried_on, drawn, k, rng)
    tried = _climb(tried_on, drawn, begun, tolerance, trial_steps or most_steps)
    likely = (tried.posterior(tried_on.indicators)[1] * drawn).sum(axis=1).reshape(n_samples, starts)
    best = tried.take(likely.argmax(axis=1) + np.arange(n_samples) * starts)
    if not trial_steps:
        return best
    if most_steps <= QUICK_STEPS:
        return _climb(tried_on, weights.astype(np.float32), best, tolerance, most_steps)
    return _climb(patterns, weights, best.exact(), tolerance, most_steps)


def one_trait_density(patterns: Patterns, weights: Floats, *, any_shape: bool, n_nodes: int = 15) -> Floats:
    """Log density (P,) of each pattern under one continuous trait instead of classes; ``weights``: (P,).

    Every level has a slope and an intercept on the trait (the nominal response model of Bock, 1972; for yes/no items
    the two-parameter logistic), integrated over ``n_nodes`` Gauss-Hermite nodes. The trait is standard normal, or,
    with ``any_shape``, has a mass of its own at every node, so that skewed and flat traits count as traits too.
    """
    nodes, mass = np.polynomial.hermite_e.hermegauss(n_nodes)
    model = _Trait(patterns, weights, nodes, np.log(mass / mass.sum()), any_shape)
    shares = weights @ patterns.indicators + 0.5
    slopes = np.linspace(-0.5, 0.5, len(shares))
    begin = np.concatenate([slopes, np.log(shares / shares.sum()), np.zeros(n_nodes)])
    fitted = scipy.optimize.minimize(
        model.loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-8}
    )
    return model.density(fitted.x)[0]


@dataclass(frozen=True)
class _Trait:
    patterns: Patterns
    weights: Floats
    nodes: Floats
    normal_log_mass: Floats
    any_shape: bool

    def _log_mass(self, parameters: Floats) -> Floats:
        tilted = self.normal_log_mass + (parameters[-len(self.nodes) :] if self.any_shape else 0.0)
        return np.asarray(tilted - scipy.special.logsumexp(tilted))

    def _log_chances(self, parameters: Floats) -> Floats:
        slope, intercept = np.split(parameters[: -len(self.nodes)], 2)
        raw = np.clip(self.nodes[:, None] * slope + intercept, -30, 30)
        return np.asarray(raw - np.log(np.exp(raw) @ self.patterns.same_item))

    def density(self, parameters: Floats) -> tuple[Floats, Floats, Floats]:
        """Log density (P,), posterior over the nodes (P, Q) and log chances (Q, L)."""
        chances = self._log_chances(parameters)
        joint = self.patterns.indicators @ chances.T + self._log_mass(parameters)
        peak = joint.max(axis=1, keepdims=True)
        likely = np.exp(joint - peak)
        total = likely.sum(axis=1, keepdims=True)
        return (np.log(total) + peak)[:, 0], likely / total, chances

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        """Penalised negative log-likelihood per row and its gradient."""
        density, posterior, chances = self.density(parameters)
        seen = (posterior * self.weights[:, None]).T @ self.patterns.indicators
        excess = seen - (seen @ self.patterns.same_item) * np.exp(chances)
        n = self.weights.sum()
        tilt = (self.weights @ posterior - n * np.exp(self._log_mass(parameters))) * self.any_shape
        gradient = -np.concatenate([self.nodes @ excess, excess.sum(axis=0), tilt]) / n
        # a whisper of a penalty: slopes of an item are free up to a constant, and perfect items would diverge
        penalty = 1e-4 * float(parameters @ parameters)
        return -float(density @ self.weights) / n + penalty, gradient + 2e-4 * parameters


def _random_mixtures(patterns: Patterns, weights: Floats, k: int, rng: np.random.Generator) -> Mixtures:
    """Half-way between k rows drawn at random and the whole sample, so that no class starts empty."""
    chance = weights / weights.sum(axis=1, keepdims=True)
    steps = np.cumsum(chance, axis=1)
    drawn = np.stack([np.searchsorted(row, rng.random(k)) for row in steps]).clip(0, weights.shape[1] - 1)
    counts = weights @ patterns.indicators
    market = _normalised(counts, patterns)
    chances = 0.5 * patterns.indicators[drawn] + 0.5 * market[:, None, :]
    shares = np.full((len(weights), k), 1 / k, dtype=weights.dtype)
    return Mixtures(shares, _normalised(chances, patterns))


def _normalised(counts: Floats, patterns: Patterns) -> Floats:
    return np.asarray(counts / np.maximum(counts @ patterns.same_item, _TINY))


def _climb(patterns: Patterns, weights: Floats, begun: Mixtures, tolerance: float, most: int) -> Mixtures:
    """Expectation-maximisation; a run that no longer gains leaves the batch."""
    shares, chances = begun.shares.copy(), begun.chances.copy()
    active = np.arange(len(shares))
    before = np.full(len(shares), -np.inf)
    for step in range(1, most + 1):
        own = weights[active]
        posterior, density = Mixtures(shares[active], chances[active]).posterior(patterns.indicators)
        posterior *= own[:, None, :]
        r, k, n_patterns = posterior.shape
        counts = (posterior.reshape(r * k, n_patterns) @ patterns.indicators).reshape(r, k, -1)
        shares[active] = posterior.sum(axis=2) / own.sum(axis=1, keepdims=True)
        chances[active] = _normalised(counts, patterns)
        if step % _CHECK_EVERY == 0:
            reached = (density * own).sum(axis=1)
            rising = reached - before[active] > tolerance
            before[active] = reached
            active = active[rising]
        if not len(active):
            break
    return Mixtures(shares, chances)
