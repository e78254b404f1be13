"""Has a rate moved? Two samples, neither of which is known exactly, and periods that differ anyway."""

import numpy as np
import pytest
from closedloop.claims.ledger import false_discovery_q
from closedloop.errors import ParameterError
from closedloop.statistics.proportions import exact_difference_p, wilson
from closedloop.statistics.stratified import drift
from statsmodels.stats.meta_analysis import combine_effects

from .simulated import runs

N_PERSONAS = 4


def drawn(rng: np.random.Generator, n_earlier: int, n: int, deviation: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Wins and deals of four personas: each with a rate of its own, which periods move by ``deviation``."""
    rate = rng.uniform(0.25, 0.55, (N_PERSONAS, 1)) + rng.normal(0, deviation, (N_PERSONAS, n_earlier + 1))
    sizes = rng.poisson(n, rate.shape) + 1
    return rng.binomial(sizes, rate), sizes


def is_said(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Which personas are said to have drifted, once the family is corrected."""
    found = drift(k, n)
    apart = (found.before < found.low) | (found.before > found.high)
    return (false_discovery_q(found.p) <= 0.10) & (found.beyond > 0.5) & apart


def test_two_periods_are_two_samples() -> None:
    found = drift([[20, 10]], [[40, 40]])
    assert (found.now[0], found.before[0]) == (0.25, 0.5)
    error = np.sqrt(0.375 * 0.625 * (1 / 40 + 1 / 40))
    assert found.error[0] == pytest.approx(error)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(map(float, wilson(10, 40)))), "of the rate now alone"
    assert found.p[0] == exact_difference_p(np.array([10.0]), np.array([40.0]), np.array([20.0]), np.array([40.0]))
    assert np.isnan(found.deviation), "of one earlier period nobody knows how far periods differ"
    assert found.sizes[0] == pytest.approx(20), "40 against 40 say as much as 20 against a rate that is known"


def test_the_spread_between_periods_is_that_of_a_library() -> None:
    k, n = np.array([[30, 18, 41, 12, 33, 20]]), np.array([[60, 60, 70, 50, 60, 60]])
    before_k, before_n = k[0, :-1], n[0, :-1]
    rate = before_k.sum() / before_n.sum()
    oracle = combine_effects(before_k / before_n, rate * (1 - rate) / before_n, method_re="dl")
    assert drift(k, n).deviation == pytest.approx(np.sqrt(oracle.tau2))
    assert oracle.tau2 > 0.005


def test_a_rate_of_nobody_has_not_moved() -> None:
    found = drift([[0, 5], [5, 0]], [[0, 10], [10, 0]])
    assert np.isnan(found.p).all()
    with pytest.raises(ParameterError, match="2 or more periods"):
        drift([[1]], [[2]])


@pytest.mark.parametrize("n", [60, 400, 3_000])
@pytest.mark.parametrize(("n_earlier", "deviation"), [(1, 0.0), (3, 0.0), (5, 0.0), (5, 0.03), (8, 0.05)])
def test_what_has_not_moved_is_seldom_said_to_have(n: int, n_earlier: int, deviation: float) -> None:
    rng = np.random.default_rng(n + n_earlier)
    false = [is_said(*drawn(rng, n_earlier, n, deviation)).any() for _ in runs(150)]
    assert np.mean(false) <= 0.10 + 2 * np.sqrt(0.09 / len(false))


def test_an_earlier_rate_taken_as_exact_would_raise_false_alarms() -> None:
    rng = np.random.default_rng(1)
    k, n = rng.binomial(400, 0.4, (2_000, 2)), np.full((2_000, 2), 400)
    p = drift(k, n).p
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.012)
    before = k[:, 0] / 400
    taken = np.abs(k[:, 1] / 400 - before) / np.sqrt(before * (1 - before) / 400)
    assert (taken > 1.96).mean() > 0.14


def test_a_turn_of_16_points_is_found_in_half_of_the_quarters() -> None:
    rng, found = np.random.default_rng(4), []
    for _ in runs(150):
        k, n = drawn(rng, 5, 70)
        k[0, -1] = rng.binomial(n[0, -1], max(k[0, :-1].sum() / n[0, :-1].sum() - 0.16, 0.02))
        found.append(is_said(k, n)[0])
    assert np.mean(found) > 0.4
