"""Do the estimators keep what they promise? Simulated truths with fixed seeds.

Fewer repetitions by default; CLOSEDLOOP_FULL=1 runs ten times as many. The bars stand in tests/bench/validity.py.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from closedloop.statistics.amounts import conformal_range, mean_amounts, shrink_amounts
from closedloop.statistics.cumulative_incidence import CAUSES, cycle_days, win_curve
from closedloop.statistics.logistic_regression import shrink_crossed
from closedloop.statistics.proportions import shrink_rates, spread_beyond_luck, wilson
from scipy.special import expit, logit
from sksurv.nonparametric import cumulative_incidence_competing_risks

from tests.statistics.simulated import adjusted_of, runs


def _group_coverage(n_groups, spread, few, seed):
    """Coverage of all groups, of the top-ranked one, and of the top-ranked one by plain Wilson intervals."""
    rng = np.random.default_rng(seed)
    everyone, top, plain = [], [], []
    for _ in runs(few):
        truth = expit(logit(0.3) + spread * rng.standard_normal(n_groups))
        n = np.exp(rng.uniform(np.log(10), np.log(300), n_groups)).astype(int)
        k = rng.binomial(n, truth)
        shrunk = shrink_rates(k, n)
        inside = (shrunk.low <= truth) & (truth <= shrunk.high)
        everyone.append(inside.mean())
        top.append(inside[shrunk.mean.argmax()])
        first = (k / n).argmax()
        low, high = wilson(k[first], n[first])
        plain.append(bool(low <= truth[first] <= high))
    return everyone, top, plain


@pytest.mark.parametrize("n_groups", [5, 20, 50])
@pytest.mark.parametrize("spread", [0.25, 0.6])
def test_shrunk_intervals_cover_overall_and_for_the_top_ranked_group(validity, n_groups, spread):
    everyone, top, _ = _group_coverage(n_groups, spread, 200, seed=n_groups)
    validity(f"coverage-all-{spread}-{n_groups}", everyone)
    validity(f"coverage-top-{spread}-{n_groups}", top)


def test_shrunk_intervals_cover_when_nothing_differs(validity):
    everyone, top, plain = _group_coverage(20, 0.0, 150, seed=1)
    validity("coverage-all-0", everyone)
    validity("coverage-top-0", top)
    validity("coverage-wilson-0", plain)


def test_crossed_effects_cover_their_marginal_truth(validity):
    rng = np.random.default_rng(3)
    everyone, top = [], []
    for _ in runs(40):
        rep, segment = rng.integers(0, 10, 1500), rng.integers(0, 5, 1500)
        by_rep, by_segment = 0.3 * rng.standard_normal(10), 0.5 * rng.standard_normal(5)
        chance = expit(-0.8 + by_rep[rep] + by_segment[segment])
        table = shrink_crossed(rng.random(1500) < chance, pd.DataFrame({"rep": rep, "segment": segment}))
        whole = [expit(-0.8 + by_rep[r] + by_segment[segment]).mean() for r in range(10)]
        whole += [expit(-0.8 + by_rep[rep] + by_segment[s]).mean() for s in range(5)]
        truth = np.array(whole) - chance.mean()
        inside = ((table["points_low"] <= truth) & (truth <= table["points_high"])).to_numpy()
        everyone.append(inside.mean())
        top.append(inside[:10][table["points"].to_numpy()[:10].argmax()])
    validity("crossed-all", everyone)
    validity("crossed-top", top)


def test_shrunk_amounts_cover_overall_and_for_the_top_ranked_group(validity):
    rng = np.random.default_rng(15)
    everyone, top = [], []
    for _ in runs(150):
        n, theta = rng.integers(5, 60, 12), 9 + 0.3 * rng.standard_normal(12)
        group = np.repeat(np.arange(12), n)
        table = shrink_amounts(np.exp(theta[group] + 0.8 * rng.standard_normal(n.sum())), group)
        truth = np.exp(theta + 0.8**2 / 2)
        inside = ((table["low"] <= truth) & (truth <= table["high"])).to_numpy()
        everyone.append(inside.mean())
        top.append(inside[table["estimate"].argmax()])
    validity("amounts-all", everyone)
    validity("amounts-top", top)


@pytest.mark.parametrize("deviation", [0.8, 1.5, 2.0])
def test_means_that_are_told_cover_in_every_group(validity, deviation):
    rng, inside = np.random.default_rng(16), []
    for _ in runs(120):
        n, theta = rng.integers(15, 200, 5), 9 + 0.3 * rng.standard_normal(5)
        group = np.repeat(np.arange(5), n)
        table = mean_amounts(np.exp(theta[group] + deviation * rng.standard_normal(n.sum())), group)
        truth = np.exp(theta + deviation**2 / 2)
        told = table["low"].notna()
        inside += [((table["low"] <= truth) & (truth <= table["high"]))[told].mean()] if told.any() else []
    validity(f"groups-{deviation}", inside)


HAZARDS = np.array([0.006, 0.008, 0.004])  # a day: won, lost, no decision
AT_DAYS = np.array([30, 60, 90])
TRUE_SHARES = HAZARDS[0] / HAZARDS.sum() * (1 - np.exp(-HAZARDS.sum() * AT_DAYS))


def _pipeline(rng, n=400):
    """Deals created evenly over 180 days, seen on day 180: their ages or lives, and outcomes."""
    life = rng.exponential(1 / HAZARDS.sum(), n)
    end = np.array(CAUSES, dtype=object)[rng.choice(3, n, p=HAZARDS / HAZARDS.sum())]
    age = rng.uniform(0, 180, n)
    is_open = life > age
    return np.where(is_open, age, life), np.where(is_open, "open", end)


def test_the_win_curve_is_unbiased_and_covers(validity):
    """Beside it two figures of the same deals: won / closed, and 1 - Kaplan-Meier (other ends taken as open)."""
    rng = np.random.default_rng(21)
    estimates, inside, ratios, others_open = [], [], [], []
    for _ in runs(300):
        days, outcome = _pipeline(rng)
        curve = win_curve(days, outcome, at_days=AT_DAYS)
        won = curve[curve["cause"] == "won"]
        estimates.append(won["estimate"].to_numpy())
        inside.append(((won["low"] <= TRUE_SHARES) & (won["high"] >= TRUE_SHARES)).to_numpy())
        ratios.append((outcome == "won").sum() / (outcome != "open").sum() - TRUE_SHARES[-1])
        alone = win_curve(days, np.where(outcome == "won", "won", "open"), at_days=AT_DAYS[-1:])
        others_open.append(alone.set_index("cause")["estimate"]["won"] - TRUE_SHARES[-1])
    bias = 100 * np.abs(np.mean(estimates, axis=0) - TRUE_SHARES).max()
    assert bias <= 0.3
    validity("curve-bias", bias, n=len(estimates))
    validity("curve-bias-ratio", 100 * np.array(ratios))
    validity("curve-bias-km", 100 * np.array(others_open))
    for day, column in zip(AT_DAYS, np.array(inside).T, strict=True):
        validity(f"curve-{day}", column)


def test_the_win_curve_and_its_interval_are_scikit_survivals(validity):
    """Deals with many ties, whole days of two months: estimates, and intervals that rest on Aalen's variance."""
    rng, differences = np.random.default_rng(24), []
    for _ in runs(20):
        days, outcome = _pipeline(rng)
        days = np.floor(days / 3)
        codes = np.array([["open", *CAUSES].index(end) for end in outcome])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the oracle divides by zero where nobody is left
            _, estimate, interval = cumulative_incidence_competing_risks(
                codes, days, conf_level=0.90, conf_type="log-log"
            )
        curve = win_curve(days, outcome)
        for number, cause in enumerate(CAUSES, start=1):
            ours = curve[curve["cause"] == cause]
            defined = estimate[number] > 0
            pairs = zip(("estimate", "low", "high"), (estimate[number], *interval[number]), strict=True)
            differences.append(max(np.abs(ours[name].to_numpy() - oracle)[defined].max() for name, oracle in pairs))
    validity("curve-oracle", max(differences), n=len(differences))


