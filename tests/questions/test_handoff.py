"""What 04 states of the hand-off, against the bundled market's records counted by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.market.files import data_folder
from closedloop.market.periods import find_period
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.period.counting import LEAST_SHOWN
from closedloop.period.lead_records import lead_frame
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.questions.handoff.promises import first_touch, promises
from closedloop.questions.handoff.waterfall import handoff, joint_questions
from closedloop.statistics.proportions import multinomial_intervals, wilson
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.terms import REJECTED_UNTOUCHED
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod, open_period

from tests.questions.conftest import Opening, everyone

PERIOD = "2025-q2"
OF = ("waterfall", "rejections", "disagreements")


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    return open_warehouse("harbor")


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    """The second quarter of 2025, looked back on, with one persona for everybody."""
    folder = tmp_path_factory.mktemp("runs")
    found = open_period("harbor", PERIOD, "ended", notebook="04_handoff", out=folder)
    found.personas = everyone("harbor", PERIOD)
    return found


@pytest.fixture(scope="module")
def asked(now: OpenPeriod) -> dict[str, Answer]:
    """Every question of 04 about that quarter."""
    leads, deals = now.leads(window=False), now.deals(ended=False)
    answers = [first_touch(leads), promises(leads, deals), *(handoff(leads, of) for of in OF)]
    return {answer.section: answer for answer in answers}


def stated(answer: Answer, measure: str, **wanted: str) -> pd.DataFrame:
    """The statements on a measure, by level."""
    rows = answer.stated[answer.stated["measure"] == measure]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.set_index("level")


@pytest.fixture(scope="module")
def cohort(warehouse: Warehouse) -> pd.DataFrame:
    """Leads handed off in 2025-q2, with what was known at its end."""
    frame = warehouse.frame("leads")
    days = [name for name in frame if name.endswith("_on")]
    frame[days] = frame[days].apply(pd.to_datetime)
    frame[days] = frame[days].where(frame[days] < pd.Timestamp(2025, 7, 1))
    return frame[frame["handed_off_on"] >= pd.Timestamp(2025, 4, 1)]


def test_the_waterfall_counts_the_cohort(asked: dict[str, Answer], cohort: pd.DataFrame) -> None:
    n = stated(asked["waterfall"], "n_reached")["estimate"]
    assert n["handed_off"] == len(cohort) > 500
    assert n["sales_accepted"] == cohort["sales_accepted_on"].notna().sum()
    assert n["recycled"] == cohort["recycled_on"].notna().sum()
    share = stated(asked["waterfall"], "reached_share").loc["sales_accepted"]
    assert share["estimate"] == n["sales_accepted"] / len(cohort)
    assert [share["low"], share["high"]] == pytest.approx(wilson(n["sales_accepted"], len(cohort)))
    assert asked["waterfall"].results["n_handed_off"] == len(cohort)


def test_leads_that_were_accepted_and_given_back_count_as_both_and_that_is_said(
    asked: dict[str, Answer], cohort: pd.DataFrame
) -> None:
    returned = cohort[["recycled_on", "disqualified_on"]].notna().any(axis=1)
    n_both = int((returned & cohort["sales_accepted_on"].notna()).sum())
    assert n_both > 0
    said = repr(asked["waterfall"])
    assert f"Accepted and given back in turn, and counted as both: {n_both}." in said


def test_a_promised_amount_is_not_judged_where_a_won_deal_records_none(now: OpenPeriod) -> None:
    leads, deals = now.leads(window=False), now.deals(ended=False)
    whole = stated(promises(leads, deals), "promise")
    is_now = deals["outcome"].eq("won") & deals["closed_on"].between("2025-04-01", "2025-06-30")
    blank = deals["won_amount"].mask(deals.index == deals.index[is_now][0])
    partly = stated(promises(leads, deals.assign(won_amount=blank)), "promise")
    assert "won_amount" in whole.index
    assert partly.reindex(["won_amount"])["estimate"].isna().all()


def test_a_lead_never_touched_has_waited_longer_than_any(
    asked: dict[str, Answer], cohort: pd.DataFrame, warehouse: Warehouse
) -> None:
    touches = warehouse.frame("touches").query("from_team == 'sales'")
    touches = touches.assign(day=pd.to_datetime(touches["touched_on"])).query("day < '2025-07-01'")
    both = cohort.merge(touches[["lead_id", "day"]], on="lead_id", how="inner")
    both = both[both["day"] >= both["handed_off_on"]]
    first = (both["day"] - both["handed_off_on"]).dt.days.groupby(both["lead_id"]).min()
    never = stated(asked["first_touch"], "never_touched_share", field="")
    assert never["estimate"].iloc[0] == pytest.approx(1 - len(first) / len(cohort))
    waits = np.sort(np.r_[first, np.full(len(cohort) - len(first), np.inf)])
    median = stated(asked["first_touch"], "first_touch_median_days", field="").iloc[0]
    assert median["estimate"] == waits[(len(cohort) - 1) // 2]
    assert median["low"] <= median["estimate"] <= median["high"]
    assert stated(asked["first_touch"], "first_touch_p90_days", field="").empty, "over a tenth were never touched"


def test_reasons_of_rejection_are_shares_of_all_rejected(asked: dict[str, Answer], cohort: pd.DataFrame) -> None:
    given_back = cohort[["recycled_on", "disqualified_on"]].notna().any(axis=1)
    refused = cohort[given_back & cohort["sales_accepted_on"].isna()]
    n = refused["rejection_reason"].fillna("(not recorded)").value_counts()
    shares, counts = stated(asked["rejections"], "rejection_share"), stated(asked["rejections"], "n_rejected")
    shown = n[n >= LEAST_SHOWN]
    assert counts["estimate"].to_dict() == shown.to_dict()
    assert shares["estimate"].to_dict() == pytest.approx((shown / len(refused)).to_dict())
    low = pd.Series(multinomial_intervals(n)[0], index=n.index)
    assert shares["low"].to_dict() == pytest.approx(low[shown.index].to_dict()), "all reasons count, shown or not"


def test_promises_stand_beside_what_was_observed(
    asked: dict[str, Answer], cohort: pd.DataFrame, warehouse: Warehouse
) -> None:
    goals = warehouse.definition.goals[PERIOD]
    told = stated(asked["promises"], "promise")
    assert told.loc["n_leads", ["estimate", "baseline", "effect"]].tolist() == [
        len(cohort), goals.n_leads, len(cohort) - goals.n_leads,
    ]  # fmt: skip
    wait = told.loc["first_touch_days"]
    assert wait["effect"] == wait["baseline"] - wait["estimate"], "sooner than promised is better"
    deals = warehouse.frame("deals")
    closed = pd.to_datetime(deals["closed_on"]).between("2025-04-01", "2025-06-30")
    assert told.loc["won_amount", "estimate"] == pytest.approx(deals.loc[closed, "won_amount"].sum())
    assert told["unit"].to_dict() == {
        "n_leads": "count", "accepted_rate": "rate", "first_touch_days": "days", "won_amount": "amount",
    }  # fmt: skip
    kept = stated(asked["promises"], "n_promises_kept").iloc[0]
    sure = told[~told["baseline"].between(told["low"], told["high"])]
    assert 0 < len(sure) < len(told), "what could be luck is not judged"
    assert [kept["estimate"], kept["n"]] == [(sure["effect"] >= 0).sum(), len(sure)]


def test_verdicts_that_differ_are_counted_among_those_that_could(
    asked: dict[str, Answer], cohort: pd.DataFrame
) -> None:
    untouched = stated(asked["disagreements"], "n_disagreements").loc["accepted, yet not touched by sales so far"]
    assert untouched["n"] == cohort["sales_accepted_on"].notna().sum()
    assert 0 < untouched["estimate"] < 0.2 * untouched["n"]


@pytest.fixture(scope="module")
def raw_cohort() -> pd.DataFrame:
    """Leads handed off in 2025-q2, from the raw files: their days as known at its end, and days to the first touch."""
    folder, end = data_folder() / "harbor" / "raw", pd.Timestamp(2025, 7, 1)
    leads = pd.read_csv(folder / "leads.csv", dtype=str).drop_duplicates("Lead ID").set_index("Lead ID")
    days = leads.filter(like="Date").apply(pd.to_datetime, errors="coerce")
    days = days.where(days < end)
    days = days[days["Hand-off Date"] >= pd.Timestamp(2025, 4, 1)]
    touches = pd.read_csv(folder / "touches.csv", dtype=str).query("Team == 'sales'")
    touched = pd.to_datetime(touches["Date"], errors="coerce")
    touched = touched.where(touched < end) - touches["Lead ID"].map(days["Hand-off Date"])
    first = touched[touched >= pd.Timedelta(0)].groupby(touches["Lead ID"]).min()
    return days.assign(wait=first.reindex(days.index))


def test_leads_given_back_without_a_touch_are_counted(asked: dict[str, Answer], raw_cohort: pd.DataFrame) -> None:
    rejected = raw_cohort[["Recycled Date", "Disqualified Date"]].notna().any(axis=1) & raw_cohort["SAL Date"].isna()
    row = stated(asked["disagreements"], "n_disagreements").loc[REJECTED_UNTOUCHED]
    given_back = raw_cohort[["Recycled Date", "Disqualified Date"]].min(axis=1)
    in_vain = raw_cohort["wait"].isna() | (raw_cohort["Hand-off Date"] + raw_cohort["wait"] > given_back)
    assert [row["estimate"], row["n"], row["verdict"]] == [(rejected & in_vain).sum(), rejected.sum(), "counted"]
    never = (rejected & raw_cohort["wait"].isna()).sum()
    assert 50 < never < row["estimate"]  # some were touched when they had been given back already


def test_the_share_touched_in_time_leaves_out_what_is_too_young(
    asked: dict[str, Answer], raw_cohort: pd.DataFrame
) -> None:
    promised = pd.Timedelta(days=2)  # [goals."2025-q2"] first_touch_days
    judged = raw_cohort[raw_cohort["Hand-off Date"] + promised < pd.Timestamp(2025, 7, 1)]
    k = (judged["wait"] <= promised).sum()
    row = stated(asked["first_touch"], "touched_in_time_share").iloc[0]
    assert [row["estimate"], row["n"]] == [k / len(judged), len(judged)]
    assert len(judged) < len(raw_cohort)
    assert [row["low"], row["high"]] == pytest.approx(wilson(k, len(judged)))


def test_without_a_promise_nobody_is_late(opening: Opening, warehouse: Warehouse) -> None:
    assert "2025-q1" not in warehouse.definition.goals
    leads = opening("harbor", "2025-q1", "04_handoff").leads(window=False)
    assert stated(first_touch(leads), "touched_in_time_share").empty
    assert REJECTED_UNTOUCHED in stated(handoff(leads, "disagreements"), "n_disagreements").index
    assert "No promises are recorded" in promises(leads, pd.DataFrame()).missing["promises"]


def test_goals_may_be_given_in_a_cell(opening: Opening, cohort: pd.DataFrame) -> None:
    leads = opening("harbor", PERIOD, "04_handoff").leads(window=False)
    goals = {"n_leads": 10, "first_touch_days": 4}
    found = stated(promises(leads, pd.DataFrame(), goals), "promise")
    assert found.loc["n_leads", ["estimate", "effect"]].tolist() == [len(cohort), len(cohort) - 10]
    assert set(found.index) == set(goals)
    before, after = (stated(first_touch(leads, goals=one), "touched_in_time_share") for one in (None, goals))
    assert before["estimate"].iloc[0] < after["estimate"].iloc[0], "more leads are touched within four days than two"
    with pytest.raises(ParameterError, match=r"'n_calls' cannot be promised; allowed: n_leads, accepted_rate"):
        promises(leads, pd.DataFrame(), {"n_calls": 3})


def test_another_question_of_the_hand_off_is_refused_with_those_there_are(opening: Opening) -> None:
    leads = opening("harbor", PERIOD, "04_handoff").leads(window=False)
    with pytest.raises(ParameterError, match=r"of = 'waits' does not exist; allowed: waterfall, rej"):
        handoff(leads, "waits")


def test_some_leads_are_counted_among_themselves_and_say_so(opening: Opening, cohort: pd.DataFrame) -> None:
    leads = opening("harbor", PERIOD, "04_handoff").leads(window=False)
    found = handoff(leads[leads["channel"] == "webinar"], among="leads of webinars")
    n = stated(found, "n_reached")
    assert n["estimate"]["handed_off"] == (cohort["channel"] == "webinar").sum() > LEAST_SHOWN
    assert set(n["among"]) == {"leads of webinars"}


def test_too_few_leads_are_calm(opening: Opening) -> None:
    leads = opening("harbor", PERIOD, "04_handoff").leads(window=False)
    leads = leads[leads["handed_off_on"] < pd.Timestamp(2025, 4, 1)]
    for found in (first_touch(leads), *(handoff(leads, of) for of in OF)):
        assert found.stated.empty
        assert "Fewer than ten leads" in found.missing[found.section]
        assert "Fewer than ten leads" in repr(found)


def test_marketings_fit_stands_against_sales_verdict(opening: Opening, warehouse: Warehouse) -> None:
    rule = Rule((Branch((Among("sites", ("1",)),), "single", 100, 1.0),), "several", ("sites",))
    personas = (
        Persona("single", "Single", win_rate=0.5, low=0.4, high=0.6, n=70, is_assumed=False),
        Persona("several", "Several", win_rate=0.2, low=0.15, high=0.28, n=110, is_assumed=False),
    )
    in_force = PersonaSet("harbor", PERIOD, "research", rule, personas, base_rate=0.3, fields=("sites",))
    leads = opening("harbor", PERIOD, "04_handoff", in_force).leads(window=False)
    found = stated(handoff(leads, "disagreements"), "n_disagreements")
    frame = lead_frame(Situation.looking_back(warehouse, find_period(warehouse.periods, PERIOD)))
    decided = frame[(frame["handed_off_on"] >= pd.Timestamp(2025, 4, 1)) & frame["is_accepted"].notna()]
    single = decided[decided["sites"] == "1"]
    fits = found.loc["win rate promised above that of all, yet given back"]
    assert [fits["estimate"], fits["n"]] == [(~single["is_accepted"].astype(bool)).sum(), len(single)]
    misfits = found.loc["win rate promised below that of all, yet accepted"]
    assert misfits["n"] == len(decided) - len(single)
    few = replace(in_force, personas=tuple(replace(p, n=9, is_assumed=True) for p in personas))
    leads = opening("harbor", PERIOD, "04_handoff", few).leads(window=False)
    kinds = stated(handoff(leads, "disagreements"), "n_disagreements").index
    assert not any("win rate promised" in kind for kind in kinds), "a rate of nine deals tells nobody's fit"


def test_rows_that_are_no_leads_of_the_period_are_refused_calmly(opening: Opening) -> None:
    leads = opening("harbor", PERIOD, "04_handoff").leads(window=False).reset_index(drop=True)
    found = first_touch(leads)
    assert found.stated.empty and "choose rows of now.leads()" in found.missing["first_touch"]


def test_small_groups_stay_unsaid(asked: dict[str, Answer]) -> None:
    every = pd.concat([answer.stated for answer in asked.values()])
    known = every[every["field"] != ""].dropna(subset=["n"])
    assert len(known) > 50
    assert (known["n"] >= LEAST_SHOWN).all()
    assert not any(answer.tables for answer in asked.values())


def test_the_page_ends_with_questions_and_begins_with_what_both_teams_have_to_hear(
    opening: Opening, cohort: pd.DataFrame
) -> None:
    now = opening("harbor", PERIOD, "04_handoff")
    leads = now.leads(window=False)
    reached, reasons, apart = (handoff(leads, of) for of in OF)
    waits = first_touch(leads)
    talk = joint_questions(reasons, apart, waits)
    top = stated(reasons, "n_rejected")["estimate"].max()
    said = repr(talk).splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"- {top:.0f} rejected leads were given back as")
    assert talk.stated.empty, "it says nothing of its own"
    now.close(apart, reached, waits)
    written = pd.read_parquet(now.folder / "claims" / "04_handoff.parquet")
    handed = written[(written["measure"] == "n_reached") & (written["level"] == "handed_off")]
    assert handed["estimate"].tolist() == [len(cohort)]
    assert set(written["family"]) == {"none"}
    line, untouched = repr(now.bottom_line()).splitlines(), stated(apart, "n_disagreements").loc[REJECTED_UNTOUCHED]
    assert line[0].startswith(f"- {untouched['estimate']:.0f} of {untouched['n']} rejected leads had no sales touch")
    assert line[1].startswith(f"- {len(cohort)} leads were handed off")
