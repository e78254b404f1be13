"""Two cuts of the same rows, segments that are the same under other numbers, and two shares."""

import numpy as np
import pandas as pd
import pytest
from closedloop.statistics.proportions import difference_interval
from closedloop.statistics.segmentation.segments import agreement, matched
from sklearn.metrics import adjusted_rand_score
from statsmodels.stats.proportion import confint_proportions_2indep

from tests.statistics.simulated import runs


def test_agreement_is_the_adjusted_rand_index_whatever_the_numbers() -> None:
    rng = np.random.default_rng(0)
    first = pd.Series(rng.integers(0, 3, 400))
    second = first.map({0: 2, 1: 0, 2: 1}).where(rng.random(400) < 0.8, 1)
    found = agreement(first, second, np.random.default_rng(1))
    assert found["estimate"] == pytest.approx(adjusted_rand_score(first, second))
    assert found["low"] < found["estimate"] < found["high"]
    assert found["n"] == 400
    same = agreement(first, first, np.random.default_rng(1))
    assert (same["estimate"], same["low"], same["high"]) == (1, 1, 1)


def test_segments_are_matched_by_their_profiles() -> None:
    old = pd.DataFrame({"price": [0.9, 0.1, 0.5], "age": [30.0, 60.0, 45.0]}, index=["0", "1", "2"])
    new = old.iloc[[2, 0, 1]].set_axis(["0", "1", "2"]).assign(new_item=0.5) + 0.01
    assert matched(old, new) == {"0": "2", "1": "0", "2": "1"}
    assert matched(old.iloc[:2], new) == {"1": "0", "2": "1"}  # a surplus new segment has no older one


def test_the_difference_is_newcombes() -> None:
    gap, low, high = difference_interval([56], [70], [48], [80])
    expected = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", alpha=0.10)
    assert float(gap[0]) == pytest.approx(0.2)
    assert (float(low[0]), float(high[0])) == pytest.approx(expected, abs=1e-9)


def test_the_difference_covers() -> None:
    rng = np.random.default_rng(3)
    n = len(runs(400))
    k1, k2 = rng.binomial(60, 0.3, n), rng.binomial(200, 0.2, n)
    _, low, high = difference_interval(k1, np.full(n, 60), k2, np.full(n, 200))
    assert 0.86 <= np.mean((low <= 0.1) & (high >= 0.1)) <= 0.95
