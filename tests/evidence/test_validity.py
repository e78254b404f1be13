"""Do the estimators keep what they promise? Simulated truths with fixed seeds, and one real market.

Fewer repetitions by default; CLOSEDLOOP_FULL=1 runs ten times as many. Bars that a small run cannot resolve
are widened by its own Monte Carlo error, never the full run's.
"""

import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from closedloop.evidence.amounts import conformal_range, shrink_amounts
from closedloop.evidence.claims import amount_looks, close_family, rate_looks, share_looks
from closedloop.evidence.confounders import mantel_haenszel
from closedloop.evidence.crossed import shrink_crossed
from closedloop.evidence.curves import cycle_days, win_curve
from closedloop.evidence.rates import shrink_rates, spread_beyond_luck, wilson
from scipy.special import expit, logit

FULL = bool(os.environ.get("CLOSEDLOOP_FULL"))
ABOUT = {"notebook": "05_deals", "source_table": "deals", "first_period": "1", "last_period": "4"}
WHERE = {"family": "outcome", "market": "simulated", "period": "4"}


def _runs(few):
    return few * 10 if FULL else few


def _within(values, low, high):
    """The mean of simulated values lies between the bars, give or take two standard errors of a small run."""
    slack = 0.0 if FULL else 2 * np.std(values) / np.sqrt(len(values))
    return low - slack <= np.mean(values) <= high + slack


def _sizes(rng, n_groups):
    return np.exp(rng.uniform(np.log(10), np.log(300), n_groups)).astype(int)


def _group_coverage(n_groups, spread, runs, seed):
    """Coverage of all groups, of the top-ranked one, and of the top-ranked one by plain Wilson intervals."""
    rng = np.random.default_rng(seed)
    everyone, top, plain = [], [], []
    for _ in range(runs):
        truth, n = expit(logit(0.3) + spread * rng.standard_normal(n_groups)), _sizes(rng, n_groups)
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
def test_shrunk_intervals_cover_overall_and_for_the_top_ranked_group(n_groups, spread):
    everyone, top, _ = _group_coverage(n_groups, spread, _runs(200), seed=n_groups)
    assert _within(everyone, 0.87, 0.93)
    assert _within(top, 0.87, 0.93)


def test_shrunk_intervals_cover_when_nothing_differs():
    everyone, top, plain = _group_coverage(20, 0.0, _runs(150), seed=1)
    assert np.mean(everyone) >= 0.87
    assert np.mean(top) >= 0.87
    assert np.mean(plain) < 0.80, "the winner's curse that shrinkage is for"


def test_crossed_effects_cover_their_marginal_truth():
    rng = np.random.default_rng(3)
    coverage = []
    for _ in range(_runs(40)):
        rep, segment = rng.integers(0, 10, 1500), rng.integers(0, 5, 1500)
        by_rep, by_segment = 0.3 * rng.standard_normal(10), 0.5 * rng.standard_normal(5)
        chance = expit(-0.8 + by_rep[rep] + by_segment[segment])
        table = shrink_crossed(rng.random(1500) < chance, pd.DataFrame({"rep": rep, "segment": segment}))
        whole = [expit(-0.8 + by_rep[r] + by_segment[segment]).mean() for r in range(10)]
        whole += [expit(-0.8 + by_rep[rep] + by_segment[s]).mean() for s in range(5)]
        truth = np.array(whole) - chance.mean()
        coverage.append(((table["points_low"] <= truth) & (truth <= table["points_high"])).mean())
    assert _within(coverage, 0.86, 0.94)


def _planted(rng, effect, n_fields=1, n_levels=20, n_planted=4):
    """Claims of fields whose first levels are moved up and down in turn, and the true effect of each level."""
    effects = np.zeros((n_fields, n_levels))
    effects[:, :n_planted:2], effects[:, 1:n_planted:2] = effect, -effect
    n = rng.integers(10, 301, effects.shape)
    k = rng.binomial(n, 0.3 + effects)
    field, level = np.divmod(np.arange(effects.size), n_levels)
    counts = pd.DataFrame({"field": field, "level": level, "k": k.ravel(), "n": n.ravel()})
    claims = close_family(rate_looks(counts, measure="win_rate", **ABOUT), **WHERE)
    truth = effects[claims["field"].astype(int), claims["level"].astype(int)]
    return (claims["verdict"] == "supported").to_numpy(), claims["effect"].to_numpy(), truth