def test_treating_other_ends_as_censored_is_biased_where_the_curve_is_not():
    """1 - Kaplan-Meier of the same deals: what the curve would say if lost deals could still be won."""
    days, outcome = _pipeline(np.random.default_rng(22), n=20_000)
    estimate = win_curve(days, outcome, at_days=[90]).set_index("cause")["estimate"]["won"]
    others_open = np.where(outcome == "won", "won", "open")
    kaplan_meier = win_curve(days, others_open, at_days=[90]).set_index("cause")["estimate"]["won"]
    assert estimate == pytest.approx(TRUE_SHARES[-1], abs=0.01)
    assert kaplan_meier > TRUE_SHARES[-1] + 0.10


def test_the_median_cycle_covers(validity):
    """Order statistics cover at least their level."""
    rng = np.random.default_rng(23)
    inside = []
    for _ in runs(200):
        found = cycle_days(rng.exponential(60, 45), ["won"] * 45)
        inside.append(found["low"] <= 60 * np.log(2) <= found["high"])
    validity("cycle", inside)


def _two_teams(rng, inside, shares, n=1800):
    """Won deals of two teams in easy and hard sites; ``shares`` of hard sites in the rest and the group."""
    group = rng.random(n) < 0.5
    is_hard = rng.random(n) < np.where(group, shares[1], shares[0])
    chance = np.where(is_hard, 0.20, 0.55) + inside * (group - 0.5)
    return pd.DataFrame({"group": group, "stratum": is_hard, "won": rng.random(n) < chance})


