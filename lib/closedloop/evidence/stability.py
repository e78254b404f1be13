"""How well a partition comes back: agreement of partitions, and of single segments, over bootstrap samples."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from closedloop.evidence.indicators import Floats, Ints


class Fits(Protocol):
    """Partitions of P patterns fitted to R weighted samples."""

    @property
    def labels(self) -> Ints:
        """(R, P) segment of each pattern."""

    @property
    def density(self) -> Floats:
        """(R, P) log density of each pattern."""

    @property
    def uncertainty(self) -> Floats:
        """(R, P) entropy of each pattern's membership, in nats."""


class Material(Protocol):
    """What can be cut into segments: patterns with counts, and a way to fit k segments to weighted samples."""

    @property
    def counts(self) -> Floats:
        """(P,) rows per pattern."""

    @property
    def weights(self) -> Floats:
        """(P,) what a row of each pattern counts."""

    def fit(self, weights: Floats, k: int, rng: np.random.Generator, *, careful: bool = False) -> Fits:
        """Fit k segments to every sample; ``weights`` (R, P)."""

    def without_structure(self, rng: np.random.Generator) -> Self:
        """As many rows, their columns unrelated: the yard-stick that stability has to beat."""

    def rival_density(self, weights: Floats, k: int) -> Floats:
        """(P,) log density under the one continuous structure that k segments have to beat, fitted to ``weights``."""

    def n_parameters(self, k: int) -> int:
        """Free parameters of k segments."""


def adjusted_rand(first: Ints, second: Ints, counts: Floats) -> Floats:
    """Adjusted Rand index (R,) of paired partitions, each (R, P); ``counts`` (P,) rows per pattern.

    1 is identical, 0 is chance; two partitions without any cut agree (1). Source: Hubert & Arabie (1985).
    """
    table = cross_counts(first, second, counts)
    pairs, n = _pairs(table).sum(axis=(1, 2)), counts.sum()
    rows, columns = _pairs(table.sum(axis=2)).sum(axis=1), _pairs(table.sum(axis=1)).sum(axis=1)
    chance = rows * columns / max(_pairs(np.asarray(n)), 1.0)
    room = (rows + columns) / 2 - chance
    index: Floats = np.divide(pairs - chance, room, out=np.ones(len(table)), where=room > 1e-9)
    return index


def best_jaccard(reference: Ints, others: Ints, counts: Floats) -> Floats:
    """Best Jaccard overlap (R, k) of each segment of ``reference`` (P,) with any segment of ``others`` (R, P)."""
    table = cross_counts(np.broadcast_to(reference, others.shape), others, counts)
    union = table.sum(axis=2, keepdims=True) + table.sum(axis=1, keepdims=True) - table
    overlap: Floats = np.divide(table, union, out=np.zeros_like(table), where=union > 0).max(axis=2)
    return overlap


def cross_counts(first: Ints, second: Ints, counts: Floats) -> Floats:
    """(R, ka, kb) rows in each pair of segments."""
    a = first[:, None, :] == np.arange(first.max() + 1)[:, None]
    b = second[:, None, :] == np.arange(second.max() + 1)[:, None]
    table: Floats = (a * counts) @ b.transpose(0, 2, 1).astype(float)
    return table


def resampled(counts: Floats, n_samples: int, rng: np.random.Generator) -> Floats:
    """Bootstrap samples as weights (R, P)."""
    n = int(counts.sum())
    return rng.multinomial(n, counts / n, n_samples).astype(float)


def replicated_labels(material: Material, k: int, n_pairs: int, rng: np.random.Generator) -> Ints:
    """Labels (2 x pairs, P) of the material by fits on bootstrap samples; rows 2i and 2i + 1 are a pair."""
    return material.fit(material.weights * resampled(material.counts, 2 * n_pairs, rng), k, rng).labels


def fold_weights(counts: Floats, n_folds: int, rng: np.random.Generator) -> Floats:
    """Rows split at random into folds, as weights (folds, P) that sum to the counts."""
    of_row = rng.permutation(int(counts.sum())) % n_folds
    pattern = np.repeat(np.arange(len(counts)), counts.astype(int))
    return np.stack([np.bincount(pattern[of_row == f], minlength=len(counts)) for f in range(n_folds)]).astype(float)


def _pairs(counts: Floats) -> Floats:
    return counts * (counts - 1) / 2
