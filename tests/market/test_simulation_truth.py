"""The planted truth of the bundled market is in its data, at its planted size, and nothing else is."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from closedloop.statistics.segmentation.segments import segmentation
from scipy.stats import chi2_contingency
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from tests.market.harbor import HARBOR, MARKET, TRUTH, harbor_tables
from tests.simulation import hidden_segments


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Every canonical table as the selects give it, before any check."""
    return harbor_tables()


@pytest.fixture(scope="module")
def decided(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Won and lost deals with the fields of their leads and accounts and their account's hidden segment."""
    leads = tables["leads"].drop_duplicates("lead_id").set_index("lead_id")[["channel", "role"]]
    accounts = tables["accounts"].set_index("account_id").drop(columns="created_on")
    segments = hidden_segments(HARBOR).query("table == 'accounts'").set_index("row_id")["segment"]
    deals = tables["deals"].drop_duplicates("deal_id")
    deals = deals.join(leads, on="lead_id").join(accounts, on="account_id").join(segments, on="account_id")
    deals = deals[deals["outcome"].isin(["won", "lost"])]
    late = deals["closed_on"] >= pd.Timestamp(TRUTH["drift"]["from"])
    return deals.assign(won=deals["outcome"].eq("won").astype(int), late=late)


def _p(rows: pd.Series, columns: pd.Series) -> float:
    return float(chi2_contingency(pd.crosstab(rows, columns)).pvalue)


def _has(deals: pd.DataFrame, effect: dict[str, Any]) -> pd.Series:
    level = True if effect["level"] == "yes" else effect["level"]
    return deals[effect["field"]].eq(level).astype(int)


def test_counts_are_as_planted(tables: dict[str, pd.DataFrame]) -> None:
    assert len(tables["accounts"]) == 1200
    assert tables["leads"]["lead_id"].nunique() == 9000 - TRUTH["blemishes"]["leads_without_id"]
    first_wave = tables["respondents"]["answered_on"] < pd.Timestamp("2024-01-01")
    assert (first_wave.sum(), (~first_wave).sum()) == (600, 300)
    assert tables["accounts"]["created_on"].max() < pd.Timestamp("2023-10-01")
    deals = tables["deals"].drop_duplicates("deal_id")
    assert 2300 < len(deals) < 2500
    assert 150 < deals["outcome"].eq("open").sum() < 250
    history = tables["leads"]["created_on"] < pd.Timestamp("2024-01-01")
    assert 0.08 < history.mean() < 0.13


def test_win_rate_and_cycle_are_as_planted(tables: dict[str, pd.DataFrame], decided: pd.DataFrame) -> None:
    assert decided["won"].mean() == pytest.approx(0.36, abs=0.02)
    won = decided[decided["won"].eq(1)]
    days = (won["closed_on"] - won["created_on"]).dt.days
    assert 50 <= days.median() <= 65
    medians = days.groupby(won["product"]).median()
    assert list(medians.sort_values().index) == ["gate", "crew", "plan"]
    assert list(
        won.groupby("segment")["won_amount"].apply(lambda a: a.astype(float).median()).sort_values().index[[0, -1]]
    ) == [
        "first_systems",
        "terminal_networks",
    ]


@pytest.mark.parametrize("effect", TRUTH["effects"], ids=lambda effect: effect["field"])
def test_effects_have_their_planted_size(decided: pd.DataFrame, effect: dict[str, Any]) -> None:
    flags = pd.DataFrame({f"x_{other['field']}": _has(decided, other) for other in TRUTH["effects"]})
    formula = f"won ~ {' + '.join(flags)} + C(site_type) + C(segment) * late"
    fit = smf.ols(formula, decided.join(flags)).fit(cov_type="HC1")
    name = f"x_{effect['field']}"
    assert fit.params[name] == pytest.approx(effect["points"], abs=0.04)
    assert fit.pvalues[name] < 0.01


def test_product_reverses_inside_site_types(decided: pd.DataFrame) -> None:
    planted = TRUTH["simpson"]
    has = decided[planted["field"]].eq(planted["level"])
    crude = decided["won"][has].mean() - decided["won"][~has].mean()
    inside = decided.assign(has=has).pivot_table(index=planted["stratum"], columns="has", values="won")
    assert np.sign(crude) == planted["crude_sign"]
    assert _p(has, decided["won"]) < 0.01
    assert (np.sign(inside[True] - inside[False]) == planted["adjusted_sign"]).all()
    assert len(inside) == 5


def test_drift_begins_in_the_fifth_period(decided: pd.DataFrame) -> None:
    rates = decided.pivot_table(index="segment", columns="late", values="won")
    moved = rates[True] - rates[False]
    for segment, points in TRUTH["drift"]["points"].items():
        assert moved[segment] == pytest.approx(points, abs=0.06)
    assert moved.drop(list(TRUTH["drift"]["points"])).abs().max() < 0.06


@pytest.mark.parametrize("field", ["rep_id", "rep_team", "region", "competitor", "role"])
def test_what_has_no_effect_shows_none(decided: pd.DataFrame, field: str) -> None:
    assert decided[field].nunique() >= 2
    assert _p(decided[field], decided["won"]) > 0.10


def test_raw_win_rates_of_reps_invite_a_league_table(decided: pd.DataFrame) -> None:
    rates = decided.groupby("rep_id")["won"].mean()
    assert len(rates) == 12
    assert rates.max() - rates.min() > 0.08


def test_channels_by_volume_and_by_cost_differ(tables: dict[str, pd.DataFrame], decided: pd.DataFrame) -> None:
    cost = tables["spend"].groupby("channel")["spent_amount"].sum().astype(float)
    per_won = (cost / decided.groupby("channel")["won"].sum()).sort_values()
    volume = tables["leads"]["channel"].value_counts()
    assert list(volume.index) == [
        "content",
        "search",
        "webinar",
        "outbound",
        "trade_fair",
        "partner",
        "referral",
    ]
    assert list(per_won.index) == [
        "referral",
        "partner",
        "webinar",
        "content",
        "search",
        "outbound",
        "trade_fair",
    ]


def test_acceptance_differs_by_channel_and_message(tables: dict[str, pd.DataFrame]) -> None:
    handed = tables["leads"].query("handed_off_on.notna()")
    accepted = handed["sales_accepted_on"].notna()
    by_channel = accepted.groupby(handed["channel"]).mean()
    for channel, planted in TRUTH["channels"].items():
        assert by_channel[channel] == pytest.approx(planted["accepted_rate"] + 0.02, abs=0.07)
    by_arm = accepted.groupby(handed["arm"]).mean()
    experiment = TRUTH["experiment"]
    assert by_arm[experiment["better_arm"]] - by_arm["save_time"] == pytest.approx(experiment["points"], abs=0.05)
    assert set(handed.loc[handed["arm"].notna(), "arm_rate"]) == {0.5}


def test_segments_are_found_in_the_first_wave(tables: dict[str, pd.DataFrame]) -> None:
    wave = tables["respondents"].query("answered_on < '2024-01-01'")
    answers = wave[list(MARKET["items"])].astype(float)
    found = segmentation(answers, rng=np.random.default_rng(5))
    criteria = found.criteria.set_index("k")
    assert found.recommended_k == 4
    assert criteria.loc[4, "ari_median"] > 0.85
    hidden = hidden_segments(HARBOR).query("table == 'respondents'").set_index("row_id")["segment"]
    segment = wave["respondent_id"].map(hidden)
    for need in ("wants_mobile", "wants_local_support"):
        assert _p(segment, wave[need].fillna(False)) > 0.01
    assert _p(segment, wave["wants_integration"].fillna(False)) < 1e-20


def test_a_shallow_rule_recognises_segments_with_some_error(tables: dict[str, pd.DataFrame]) -> None:
    accounts = tables["accounts"]
    hidden = hidden_segments(HARBOR).query("table == 'accounts'").set_index("row_id")["segment"]
    segment = accounts["account_id"].map(hidden)
    fields = pd.get_dummies(accounts[["site_type", "sites", "automation", "throughput", "region"]])
    guess = cross_val_predict(DecisionTreeClassifier(max_leaf_nodes=8, random_state=0), fields, segment, cv=5)
    assert 0.15 < (guess != segment).mean() < 0.25


def test_buyers_and_reps_disagree(tables: dict[str, pd.DataFrame]) -> None:
    deals = tables["deals"].drop_duplicates("deal_id").set_index("deal_id")
    notes = tables["notes"].query("kind == 'loss' and from_team == 'buyer'")
    rep = notes["deal_id"].map(deals["loss_reason"])
    assert 0.20 < len(notes) / deals["outcome"].eq("lost").sum() < 0.30
    assert notes["topic"].ne(rep).mean() == pytest.approx(1 - TRUTH["buyers"]["agreed_rate"], abs=0.06)
    assert deals.loc[deals["outcome"].eq("lost"), "loss_reason"].notna().all()


def test_what_follows_is_printed_as_it_is(decided: pd.DataFrame) -> None:
    follows = TRUTH["follows"]
    rates = decided.pivot_table(index="segment", columns="late", values="won")
    assert decided["won"].mean() == pytest.approx(follows["won_rate"], abs=0.0051)
    for segment in TRUTH["segments"]:
        assert rates.loc[segment, False] == pytest.approx(follows["before_drift"][segment], abs=0.0051)
        assert rates.loc[segment, True] == pytest.approx(follows["after_drift"][segment], abs=0.0051)
    for effect in TRUTH["effects"]:
        has = _has(decided, effect).eq(1)
        plain = decided["won"][has].mean() - decided["won"][~has].mean()
        assert plain == pytest.approx(follows["plain_difference"][effect["field"]], abs=0.0051)
