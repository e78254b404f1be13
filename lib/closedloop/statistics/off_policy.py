"""What another rule would have been worth: from what a logged rule took, with known probabilities."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from closedloop.errors import ParameterError
from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.indicators import Floats

LEAST_EFFECTIVE = 50.0


@dataclass(frozen=True)
class RuleValue:
    """Rate of success under another rule; estimate, low and high are NaN when it is refused.

    ``n``: records of the log that the rule would have taken. ``effective_n``: how many records taken by the rule
    itself would say as much.
    """

    estimate: float
    low: float
    high: float
    n: int
    effective_n: float
    is_refused: bool


def rule_value(
    y: ArrayLike, logged: ArrayLike, other: ArrayLike, *, level: float = 0.90, least: float = LEAST_EFFECTIVE
) -> RuleValue:
    """The rate of ``y`` that another rule would have reached, self-normalised by inverse propensities (SNIPS).

    ``y``: 0/1, of (n,) records that the logged rule took; ``logged``: the probability (0, 1] with which it took each;
    ``other``: the probability [0, 1] with which the other rule would have. Every record that the other rule takes
    must have had a chance. Below an effective sample (Kish, 1965) of ``least`` the value is refused: no number.
    The interval is Wilson's at the size whose binomial variance is the mean of two: the delta method's, which is too
    small when few of the heavy records succeed, and that of the effective sample, which is too large then.
    Swaminathan & Joachims (2015). Raises ParameterError for other values or lengths.
    """
    outcome, weight = _checked(y, logged, other)
    n, total = int((weight > 0).sum()), float(weight.sum())
    effective_n = total**2 / float((weight**2).sum()) if total > 0 else 0.0
    if effective_n < least:
        return RuleValue(np.nan, np.nan, np.nan, n, effective_n, is_refused=True)
    value = float(weight @ outcome) / total
    spread = value * (1 - value)
    variance = (float((weight**2) @ (outcome - value) ** 2) / total**2 + spread / effective_n) / 2
    size = spread / variance if variance > 0 else effective_n
    low, high = wilson(value * size, size, level)
    return RuleValue(value, float(low), float(high), n, effective_n, is_refused=False)


def taken_first(score: ArrayLike, logged: ArrayLike, places: float) -> Floats:
    """(n,) probability with which a rule that takes the highest ``score`` first fills ``places`` with each record.

    The log stands for all who could have been taken: each record for 1 / ``logged`` of them. Records of equal score
    share what places are left.
    """
    frame = pd.DataFrame({"score": np.asarray(score, dtype=float), "stands_for": 1 / np.asarray(logged, dtype=float)})
    groups = frame.groupby("score")["stands_for"].sum().sort_index(ascending=False)
    left = places - (groups.cumsum() - groups)
    return np.asarray(frame["score"].map((left / groups).clip(0, 1)), dtype=float)


def _checked(y: ArrayLike, logged: ArrayLike, other: ArrayLike) -> tuple[Floats, Floats]:
    outcome, chance, wanted = (np.asarray(values, dtype=float) for values in (y, logged, other))
    if not outcome.shape == chance.shape == wanted.shape or outcome.ndim != 1:
        shapes = (outcome.shape, chance.shape, wanted.shape)
        raise ParameterError(f"outcomes and both probabilities have the shapes {shapes}; one each for every record")
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise ParameterError("outcomes hold other values than 0 and 1; leave records without an outcome out")
    if not ((chance > 0) & (chance <= 1)).all():
        raise ParameterError("a logged probability is not above 0 and at most 1; leave records without one out")
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ParameterError("the other rule's probability is not within 0 and 1")
    return outcome, wanted / chance