@pytest.mark.parametrize(("effect", "power"), [(0.10, 0.35), (0.15, 0.60)])
def test_claims_find_planted_effects_and_few_others(effect, power):
    """20 segments of 10-300 deals, base rate 30 %, four of them better or worse."""
    rng = np.random.default_rng(11)
    false, found, wrong_sign = [], [], []
    for _ in range(_runs(120)):
        supported, estimate, truth = _planted(rng, effect)
        total = max(supported.sum(), 1)
        false.append((supported & (truth == 0)).sum() / total)
        wrong_sign.append((supported & (truth * estimate < 0)).sum() / total)
        found.append(supported[truth != 0].mean())
    assert np.mean(found) >= power
    assert _within(false, 0.0, 0.10)
    assert np.mean(wrong_sign) < 0.01


def test_a_market_without_effects_rarely_gives_any_claim():
    """60 looks a family: 12 fields of five levels."""
    rng = np.random.default_rng(12)
    any_claim = [_planted(rng, 0.0, n_fields=12, n_levels=5)[0].any() for _ in range(_runs(80))]
    assert np.mean(any_claim) <= 0.10


def test_a_market_without_effects_rarely_gives_a_persona_an_attribute():
    """Four personas of one population, eight attributes of four levels."""
    rng = np.random.default_rng(13)
    any_claim = []
    for _ in range(_runs(40)):
        rows = []
        for field in range(8):
            sizes = np.array([120, 200, 80, 300])
            table = np.array([rng.multinomial(size, [0.4, 0.3, 0.2, 0.1]) for size in sizes])
            rest = table.sum(axis=0) - table
            rows += [
                (persona, field, level, table[persona, level], sizes[persona], rest[persona, level])
                for persona in range(4)
                for level in range(4)
            ]
        counts = pd.DataFrame(rows, columns=["subject", "field", "level", "k", "n", "k_rest"])
        counts["n_rest"] = 700 - counts["n"]
        any_claim.append((close_family(share_looks(counts, **ABOUT), **WHERE)["verdict"] == "supported").any())
    assert _within(any_claim, 0.0, 0.10)


def test_amounts_and_days_of_one_population_rarely_give_a_claim():
    rng = np.random.default_rng(14)
    any_claim = []
    for _ in range(_runs(40)):
        amounts = pd.DataFrame({"amount": np.exp(9 + 0.9 * rng.standard_normal(400))})
        fields = [amounts.assign(field=f, level=rng.integers(0, 5, 400)) for f in range(8)]
        claims = close_family(amount_looks(pd.concat(fields), **ABOUT), **WHERE)
        any_claim.append((claims["verdict"] == "supported").any())
    error = np.sqrt(0.10 * 0.90 / len(any_claim))
    assert np.mean(any_claim) <= 0.10 + 2 * error, "Welch's p is exact, so a family errs at the nominal 10 %"


def test_shrunk_amounts_cover_overall_and_for_the_top_ranked_group():
    rng = np.random.default_rng(15)
    everyone, top = [], []
    for _ in range(_runs(150)):
        n, theta = rng.integers(5, 60, 12), 9 + 0.3 * rng.standard_normal(12)
        group = np.repeat(np.arange(12), n)
        table = shrink_amounts(np.exp(theta[group] + 0.8 * rng.standard_normal(n.sum())), group)
        truth = np.exp(theta + 0.8**2 / 2)
        inside = ((table["low"] <= truth) & (truth <= table["high"])).to_numpy()
        everyone.append(inside.mean())
        top.append(inside[table["estimate"].argmax()])
    assert _within(everyone, 0.86, 0.94)
    assert _within(top, 0.86, 0.94)


