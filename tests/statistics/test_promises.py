"""A promise against what came: the p value of luck, with the promise's own uncertainty."""

import numpy as np
import pytest
from closedloop.statistics.proportions import midp
from closedloop.statistics.stratified import beta_of, predictive_midp
from scipy import stats


def test_a_promise_known_for_sure_is_a_fixed_rate():
    k, n = np.array([3, 12, 25]), np.array([30, 30, 40])
    assert predictive_midp(k, n, 0.4e7, 0.6e7) == pytest.approx(midp(k, n, 0.4), abs=1e-4)


def test_the_same_gap_says_less_against_a_vague_promise():
    sure, vague = (predictive_midp(10, 50, 0.4 * size, 0.6 * size) for size in (1000, 40))
    assert sure < 0.01 < vague


def test_p_values_are_even_when_the_promise_was_learned_from_few():
    rng = np.random.default_rng(2)
    known, k = rng.binomial(60, 0.35, 4000), rng.binomial(80, 0.35, 4000)
    p = predictive_midp(k, 80, known + 1.0, 61.0 - known)
    assert (p <= 0.10).mean() == pytest.approx(0.10, abs=0.02)
    assert (midp(k, 80, known / 60) <= 0.10).mean() > 0.2, "as if the promise were sure"


def test_a_beta_distribution_is_found_again_from_its_interval():
    low, high = stats.beta.ppf([0.05, 0.95], 30, 50)
    assert beta_of(30 / 80, low, high) == pytest.approx((30, 50), rel=0.03)


def test_nobody_gives_no_p_value():
    assert np.isnan(predictive_midp(0, 0, 3.0, 4.0))
