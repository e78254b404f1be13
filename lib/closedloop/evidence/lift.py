"""Lift at fixed capacity: how much better the cases turn out that a ranking would have worked first."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from closedloop.errors import ParameterError
from closedloop.evidence.accuracy import Interval

Floats = NDArray[np.float64]
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
    groups = _blocks(places)
    order, chosen = np.concatenate(groups), np.concatenate([_chosen(chances[rows], capacity) for rows in groups])
    return float(np.average(values[order].astype(float), weights=chosen) - values.mean())


def _blocks(places: NDArray[np.generic]) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(places == name) for name in pd.unique(places)]


def _chosen(p: Floats, capacity: float) -> Floats:
    """How far each row is chosen: 1, 0, or a part where equal chances share the last places."""
    room = capacity * len(p)
    _, group, size = np.unique(-p, return_inverse=True, return_counts=True)
    before = np.cumsum(size) - size
    part: Floats = np.clip((room - before) / size, 0.0, 1.0)
    return part[group]


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
    values, a, b, places = (np.asarray(part) for part in (value, p_a, p_b, block))
    estimate = lift(values, b, places, capacity) - lift(values, a, places, capacity)
    groups, drawn = _blocks(places), []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        drawn.append(
            lift(values[rows], b[rows], places[rows], capacity) - lift(values[rows], a[rows], places[rows], capacity)
        )
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(estimate, float(low), float(high))
