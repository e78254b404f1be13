"""Quantiles: order statistics by hand, coverage by simulation, waits without an end."""

import numpy as np
import pytest
from closedloop.statistics.cumulative_incidence import median, quantile
from scipy import stats


def test_a_median_and_its_interval_are_order_statistics() -> None:
    # of 11 fair coins, 2 or fewer heads have a chance of .033 and 3 or fewer of .113: the 3rd and the 9th value
    assert stats.binom.cdf([2, 3], 11, 0.5) == pytest.approx([0.0327, 0.1133], abs=1e-4)
    found = quantile(range(1, 12))
    assert found == {"estimate": 6, "low": 3, "high": 9, "n": 11}


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_the_interval_covers_the_true_quantile(q: float) -> None:
    rng, truth = np.random.default_rng(1), stats.expon.ppf(q)
    found = [quantile(rng.exponential(size=80), q) for _ in range(600)]
    hits = [case["low"] <= truth <= case["high"] for case in found]
    assert 0.88 <= np.mean(hits) <= 0.97


def test_waits_without_an_end_count_and_are_not_named() -> None:
    waits = np.r_[np.arange(1.0, 31.0), np.full(20, np.inf)]
    assert quantile(waits)["estimate"] == 25
    assert np.isnan(quantile(waits, 0.9)["estimate"])
    assert quantile(waits, 0.9)["n"] == 50


def test_an_interval_with_an_endless_end_is_left_out() -> None:
    found = quantile([*range(1, 27), *[np.inf] * 24])
    assert found["estimate"] == 25
    assert np.isnan([found["low"], found["high"]]).all()


def test_nothing_and_too_few_have_no_interval() -> None:
    assert quantile([])["n"] == 0
    assert np.isnan(quantile([])["estimate"])
    assert np.isnan(quantile([3.0, np.nan])["low"])
    assert quantile([3.0, np.nan])["estimate"] == 3


def test_the_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle() -> None:
    found = median([1, 2, 3, 10, np.nan])
    assert [found["estimate"], found["n"]] == [2.5, 4] and np.isnan(median([])["estimate"])
    assert quantile([1, 2, 3, 10])["estimate"] == 2
