"""The two ways to cut rows into segments: latent classes for answers and categories, k-means for measurements."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.segmentation.indicators import Coding, Floats, Ints, Patterns, coding_of, patterns_of

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


@dataclass(frozen=True)
class Cut:
    """Partitions fitted to R samples, with what the criteria need; ``model`` labels new rows."""

    labels: Ints
    density: Floats
    uncertainty: Floats
    model: Mixtures | Floats


def k_means(x: Floats, k: int, rng: np.random.Generator, starts: int = 10, weights: Floats | None = None) -> Floats:
    """The centres (k, m) of k-means (scikit-learn, Lloyd) of ``x`` (n, m), ordered by size, the largest first."""
    from sklearn.cluster import KMeans

    if not 1 <= k <= len(x):
        raise ParameterError(f"k is {k}; allowed are 1 to the {len(x)} rows")
    with warnings.catch_warnings():  # fewer distinct rows than k is an answer (empty segments), not an alarm
        warnings.simplefilter("ignore")
        fitted = KMeans(k, n_init=starts, random_state=int(rng.integers(2**31))).fit(x, sample_weight=weights)
    order = np.argsort(-np.bincount(fitted.labels_, weights, k), kind="stable")
    return np.asarray(fitted.cluster_centers_[order], dtype=float)


@dataclass(frozen=True)
class Answers:
    """Categorical rows for latent classes; ``row_weights`` (n,) of a survey."""

    codes: Ints
    n_levels: Ints
    patterns: Patterns
    row_weights: Floats

    @classmethod
    def of(cls, codes: Ints, n_levels: Ints, row_weights: Floats) -> Answers:
        """From level numbers (n, m), -1 where missing; rows of one pattern have the same answers and weight."""
        kind = np.unique(row_weights, return_inverse=True)[1]
        return cls(codes, n_levels, patterns_of(np.column_stack([codes, kind]), n_levels), row_weights)

    @property
    def counts(self) -> Floats:
        """(P,) rows per pattern."""
        return self.patterns.counts

    @cached_property
    def weights(self) -> Floats:
        """(P,) what a row of each pattern counts."""
        found = np.empty(len(self.counts))
        found[self.patterns.pattern_of_row] = self.row_weights
        return found

    def fit(self, weights: Floats, k: int, rng: np.random.Generator, *, careful: bool = False) -> Cut:
        """Latent classes; ``careful`` climbs on until the likelihood stands still."""
        tolerance, most = (1e-4, 2000) if careful else (0.05, QUICK_STEPS)
        trial = 50 if careful else 20
        fitted = fit_mixtures(self.patterns, weights, k, rng, tolerance=tolerance, trial_steps=trial, most_steps=most)
        fitted = fitted.by_share()
        posterior, density = fitted.posterior(self.patterns.indicators)
        entropy = -(posterior * np.log(np.maximum(posterior, 1e-300))).sum(axis=1)
        return Cut(posterior.argmax(axis=1).astype(np.int64), density, entropy, fitted)

    def without_structure(self, rng: np.random.Generator) -> Answers:
        """Each column shuffled on its own."""
        return Answers.of(rng.permuted(self.codes, axis=0), self.n_levels, self.row_weights)

    def rival_density(self, weights: Floats, k: int) -> Floats:
        """One continuous trait; of any shape when there are classes enough to draw one (two would always fit)."""
        return one_trait_density(self.patterns, weights, any_shape=k > 2)

    def n_parameters(self, k: int) -> int:
        """Shares, and chances of every level but one of each item."""
        return k - 1 + k * int((self.n_levels - 1).sum())


@dataclass(frozen=True)
class Measurements:
    """Standardised numbers (n, m) for k-means; ``weights`` (n,) of a survey."""

    x: Floats
    weights: Floats

    @property
    def counts(self) -> Floats:
        """(n,) of 1: every row is its own pattern."""
        return np.ones(len(self.x))

    def fit(self, weights: Floats, k: int, rng: np.random.Generator, *, careful: bool = False) -> Cut:
        """K-means; the density is that of round normal clusters around the centres with one spread per item."""
        cuts = [self._fit_one(sample, k, rng, 10 if careful else 3) for sample in weights]
        return Cut(*(np.stack(part) for part in zip(*cuts, strict=True)))

    def _fit_one(
        self, weights: Floats, k: int, rng: np.random.Generator, starts: int
    ) -> tuple[Ints, Floats, Floats, Floats]:
        centres = k_means(self.x, k, rng, starts, weights)
        distance = ((self.x[:, None, :] - centres) ** 2).sum(axis=2)
        labels = distance.argmin(axis=1)
        share = np.bincount(labels, weights, k) / weights.sum()
        spread = np.maximum(weights @ (self.x - centres[labels]) ** 2 / weights.sum(), 1e-6)
        exponent = (((self.x[:, None, :] - centres) ** 2) / spread).sum(axis=2)
        joint = np.log(np.maximum(share, 1e-12)) - 0.5 * (exponent + np.log(2 * np.pi * spread).sum())
        density = scipy.special.logsumexp(joint, axis=1)
        chance = np.exp(joint - density[:, None])
        return labels, density, -(chance * (joint - density[:, None])).sum(axis=1), centres

    def without_structure(self, rng: np.random.Generator) -> Measurements:
        """Independent normal columns: gaps inside a single column are structure that segments may rest on."""
        return Measurements(rng.standard_normal(self.x.shape), self.weights)

    def rival_density(self, weights: Floats, k: int) -> Floats:
        """One normal cloud with free correlations."""
        n, m = weights.sum(), self.x.shape[1]
        mean = weights @ self.x / n
        around = self.x - mean
        covariance = (around * weights[:, None]).T @ around / n + 1e-6 * np.eye(m)
        reach = np.einsum("ij,ij->i", around @ np.linalg.inv(covariance), around)
        return np.asarray(-0.5 * (reach + np.linalg.slogdet(covariance)[1] + m * np.log(2 * np.pi)))

    def n_parameters(self, k: int) -> int:
        """Shares, centres and one spread per item."""
        m = int(self.x.shape[1])
        return k - 1 + k * m + m


Material = Answers | Measurements  # what can be cut into segments


@dataclass(frozen=True)
class Reader:
    """Turns rows into what a method cuts, and labels new rows with a fitted model.

    ``coding``: levels for latent classes, or means and deviations that put numbers on one scale for k-means.
    """

    coding: Coding | tuple[pd.Series, pd.Series]

    @classmethod
    def of(cls, items: pd.DataFrame, method: str) -> Reader:
        """Learn levels (latent classes) or scales (k-means) from ``items``; a constant column has the deviation 1."""
        if method != "k_means":
            return cls(coding_of(items))
        numbers = items.astype(float)
        return cls((numbers.mean().fillna(0.0), numbers.std(ddof=0).fillna(1.0).replace(0.0, 1.0)))

    def material(self, items: pd.DataFrame, weights: Floats | None = None) -> Material:
        """The rows, ready to be cut, missing numbers at their mean; without ``weights`` (n,) each counts 1."""
        counted = np.ones(len(items)) if weights is None else weights
        if isinstance(self.coding, Coding):
            levels = np.array([len(names) for names in self.coding.levels], dtype=np.int64)
            return Answers.of(self.coding.codes(items), levels, counted)
        means, deviations = self.coding
        numbers = items[means.index].astype(float)
        return Measurements(((numbers - means) / deviations).fillna(0.0).to_numpy(), counted)

    def labels(self, items: pd.DataFrame, model: Mixtures | Floats) -> Ints:
        """(n,) segment of each row under the first fit of ``model``."""
        material = self.material(items)
        if isinstance(material, Measurements):
            assert isinstance(model, np.ndarray)
            return np.asarray(((material.x[:, None, :] - model[0]) ** 2).sum(axis=2).argmin(axis=1))
        assert isinstance(model, Mixtures)
        posterior, _ = model.take(np.array([0])).posterior(material.patterns.indicators)
        return np.asarray(posterior[0].argmax(axis=0)[material.patterns.pattern_of_row])
