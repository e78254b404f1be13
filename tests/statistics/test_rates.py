"""Rates: published values, values by hand, and statsmodels, scipy and direct integration as oracles."""

import numpy as np
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.proportions import (
    ShrunkRates,
    exact_difference_p,
    midp,
    multinomial_intervals,
    needed_n,
    shrink_rates,
    spread_beyond_luck,
    visible_difference,
    wilson,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.stats import chi2_contingency, fisher_exact, hypergeom
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import multinomial_proportions_confint, proportion_confint


def test_wilson_gives_the_published_intervals():
    """Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3."""
    low, high = wilson([81, 15, 0, 1], [263, 148, 20, 29], level=0.95)
    assert low == pytest.approx([0.2553, 0.0624, 0.0, 0.0061], abs=5e-5)
    assert high == pytest.approx([0.3662, 0.1605, 0.1611, 0.1718], abs=5e-5)


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.99]))
def test_wilson_equals_statsmodels(n, share, level):
    k = round(n * share)
    expected = proportion_confint(k, n, alpha=1 - level, method="wilson")
    assert np.ravel(wilson(k, n, level)) == pytest.approx(expected, abs=1e-12)


def test_wilson_of_nothing_is_missing():
    low, high = wilson([0, 3], [0, 10])
    assert np.isnan(low).tolist() == [True, False] == np.isnan(high).tolist()


@pytest.mark.parametrize(("k", "n"), [(5, 4), (-1, 4)])
def test_impossible_counts_are_refused_with_what_was_found(k, n):
    with pytest.raises(ParameterError, match=rf"found {k} of {n}"):
        shrink_rates([1, k], [3, n])


def _integrated(k, n):
    """The posterior as weighted betas (alpha, beta: groups x points; weight) on a fixed 301 x 201 grid."""
    logit, log_m = np.meshgrid(np.linspace(-7, 7, 301), np.linspace(np.log(0.2), np.log(2e4), 201))
    mu, m = special.expit(logit).ravel(), np.exp(log_m).ravel()
    a, b, variance = mu * m, (1 - mu) * m, mu * (1 - mu)
    spread = 1 / np.sqrt(variance * (m + 1))
    log_weight = -(spread**2) / 2 + np.log(spread * m / (m + 1)) + np.log(variance) / 2
    won, lost = np.array(k)[:, None], (np.array(n) - k)[:, None]
    weight = special.softmax(log_weight + (special.betaln(won + a, lost + b) - special.betaln(a, b)).sum(axis=0))
    return won + a, lost + b, weight


@pytest.mark.parametrize(
    ("k", "n"),
    [
        ([3, 9, 20, 31], [10, 40, 60, 80]),
        ([1, 40, 5, 300, 12, 0], [5, 120, 30, 1000, 20, 8]),
        ([20, 70, 160, 55], [100, 130, 200, 210]),
    ],
)
def test_shrunk_rates_equal_direct_integration(k, n):
    alpha, beta, weight = _integrated(k, n)
    means = alpha / (alpha + beta)
    mean = means @ weight
    deviation = np.sqrt((means * (1 - means) / (alpha + beta + 1) + means**2) @ weight - mean**2)
    shrunk = shrink_rates(k, n)
    assert shrunk.mean == pytest.approx(mean, abs=0.003)
    size = shrunk.alpha + shrunk.beta
    assert np.sqrt(shrunk.mean * (1 - shrunk.mean) / (size + 1)) == pytest.approx(deviation, rel=0.04)
    below_low, below_high = (special.betainc(alpha, beta, end[:, None]) @ weight for end in (shrunk.low, shrunk.high))
    assert below_high - below_low == pytest.approx(np.full(len(k), 0.90), abs=0.035)


def test_small_groups_are_pulled_further_than_large_ones():
    shrunk = shrink_rates([6, 600, 250, 260, 240], [10, 1000, 1000, 1000, 1000])
    assert shrunk.baseline < shrunk.mean[0] < shrunk.mean[1] < 0.6
    assert shrunk.high[0] - shrunk.low[0] > 3 * (shrunk.high[1] - shrunk.low[1])


def test_groups_that_agree_are_pulled_onto_one_rate():
    shrunk = shrink_rates(np.full(30, 30), np.full(30, 100))
    assert shrunk.mean == pytest.approx(np.full(30, 0.3), abs=0.001)
    assert shrunk.spread < 0.02
    low, high = wilson(30, 100)
    assert (shrunk.high - shrunk.low).max() < 0.6 * float(high - low)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_counting_losses_instead_of_wins_mirrors_the_answer(groups):
    won, lost = (np.array(part) for part in zip(*groups, strict=True))
    wins, losses = shrink_rates(won, won + lost), shrink_rates(lost, won + lost)
    assert wins.mean == pytest.approx(1 - losses.mean, abs=1e-9)
    assert wins.low == pytest.approx(1 - losses.high, abs=1e-7)
    assert ((wins.low <= wins.mean) & (wins.mean <= wins.high)).all()


def test_no_group_one_group_and_empty_groups():
    assert shrink_rates([], []).mean.size == 0
    single = shrink_rates([30], [100])
    assert single.mean[0] == pytest.approx(0.30, abs=0.01)
    with_empty = shrink_rates([30, 33, 27, 0], [100, 100, 100, 0])
    assert with_empty.mean[3] == pytest.approx(with_empty.baseline, abs=1e-6)
    assert with_empty.low[3] < with_empty.low[:3].min()
    assert with_empty.high[3] > with_empty.high[:3].max()


