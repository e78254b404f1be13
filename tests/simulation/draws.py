"""Random draws that stay the same across versions of numpy: uniform numbers, the rest by inversion."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Texts: TypeAlias = NDArray[Any]

Shares: TypeAlias = Mapping[str, float]


class Draws:
    """A stream of random draws for one table; every stream of a market starts from the market's seed."""

    def __init__(self, seed: int, stream: str) -> None:
        self._rng = np.random.Generator(np.random.PCG64([seed, *stream.encode()]))

    def uniform(self, n: int) -> Floats:
        """Return n numbers in [0, 1)."""
        return self._rng.random(n)

    def normal(self, n: int) -> Floats:
        """Return n standard normal numbers, by inverting the distribution function."""
        return np.asarray(scipy.special.ndtri(np.maximum(self.uniform(n), 2.0**-53)), dtype=np.float64)

    def whole(self, low: float | Floats, high: float | Floats, n: int) -> Floats:
        """Return n whole numbers from low to high, both included; the bounds may differ by row."""
        return np.floor(low + self.uniform(n) * (high - low + 1))

    def waiting(self, mean_days: float, n: int) -> Floats:
        """Return n whole waiting times in days, geometric in shape, with about the given mean."""
        return np.floor(-np.log1p(-self.uniform(n)) * mean_days + 0.5)

    def yes(self, rate: float | Floats, n: int) -> Flags:
        """Return n flags that are true with the given rate (one rate, or one per row)."""
        return np.asarray(self.uniform(n) < rate, dtype=np.bool_)

    def pick(self, shares: Shares, n: int) -> Texts:
        """Return n levels, drawn with the given shares."""
        return self.pick_by({"": shares}, np.full(n, "", dtype=object))

    def pick_by(self, table: Mapping[str, Shares], keys: Texts) -> Texts:
        """Return one level per key, drawn with the shares that the table holds for that key.

        All rows of the table must list the same levels. A share is a weight: rows need not add up to one.
        """
        names = list(table)
        levels = list(table[names[0]])
        weights = np.array([[table[name][level] for level in levels] for name in names], dtype=np.float64)
        edges = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        rows = np.array([names.index(key) for key in keys], dtype=np.intp)
        places = (self.uniform(len(keys))[:, None] >= edges[rows, :-1]).sum(axis=1)
        picked: Texts = np.array(levels, dtype=object)[places]
        return picked

    def some(self, n: int, size: int) -> NDArray[np.intp]:
        """Return `size` different positions below n, in rising order."""
        return np.sort(np.argsort(self.uniform(n), kind="stable")[:size])
