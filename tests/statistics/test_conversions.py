"""Leads followed until they are won: against libraries, by hand, and against what was planted."""

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop.statistics.cumulative_incidence import win_curve
from closedloop.statistics.recording import Followed, compare_conversions, converted, usual_days
from statsmodels.duration.survfunc import survdiff

from .simulated import FULL

WORLDS = 2_000 if FULL else 150
MEAN_DAYS = 50.0


def drawn(rng: np.random.Generator, chance: np.ndarray, days: int = 540) -> Followed:
    """Leads that come evenly over ``days``; each is won with its chance, after a gamma (shape 2) time."""
    came = rng.integers(0, days, len(chance))
    seen = (days - came).astype(float)
    wait = np.round(rng.gamma(2.0, MEAN_DAYS / 2, len(chance)))
    is_won = (rng.random(len(chance)) < chance) & (wait <= seen)
    return Followed(np.where(is_won, wait, seen), is_won, seen, came // 90)


def two_channels(rng: np.random.Generator, n: int = 3_500) -> tuple[Followed, np.ndarray]:
    is_search = rng.random(n) < 0.5
    return drawn(rng, np.where(is_search, 0.12, 0.03)), np.where(is_search, "search", "mail").astype(object)


def test_the_share_won_is_kaplan_and_meiers_and_its_baseline_that_of_all_in_one_cohort() -> None:
    leads, group = two_channels(np.random.default_rng(1), 6_000)
    leads = leads._replace(cohort=np.zeros(6_000, dtype=np.int64))
    table = compare_conversions(leads, group, 90.0).set_index("level")
    for name in ("search", "mail"):
        own = group == name
        curve = win_curve(leads.days[own], np.where(leads.is_won[own], "won", "open"), at_days=[90.0])
        share = curve.loc[curve["cause"] == "won", "estimate"].iloc[0]
        assert table.loc[name, "estimate"] == pytest.approx(share, abs=0.002)  # drawn together a little
        assert table.loc[name, "n"] == own.sum()
    whole = converted(leads, 90.0)
    assert table["baseline"].to_numpy() == pytest.approx([whole["estimate"]] * 2, abs=0.001)


def test_p_is_that_of_the_log_rank_test_inside_cohorts() -> None:
    """Oracle: statsmodels' stratified log-rank test."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        group = rng.choice(["a", "b"], 1_500).astype(object)
        leads = drawn(rng, np.where(group == "a", 0.30, 0.24))
        found = compare_conversions(leads, group, 120.0)["p"].to_numpy()
        is_won = (leads.is_won & (leads.days <= 120)).astype(int)
        _, expected = survdiff(np.minimum(leads.days, 120.0), is_won, group, strata=leads.cohort)
        assert found == pytest.approx([expected] * 2, rel=0.15, abs=0.004)


def test_remission_of_leukaemia() -> None:
    """Freireich et al. (1963), Blood 21: weeks to relapse, 6-MP against placebo; the published log-rank p is 4.2e-5."""
    treated = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    relapsed = [True] * 9 + [False] * 12 + [True] * 21
    days = np.array(treated + placebo, dtype=float)
    leads = Followed(days, np.array(relapsed), np.full(42, 40.0), np.zeros(42, dtype=np.int64))
    group = np.array(["treated"] * 21 + ["placebo"] * 21, dtype=object)
    p = compare_conversions(leads, group, 40.0)["p"]
    assert (p < 1e-3).all()
    assert (p > 1e-6).all()


def test_a_lead_that_came_yesterday_is_not_counted_as_lost() -> None:
    """Two cohorts, ten of a hundred won on day 5 in the old one; the young one has been seen for a day."""
    is_won = np.r_[np.arange(100) < 10, np.zeros(100, dtype=bool)]
    days = np.r_[np.where(np.arange(100) < 10, 5.0, 50.0), np.ones(100)]
    leads = Followed(days, is_won, np.r_[np.full(100, 50.0), np.ones(100)], np.repeat([0, 1], 100))
    assert usual_days(leads) == 1.0  # no more than half of the leads have had
    assert converted(leads, 5.0)["estimate"] == pytest.approx(0.10)


def test_the_usual_time_is_that_of_nine_of_ten_won_leads() -> None:
    days = np.r_[np.arange(1.0, 11.0), np.full(90, 100.0)]
    leads = Followed(days, np.arange(100) < 10, np.full(100, 100.0), np.zeros(100, dtype=np.int64))
    assert usual_days(leads) == 10.0  # the ninth of ten lies at 9.1 by interpolation, and days are whole
    assert np.isnan(usual_days(leads._replace(is_won=np.zeros(100, dtype=bool))))


def test_a_channel_that_wins_four_times_as_often_is_found_with_its_share() -> None:
    rows = []
    for seed in range(WORLDS):
        leads, group = two_channels(np.random.default_rng([3, seed]))
        until = usual_days(leads)
        table = compare_conversions(leads, group, until).set_index("level")
        by_then = scipy.stats.gamma(2, scale=MEAN_DAYS / 2).cdf(until + 0.5)
        for name, chance in (("search", 0.12), ("mail", 0.03)):
            row = table.loc[name]
            true = chance * by_then
            rows.append(
                (row["estimate"] - true, row["low"] <= true <= row["high"], row["p"] < 1e-6, row["beyond"] > 0.5)
            )
    bias, covered, is_seen, is_worth = np.mean(rows, axis=0)
    assert abs(bias) < 0.002
    assert 0.85 <= covered <= 0.95
    assert is_seen == 1.0
    assert is_worth >= 0.95


def test_where_nothing_differs_p_is_below_five_percent_in_five_of_a_hundred_worlds_at_most() -> None:
    """Ten levels of very different size, of which the smallest have one or two won leads."""
    shares = [0.4, 0.2, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]
    p = []
    for seed in range(WORLDS):
        rng = np.random.default_rng([4, seed])
        leads = drawn(rng, np.full(600, 0.075))
        p.append(compare_conversions(leads, rng.choice(list("abcdefghij"), 600, p=shares), usual_days(leads))["p"])
    values = np.concatenate(p)
    for level in (0.05, 0.01):
        assert (values <= level).mean() <= level + 2 * np.sqrt(level * (1 - level) / len(values))


def test_a_late_cohort_does_not_make_its_channel_look_poor() -> None:
    """Both channels win alike, but the second came only lately and wins seldom by now."""
    rng = np.random.default_rng(6)
    late = np.repeat([False, True], 2_000)
    came = np.where(late, rng.integers(360, 530, 4_000), rng.integers(0, 480, 4_000))
    seen = 540.0 - came
    wait = np.round(rng.gamma(2.0, MEAN_DAYS / 2, 4_000))
    is_won = (rng.random(4_000) < 0.2) & (wait <= seen)
    leads = Followed(np.where(is_won, wait, seen), is_won, seen, came // 90)
    group = np.where(late, "new", "old").astype(object)
    naive = pd.Series(is_won).groupby(group).mean()
    assert naive["new"] < naive["old"] - 0.04
    assert (compare_conversions(leads, group, usual_days(leads))["p"] > 0.05).all()


def test_a_level_that_hardly_anybody_bears_counts_in_the_baseline_alone() -> None:
    leads, group = two_channels(np.random.default_rng(8))
    group[:5] = "fax"
    group[5:50] = "(rare)"
    table = compare_conversions(leads, group, usual_days(leads), rare="(rare)")
    assert list(table["level"]) == ["mail", "search"]


def test_a_field_that_only_won_leads_record_is_not_compared() -> None:
    leads, group = two_channels(np.random.default_rng(9))
    group[~leads.is_won] = None
    table = compare_conversions(leads, group, usual_days(leads))
    assert list(table["reason"]) == ["few recorded"] * 2
    assert table[["estimate", "p"]].isna().all(axis=None)