@pytest.mark.parametrize("share", [0, 1])
def test_all_won_and_all_lost_stay_inside_zero_and_one(share):
    n = np.array([10, 20, 30])
    shrunk = shrink_rates(n * share, n)
    assert np.abs(shrunk.mean - share).max() < 0.03
    assert (shrunk.low >= 0).all()
    assert (shrunk.high <= 1).all()
    assert (shrunk.high - shrunk.low > 0.001).all()


def test_beyond_of_a_uniform_posterior_is_a_length():
    one = np.ones(2)
    flat = ShrunkRates(one / 2, 0 * one, one, one, one, baseline=0.5, spread=0.1)
    assert flat.chance_below(0.3) == pytest.approx([0.3, 0.3])
    assert flat.beyond(0.25) == pytest.approx([0.5, 0.5])
    assert flat.beyond(0.1, baseline=[0.05, 0.95]) == pytest.approx([0.85, 0.85])


def test_midp_by_hand():
    """Half of the observed count's probability: 1/4, (1/2 + 1/4), and (10 + 1 + 45/2) / 1024, doubled."""
    assert midp([0, 1, 8, 0], [2, 2, 10, 0], 0.5)[:3] == pytest.approx([0.25, 1.0, 67 / 1024])
    assert np.isnan(midp(0, 0, 0.5))
    assert np.isnan(midp(1, 2, np.nan))


def test_exact_difference_p_by_hand():
    """Of 20 tables with three wins in 3 and 3, one is 3:0 and nine are 2:1: 2 x 1/40 and 2 x (1/20 + 9/40)."""
    assert exact_difference_p([3, 2, 0], [3, 3, 0], [0, 1, 2], [3, 3, 4])[:2] == pytest.approx([0.05, 0.55])
    assert np.isnan(exact_difference_p(0, 0, 2, 4))


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_exact_difference_p_lies_below_fishers_test_and_near_it(n1, n2, share1, share2):
    k1, k2 = round(n1 * share1), round(n2 * share2)
    table = [[k1, n1 - k1], [k2, n2 - k2]]
    one_sided = min(fisher_exact(table, alternative=side).pvalue for side in ("less", "greater"))
    half = hypergeom(n1 + n2, k1 + k2, n1).pmf(k1) / 2
    assert float(exact_difference_p(k1, n1, k2, n2)) == pytest.approx(min(2 * (one_sided - half), 1), abs=1e-9)


def test_spread_of_large_groups_equals_the_chi_square_test():
    k, n = np.array([30, 45, 38]), np.array([100, 110, 120])
    assert spread_beyond_luck(k, n) == pytest.approx(chi2_contingency([k, n - k]).pvalue, abs=1e-12)


def test_spread_of_small_groups_is_the_exact_conditional_test():
    """3 of 3 against 0 of 3: of the 20 ways to place three wins, two are as uneven."""
    assert spread_beyond_luck([3, 0], [3, 3]) == pytest.approx(0.1, abs=0.015)
    assert spread_beyond_luck([3, 0], [3, 3]) == spread_beyond_luck([3, 0], [3, 3])


def test_spread_of_nothing_to_compare():
    assert np.isnan(spread_beyond_luck([3], [10]))
    assert np.isnan(spread_beyond_luck([3, 0], [10, 0]))
    assert spread_beyond_luck([0, 0], [10, 4]) == 1.0


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [(0.30, [160, 354, 1374]), (0.10, [97, 197, 683]), (0.70, [160, 354, 1374])],
)
def test_needed_n_gives_the_sizes_that_the_method_prints(baseline, expected):
    assert [needed_n(baseline, points) for points in (0.15, 0.10, 0.05)] == expected


@pytest.mark.parametrize("baseline", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("points", [0.05, 0.10, 0.15])
def test_needed_n_has_the_power_it_is_for(baseline, points):
    """statsmodels' power of the two-sided normal test with that many deals in each group, either way from the rate."""
    first = min(baseline, 1 - baseline)
    sd = np.sqrt((first * (1 - first) + (first + points) * (1 - first - points)) / 2)
    power = NormalIndPower().power(points / sd, needed_n(baseline, points), 0.05)
    one_less = NormalIndPower().power(points / sd, needed_n(baseline, points) - 1, 0.05)
    assert one_less < 0.80 <= power


@pytest.mark.parametrize(("baseline", "difference"), [(0.3, 0.0), (0.3, 0.8), (1.2, 0.1)])
def test_needed_n_refuses_what_cannot_be(baseline, difference):
    with pytest.raises(ParameterError, match="smallest_worth"):
        needed_n(baseline, difference)


@given(st.integers(20, 100_000), st.floats(0, 1))
def test_visible_difference_is_the_inverse_of_needed_n(n, baseline):
    assert abs(needed_n(baseline, float(visible_difference(n, baseline))) - n) <= 1


def test_visible_difference_without_cases_is_missing():
    assert np.isnan(visible_difference([0, 100], 0.3)).tolist() == [True, False]


def test_multinomial_intervals_equal_statsmodels():
    counts = [56, 72, 73, 59, 62, 87, 58]
    low, high = multinomial_intervals(counts, level=0.95)
    expected = multinomial_proportions_confint(counts, alpha=0.05, method="goodman")
    assert np.column_stack([low, high]) == pytest.approx(expected, abs=1e-12)


def test_multinomial_intervals_of_nothing_are_missing():
    low, high = multinomial_intervals([0, 0])
    assert np.isnan([low, high]).all()
    assert multinomial_intervals([])[0].size == 0
