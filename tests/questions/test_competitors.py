"""What is said of competitors and by sales, against the bundled market's records counted by hand."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop import competitors, topics
from closedloop.period.counting import LEAST_SHOWN, shares
from closedloop.questions.personas.topics import competitor_names, met
from closedloop.statistics.proportions import multinomial_intervals, wilson
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod

from tests.questions.personas import planning


@pytest.fixture(scope="module")
def now(out: Path) -> OpenPeriod:
    return planning("2025-q2", out)


@pytest.fixture(scope="module")
def answer(now: OpenPeriod) -> Answer:
    return competitors(now.deals(), now.notes())


@pytest.fixture(scope="module")
def told(now: OpenPeriod, answer: Answer) -> pd.DataFrame:
    """All statements on competitors and topics."""
    return pd.concat([answer.stated, topics(now.notes(), now.deals()).stated])


@pytest.fixture(scope="module")
def ended(now: OpenPeriod) -> pd.DataFrame:
    """Deals that ended in the four periods before the plan, from the records as they are."""
    deals = now.situation.warehouse.frame("deals")
    return deals[pd.to_datetime(deals["closed_on"]).between("2024-04-01", "2025-03-31")]


def stated(told: pd.DataFrame, measure: str, subject: str, field: str = "") -> pd.DataFrame:
    """The statements on one measure, by level."""
    rows = told[(told["measure"] == measure) & (told["subject"] == subject) & (told["field"] == field)]
    return rows.set_index("level")


def test_a_competitor_is_met_in_a_share_of_the_deals_in_which_the_alternative_is_recorded(
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


def test_whom_we_met_is_recorded_more_often_in_deals_that_were_won(answer: Answer, ended: pd.DataFrame) -> None:
    claim = answer.compared.iloc[0]
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
    theirs = ended[(ended["competitor"] == "rival-anchor") & (ended["outcome"] == "lost")]
    against = stated(told, "loss_reason_share", "rival-anchor", "loss_reason")
    assert against["n"].unique().tolist() == [theirs["loss_reason"].notna().sum()], "of lost deals alone"


def test_objections_are_those_of_the_competitors_deals_and_their_leads(
    told: pd.DataFrame, ended: pd.DataFrame, now: OpenPeriod
) -> None:
    notes = now.situation.warehouse.frame("notes")
    known = pd.to_datetime(notes["written_on"]).between("2024-04-01", "2025-03-31")
    theirs = ended[ended["competitor"] == "rival-anchor"]
    meant = notes["deal_id"].isin(theirs["deal_id"]) | notes["lead_id"].isin(theirs["lead_id"].dropna())
    n = notes.loc[known & meant & (notes["kind"] == "objection"), "topic"].value_counts()
    shown = stated(told, "objection_share", "rival-anchor", "topic")
    assert shown["estimate"].to_dict() == pytest.approx((n[n >= LEAST_SHOWN] / n.sum()).to_dict())
    assert len(shown) > 0


def test_buyers_reasons_are_counted_in_all_deals_and_with_each_competitor(
    told: pd.DataFrame, ended: pd.DataFrame, now: OpenPeriod
) -> None:
    notes = now.situation.warehouse.frame("notes")
    notes = notes[pd.to_datetime(notes["written_on"]).between("2024-04-01", "2025-03-31")]
    losses = notes[(notes["kind"] == "loss") & (notes["from_team"] == "buyer")]
    n = losses["topic"].value_counts()
    shown = stated(told, "n_loss_topic", "market", "topic")
    assert shown["estimate"].to_dict() == n[n >= LEAST_SHOWN].to_dict() and (shown["n"] == n.sum()).all()
    theirs = ended[ended["competitor"] == "rival-anchor"]
    meant = losses["deal_id"].isin(theirs["deal_id"]) | losses["lead_id"].isin(theirs["lead_id"].dropna())
    assert stated(told, "n_loss_topic", "rival-anchor")["estimate"].tolist() == [meant.sum()]


def test_the_teams_texts_about_a_competitor_are_counted_up_to_the_latest(told: pd.DataFrame, now: OpenPeriod) -> None:
    texts = now.situation.warehouse.frame("materials")
    mine = texts[(texts["competitor"] == "none") & texts["kind"].isin(["question", "answer"])]
    row = stated(told, "n_texts", "no_decision").iloc[0]
    assert row["estimate"] == (pd.to_datetime(mine["added_on"]) < "2025-04-01").sum() > 0
    assert row["last_period"] == "2023-q4", "written before the first period"


def test_sales_reasons_for_giving_leads_back_are_told_by_persona(told: pd.DataFrame, now: OpenPeriod) -> None:
    notes = now.situation.warehouse.frame("notes")
    known = pd.to_datetime(notes["written_on"]).between("2024-04-01", "2025-03-31")
    n = notes.loc[known & (notes["kind"] == "rejection") & (notes["from_team"] == "sales"), "topic"].value_counts()
    shown = stated(told, "sales_rejection_share", "everyone", "topic")
    assert shown["estimate"].to_dict() == pytest.approx((n[n >= LEAST_SHOWN] / n.sum()).to_dict())
    assert set(shown["cell"]) == {"feedback"}


def test_notes_carry_the_persona_of_their_deal_or_lead_and_no_wording(now: OpenPeriod) -> None:
    notes = now.notes()
    assert {"text", "note_id", "deal_id", "lead_id"} & set(notes) == set()
    rows, is_recorded = now.rows(notes, "notes")
    linked = rows["deal_id"].notna() | rows["lead_id"].notna()
    assert is_recorded and linked.any()
    assert rows.loc[linked, "persona"].dropna().unique().tolist() == ["everyone"]
    assert notes["written_on"].between("2024-04-01", "2025-03-31").all()


def test_only_competitors_with_a_name_have_a_card(now: OpenPeriod, answer: Answer) -> None:
    found = ["rival-anchor", "rival-beacon", "rival-compass", "no_decision"]
    assert competitor_names(now.situation) == answer.results["competitors"] == found
    assert competitor_names(now.situation, least=10_000) == ["no_decision"]


def test_an_alternative_that_is_not_recorded_is_neither_met_nor_not_met() -> None:
    deals = pd.DataFrame({"outcome": "lost", "competitor": ["a", "none", "unknown", None]})
    assert met(deals, "a").tolist() == [True, False, pd.NA, pd.NA]
    assert met(deals.drop(columns="competitor"), "a").isna().all()


def test_what_was_named_fewer_than_ten_times_counts_in_the_total_only() -> None:
    found = shares(pd.Series(["price"] * 30 + ["trust"] * 9 + [None] * 5), "topic")
    assert found[["level", "k", "n"]].to_numpy().tolist() == [["price", 30, 39]]
    assert shares(pd.Series([], dtype="str"), "topic").empty


def test_groups_under_ten_deals_are_not_stated_in_the_first_period(out: Path) -> None:
    first = planning("2024-q1", out)
    told = competitors(first.deals(), first.notes()).stated
    assert (told.loc[told["measure"] != "n_texts", "n"] >= LEAST_SHOWN).all()
    assert (told.loc[told["measure"] == "n_met", "estimate"] >= LEAST_SHOWN).all()


def test_kinds_of_deals_and_chosen_deals_are_the_cells_own(out: Path) -> None:
    """Another field to count by, and deals of one channel only: the claims say which."""
    now = planning("2025-q2", out)
    deals = now.deals()
    told = competitors(deals[deals["channel"] == "partner"], now.notes(), by=["region"]).stated
    theirs = deals[(deals["channel"] == "partner") & deals["competitor"].notna() & (deals["competitor"] != "unknown")]
    shown = stated(told, "met_share", "rival-anchor", "region")
    by = (theirs["competitor"] == "rival-anchor").groupby(theirs["region"]).agg(["sum", "size"])
    by = by[by["size"] >= LEAST_SHOWN]
    assert shown["estimate"].to_dict() == pytest.approx((by["sum"] / by["size"]).to_dict())
    n = int((deals["channel"] == "partner").sum())
    assert set(told["among"]) == {f"{n} of {len(deals):,} deals chosen in a cell"}
