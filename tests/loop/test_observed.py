"""What the plan states for sales playbooks, against the bundled market's records counted by hand."""

import numpy as np
import pandas as pd
import pytest
from closedloop.evidence.rates import wilson
from closedloop.evidence.rules import Rule
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.observed import HEARD, observe
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.remarks import state_logged
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.periods import find_period
from closedloop.market.place import data_folder
from closedloop.market.warehouse import open_warehouse

EVERYONE = PersonaSet("harbor", "2025-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))
YEAR = ("2024-04-01", "2025-03-31")


@pytest.fixture(scope="module")
def situation() -> Situation:
    warehouse = open_warehouse("harbor")
    return Situation.planning(warehouse, find_period(warehouse.periods, "2025-q2"))


@pytest.fixture(scope="module")
def draft(situation: Situation) -> Draft:
    found = Draft("personas")
    observe(found, situation, EVERYONE)
    return found


@pytest.fixture(scope="module")
def told(draft: Draft) -> pd.DataFrame:
    return draft.done().statements


def of_year(situation: Situation, table: str, day: str) -> pd.DataFrame:
    """The records of the window, as they are."""
    rows = situation.warehouse.frame(table)
    return rows[pd.to_datetime(rows[day]).between(*YEAR)]


def stated(told: pd.DataFrame, measure: str) -> pd.DataFrame:
    return told[told["measure"] == measure].set_index("level")


def test_pains_are_shares_of_all_pains_and_rare_ones_are_not_stated(told: pd.DataFrame, situation: Situation) -> None:
    notes = of_year(situation, "notes", "written_on")
    pains = notes.loc[notes["kind"] == "pain", "topic"].dropna().value_counts()
    shown = stated(told, "pain_share")
    assert shown["estimate"].to_dict() == pytest.approx((pains / pains.sum())[pains >= LEAST_SHOWN].to_dict())
    assert (shown["n"] == pains.sum()).all() and shown["cell"].eq("buying").all()


@pytest.mark.parametrize("kind", HEARD)
def test_remarks_are_counted_in_the_whole_market_by_topic(told: pd.DataFrame, kind: str) -> None:
    raw = pd.read_csv(data_folder() / "harbor" / "raw" / "notes.csv")
    raw = raw[pd.to_datetime(raw["Date"], errors="coerce").between(*YEAR) & (raw["Kind"] == kind)]
    k = raw["Topic"].value_counts()
    found = told[(told["measure"] == f"n_{kind}") & (told["subject"] == "market")].set_index("level")
    assert found["estimate"].to_dict() == {"": len(raw), **k[k >= LEAST_SHOWN].to_dict()}
    assert (found["n"] == len(raw)).all() and set(found["verdict"]) == {"counted"}
    here = told[(told["measure"] == f"n_{kind}") & (told["subject"] == "everyone")]
    assert here["level"].tolist() == [""], "topics of a persona are shares, and only what was named ten times"


def test_which_remarks_were_logged_at_all_is_kept(draft: Draft) -> None:
    assert set(draft.results["logged"]) == {f"n_{kind}" for kind in HEARD}


def test_fewer_than_ten_remarks_are_not_stated(situation: Situation) -> None:
    few = Draft("personas")
    said = pd.DataFrame({"topic": ["price"] * 9, "written_on": pd.Timestamp(2025, 1, 1)})
    state_logged(few, situation, said, ("sales_playbook", "objections"), "n_objection")
    state_logged(few, situation, said.head(0), ("sales_playbook", "buying"), "n_pain")
    assert few.done().statements.empty
    assert few.results == {"logged": ["n_objection"]}


def test_who_was_met_is_a_share_of_the_deals_that_record_a_role(told: pd.DataFrame, situation: Situation) -> None:
    ended, touches = of_year(situation, "deals", "closed_on"), of_year(situation, "touches", "touched_on")
    met = touches.dropna(subset=["deal_id", "buying_role"])
    won = ended[(ended["outcome"] == "won") & ended["deal_id"].isin(met["deal_id"])]
    champions = met[(met["buying_role"] == "champion") & met["deal_id"].isin(won["deal_id"])]["deal_id"].nunique()
    row = stated(told, "met_in_won_share").loc["champion"]
    assert [row["estimate"], row["n"]] == [champions / len(won), len(won)]
    assert [row["low"], row["high"]] == [float(end) for end in wilson(champions, len(won))]


def test_deals_in_which_an_objection_was_raised_have_a_win_rate(told: pd.DataFrame, situation: Situation) -> None:
    notes, ended = of_year(situation, "notes", "written_on"), of_year(situation, "deals", "closed_on")
    raised = notes[(notes["kind"] == "objection") & (notes["topic"] == "low_price")]
    meant = ended["deal_id"].isin(raised["deal_id"]) | ended["lead_id"].isin(raised["lead_id"].dropna())
    decided = ended.loc[meant & ended["outcome"].isin(["won", "lost"]), "outcome"]
    row = stated(told, "win_rate_when_raised").loc["low_price"]
    assert [row["estimate"], row["n"]] == [(decided == "won").mean(), len(decided)]


def test_a_deal_is_late_in_a_stage_when_nine_of_ten_had_left_it(told: pd.DataFrame, situation: Situation) -> None:
    history = situation.warehouse.frame("stage_history").sort_values(["deal_id", "change_no"])
    history = history[history["deal_id"].isin(of_year(situation, "deals", "closed_on")["deal_id"])]
    history = history[history["stage"] != history.groupby("deal_id")["stage"].shift()]  # else something else changed
    entered = pd.to_datetime(history["entered_on"])
    days = (entered.groupby(history["deal_id"]).shift(-1) - entered).dt.days[history["stage"] == "proposal"].dropna()
    late = stated(told, "stage_late_days").loc["proposal"]
    assert [late["estimate"], late["n"]] == [np.quantile(days, 0.9, method="inverted_cdf"), len(days)]
    assert late["low"] <= late["estimate"] <= late["high"]
    assert stated(told, "stage_days").loc["proposal", "estimate"] < late["estimate"]


def test_won_leads_were_touched_so_often(told: pd.DataFrame, situation: Situation) -> None:
    ended, touches = of_year(situation, "deals", "closed_on"), of_year(situation, "touches", "touched_on")
    leads = ended.loc[ended["outcome"] == "won", "lead_id"].dropna()
    n = touches[(touches["from_team"] == "sales") & touches["lead_id"].isin(leads)].groupby("lead_id").size()
    row = stated(told, "won_touches").loc[""]
    assert [row["estimate"], row["n"]] == [np.quantile(n, 0.5, method="inverted_cdf"), len(n)]


def test_texts_are_counted_with_the_day_of_their_last_use(draft: Draft, told: pd.DataFrame) -> None:
    used, seen = stated(told, "n_used"), draft.tables["materials"].set_index("material_id")
    assert used["estimate"].min() >= LEAST_SHOWN
    assert sorted(used.index) == sorted(seen.index)
    assert seen["last_on"].max() <= pd.Timestamp(YEAR[1])


def test_a_market_without_deals_states_nothing(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(situation.view), "has", lambda self, table: False)
    alone = Draft("personas")
    observe(alone, situation, EVERYONE)
    assert alone.done().statements.empty
