"""The two ways to cut rows into segments: latent classes for answers and categories, k-means for measurements."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy

from closedloop.errors import ParameterError
from closedloop.statistics.segmentation.indicators import Coding, Floats, Ints, Patterns, coding_of, patterns_of
from closedloop.statistics.segmentation.latent_classes import QUICK_STEPS, Mixtures, fit_mixtures, one_trait_density


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