HAZARDS = np.array([0.006, 0.008, 0.004])  # a day: won, lost, no decision


def _pipeline(rng, n=400):
    """Deals created evenly over 180 days, seen on day 180: their ages or lives, and outcomes."""
    life = rng.exponential(1 / HAZARDS.sum(), n)
    end = np.array(["won", "lost", "no_decision"], dtype=object)[rng.choice(3, n, p=HAZARDS / HAZARDS.sum())]
    age = rng.uniform(0, 180, n)
    is_open = life > age
    return np.where(is_open, age, life), np.where(is_open, "open", end)


def test_the_win_curve_is_unbiased_and_covers():
    rng = np.random.default_rng(21)
    at_days = np.array([30, 60, 90])
    truth = HAZARDS[0] / HAZARDS.sum() * (1 - np.exp(-HAZARDS.sum() * at_days))
    estimates, inside = [], []
    for _ in range(_runs(300)):
        curve = win_curve(*_pipeline(rng), at_days=at_days)
        won = curve[curve["cause"] == "won"]
        estimates.append(won["estimate"].to_numpy())
        inside.append(((won["low"] <= truth) & (truth <= won["high"])).to_numpy())
    assert np.abs(np.mean(estimates, axis=0) - truth).max() <= 0.003
    assert all(_within(column, 0.87, 0.93) for column in np.array(inside).T)


def test_treating_other_ends_as_censored_is_biased_where_the_curve_is_not():
    """1 - Kaplan-Meier of the same deals: what the curve would say if lost deals could still be won."""
    rng = np.random.default_rng(22)
    days, outcome = _pipeline(rng, n=20_000)
    truth = HAZARDS[0] / HAZARDS.sum() * (1 - np.exp(-HAZARDS.sum() * 90))
    estimate = win_curve(days, outcome, at_days=[90]).set_index("cause")["estimate"]["won"]
    others_open = np.where(outcome == "won", "won", "open")
    kaplan_meier = win_curve(days, others_open, at_days=[90]).set_index("cause")["estimate"]["won"]
    assert estimate == pytest.approx(truth, abs=0.01)
    assert kaplan_meier > truth + 0.10


def test_the_median_cycle_covers():
    rng = np.random.default_rng(23)
    inside = []
    for _ in range(_runs(200)):
        found = cycle_days(rng.exponential(60, 45), ["won"] * 45)
        inside.append(found["low"] <= 60 * np.log(2) <= found["high"])
    assert np.mean(inside) >= 0.88, "order statistics cover at least their level"


def _two_teams(rng, inside, shares, n=1800):
    """Won deals of two teams in easy and hard sites; ``shares`` of hard sites in the rest and the group."""
    group = rng.random(n) < 0.5
    is_hard = rng.random(n) < np.where(group, shares[1], shares[0])
    chance = np.where(is_hard, 0.20, 0.55) + inside * (group - 0.5)
    return pd.DataFrame({"group": group, "stratum": is_hard, "won": rng.random(n) < chance})


def test_planted_reversals_are_flagged_and_honest_differences_are_not():
    rng = np.random.default_rng(31)
    reversed_ = [mantel_haenszel(_two_teams(rng, 0.15, (0.1, 0.9))).reversal for _ in range(_runs(150))]
    only_mix = [mantel_haenszel(_two_teams(rng, 0.0, (0.2, 0.8))).reversal for _ in range(_runs(150))]
    plain = [mantel_haenszel(_two_teams(rng, 0.15, (0.5, 0.5))).reversal for _ in range(_runs(50))]
    assert np.mean(reversed_) >= 0.95
    assert np.mean(only_mix) <= 0.05
    assert np.mean(plain) <= 0.05


def test_adjusted_differences_cover():
    rng = np.random.default_rng(32)
    found = [mantel_haenszel(_two_teams(rng, 0.08, (0.3, 0.6), n=400)) for _ in range(_runs(300))]
    assert _within([f.low <= 0.08 <= f.high for f in found], 0.87, 0.93)


