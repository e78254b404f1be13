"""The loop replayed: what is learned beats what stays, nothing later is seen, the text says what the figures say."""

import json
from pathlib import Path

import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.validation.backtest import CONTENDERS, FILE, NONE, REFINED, SCORE, STATIC, backtest, in_words

from tests.conftest import ROOT
from tests.simulation import hidden_win_rates


@pytest.fixture(scope="module")
def harbor(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("runs")
    report = backtest("harbor", out, truth=hidden_win_rates(ROOT / "data" / "harbor"))
    assert json.loads((out / "harbor" / FILE).read_text()) == report
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
    assert _gain(harbor["pooled"], REFINED, NONE, "log_loss")["low"] > 0


def test_the_text_tells_the_figures(harbor: dict) -> None:
    text = in_words(harbor)
    gain = _gain(harbor["pooled"], SCORE, STATIC, "lift")
    ends = f"{100 * gain['gain']:+.1f} points ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}): better"
    assert f"score over static personas, lift: {ends}" in text
    assert "1,559 decided deals of 7 periods" in text
    refined = _gain(harbor["pooled"], REFINED, STATIC, "lift")
    assert harbor["headline"].startswith(
        "1,559 deals of 7 periods, each predicted at its start: score over no personas, lift: "
    )
    assert f"refined personas over static personas, lift: {100 * refined['gain']:+.1f} points" in harbor["headline"]


def test_a_market_that_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="records no dates"):
        backtest("b2b", tmp_path)


@pytest.mark.real
def test_the_bank_is_won_more_often_by_the_score_and_maven_by_nothing(validity, tmp_path: Path) -> None:
    bank, maven = (backtest(name, tmp_path) for name in ("bank", "maven"))
    validity("bank-over-static", 100 * _gain(bank["pooled"], SCORE, STATIC, "lift")["low"], n=bank["pooled"]["n"])
    assert all(g["low"] <= 0 for g in maven["pooled"]["gains"] if g["low"] is not None and g["measure"] == "lift")
    assert pd.isna([part["contenders"][SCORE]["oracle_share"] for part in bank["periods"]]).all()
