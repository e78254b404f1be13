"""Won amount per decided deal: by hand, and how often its interval holds the truth."""

import numpy as np
import pandas as pd
import pytest
from closedloop.statistics.amounts import ONE_DEAL, UNEVEN, shrink_amounts, won_per_decided
from closedloop.statistics.proportions import shrink_rates

from tests.statistics.simulated import runs

N = np.array([60, 300, 150])


def drawn(rng, n, rate, shift):
    group = np.repeat(np.arange(len(n)), n)
    is_won = rng.random(len(group)) < np.repeat(rate, n)
    return is_won, np.exp(10 + np.repeat(shift, n) + 0.8 * rng.standard_normal(len(group))), group


@pytest.fixture(scope="module")
def deals():
    return drawn(np.random.default_rng(1), N, [0.5, 0.35, 0.2], [-0.6, 0.0, 0.7])


def test_it_is_the_shrunk_rate_times_the_shrunk_amount(deals):
    is_won, amount, group = deals
    found = won_per_decided(*deals).set_index("group")
    k = np.bincount(group, weights=is_won)
    assert found["n"].tolist() == N.tolist() and found["k"].tolist() == k.tolist()
    rate, money = shrink_rates(k, N).mean, shrink_amounts(amount[is_won], group[is_won])["estimate"].to_numpy()
    assert found["estimate"].to_numpy() == pytest.approx(rate * money)
    plain = np.bincount(group, weights=is_won * amount) / N
    assert found["estimate"].to_numpy() == pytest.approx(plain, rel=0.15)
    base = shrink_amounts(amount[is_won], group[is_won])["baseline"].iloc[0] * is_won.mean()
    assert found["baseline"].to_numpy() == pytest.approx(np.full(3, base))
    assert base == pytest.approx((is_won * amount).sum() / N.sum(), rel=0.05)
    assert (found["low"] < found["estimate"]).all() and (found["estimate"] < found["high"]).all()
    assert found["estimate"].idxmax() == 2, "won least often, and worth most"


def test_a_won_deal_without_an_amount_counts_as_won_and_pays_like_the_others(deals):
    is_won, amount, group = deals
    whole = won_per_decided(*deals).set_index("group")
    gone = np.where(np.arange(len(amount)) % 2 == 0, np.nan, amount)
    found = won_per_decided(is_won, gone, group).set_index("group")
    assert found["k"].tolist() == whole["k"].tolist() and (found["n_paid"] < found["k"]).all()
    assert found["estimate"].to_numpy() == pytest.approx(whole["estimate"].to_numpy(), rel=0.25)
    assert (np.log(found["high"] / found["low"]) > np.log(whole["high"] / whole["low"])).all()


def test_without_an_amount_there_is_nothing_to_say():
    assert won_per_decided([True, False], [np.nan, 5.0], ["a", "b"]).empty
    only = won_per_decided([True, True, False], [10.0, np.nan, np.nan], ["a", "b", "b"])
    assert only["group"].tolist() == ["a"] and only["p"].isna().all()


@pytest.mark.parametrize(("n_groups", "sizes"), [(5, (50, 300)), (5, (20, 80)), (20, (20, 200))])
def test_the_interval_holds_the_truth_nine_times_of_ten(validity, n_groups, sizes):
    rng = np.random.default_rng(2)
    held = []
    for _ in runs(60):
        n, rate = rng.integers(*sizes, n_groups), 1 / (1 + np.exp(0.65 - 0.3 * rng.standard_normal(n_groups)))
        shift = 0.4 * rng.standard_normal(n_groups)
        found = won_per_decided(*drawn(rng, n, rate, shift))
        truth = (rate * np.exp(10 + shift + 0.32))[found["group"].astype(int)]
        told = found["low"].notna()  # not where one deal makes over a third
        assert (told == (found["reason"] == "")).all()
        held += [np.mean(((found["low"] <= truth) & (truth <= found["high"]))[told])] if told.any() else []
    validity(f"per-decided-{n_groups}-{sizes[1]}", held)


def test_groups_that_do_not_differ_are_rarely_told_apart(validity):
    rng = np.random.default_rng(3)
    found = [won_per_decided(*drawn(rng, rng.integers(30, 300, 5), np.full(5, 0.35), np.zeros(5))) for _ in runs(80)]
    validity("null-per-decided", [(table["p"] < 0.10 / 5).any() for table in found])
    assert pd.concat(found)["p"].dropna().between(0, 1).all()


def test_one_mistyped_amount_leaves_no_interval_and_no_verdict():
    rng = np.random.default_rng(6)
    is_won, amount, group = drawn(rng, N, [0.4, 0.4, 0.4], np.zeros(3))
    amount[np.flatnonzero(is_won)[0]] = 1e12
    found = won_per_decided(is_won, amount, group)
    assert found[["low", "high", "beyond", "p"]].isna().all().all()
    assert found["reason"].tolist() == [ONE_DEAL, UNEVEN, UNEVEN]
    means = pd.Series(amount[is_won]).groupby(group[is_won]).mean()
    rates = shrink_rates(np.bincount(group, weights=is_won), N).mean
    assert found["estimate"].to_numpy() == pytest.approx(rates * means.to_numpy()), "the raw means stand"
