"""Amounts: values by hand, scipy's t test, and direct integration over the spread."""

import numpy as np
import pytest
from closedloop.statistics.amounts import (
    ONE_DEAL,
    UNEVEN,
    conformal_range,
    mean_amounts,
    needed_n_ratio,
    shrink_amounts,
    velocity,
    visible_ratio,
)
from closedloop.statistics.cumulative_incidence import quantile
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm, ttest_1samp

from tests.statistics.simulated import runs


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
    variance = sum(((x := np.log(amount[group == g])) - x.mean()).var() * x.size for g in "abcd") / (len(amount) - 4)
    expected = np.exp(_posterior_log_means(amount, group) + variance / 2)
    assert table["estimate"].to_numpy() == pytest.approx(expected, rel=0.01)


def test_the_table_of_amounts_reconciles_with_the_raw_ones(deals):
    amount, group = deals
    table = shrink_amounts(amount, group).set_index("group")
    assert table["n"].to_dict() == {"a": 6, "b": 15, "c": 40, "d": 80}
    assert table["median"]["c"] == pytest.approx(np.median(amount[group == "c"]))
    residual = np.log(amount) - np.array([np.log(amount[group == g]).mean() for g in group])
    variance = (residual**2).sum() / (len(amount) - 4)
    law = np.exp(variance / 2) / np.exp(residual).mean()  # of the mean under the law to the plain one
    assert table["baseline"].to_numpy() == pytest.approx(np.full(4, amount.mean() * law))
    assert law == pytest.approx(1, abs=0.02)
    largest = {name: amount[group == name].max() / amount[group == name].sum() for name in "abcd"}
    assert table["largest"].to_dict() == pytest.approx(largest)
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


def test_the_interval_of_one_mean_is_that_of_its_two_parts_by_hand():
    """Logs -1, 0, 1 twice: mean 0, s^2 = 4 / 5. t(5) .95 = 2.015, chi-squared(5) .05 = 1.1455 and .95 = 11.0705.

    log mean = .4; below: hypot(2.015 sqrt(.8 / 6), .4 - 2 / 11.0705), above: hypot(the same, 2 / 1.1455 - .4).
    """
    row = shrink_amounts(np.exp([-1, 0, 1, -1, 0, 1]), np.zeros(6)).iloc[0]
    part = 2.01505 * np.sqrt(0.8 / 6)
    assert np.log(row["estimate"]) == pytest.approx(0.4)
    assert np.log(row["low"]) == pytest.approx(0.4 - np.hypot(part, 0.4 - 2 / 11.0705), abs=1e-4)
    assert np.log(row["high"]) == pytest.approx(0.4 + np.hypot(part, 2 / 1.1455 - 0.4), abs=1e-3)


def test_days_are_bounded_and_keep_their_plain_mean():
    days = np.concatenate([np.full(80, 1.0), np.arange(30, 60)])
    row = shrink_amounts(days, np.zeros(110), is_bounded=True).iloc[0]
    assert row[["estimate", "baseline"]].tolist() == pytest.approx([days.mean()] * 2)
    assert row["low"] < row["estimate"] < row["high"] and row["reason"] == ""
    assert row["high"] - days.mean() < 3 * days.std() / np.sqrt(110), "no wider than the days themselves ask for"


def test_one_mistyped_amount_leaves_the_plain_mean_without_an_interval():
    rng = np.random.default_rng(4)
    amount = np.append(np.exp(10 + 0.5 * rng.standard_normal(50)), 1e9)
    for table in (shrink_amounts(amount, np.zeros(51)), mean_amounts(amount, np.zeros(51))):
        row = table.iloc[0]
        assert row["estimate"] == pytest.approx(amount.mean())
        assert row[["low", "high", "beyond", "p"]].isna().all()
    assert shrink_amounts(amount, np.zeros(51))["reason"].item() == UNEVEN
    assert mean_amounts(amount, np.zeros(51))["reason"].item() == ONE_DEAL


def test_of_a_group_with_one_deal_over_a_third_only_the_mean_is_told():
    amount = [10, 12, 11, 9, 8, 7, 12, 9, 11, 50, 10, 12, 11, 9, 8, 7, 12, 9, 11, 40]  # 50 of 139, 40 of 129
    group = list("aaaaaaaaaa") + list("bbbbbbbbbb")
    plain, told = (of(amount, group).set_index("group") for of in (shrink_amounts, mean_amounts))
    assert plain["low"].notna().all()
    assert told["reason"].to_dict() == {"a": ONE_DEAL, "b": ""}
    assert told.loc["a", ["low", "high", "beyond", "p"]].isna().all()
    assert told["estimate"]["a"] == pytest.approx(13.9), "the raw mean"
    assert told.loc["b"].tolist() == plain.loc["b"].tolist()


def _contaminated(rng, n):
    """One deal in fifty is a hundred times as large."""
    return np.exp(0.8 * rng.standard_normal(n)) * np.where(rng.random(n) < 0.02, 100, 1)


@pytest.mark.parametrize("deviation", [0.8, 1.5, 2.0])
@pytest.mark.parametrize("n", [30, 100, 400])
def test_the_interval_of_a_mean_holds_the_truth_nine_times_of_ten(validity, deviation, n):
    rng = np.random.default_rng(int(10 * deviation) + n)
    truth, inside, refused = np.exp(deviation**2 / 2), [], []
    for _ in runs(300):
        row = shrink_amounts(np.exp(deviation * rng.standard_normal(n)), np.zeros(n)).iloc[0]
        inside.append(row["low"] <= truth <= row["high"])
        refused.append(row["reason"] == UNEVEN)
    validity(f"mean-{deviation}-{n}", inside)
    validity(f"refused-{deviation}-{n}", refused)


@pytest.mark.parametrize("n", [100, 400])
def test_amounts_with_a_far_heavier_tail_have_no_interval(validity, n):
    rng = np.random.default_rng(n)
    drawn = [_contaminated(rng, n) for _ in runs(100)]
    seen = [x for x in drawn if (x > 30).any()]  # without a large deal nobody can know
    validity(f"refused-mixed-{n}", [mean_amounts(x, np.zeros(n))["reason"].item() != "" for x in seen])


@pytest.mark.parametrize("n", [30, 100, 400])
def test_the_median_that_takes_the_headline_holds_the_truth(validity, n):
    rng, truth = np.random.default_rng(n), 1.0
    found = [quantile(np.exp(2 * rng.standard_normal(n))) for _ in runs(200)]
    validity(f"median-{n}", [row["low"] <= truth <= row["high"] for row in found])


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