def test_planted_reversals_are_flagged_and_honest_differences_are_not(validity):
    rng = np.random.default_rng(31)
    validity("reversal-flagged", [adjusted_of(_two_teams(rng, 0.15, (0.1, 0.9))).reversal for _ in runs(150)])
    validity("reversal-mix", [adjusted_of(_two_teams(rng, 0.0, (0.2, 0.8))).reversal for _ in runs(150)])
    validity("reversal-plain", [adjusted_of(_two_teams(rng, 0.15, (0.5, 0.5))).reversal for _ in runs(50)])


def test_nothing_is_said_to_be_left_where_only_the_mix_differs(validity):
    rng = np.random.default_rng(33)

    def said(inside, shares, n):
        return [adjusted_of(_two_teams(rng, inside, shares, n), 0.95).answer(0.10) == "nothing" for _ in runs(100)]

    validity("explained-mix", said(0.0, (0.2, 0.8), 1800))
    validity("explained-real", said(0.10, (0.2, 0.8), 1800))
    validity("explained-plain", said(0.10, (0.5, 0.5), 1800))


def test_adjusted_differences_cover(validity):
    rng = np.random.default_rng(32)
    found = [adjusted_of(_two_teams(rng, 0.08, (0.3, 0.6), n=400)) for _ in runs(300)]
    validity("adjusted", [f.low <= 0.08 <= f.high for f in found])


def test_conformal_ranges_cover_the_next_amounts(validity):
    rng = np.random.default_rng(41)
    inside = []
    for _ in runs(300):
        amounts = np.exp(rng.normal(9, 1, 250))
        low, high = conformal_range(amounts[:200])
        inside.append(((low <= amounts[200:]) & (amounts[200:] <= high)).mean())
    validity("conformal", inside)


def test_reps_without_differences_rarely_get_a_league_table(validity):
    rng = np.random.default_rng(42)
    found = {"null": [], "small": [], "real": []}
    for _ in runs(200):
        found["null"].append(spread_beyond_luck(rng.binomial(30, np.full(12, 0.35)), np.full(12, 30)))
        found["small"].append(spread_beyond_luck(rng.binomial(8, np.full(6, 0.2)), np.full(6, 8), draws=400))
        found["real"].append(spread_beyond_luck(rng.binomial(60, np.linspace(0.2, 0.5, 12)), np.full(12, 60)))
    for name, p in found.items():
        validity(f"league-{name}", np.array(p) <= 0.05)
