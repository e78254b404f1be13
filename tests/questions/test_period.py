"""An open period: frames as known on the day, families that follow the cells, and what changes when a cell is added."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import amounts, open_period, outcomes, win_rates
from closedloop.claims.ledger import false_discovery_q
from closedloop.errors import ParameterError
from closedloop.period.store import read_claims
from closedloop.workbench.period import OpenPeriod, opened


def period(out: Path, **settings: object) -> OpenPeriod:
    """The period that most tests open."""
    return open_period("harbor", "2024-q2", notebook="05_deals", out=out, **settings)  # type: ignore[arg-type]


def test_frames_hold_one_row_a_record_and_no_id_of_the_crm(out: Path) -> None:
    now = period(out)
    deals = now.deals(ended=False)
    raw = now.situation.warehouse.frame("deals")
    assert len(deals) == (raw["created_on"] < pd.Timestamp("2024-07-01")).sum()
    assert deals.index.is_unique
    assert not [name for name in deals if name.endswith("_id") and name != "rep_id"]
    shown = set(deals.astype(str).to_numpy().ravel()) | set(deals.index)
    assert not shown & {*raw["deal_id"], *raw["lead_id"].dropna(), *raw["account_id"].dropna()}


def test_what_a_deal_became_later_is_not_known_on_the_day(out: Path) -> None:
    deals = period(out).deals(ended=False)
    assert (deals["closed_on"].dropna() < pd.Timestamp("2024-07-01")).all()
    assert deals.loc[deals["outcome"] == "open", "won_amount"].isna().all()


def test_every_comparison_of_every_cell_is_corrected_together(out: Path) -> None:
    now = period(out)
    deals = now.deals()
    first = win_rates(deals, by="persona")
    now.close()
    alone = first.table.set_index("group")
    win_rates(deals, by=["region", "site_type", "channel"])
    together = first.table.set_index("group")
    pd.testing.assert_frame_equal(alone[["estimate", "low", "high", "p"]], together[["estimate", "low", "high", "p"]])
    compared = now.claims[now.claims["family"] == "how they end"]
    assert (compared["family_size"] == len(compared)).all()
    np.testing.assert_allclose(compared["q"], false_discovery_q(compared["p"].to_numpy()))
    assert (alone["q"] != together["q"]).any()


def test_the_same_question_asked_twice_counts_once(out: Path) -> None:
    now = period(out)
    deals = now.deals()
    win_rates(deals, by="region")
    now.close()
    n = len(now.claims)
    win_rates(deals, by="region")
    assert len(now.claims) == n


def test_verdicts_come_with_the_closing_and_estimates_before_it(out: Path) -> None:
    now = period(out)
    rates = win_rates(now.deals(), by="persona")
    assert "verdict" not in rates.table
    assert "p" not in rates.table
    assert rates.claims.empty
    assert "Provisional" in repr(rates)
    assert "Not yet computed" in repr(now.bottom_line())
    estimates = rates.table["estimate"].tolist()
    now.close()
    assert rates.table["estimate"].tolist() == estimates
    assert rates.table["verdict"].notna().all()
    assert "Provisional" not in repr(rates)
    assert "Not yet computed" not in repr(now.bottom_line())


def test_a_filtered_frame_says_so_in_its_claims_and_sentences(out: Path) -> None:
    now = period(out)
    deals = now.deals()
    chosen = deals[deals["channel"] == "partner"]
    told = win_rates(chosen, by="site_type", among="deals by a partner")
    counted = win_rates(chosen, by="region")
    now.close()
    assert set(told.claims["among"]) == {"deals by a partner"}
    assert set(counted.claims["among"]) == {f"{len(chosen)} of {len(deals)} deals chosen in a cell"}
    assert told.claims["is_retrospective"].all()
    assert "Among deals by a partner:" in repr(told)


def test_what_is_known_late_is_for_looking_back_only(out: Path) -> None:
    now = period(out)
    deals = now.deals().assign(
        is_large=lambda d: d["expected_amount"] > 20_000, is_far=lambda d: d["region"] == "south"
    )
    now.declare("is_far", known_at="creation")
    win_rates(deals, by=["region", "competitor", "is_large", "is_far"])
    now.close()
    is_late = now.claims.groupby("field")["is_retrospective"].all()
    assert is_late.loc[["region", "competitor", "is_large", "is_far"]].tolist() == [False, True, True, False]


def test_settings_are_said_and_other_ones_than_the_markets_are_named(out: Path) -> None:
    assert period(out).is_market_own
    other = period(out, where='region in ["east"]', window=2)
    assert not other.is_market_own
    assert "window = 2" in repr(other)
    assert 'where = region in ["east"]' in repr(other)
    assert set(other.deals()["region"]) == {"east"}
    assert other.deals()["period"].nunique() == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"window": 0}, "greater than or equal to 1"),
        ({"threshold": 2.0}, "less than 1"),
        ({"where": 'outcome == "won"'}, "no field that is known by hand-off"),
        ({"where": "region.upper() == 'A'"}, "a condition is column, sign, value"),
        ({"where": "__import__('os')"}, "a condition is column, sign, value"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(out: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        period(out, **settings).deals()


def test_opening_sets_the_earlier_claims_aside_and_closing_writes_them(out: Path) -> None:
    now = period(out)
    win_rates(now.deals(), by="persona")
    now.close()
    assert len(read_claims(now.folder, "05_deals")) == len(now.claims) > 0
    period(out)
    assert read_claims(now.folder, "05_deals").empty


def test_counts_of_the_period_are_those_of_the_raw_rows(out: Path) -> None:
    now = period(out)
    answer = outcomes(now.deals(ended=False))
    raw = now.situation.warehouse.frame("deals")
    ended = raw[(raw["closed_on"] >= "2024-04-01") & (raw["closed_on"] < "2024-07-01") & (raw["outcome"] != "open")]
    counted = answer.claims[answer.claims["verdict"] == "counted"].set_index("measure")["estimate"]
    for outcome in ("won", "lost", "no_decision"):
        assert counted[f"n_{outcome}"] == (ended["outcome"] == outcome).sum()


def test_nothing_chosen_is_said_and_the_notebook_goes_on(out: Path) -> None:
    now = period(out)
    nobody = now.deals().head(0)
    answers = [win_rates(nobody, by="region"), outcomes(nobody, "loss_reasons"), outcomes(nobody)]
    now.close()
    assert all("Not available" in repr(answer) for answer in answers)


def test_a_question_that_a_verb_does_not_know_is_refused_with_those_it_knows(out: Path) -> None:
    deals = period(out).deals()
    with pytest.raises(ParameterError, match="of = 'rates' does not exist; allowed: totals, curve, loss_reasons"):
        outcomes(deals, "rates")
    with pytest.raises(ParameterError, match="of = 'prices' does not exist; allowed: money, days"):
        amounts(deals, "prices")


def test_a_verb_without_an_open_period_says_how_to_begin() -> None:
    from closedloop.workbench import period as module

    before, module._opened[:] = list(module._opened), []
    try:
        with pytest.raises(ParameterError, match="now = open_period"):
            opened()
    finally:
        module._opened[:] = before
