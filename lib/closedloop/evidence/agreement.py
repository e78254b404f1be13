"""How far two cuts of the same rows agree, and how far two shares differ, each with its interval."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from closedloop.evidence.indicators import Floats
from closedloop.evidence.partitions import match_labels
from closedloop.evidence.rates import wilson
from closedloop.evidence.stability import adjusted_rand, resampled


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
