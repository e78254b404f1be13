"""Planned tests of two arms: sizes that find what they are made for, and a stop for harm that costs nothing."""

import numpy as np
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.proportions import trial
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from tests.statistics.simulated import runs

RATES = [(0.60, 0.68), (0.30, 0.40), (0.10, 0.06), (0.64, 0.49)]


@pytest.mark.parametrize(("usual", "other"), RATES)
def test_the_size_is_near_that_of_another_method(usual, other):
    arcsine = NormalIndPower().solve_power(abs(proportion_effectsize(other, usual)), alpha=0.10, power=0.80)
    assert trial(usual, other).n_per_arm == pytest.approx(arcsine, rel=0.05)


def judged(rng, usual, other, planned, n_runs):
    """Share of tests that end with the difference found, on its side; and share that are stopped half-way."""
    half, n = -(-planned.n_per_arm // 2), planned.n_per_arm
    first, second = (rng.binomial(half, rate, n_runs) for rate in (usual, other))
    stopped = first / half - second / half > planned.harm
    control, new = first + rng.binomial(n - half, usual, n_runs), second + rng.binomial(n - half, other, n_runs)
    pooled = (control + new) / (2 * n)
    z = (new - control) / n / np.sqrt(2 * pooled * (1 - pooled) / n)
    return z, stopped


def test_a_planned_test_finds_what_it_was_made_for_and_little_else(validity):
    n_runs = 200 * len(runs(10))
    rng, found, false = np.random.default_rng(4), [], []
    for usual, other in RATES:
        planned = trial(usual, other)
        better = trial(usual, max(other, 2 * usual - other))
        z, stopped = judged(rng, usual, max(other, 2 * usual - other), better, n_runs)
        found.append((z > norm.ppf(0.95)) & ~stopped)
        z, stopped = judged(rng, usual, usual, planned, n_runs)
        false.append((np.abs(z) > norm.ppf(0.95)) & ~stopped)
    validity("experiment-power", np.concatenate(found))
    validity("experiment-false", np.concatenate(false))


def test_harm_stops_a_test_half_way_and_nothing_else_does():
    rng, planned = np.random.default_rng(5), trial(0.6, 0.68)
    assert judged(rng, 0.6, 0.4, planned, 2000)[1].mean() > 0.9
    assert judged(rng, 0.6, 0.6, planned, 2000)[1].mean() < 0.02


@pytest.mark.parametrize("rates", [(0.0, 0.2), (0.3, 0.3), (0.3, 1.0), (float("nan"), 0.2)])
def test_rates_that_cannot_be_told_apart_are_refused(rates):
    with pytest.raises(ParameterError, match="two different rates between 0 and 1"):
        trial(*rates)
