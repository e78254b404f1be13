"""Amounts: values by hand, scipy's t test, and direct integration over the spread."""

import numpy as np
import pytest
from closedloop.evidence.amounts import (
    conformal_range,
    needed_n_ratio,
    shrink_amounts,
    velocity,
    visible_ratio,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm, ttest_1samp


@pytest.fixture(scope="module")
def deals():
    rng = np.random.default_rng(5)
    group = np.repeat(list("abcd"), [6, 15, 40, 80])
    shift = np.repeat([0.6, -0.3, 0.2, 0.0], [6, 15, 40, 80])
    return np.exp(9 + shift + 0.8 * rng.standard_normal(len(group))), group


def _posterior_log_means(amount, group):
    """Posterior log means by quadrature over the spread, from the same data reduced to means."""
    logs = {name: np.log(amount[group == name]) for name in sorted(set(group))}
    n = np.array([len(x) for x in logs.values()])
    mean = np.array([x.mean() for x in logs.values()])
    own = sum(((x - x.mean()) ** 2).sum() for x in logs.values()) / (n.sum() - n.size) / n

    def density(tau):
        worth = 1 / (own + tau**2)
        mu = worth @ mean / worth.sum()
        likelihood = np.exp(-0.5 * worth @ (mean - mu) ** 2) * np.sqrt(worth.prod() / worth.sum())
        return likelihood * np.exp(-(tau**2) / 2), (mu * own + mean * tau**2) / (own + tau**2)

    total = integrate.quad(lambda tau: density(tau)[0], 0, 8)[0]
    return np.array(
        [integrate.quad(lambda tau, i=i: density(tau)[0] * density(tau)[1][i], 0, 8)[0] / total for i in range(n.size)]
    )


def test_shrunk_amounts_equal_direct_integration(deals):
    amount, group = deals
    table = shrink_amounts(amount, group)
    residual = np.log(amount) - np.array([np.log(amount[group == g]).mean() for g in group])
    expected = np.exp(_posterior_log_means(amount, group)) * np.exp(residual).mean()
    assert table["estimate"].to_numpy() == pytest.approx(expected, rel=0.01)


def test_the_table_of_amounts_reconciles_with_the_raw_ones(deals):
    amount, group = deals
    table = shrink_amounts(amount, group).set_index("group")
    assert table["n"].to_dict() == {"a": 6, "b": 15, "c": 40, "d": 80}
    assert table["median"]["c"] == pytest.approx(np.median(amount[group == "c"]))
    assert table["baseline"].to_numpy() == pytest.approx(np.full(4, amount.mean()))
    assert ((table["low"] < table["estimate"]) & (table["estimate"] < table["high"])).all()
    raw = np.log(amount[group == "a"]).mean()
    assert table["estimate"]["a"] < np.exp(raw) * table["estimate"]["d"] / np.exp(np.log(amount[group == "d"]).mean())


def test_p_is_students_test_on_logs_against_the_mean_of_all(deals):
    amount, group = deals
    table = shrink_amounts(amount, group).set_index("group")
    residual = np.log(amount) - np.array([np.log(amount[group == g]).mean() for g in group])
    centre = np.log(amount.mean() / np.exp(residual).mean())
    for name in "abcd":
        expected = ttest_1samp(np.log(amount[group == name]), centre).pvalue
        assert table["p"][name] == pytest.approx(expected, abs=1e-9)


def test_a_group_is_judged_on_the_side_of_the_mean_on_which_it_is_shown():
    """Two small products and one large: the mean of all lies far above the mean of all logs."""
    rng = np.random.default_rng(3)
    group = np.repeat(list("abc"), 100)
    amount = np.repeat([50.0, 1000.0, 5000.0], 100) * np.exp(0.05 * rng.standard_normal(300))
    table = shrink_amounts(amount, group).set_index("group")
    assert table["estimate"]["b"] < 0.55 * table["baseline"]["b"]
    assert (table["p"] < 1e-6).all()
    assert (table["beyond"] > 0.99).all()


def test_beyond_is_sure_for_a_tenfold_group_and_small_for_twins():
    rng = np.random.default_rng(1)
    noise = np.exp(0.1 * rng.standard_normal(90))
    group = np.repeat(list("abc"), 30)
    tenfold = shrink_amounts(np.repeat([100, 100, 1000], 30) * noise, group)
    assert tenfold["beyond"].tolist()[2] > 0.999
    twins = shrink_amounts(100 * noise, group)
    assert twins["beyond"].max() < 0.01


def test_zero_and_missing_amounts_are_left_out():
    table = shrink_amounts([10, 20, 0, np.nan, 30, 60], ["a", "a", "a", "b", "b", "b"])
    assert table["n"].tolist() == [2, 2]
    assert table["median"].tolist() == [15, 45]


def test_amounts_without_any_pair_have_no_interval():
    assert len(shrink_amounts([], [])) == 0
    alone = shrink_amounts([5, 8], ["a", "b"])
    assert alone["estimate"].isna().all() or alone["low"].isna().all()
    assert alone["p"].isna().all()


def test_needed_n_and_visible_ratio_by_hand():
    """Logs one standard deviation apart at deviation 1: 2 (1.95996 + 0.84162)^2 = 15.7 deals a group."""
    assert needed_n_ratio(1.0, np.e - 1) == 16
    assert needed_n_ratio([0.5, np.nan], 0.25)[0] == 79
    assert np.isnan(needed_n_ratio(np.nan, 0.25))
    assert visible_ratio(15.6978, 1.0) == pytest.approx(np.e, rel=1e-4)
    assert np.isnan(visible_ratio(0, 1.0))


def test_conformal_range_takes_order_statistics():
    assert conformal_range(range(1, 20), level=0.90) == (1, 19)
    assert conformal_range([*range(1, 40), np.nan], level=0.90) == (2, 38)
    assert np.isnan(conformal_range(range(18), level=0.90)).all()


@given(st.lists(st.floats(0.01, 1e6), min_size=19, max_size=60))
def test_conformal_range_leaves_at_most_the_tails_outside(past):
    low, high = conformal_range(past)
    amounts = np.array(past)
    allowed = np.floor((len(past) + 1) * 0.05 + 1e-9) - 1
    assert (amounts < low).sum() <= allowed
    assert (amounts > high).sum() <= allowed


def test_velocity_by_hand():
    """40 deals x 30 % x 10,000 / 60 days."""
    found = velocity(40, 0.3, 10_000, 60)
    assert found == {"estimate": 2000.0, "low": 2000.0, "high": 2000.0}


def test_velocity_carries_the_interval_of_its_factors():
    """One uncertain factor, 25-36 %: the result varies in proportion. Two of them: root of squares of logs."""
    one = velocity(40, (0.3, 0.25, 0.36), 10_000, 60)
    assert (one["low"], one["high"]) == pytest.approx((2000 * 0.25 / 0.3, 2400))
    two = velocity(40, (0.3, 0.25, 0.36), (10_000, 10_000 / 1.2, 12_000), 60)
    assert two["high"] == pytest.approx(2000 * np.exp(np.sqrt(2) * np.log(1.2)))
    z = norm.isf(0.05)
    assert np.log(two["high"] / two["estimate"]) / z == pytest.approx(np.sqrt(2) * np.log(1.2) / z)


def test_velocity_without_a_cycle_or_with_a_missing_factor_is_missing():
    assert np.isnan(velocity(40, 0.3, 10_000, 0)["estimate"])
    assert np.isnan(velocity(40, np.nan, 10_000, 60)["estimate"])
    unknown = velocity(40, (0.3, 0.0, 0.6), 10_000, 60)
    assert unknown["estimate"] == 2000
    assert np.isnan(unknown["low"])
