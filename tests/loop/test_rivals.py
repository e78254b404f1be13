"""What the plan states for battlecards and briefs, against the bundled market's records counted by hand."""

import pandas as pd
import pytest
from closedloop.evidence.rates import multinomial_intervals, wilson
from closedloop.evidence.rules import Rule
from closedloop.loop.campaigns import campaigns
from closedloop.loop.counting import LEAST_SHOWN, shares
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.remarks import remarks
from closedloop.loop.rivals import competitors, met, rivals
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse

EVERYONE = PersonaSet("harbor", "2025-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))


@pytest.fixture(scope="module")
def situation() -> Situation:
    warehouse = open_warehouse("harbor")
    return Situation.planning(warehouse, find_period(warehouse.periods, "2025-q2"))


@pytest.fixture(scope="module")
def told(situation: Situation) -> pd.DataFrame:
    """All statements for battlecards and briefs."""
    draft = Draft("personas")
    rivals(draft, situation, EVERYONE)
    campaigns(draft, situation, EVERYONE)
    return draft.done().statements


@pytest.fixture(scope="module")
def ended(situation: Situation) -> pd.DataFrame:
    """Deals that ended in the four periods before the plan, from the records as they are."""
    deals = situation.warehouse.frame("deals")
    return deals[pd.to_datetime(deals["closed_on"]).between("2024-04-01", "2025-03-31")]


def stated(told: pd.DataFrame, measure: str, subject: str, field: str = "") -> pd.DataFrame:
    """The statements on one measure, by level."""
    rows = told[(told["measure"] == measure) & (told["subject"] == subject) & (told["field"] == field)]
    return rows.set_index("level")


def test_a_rival_is_met_in_a_share_of_the_deals_in_which_the_alternative_is_recorded(
    told: pd.DataFrame, ended: pd.DataFrame
) -> None:
    known = ended[ended["competitor"].notna() & (ended["competitor"] != "unknown")]
    hit = known["competitor"] == "rival-anchor"
    n = stated(told, "n_met", "rival-anchor").iloc[0]
    assert [n["estimate"], n["n"]] == [hit.sum(), len(known)]
    assert hit.sum() > 200
    shown = stated(told, "met_share", "rival-anchor", "product")
    by = hit.groupby(known["product"]).agg(["sum", "size"])
    assert shown["estimate"].to_dict() == pytest.approx((by["sum"] / by["size"]).to_dict())
    assert shown["low"].tolist() == pytest.approx(wilson(by["sum"], by["size"])[0].tolist())
    assert shown["cell"].unique().tolist() == ["met"]


def test_no_decision_is_a_share_of_all_that_ended(told: pd.DataFrame, ended: pd.DataFrame) -> None:
    whole = stated(told, "met_share", "no_decision").iloc[0]
    assert [whole["estimate"], whole["n"]] == [(ended["outcome"] == "no_decision").mean(), len(ended)]
    assert stated(told, "win_rate", "no_decision").empty


def test_win_rates_count_won_of_won_and_lost(told: pd.DataFrame, ended: pd.DataFrame) -> None:
    decided = ended[ended["outcome"].isin(["won", "lost"])]
    against = decided[decided["competitor"] == "rival-beacon"]
    recorded = decided[decided["competitor"].notna() & (decided["competitor"] != "unknown")]
    for subject, part in (("market", recorded), ("rival-beacon", against)):
        rate = stated(told, "win_rate", subject).iloc[0]
        assert [rate["estimate"], rate["n"]] == [(part["outcome"] == "won").mean(), len(part)]
        assert [rate["first_period"], rate["last_period"]] == ["2024-q2", "2025-q1"]
    persona = stated(told, "win_rate", "rival-beacon", "persona")
    assert persona["estimate"].to_dict() == {"everyone": (against["outcome"] == "won").mean()}


def test_whom_we_met_is_recorded_more_often_in_deals_that_were_won(situation: Situation, ended: pd.DataFrame) -> None:
    draft = Draft("personas")
    rivals(draft, situation, EVERYONE)
    claim = draft.done().looks.iloc[0]
    shares = ended["competitor"].notna().groupby(ended["outcome"]).mean()
    assert claim["measure"] == "recorded_share" and claim["p"] < 1e-6 and claim["beyond"] > 0.99
    assert claim["estimate"] == shares["won"] == 1.0
    assert claim["baseline"] == shares["lost"] < 0.85


def test_sellers_reasons_are_shares_of_all_that_they_gave(told: pd.DataFrame, ended: pd.DataFrame) -> None:
    reasons = ended.loc[ended["outcome"] == "no_decision", "loss_reason"].value_counts()
    shown = stated(told, "loss_reason_share", "no_decision", "loss_reason")
    named = reasons[reasons >= LEAST_SHOWN]
    assert shown["estimate"].to_dict() == pytest.approx((named / reasons.sum()).to_dict())
    low = pd.Series(multinomial_intervals(reasons)[0], index=reasons.index)
    assert shown["low"].to_dict() == pytest.approx(low[named.index].to_dict()), "all reasons count, shown or not"


def test_objections_are_those_of_the_rivals_deals_and_their_leads(
    told: pd.DataFrame, ended: pd.DataFrame, situation: Situation
) -> None:
    notes = situation.warehouse.frame("notes")
    known = pd.to_datetime(notes["written_on"]).between("2024-04-01", "2025-03-31")
    theirs = ended[ended["competitor"] == "rival-anchor"]
    meant = notes["deal_id"].isin(theirs["deal_id"]) | notes["lead_id"].isin(theirs["lead_id"].dropna())
    n = notes.loc[known & meant & (notes["kind"] == "objection"), "topic"].value_counts()
    shown = stated(told, "objection_share", "rival-anchor", "topic")
    assert shown["estimate"].to_dict() == pytest.approx((n[n >= LEAST_SHOWN] / n.sum()).to_dict())
    assert len(shown) > 0


def test_buyers_reasons_are_counted_in_all_deals_and_with_each_rival(
    told: pd.DataFrame, ended: pd.DataFrame, situation: Situation
) -> None:
    notes = situation.warehouse.frame("notes")
    notes = notes[pd.to_datetime(notes["written_on"]).between("2024-04-01", "2025-03-31")]
    losses = notes[(notes["kind"] == "loss") & (notes["from_team"] == "buyer")]
    n = losses["topic"].value_counts()
    shown = stated(told, "n_loss_topic", "market", "topic")
    assert shown["estimate"].to_dict() == n[n >= LEAST_SHOWN].to_dict() and (shown["n"] == n.sum()).all()
    theirs = ended[ended["competitor"] == "rival-anchor"]
    meant = losses["deal_id"].isin(theirs["deal_id"]) | losses["lead_id"].isin(theirs["lead_id"].dropna())
    assert stated(told, "n_loss_topic", "rival-anchor")["estimate"].tolist() == [meant.sum()]


def test_the_teams_texts_about_a_rival_are_counted_up_to_the_latest(told: pd.DataFrame, situation: Situation) -> None:
    texts = situation.warehouse.frame("materials")
    mine = texts[(texts["competitor"] == "none") & texts["kind"].isin(["question", "answer"])]
    row = stated(told, "n_texts", "no_decision").iloc[0]
    assert row["estimate"] == (pd.to_datetime(mine["added_on"]) < "2025-04-01").sum() > 0
    assert row["last_period"] == "2023-q4", "written before the first period"


def test_sales_reasons_for_giving_leads_back_are_told_by_persona(told: pd.DataFrame, situation: Situation) -> None:
    notes = situation.warehouse.frame("notes")
    known = pd.to_datetime(notes["written_on"]).between("2024-04-01", "2025-03-31")
    n = notes.loc[known & (notes["kind"] == "rejection") & (notes["from_team"] == "sales"), "topic"].value_counts()
    shown = stated(told, "sales_rejection_share", "everyone", "topic")
    assert shown["estimate"].to_dict() == pytest.approx((n[n >= LEAST_SHOWN] / n.sum()).to_dict())
    assert set(shown["notebook"]) == {"campaign_brief"}


def test_remarks_carry_the_persona_of_their_deal_or_lead_and_no_wording(situation: Situation) -> None:
    notes = remarks(situation, EVERYONE)
    assert "text" not in notes
    linked = notes["deal_id"].notna() | notes["lead_id"].notna()
    assert linked.any()
    assert notes.loc[linked, "persona"].dropna().unique().tolist() == ["everyone"]
    assert notes["written_on"].between("2024-04-01", "2025-03-31").all()


def test_only_rivals_with_a_name_have_a_card(situation: Situation) -> None:
    assert competitors(situation) == ["rival-anchor", "rival-beacon", "rival-compass", "no_decision"]


def test_an_alternative_that_is_not_recorded_is_neither_met_nor_not_met() -> None:
    deals = pd.DataFrame({"outcome": "lost", "competitor": ["a", "none", "unknown", None]})
    assert met(deals, "a").tolist() == [True, False, pd.NA, pd.NA]
    assert met(deals.drop(columns="competitor"), "a").isna().all()


def test_what_was_named_fewer_than_ten_times_counts_in_the_total_only() -> None:
    found = shares(pd.Series(["price"] * 30 + ["trust"] * 9 + [None] * 5), "topic")
    assert found[["level", "k", "n"]].to_numpy().tolist() == [["price", 30, 39]]
    assert shares(pd.Series([], dtype="str"), "topic").empty


def test_groups_under_ten_deals_are_not_stated_in_the_first_period() -> None:
    warehouse = open_warehouse("harbor")
    draft = Draft("personas")
    rivals(draft, Situation.planning(warehouse, find_period(warehouse.periods, "2024-q1")), EVERYONE)
    told = draft.done().statements
    assert (told.loc[told["measure"] != "n_texts", "n"] >= LEAST_SHOWN).all()
    assert (told.loc[told["measure"] == "n_met", "estimate"] >= LEAST_SHOWN).all()
