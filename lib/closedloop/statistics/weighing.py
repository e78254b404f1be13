"""Weighing several criteria of uncertain value into one score, with the interval that their uncertainty leaves."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy

from closedloop.statistics.segmentation.indicators import Floats


class Criterion(NamedTuple):
    """A criterion's value in each group, (G,) each: estimate and 90 % interval, NaN where unknown.

    ``sign``: -1 where less is better.
    """

    estimate: Floats
    low: Floats
    high: Floats
    sign: int = 1

    @property
    def is_known(self) -> bool:
        """Has every group a value with an interval, so that they can be compared?"""
        return bool(np.isfinite(np.stack([self.estimate, self.low, self.high])).all())


class Scores(NamedTuple):
    """Weighted scores (G,) with intervals that hold for all groups at once; 0 is the average group."""

    estimate: Floats
    low: Floats
    high: Floats
    counted: tuple[str, ...]


def weighted_scores(criteria: Mapping[str, Criterion], weights: Mapping[str, float], level: float = 0.90) -> Scores:
    """The weighted mean of standardised criteria, each relative to the average group.

    A criterion is scaled by its observed spread, which holds its uncertainty as well: groups that differ by no more
    than luck get scores near 0 and wide intervals. Criteria that are unknown for any group are left out, and the other
    weights keep their proportions. Errors are taken as independent between criteria and groups; the intervals are
    Bonferroni's over the groups. Nothing to count: NaN. Source: weighted attractiveness and competitiveness, Dolnicar,
    Gruen & Leisch (2018), ch. 10.
    """
    counted = tuple(name for name in weights if name in criteria and criteria[name].is_known)
    if not counted:
        empty = np.full(next((len(part.estimate) for part in criteria.values()), 0), np.nan)
        return Scores(empty, empty, empty, ())
    parts = [_standardised(criteria[name]) for name in counted]
    weight = np.array([weights[name] for name in counted]) / sum(weights[name] for name in counted)
    score = weight @ np.stack([value for value, _ in parts])
    error = np.sqrt(weight**2 @ np.stack([error**2 for _, error in parts]))
    reach = error * scipy.stats.norm.isf((1 - level) / 2 / len(score))
    return Scores(score, score - reach, score + reach, counted)


def _standardised(part: Criterion) -> tuple[Floats, Floats]:
    """Values relative to the average group in units of the observed spread, and their standard errors."""
    n = len(part.estimate)
    error = (part.high - part.low) / (2 * float(scipy.stats.norm.isf(0.05)))
    centred = part.sign * (part.estimate - part.estimate.mean())
    own = error**2 * (1 - 2 / n)  # of a value less the average that it is part of
    apart = np.sqrt(own + (error**2).sum() / n**2)
    scale = float(np.sqrt((centred**2).mean() + (error**2).mean()))
    return (centred / scale, apart / scale) if scale > 0 else (np.zeros(n), np.zeros(n))
