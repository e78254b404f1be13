"""The loop replayed: what is learned beats what stays, nothing later is seen, the text says what the figures say."""

import json
from pathlib import Path

import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.market.warehouse import open_warehouse
from closedloop.period.counting import decided, lagged_rate
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import points_of, read_set
from closedloop.questions.refinement.champion_challenger import predict
from closedloop.statistics.scoring.accuracy import log_loss
from closedloop.validation.backtest import (
    CONTENDERS,
    FILE,
    IN_FORCE,
    NONE,
    RENEWED,
    SCORE,
    STATIC,
    backtest,
    in_words,
)

from tests.conftest import ROOT
from tests.simulation import hidden_win_rates


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def harbor(runs: Path) -> dict:
    report = backtest("harbor", runs, truth=hidden_win_rates(ROOT / "data" / "harbor"))
    assert json.loads((runs / "harbor" / FILE).read_text()) == report
    return report


def _gain(part: dict, of: str, over: str, measure: str) -> dict:
    return next(g for g in part["gains"] if (g["of"], g["over"], g["measure"]) == (of, over, measure))


def test_every_period_with_enough_deals_is_replayed(harbor: dict) -> None:
    assert [part["period"] for part in harbor["periods"]] == [
        *("2024-q2", "2024-q3", "2024-q4", "2025-q1", "2025-q2", "2025-q3", "2025-q4")
    ]
    assert harbor["pooled"]["n"] == sum(part["n"] for part in harbor["periods"])
    for part in [*harbor["periods"], harbor["pooled"]]:
        assert tuple(part["contenders"]) == CONTENDERS
        assert part["contenders"][NONE]["lift"] == pytest.approx(0, abs=1e-9)
        assert part["contenders"][NONE]["auc_within"] == pytest.approx(0.5)
        assert all(g["low"] <= g["gain"] <= g["high"] for g in part["gains"] if g["low"] is not None)


def test_the_score_reaches_most_of_the_lift_that_is_there(harbor: dict, validity) -> None:
    share = {part["period"]: part["contenders"][SCORE]["oracle_share"] for part in harbor["periods"]}
    validity("harbor-oracle", harbor["pooled"]["contenders"][SCORE]["oracle_share"], n=harbor["pooled"]["n"])
    validity("harbor-oracle-2", share["2024-q2"], n=harbor["periods"][0]["n"])
    validity("harbor-oracle-4", share["2025-q4"], n=harbor["periods"][-1]["n"])
    gain = _gain(harbor["pooled"], SCORE, STATIC, "lift")
    validity("harbor-over-static", 100 * gain["low"], n=harbor["pooled"]["n"])


def test_the_set_in_force_ranks_better_than_the_first_researchs_and_than_renewed_rates(harbor: dict, validity) -> None:
    pooled = harbor["pooled"]
    of, static, renewed = (pooled["contenders"][name] for name in (IN_FORCE, STATIC, RENEWED))
    assert of["oracle_share"] > renewed["oracle_share"] > static["oracle_share"]
    validity("harbor-set-oracle", of["oracle_share"], n=pooled["n"])
    validity("harbor-set-over-static", 100 * _gain(pooled, IN_FORCE, STATIC, "lift")["low"], n=pooled["n"])
    assert _gain(pooled, IN_FORCE, NONE, "log_loss")["low"] > 0
    assert _gain(pooled, IN_FORCE, RENEWED, "auc_within")["low"] > 0


def test_the_set_in_force_is_judged_by_its_card_and_the_static_one_is_never_touched(harbor: dict, runs: Path) -> None:
    warehouse = open_warehouse("harbor")
    period = next(one for one in warehouse.periods if one.name == "2025-q1")
    after = Situation.looking_back(warehouse, period)
    deals = decided(after)
    deals = deals[after.in_period(deals["closed_on"])]
    personas = read_set(runs / "harbor" / "2025-q1" / "personas.yml")
    assert personas.card is not None
    chance = personas.card.chance(points_of(personas, deals).to_numpy())
    part = next(part for part in harbor["periods"] if part["period"] == "2025-q1")
    assert part["contenders"][IN_FORCE]["log_loss"] == pytest.approx(log_loss(deals["is_won"], chance))
    first = read_set(runs / "harbor" / "2024-q1" / "personas.yml")
    before = Situation.planning(warehouse, period)
    known = decided(before)
    rate = lagged_rate(known["is_won"], before.names_of(known["closed_on"]))
    static = predict(first, deals, rate)
    assert part["contenders"][STATIC]["log_loss"] == pytest.approx(log_loss(deals["is_won"], static))
    assert part["contenders"][RENEWED]["log_loss"] != pytest.approx(log_loss(deals["is_won"], static))


def test_the_text_tells_the_figures(harbor: dict) -> None:
    text = in_words(harbor)
    gain = _gain(harbor["pooled"], SCORE, STATIC, "lift")
    ends = f"{100 * gain['gain']:+.1f} points ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}): better"
    assert f"score over static personas, lift: {ends}" in text
    assert "1,559 decided deals of 7 periods" in text
    assert f"score over no personas, lift: {_points(harbor, SCORE, NONE)}" in harbor["headline"]
    assert harbor["headline"].startswith(
        "1,559 deals of 7 periods, each predicted at its start: "
        f"set in force over static personas, lift: {_points(harbor, IN_FORCE, STATIC)}"
    )
    renewed = f"set in force over same rule, renewed rates, lift: {_points(harbor, IN_FORCE, RENEWED)}"
    assert renewed in harbor["headline"]
    slope = harbor["pooled"]["contenders"][IN_FORCE]["calibration_slope"]
    assert f"Calibration slope of the chances that the set in force gave: {slope:.2f} (1 is calibrated)." in text


def _points(report: dict, of: str, over: str) -> str:
    return f"{100 * _gain(report['pooled'], of, over, 'lift')['gain']:+.1f} points"


def test_a_market_that_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="records no dates"):
        backtest("b2b", tmp_path)


@pytest.mark.real
def test_nothing_orders_maven_better_than_static_personas(tmp_path: Path) -> None:
    maven = backtest("maven", tmp_path)
    assert all(g["low"] <= 0 for g in maven["pooled"]["gains"] if g["low"] is not None and g["measure"] == "lift")
    assert pd.isna([part["contenders"][SCORE]["oracle_share"] for part in maven["periods"]]).all()


@pytest.mark.real
@pytest.mark.slow
def test_the_bank_is_ordered_better_by_the_score_and_by_the_sets_in_force(validity, tmp_path: Path) -> None:
    bank = backtest("bank", tmp_path)["pooled"]
    validity("bank-over-static", 100 * _gain(bank, SCORE, STATIC, "lift")["low"], n=bank["n"])
    validity("bank-set-over-static", 100 * _gain(bank, IN_FORCE, STATIC, "lift")["low"], n=bank["n"])
