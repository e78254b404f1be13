"""Lift at fixed capacity: how much better the cases turn out that a ranking would have worked first."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.scoring.accuracy import Interval
from closedloop.statistics.segmentation.indicators import Floats

CAPACITY = 1 / 3


def lift(value: ArrayLike, p: ArrayLike, block: ArrayLike, capacity: float = CAPACITY) -> float:
    """Mean ``value`` of the chosen less that of all: in every block the share ``capacity`` with the highest ``p``.

    ``value``: outcomes 0/1, or true win rates (n,). Of equal ``p`` at the border every row is chosen in part, so that
    the order of ties earns nothing. NaN without rows; ParameterError unless 0 < capacity <= 1.
    """
    if not 0 < capacity <= 1:
        raise ParameterError(f"capacity = {capacity}; allowed: above 0, up to 1")
    values, chances, places = (np.asarray(part) for part in (value, p, block))
    if not len(values):
        return float("nan")
    parts = [(values[rows].astype(float), chances[rows], np.ones((1, len(rows)))) for rows in _blocks(places)]
    return float(_lifts(parts, capacity)[0])


def _blocks(places: NDArray[np.generic]) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(places == name) for name in pd.unique(places)]


def _lifts(blocks: Iterable[tuple[Floats, Floats, Floats]], capacity: float) -> Floats:
    """(draws,) the lift over blocks of values, chances, and how often each row was drawn (draws, rows)."""
    chosen, everyone, n = 0.0, 0.0, 0
    for values, chances, times in blocks:
        order = np.argsort(-chances, kind="stable")
        first = np.flatnonzero(np.diff(-chances[order], prepend=-np.inf) > 0)  # of each chance
        sums, sizes = (np.add.reduceat(part[:, order], first, axis=1) for part in (times * values, times))
        room = capacity * len(values) - (np.cumsum(sizes, axis=1) - sizes)
        share = np.divide(np.clip(room, 0, sizes), sizes, out=np.zeros_like(sizes), where=sizes > 0)
        chosen, everyone, n = chosen + (share * sums).sum(axis=1), everyone + sums.sum(axis=1), n + len(values)
    return np.asarray(chosen / (capacity * n) - everyone / n, dtype=float)


def lift_gain(
    value: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    block: ArrayLike,
    *,
    rng: np.random.Generator,
    capacity: float = CAPACITY,
    draws: int = 300,
    level: float = 0.90,
) -> Interval:
    """By how much the lift of ``p_b`` exceeds that of ``p_a`` on the same rows, drawn with replacement in blocks."""
    values, a, b = (np.asarray(part, dtype=float) for part in (value, p_a, p_b))
    groups = _blocks(np.asarray(block))
    times = [rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), draws).astype(float) for rows in groups]
    of_a, of_b = (
        _lifts([(values[rows], p[rows], drawn) for rows, drawn in zip(groups, times, strict=True)], capacity)
        for p in (a, b)
    )
    low, high = np.quantile(of_b - of_a, [0.5 - level / 2, 0.5 + level / 2])
    estimate = lift(values, b, block, capacity) - lift(values, a, block, capacity)
    return Interval(estimate, float(low), float(high))