def test_conformal_ranges_cover_the_next_amounts():
    rng = np.random.default_rng(41)
    inside = []
    for _ in range(_runs(300)):
        amounts = np.exp(rng.normal(9, 1, 250))
        low, high = conformal_range(amounts[:200])
        inside.append(((low <= amounts[200:]) & (amounts[200:] <= high)).mean())
    assert _within(inside, 0.88, 0.92)


def test_reps_without_differences_rarely_get_a_league_table():
    rng = np.random.default_rng(42)
    runs = _runs(200)
    null = [spread_beyond_luck(rng.binomial(30, np.full(12, 0.35)), np.full(12, 30)) for _ in range(runs)]
    small = [spread_beyond_luck(rng.binomial(8, np.full(6, 0.2)), np.full(6, 8), draws=400) for _ in range(runs)]
    chances = np.linspace(0.2, 0.5, 12)
    real = [spread_beyond_luck(rng.binomial(60, chances), np.full(12, 60)) for _ in range(runs)]
    assert np.mean(np.array(null) <= 0.05) <= 0.08
    assert np.mean(np.array(small) <= 0.05) <= 0.08
    assert np.mean(np.array(real) <= 0.05) >= 0.80


def _maven(mirror):
    """Closed deals of the Maven file with their agent, product, sector and region, as published."""
    with zipfile.ZipFile(mirror / "maven" / "CRM+Sales+Opportunities.zip") as archive:
        tables = {}
        for name in archive.namelist():
            if name.endswith(".csv"):
                with archive.open(name) as file:
                    tables[name.rsplit("/", 1)[-1]] = pd.read_csv(file)
    deals = tables["sales_pipeline.csv"].query("deal_stage in ['Won', 'Lost']")
    deals = deals.merge(tables["accounts.csv"][["account", "sector"]], on="account", how="left")
    deals = deals.merge(tables["sales_teams.csv"], on="sales_agent", how="left")
    closed_on = pd.to_datetime(deals["close_date"])
    return deals.assign(
        won=deals["deal_stage"] == "Won", closed_on=closed_on, is_quarter_end=closed_on.dt.month % 3 == 0
    )


def _counts(deals, fields):
    long = deals.melt(id_vars="won", value_vars=fields, var_name="field", value_name="level")
    long["level"] = long["level"].astype(str)
    return long.groupby(["field", "level"])["won"].agg(k="sum", n="size").reset_index()


@pytest.mark.real
def test_the_maven_market_gives_its_one_large_effect_and_nothing_else(mirror):
    """METHODS 0.1: no signal by agent, product, sector or region; quarter-ends 80.7 % against 52.3 %."""
    deals = _maven(mirror)
    fields = ["sales_agent", "product", "sector", "regional_office", "is_quarter_end"]
    claims = close_family(rate_looks(_counts(deals, fields), measure="win_rate", **ABOUT), **WHERE)
    supported = claims[claims["verdict"] == "supported"].set_index("level")
    assert set(supported["field"]) == {"is_quarter_end"}
    assert supported["n"].to_dict() == {"False": 4137, "True": 2574}
    assert supported["estimate"].to_dict() == pytest.approx({"False": 0.523, "True": 0.807}, abs=0.002)


@pytest.mark.real
def test_the_range_of_maven_amounts_holds_in_the_next_quarter(mirror):
    """Ratios to the product's list level, learnt to the middle of 2017-q3, checked on what closed later."""
    won = _maven(mirror).query("won")
    past, mid, new = (
        won[won["closed_on"].between(*span)]
        for span in (("2017-01-01", "2017-06-30"), ("2017-07-01", "2017-09-15"), ("2017-09-16", "2017-12-31"))
    )
    typical = past.groupby("product")["close_value"].median()
    ratio_mid, ratio_new = ((part["close_value"] / part["product"].map(typical)).dropna() for part in (mid, new))
    low, high = conformal_range(ratio_mid)
    assert 0.88 <= ratio_new.between(low, high).mean() <= 0.92
