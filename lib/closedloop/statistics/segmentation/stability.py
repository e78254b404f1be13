"""How well a partition comes back: agreement of partitions, and of single segments, over bootstrap samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.indicators import Floats, Ints
from closedloop.statistics.segmentation.partitions import Material, match_labels


def adjusted_rand(first: Ints, second: Ints, counts: Floats) -> Floats:
    """Adjusted Rand index (R,) of paired partitions, each (R, P); ``counts`` (P,) rows per pattern.

    1 is identical, 0 is chance; two partitions without any cut agree (1). Source: Hubert & Arabie (1985).
    """
    table = cross_counts(first, second, counts)
    pairs, n = _pairs(table).sum(axis=(1, 2)), counts.sum()
    rows, columns = _pairs(table.sum(axis=2)).sum(axis=1), _pairs(table.sum(axis=1)).sum(axis=1)
    chance = rows * columns / max(_pairs(np.asarray(n)), 1.0)
    room = (rows + columns) / 2 - chance
    return np.asarray(np.divide(pairs - chance, room, out=np.ones(len(table)), where=room > 1e-9))


def best_jaccard(reference: Ints, others: Ints, counts: Floats) -> Floats:
    """Best Jaccard overlap (R, k) of each segment of ``reference`` (P,) with any segment of ``others`` (R, P)."""
    table = cross_counts(np.broadcast_to(reference, others.shape), others, counts)
    union = table.sum(axis=2, keepdims=True) + table.sum(axis=1, keepdims=True) - table
    return np.asarray(np.divide(table, union, out=np.zeros_like(table), where=union > 0).max(axis=2))


def cross_counts(first: Ints, second: Ints, counts: Floats) -> Floats:
    """(R, ka, kb) rows in each pair of segments."""
    a = first[:, None, :] == np.arange(first.max() + 1)[:, None]
    b = second[:, None, :] == np.arange(second.max() + 1)[:, None]
    return np.asarray((a * counts) @ b.transpose(0, 2, 1).astype(float))


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


def agreement(
    first: pd.Series, second: pd.Series, rng: np.random.Generator, *, samples: int = 400, level: float = 0.90
) -> dict[str, float]:
    """Adjusted Rand index of two partitions of the same rows with its bootstrap interval: estimate, low, high, n.

    1 is perfect, 0 what luck gives. Source: Hubert & Arabie (1985), J. Classification 2, 193-218.
    """
    table = pd.crosstab(first.to_numpy(), second.to_numpy())
    a, b = (codes.ravel() for codes in np.indices(table.shape))
    counts = table.to_numpy(dtype=float).ravel()
    draws = resampled(counts, samples, rng)
    index = np.concatenate([adjusted_rand(a[None], b[None], weights) for weights in (counts, *draws)])
    low, high = np.quantile(index[1:], [(1 - level) / 2, (1 + level) / 2])
    return {"estimate": float(index[0]), "low": float(low), "high": float(high), "n": int(counts.sum())}


def matched(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, str]:
    """New segment -> old segment by the least distance of their profiles; a surplus new segment has no entry.

    Both frames: one row a segment, the same items as columns (those that only one has are left out), as
    ``Segmentation.profile`` has them without the market's row. Each item counts by its spread between segments.
    """
    shared = [name for name in new.columns if name in old]
    both = pd.concat([old[shared], new[shared]])
    scale = both.std(ddof=0).replace(0.0, 1.0)
    known = (both - both.mean()) / scale
    centres = known.fillna(0.0).to_numpy()
    pairs = match_labels(centres[: len(old)], centres[len(old) :])
    return {str(new.index[place]): str(old.index[other]) for place, other in pairs.items()}


def difference_interval(
    k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike, level: float = 0.90
) -> tuple[Floats, Floats, Floats]:
    """The rate of a group (1) less that of another (2): estimate, low, high as fractions; NaN where one is empty.

    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10 (of two Wilson intervals).
    """
    (low1, high1), (low2, high2) = wilson(k1, n1, level), wilson(k2, n2, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.asarray(k1, dtype=float) / np.asarray(n1, dtype=float)
        second = np.asarray(k2, dtype=float) / np.asarray(n2, dtype=float)
    gap: Floats = first - second
    return gap, gap - np.hypot(first - low1, high2 - second), gap + np.hypot(high1 - first, second - low2)
