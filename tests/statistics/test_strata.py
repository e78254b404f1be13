"""Rates compared within strata: Mantel-Haenszel by statsmodels, and what a group is beside its own periods by hand."""

import numpy as np
import pytest
from closedloop.statistics.proportions import (
    compare_in_strata,
    shrink_rates,
    standardised,
    stratified_difference_p,
    wilson,
)
from closedloop.statistics.stratified import adjusted_difference
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import StratifiedTable


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(2, 40), st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_stratified_difference_p_equals_the_mantel_haenszel_test(strata):
    n1, n2 = (np.array([row[i] for row in strata], dtype=float) for i in (0, 1))
    k1, k2 = (np.round(n * [row[i] for row in strata]) for n, i in ((n1, 2), (n2, 3)))
    found = float(stratified_difference_p(k1, n1, k2, n2))
    shared = n1 > 0
    mixed = shared & (k1 + k2 > 0) & (k1 + k2 < n1 + n2)
    if not shared.any():
        assert np.isnan(found)
    elif not mixed.any():
        assert found == 1.0
    else:
        tables = np.array([[k1, n1 - k1], [k2, n2 - k2]])[:, :, mixed]
        assert found == pytest.approx(StratifiedTable(tables).test_null_odds(correction=False).pvalue, abs=1e-10)


def test_stratified_difference_p_is_given_for_many_groups_at_once():
    found = stratified_difference_p([[3, 9], [2, 0]], [[10, 10], [4, 0]], [[3, 9], [1, 0]], [[10, 10], [4, 0]])
    assert found[0] == 1.0
    assert found[1] == pytest.approx(float(stratified_difference_p([2], [4], [1], [4])))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_standardised_rates_differ_as_mantel_and_haenszel_say(strata):
    n = np.array([[row[0] for row in strata], [row[1] for row in strata]], dtype=float)
    k = np.round(n * [[row[2] for row in strata], [row[3] for row in strata]])
    share, total = n / n.sum(axis=0), n.sum()
    expected, contrast = (share * k.sum(axis=0)).sum(axis=1), (n * (1 - share)).sum(axis=1)
    base = 0.5  # far from the ends, so that nothing is cut off
    hits, sizes = standardised(k.sum(axis=1), n.sum(axis=1), expected, contrast, base, total)
    found = hits[0] / sizes[0] - hits[1] / sizes[1]
    adjusted = adjusted_difference(k[0], n[0], k[1], n[1]).adjusted
    assert (sizes <= n.sum(axis=1) + 1e-9).all()
    if (hits > 0).all() and (hits < sizes).all():
        assert found == pytest.approx(adjusted, abs=1e-9)


def test_one_stratum_leaves_counts_as_they_are_and_one_without_others_counts_nothing():
    n, k = np.array([30.0, 70.0]), np.array([20.0, 20.0])
    hits, sizes = standardised(k, n, n * 0.4, n * (1 - n / 100), 0.4, 100)
    assert hits.tolist() == pytest.approx([20, 20]) and sizes.tolist() == pytest.approx([30, 70])
    alone = standardised([8], [10], [8], [0], 0.5, 40)  # its whole period is the group
    assert [part.tolist() for part in alone] == [[0.0], [0.0]]


def test_in_one_stratum_a_group_is_compared_with_all_as_it_is_counted():
    k, n = np.array([200.0, 100.0]), np.array([400.0, 400.0])
    found = compare_in_strata(k, n, n * 0.375, n * 0.5, 0.375, 800)
    shrunk = shrink_rates(k, n)
    assert found.estimate == pytest.approx(shrunk.mean) and found.low == pytest.approx(shrunk.low)
    assert found.baseline.tolist() == [0.375, 0.375]


def test_a_group_of_a_good_period_keeps_its_rate_and_gets_the_periods_own_baseline():
    """Two quarters of 2,000 won at .8 and .2 hold 1,600 and 400 of one group, which wins as all do: .68 in its mix."""
    k, n = np.array([1360.0, 640.0]), np.array([2000.0, 2000.0])
    found = compare_in_strata(k, n, k, np.array([640.0, 640.0]), 0.5, 4000)
    assert found.estimate == pytest.approx([0.68, 0.32]) and found.baseline.tolist() == [0.68, 0.32]
    assert found.sizes.tolist() == [1280, 1280]
    assert (found.low < found.baseline).all() and (found.baseline < found.high).all()


def test_a_group_without_cases_gets_what_the_others_have():
    found = compare_in_strata([30, 20, 0], [60, 50, 0], [27.3, 22.7, 0], [27.3, 27.3, 0], 50 / 110, 110)
    assert found.baseline[2] == 50 / 110 and found.low[2] < found.estimate[2] < found.high[2]


def test_a_group_of_all_cases_keeps_its_rate_and_its_interval():
    found = compare_in_strata([4238], [6711], [4238], [0], 4238 / 6711, 6711)
    alone = shrink_rates([4238], [6711])
    assert found.estimate[0] == pytest.approx(4238 / 6711, abs=1e-4)
    assert [found.low[0], found.high[0]] == pytest.approx([alone.low[0], alone.high[0]], abs=1e-4)
    assert found.high[0] - found.low[0] > 0.015


def test_a_group_far_below_the_others_of_a_stratum_that_it_nearly_fills_keeps_its_rate():
    """8,500 of a quarter's 8,900 cases win 13 %, its other 400 38 %; of a rare outcome's whole year 9 % do."""
    k, n = np.array([1105.0, 152.0]), np.array([8500.0, 400.0])
    rate, share, total = 1257 / 8900, n / 8900, 40_000
    found = compare_in_strata(k, n, n * rate, n * (1 - share), 0.09, total)
    low, high = wilson(k[0], n[0])
    assert [found.low[0], found.estimate[0], found.high[0]] == pytest.approx([low, 0.13, high])
    assert found.baseline[0] == pytest.approx(rate)


def test_the_interval_of_a_group_that_fills_most_of_its_strata_is_that_of_its_own_rate():
    """Nine in ten of one quarter's and one in ten of the other's deals: its rate is known from all of its cases."""
    k, n = np.array([540.0, 460.0]), np.array([1000.0, 1000.0])
    share = np.array([[0.9, 0.1], [0.1, 0.9]])
    by_stratum = 1000 * share  # cases of each group (rows) in two strata of 1,000
    rates = np.array([0.58, 0.42])
    found = compare_in_strata(k, n, by_stratum @ rates, (by_stratum * (1 - share)).sum(axis=1), 0.5, 2000)
    assert found.sizes[0] < 400
    width = 2 * 1.645 * np.sqrt(0.54 * 0.46 / 1000)
    assert width * 0.75 < found.high[0] - found.low[0] < width * 1.1
