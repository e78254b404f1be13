"""Cost of a success: by hand, against scipy's exact test, and how often equal costs are told apart."""

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.comparisons import cost_looks
from closedloop.claims.ledger import Origin, close_family
from closedloop.statistics.amounts import compare_costs
from closedloop.statistics.cumulative_incidence import days_to_most
from scipy import stats
from scipy.stats import binomtest

from tests.statistics.simulated import runs

K, N, SPENT = np.array([20.0, 58, 36]), np.array([500.0, 900, 210]), np.array([190_000.0, 72_000, 12_500])
ABOUT = Origin("03_leads", "channels", "leads", "2024-q1", "2024-q4")


def test_a_cost_stands_beside_that_of_all_others_together():
    found = compare_costs(K, N, SPENT)
    assert found.estimate == pytest.approx([9_500, 72_000 / 58, 12_500 / 36])
    assert found.baseline == pytest.approx([84_500 / 94, 202_500 / 56, 262_000 / 78])
    low = stats.binomtest(20, 500).proportion_ci(0.90, "wilson")
    assert [found.low[0], found.high[0]] == pytest.approx([380 / low.high, 380 / low.low])


def test_p_is_the_exact_test_of_its_part_of_the_successes_at_its_part_of_the_money():
    found = compare_costs(K, N, SPENT)
    for k, spent, p in zip(K, SPENT, found.p, strict=True):
        share = spent / SPENT.sum()
        sides = [binomtest(int(k), 114, share, alternative=side).pvalue for side in ("less", "greater")]
        assert p == pytest.approx(2 * (min(sides) - stats.binom.pmf(k, 114, share) / 2))


def test_no_success_has_a_least_cost_and_no_estimate():
    found = compare_costs([0, 50], [400, 400], [60_000, 60_000])
    assert np.isnan(found.estimate[0]) and np.isnan(found.high[0])
    assert found.low[0] > found.baseline[0]
    assert found.p[0] < 1e-10 and found.beyond[0] > 0.99


def _judged(k, n, spent) -> pd.DataFrame:
    rows = pd.DataFrame({"field": "channel", "level": list("abcdefg")[: len(k)], "k": k, "n": n, "spent": spent})
    looks = cost_looks(rows, ABOUT, measure="cost_per_won_amount")
    return close_family(looks, family="how they end", market="m", period="p").set_index("level")


def test_what_costs_the_same_is_told_so_only_when_twice_the_cost_would_show():
    many, few = (_judged(k * np.ones(4), n=k * 10 * np.ones(4), spent=1_000.0 * k * np.ones(4)) for k in (40, 8))
    assert set(many["verdict"]) == {"indistinguishable"}
    assert set(few["verdict"]) == {"refused"}
    assert many["visible_difference"].max() < 1_000


def test_channels_of_equal_cost_are_rarely_told_apart_and_a_double_cost_is_found(validity):
    rng = np.random.default_rng(4)
    spent, n, false, found = np.array([80.0, 120, 40, 100, 200, 50, 12]) * 1_000, np.full(7, 600.0), [], []
    for factor, told in ((1.0, false), (2.0, found)):
        for _ in runs(60):
            rate = spent / 2_000 / np.r_[np.ones(4), factor, np.ones(2)]
            claims = _judged(rng.poisson(rate), n, spent)
            told.append((claims["verdict"] == "supported").any() if factor == 1 else claims.loc["e", "effect"] > 0)
    validity("null-costs", false)
    assert np.mean(found) > 0.95


def test_nine_of_ten_had_been_won_by_then_though_the_slow_ones_are_still_open():
    rng = np.random.default_rng(5)
    came, takes, is_won = rng.uniform(0, 400, 20_000), rng.gamma(8, 15, 20_000), rng.random(20_000) < 0.1
    known = is_won & (came + takes < 400)
    days = np.where(known, np.floor(takes), np.floor(400 - came))
    found = days_to_most(days, np.where(known, "won", "open"))
    assert found == pytest.approx(stats.gamma(8, scale=15).ppf(0.9), abs=6)
    assert np.quantile(takes[known], 0.9) < found - 3, "counting the known ones alone comes out too early"
    assert np.isnan(days_to_most([3, 4], ["open", "lost"]))
