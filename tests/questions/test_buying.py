"""What is heard, and how people buy, against the bundled market's records counted by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import buying, topics
from closedloop.errors import ParameterError
from closedloop.market.files import data_folder
from closedloop.period.counting import LEAST_SHOWN
from closedloop.personas.notes import HEARD
from closedloop.statistics.proportions import wilson
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod

from tests.questions.personas import planning

YEAR = ("2024-04-01", "2025-03-31")


@pytest.fixture(scope="module")
def now(out: Path) -> OpenPeriod:
    return planning("2025-q2", out)


@pytest.fixture(scope="module")
def heard(now: OpenPeriod) -> Answer:
    return topics(now.notes(), now.deals())


@pytest.fixture(scope="module")
def used(now: OpenPeriod) -> Answer:
    return buying(now.deals(ended=False), now.touches(), "texts")


@pytest.fixture(scope="module")
def told(now: OpenPeriod, heard: Answer, used: Answer) -> pd.DataFrame:
    deals, touches = now.deals(), now.touches()
    answers = [heard, used, buying(deals, measure="stages")]
    answers += [buying(deals, touches, measure) for measure in ("weighed", "touches")]
    return pd.concat([answer.stated for answer in answers])


def of_year(now: OpenPeriod, table: str, day: str) -> pd.DataFrame:
    """The records of the window, as they are."""
    rows = now.situation.warehouse.frame(table)
    return rows[pd.to_datetime(rows[day]).between(*YEAR)]


def known_touches(now: OpenPeriod) -> pd.DataFrame:
    """All touches that are known by the end of the window, as they are: a deal may have begun before it."""
    touches = now.situation.warehouse.frame("touches")
    return touches[pd.to_datetime(touches["touched_on"]) <= YEAR[1]]


def stated(told: pd.DataFrame, measure: str) -> pd.DataFrame:
    return told[told["measure"] == measure].set_index("level")


def test_pains_are_shares_of_all_pains_and_rare_ones_are_not_stated(told: pd.DataFrame, now: OpenPeriod) -> None:
    notes = of_year(now, "notes", "written_on")
    pains = notes.loc[notes["kind"] == "pain", "topic"].dropna().value_counts()
    shown = stated(told, "pain_share")
    assert shown["estimate"].to_dict() == pytest.approx((pains / pains.sum())[pains >= LEAST_SHOWN].to_dict())
    assert (shown["n"] == pains.sum()).all() and shown["cell"].eq("buying").all()


@pytest.mark.parametrize("kind", HEARD)
def test_notes_are_counted_in_the_whole_market_by_topic(told: pd.DataFrame, kind: str) -> None:
    raw = pd.read_csv(data_folder() / "harbor" / "raw" / "notes.csv")
    raw = raw[pd.to_datetime(raw["Date"], errors="coerce").between(*YEAR) & (raw["Kind"] == kind)]
    k = raw["Topic"].value_counts()
    found = told[(told["measure"] == f"n_{kind}") & (told["subject"] == "market")].set_index("level")
    assert found["estimate"].to_dict() == {"": len(raw), **k[k >= LEAST_SHOWN].to_dict()}
    assert (found["n"] == len(raw)).all() and set(found["verdict"]) == {"counted"}
    here = told[(told["measure"] == f"n_{kind}") & (told["subject"] == "everyone")]
    assert here["level"].tolist() == [""], "topics of a persona are shares, and only what was named ten times"


def test_which_notes_were_logged_at_all_is_kept(heard: Answer) -> None:
    of_teams = {"n_loss_topic", "n_sales_feedback", "n_sales_rejection"}
    assert set(heard.results["logged"]) == {f"n_{kind}" for kind in HEARD} | of_teams


def test_fewer_than_ten_notes_are_not_stated(now: OpenPeriod) -> None:
    few = now.notes().query("kind == 'objection'").head(9)
    answer = topics(few, now.deals(), among="nine objections")
    assert answer.stated.query("measure != 'win_rate_when_raised'").empty
    assert answer.results == {"logged": ["n_objection"], "of_no_persona": []}
    assert topics(now.notes(), now.deals(), least=1).stated["estimate"].notna().all(), "never fewer than ten"
    assert len(topics(now.notes(), now.deals(), least=30).stated) < len(topics(now.notes(), now.deals()).stated)


def test_who_was_met_is_a_share_of_the_deals_that_record_a_role(told: pd.DataFrame, now: OpenPeriod) -> None:
    ended, touches = of_year(now, "deals", "closed_on"), known_touches(now)
    met = touches.dropna(subset=["deal_id", "buying_role"])
    won = ended[(ended["outcome"] == "won") & ended["deal_id"].isin(met["deal_id"])]
    champions = met[(met["buying_role"] == "champion") & met["deal_id"].isin(won["deal_id"])]["deal_id"].nunique()
    row = stated(told, "met_in_won_share").loc["champion"]
    assert [row["estimate"], row["n"]] == [champions / len(won), len(won)]
    assert [row["low"], row["high"]] == [float(end) for end in wilson(champions, len(won))]


def test_deals_in_which_an_objection_was_raised_have_a_win_rate(told: pd.DataFrame, now: OpenPeriod) -> None:
    notes, ended = of_year(now, "notes", "written_on"), of_year(now, "deals", "closed_on")
    raised = notes[(notes["kind"] == "objection") & (notes["topic"] == "low_price")]
    meant = ended["deal_id"].isin(raised["deal_id"]) | ended["lead_id"].isin(raised["lead_id"].dropna())
    decided = ended.loc[meant & ended["outcome"].isin(["won", "lost"]), "outcome"]
    row = stated(told, "win_rate_when_raised").loc["low_price"]
    assert [row["estimate"], row["n"]] == [(decided == "won").mean(), len(decided)]


def test_a_deal_is_late_in_a_stage_when_nine_of_ten_had_left_it(told: pd.DataFrame, now: OpenPeriod) -> None:
    history = now.situation.warehouse.frame("stage_history").sort_values(["deal_id", "change_no"])
    history = history[history["deal_id"].isin(of_year(now, "deals", "closed_on")["deal_id"])]
    history = history[history["stage"] != history.groupby("deal_id")["stage"].shift()]  # else something else changed
    entered = pd.to_datetime(history["entered_on"])
    days = (entered.groupby(history["deal_id"]).shift(-1) - entered).dt.days[history["stage"] == "proposal"].dropna()
    late = stated(told, "stage_late_days").loc["proposal"]
    assert [late["estimate"], late["n"]] == [np.quantile(days, 0.9, method="inverted_cdf"), len(days)]
    assert late["low"] <= late["estimate"] <= late["high"]
    assert stated(told, "stage_days").loc["proposal", "estimate"] < late["estimate"]


def test_won_leads_were_touched_so_often(told: pd.DataFrame, now: OpenPeriod) -> None:
    ended, touches = of_year(now, "deals", "closed_on"), known_touches(now)
    leads = ended.loc[ended["outcome"] == "won", "lead_id"].dropna()
    n = touches[(touches["from_team"] == "sales") & touches["lead_id"].isin(leads)].groupby("lead_id").size()
    row = stated(told, "won_touches").loc[""]
    assert [row["estimate"], row["n"]] == [np.quantile(n, 0.5, method="inverted_cdf"), len(n)]


def test_texts_are_counted_on_open_deals_too_with_the_day_of_their_last_use(
    used: Answer, told: pd.DataFrame, now: OpenPeriod
) -> None:
    n, seen = stated(told, "n_used"), used.tables["materials"].set_index("material_id")
    deals, touches = now.situation.deals, known_touches(now).dropna(subset=["material_id"])
    sent = touches[touches["deal_id"].isin(deals["deal_id"]) | touches["lead_id"].isin(deals["lead_id"].dropna())]
    sent = sent.assign(touched_on=pd.to_datetime(sent["touched_on"]))
    counted = sent.loc[sent["touched_on"] >= YEAR[0], "material_id"].value_counts()
    assert n["estimate"].to_dict() == counted[counted >= LEAST_SHOWN].to_dict()
    assert seen["last_on"].to_dict() == sent.groupby("material_id")["touched_on"].max().to_dict()
    open_ones = deals[deals["outcome"] == "open"]
    assert sent["deal_id"].isin(open_ones["deal_id"]).any(), "the test asks nothing"
    assert set(zip(n["first_period"], n["last_period"], strict=True)) == {("2024-q2", "2025-q1")}


def test_deals_that_ended_before_the_window_do_not_count_where_a_text_was_used(
    told: pd.DataFrame, now: OpenPeriod
) -> None:
    ended = of_year(now, "deals", "closed_on")
    decided = ended[ended["outcome"].isin(["won", "lost"])]
    assert stated(told, "win_rate_when_used")["n"].between(LEAST_SHOWN, len(decided)).all()
    sent = of_year(now, "touches", "touched_on")
    for name, row in stated(told, "win_rate_when_used").iterrows():
        mine = sent[sent["material_id"] == name]
        hit = decided["deal_id"].isin(mine["deal_id"].dropna()) | decided["lead_id"].isin(mine["lead_id"].dropna())
        assert row["n"] == hit.sum()


def test_the_texts_in_force_go_to_the_documents_and_not_to_the_page(used: Answer, now: OpenPeriod) -> None:
    every = now.situation.warehouse.frame("materials")
    is_known = (pd.to_datetime(every["added_on"]) < "2025-04-01") & ~(
        pd.to_datetime(every["retired_on"]) < "2025-04-01"
    )
    assert set(used.tables["texts"]["material_id"]) == set(every.loc[is_known & every["text"].notna(), "material_id"])
    page = repr(used)
    assert not any(text in page for text in used.tables["texts"]["text"])


def test_what_was_chosen_in_a_cell_is_said_of_either_frame(now: OpenPeriod) -> None:
    touches = now.touches()
    some = touches[touches["from_team"] == "sales"]
    found = buying(now.deals(), some, "touches").stated
    assert set(found["among"]) == {f"{len(some):,} of {len(touches):,} touches chosen in a cell"}
    assert set(buying(now.deals(), touches, "touches").stated["among"]) == {""}


def test_a_market_without_deals_says_what_to_collect(now: OpenPeriod) -> None:
    nothing, empty = now.notes().head(0), pd.DataFrame()
    for measure in ("weighed", "touches", "texts"):
        answer = buying(empty, now.touches(), measure)
        assert answer.stated.empty and answer.missing
    assert topics(nothing, empty).stated.empty


def test_a_measure_that_nobody_knows_or_that_lacks_touches_is_refused(now: OpenPeriod) -> None:
    with pytest.raises(ParameterError, match="measure = 'mood'; allowed: weighed, stages, touches, texts"):
        buying(now.deals(), now.touches(), "mood")
    with pytest.raises(ParameterError, match="measure = 'texts' without touches"):
        buying(now.deals(), measure="texts")


def test_the_longest_stay_and_the_first_text_are_said_with_their_claims(now: OpenPeriod, used: Answer) -> None:
    paces = buying(now.deals(), measure="stages")
    longest = paces.stated.query("measure == 'stage_days'").sort_values("estimate").iloc[-1]
    text = repr(paces.sentence).replace("\N{NO-BREAK SPACE}", " ")
    assert f"The longest stay: Everyone, {longest['level']}, {longest['estimate']:.0f} days (" in text
    n = used.stated.query("measure == 'n_used'")["estimate"].max()
    assert f", {n:.0f}." in repr(used.sentence)
