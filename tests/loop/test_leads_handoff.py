"""What the steps of leads and the hand-off state, against the bundled market's records counted by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop.evidence.rates import multinomial_intervals, wilson
from closedloop.evidence.rules import Among, Branch, Rule
from closedloop.loop.arm_outcomes import experiments
from closedloop.loop.call_list import CALL_LIST, RANKED
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.handoff import handoff
from closedloop.loop.leads import leads
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.periods import find_period
from closedloop.market.place import data_folder
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.terms import REJECTED_UNTOUCHED

EVERYONE = PersonaSet("harbor", "2025-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    return open_warehouse("harbor")


@pytest.fixture(scope="module")
def planned(warehouse: Warehouse) -> Step:
    return leads(Situation.planning(warehouse, find_period(warehouse.periods, "2025-q2")), EVERYONE)


@pytest.fixture(scope="module")
def looked_back(warehouse: Warehouse) -> Step:
    return handoff(Situation.looking_back(warehouse, find_period(warehouse.periods, "2025-q2")), EVERYONE)


@pytest.fixture(scope="module")
def cohort(warehouse: Warehouse) -> pd.DataFrame:
    """Leads handed off in 2025-q2, with what was known at its end."""
    frame = warehouse.frame("leads")
    days = [name for name in frame if name.endswith("_on")]
    frame[days] = frame[days].apply(pd.to_datetime)
    frame[days] = frame[days].where(frame[days] < pd.Timestamp(2025, 7, 1))
    return frame[frame["handed_off_on"] >= pd.Timestamp(2025, 4, 1)]


def stated(step: Step, measure: str, **wanted: str) -> pd.DataFrame:
    """The statements on a measure, by level."""
    rows = step.statements[step.statements["measure"] == measure]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.set_index("level")


def test_the_waterfall_counts_the_cohort(looked_back: Step, cohort: pd.DataFrame) -> None:
    n = stated(looked_back, "n_reached")["estimate"]
    assert n["handed_off"] == len(cohort) > 500
    assert n["sales_accepted"] == cohort["sales_accepted_on"].notna().sum()
    assert n["recycled"] == cohort["recycled_on"].notna().sum()
    share = stated(looked_back, "reached_share").loc["sales_accepted"]
    assert share["estimate"] == n["sales_accepted"] / len(cohort)
    assert [share["low"], share["high"]] == pytest.approx(wilson(n["sales_accepted"], len(cohort)))
    assert looked_back.results["n_handed_off"] == len(cohort)


def test_a_lead_never_touched_has_waited_longer_than_any(
    looked_back: Step, cohort: pd.DataFrame, warehouse: Warehouse
) -> None:
    touches = warehouse.frame("touches").query("from_team == 'sales'")
    touches = touches.assign(day=pd.to_datetime(touches["touched_on"])).query("day < '2025-07-01'")
    both = cohort.merge(touches[["lead_id", "day"]], on="lead_id", how="inner")
    both = both[both["day"] >= both["handed_off_on"]]
    first = (both["day"] - both["handed_off_on"]).dt.days.groupby(both["lead_id"]).min()
    never = stated(looked_back, "never_touched_share", field="")
    assert never["estimate"].iloc[0] == pytest.approx(1 - len(first) / len(cohort))
    waits = np.sort(np.r_[first, np.full(len(cohort) - len(first), np.inf)])
    median = stated(looked_back, "first_touch_median_days", field="").iloc[0]
    assert median["estimate"] == waits[(len(cohort) - 1) // 2]
    assert median["low"] <= median["estimate"] <= median["high"]
    assert stated(looked_back, "first_touch_p90_days", field="").empty, "over a tenth were never touched"


def test_reasons_of_rejection_are_shares_of_all_rejected(looked_back: Step, cohort: pd.DataFrame) -> None:
    given_back = cohort[["recycled_on", "disqualified_on"]].notna().any(axis=1)
    refused = cohort[given_back & cohort["sales_accepted_on"].isna()]
    n = refused["rejection_reason"].fillna("(not recorded)").value_counts()
    shares, counts = stated(looked_back, "rejection_share"), stated(looked_back, "n_rejected")
    shown = n[n >= LEAST_SHOWN]
    assert counts["estimate"].to_dict() == shown.to_dict()
    assert shares["estimate"].to_dict() == pytest.approx((shown / len(refused)).to_dict())
    low = pd.Series(multinomial_intervals(n)[0], index=n.index)
    assert shares["low"].to_dict() == pytest.approx(low[shown.index].to_dict()), "all reasons count, shown or not"


def test_promises_stand_beside_what_was_observed(looked_back: Step, cohort: pd.DataFrame, warehouse: Warehouse) -> None:
    goals = warehouse.definition.goals["2025-q2"]
    told = stated(looked_back, "promise")
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
    kept = stated(looked_back, "n_promises_kept").iloc[0]
    sure = told[~told["baseline"].between(told["low"], told["high"])]
    assert 0 < len(sure) < len(told), "what could be luck is not judged"
    assert [kept["estimate"], kept["n"]] == [(sure["effect"] >= 0).sum(), len(sure)]


def test_verdicts_that_differ_are_counted_among_those_that_could(looked_back: Step, cohort: pd.DataFrame) -> None:
    untouched = stated(looked_back, "n_disagreements").loc["accepted, yet never touched by sales"]
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


def test_leads_given_back_without_a_touch_are_counted(looked_back: Step, raw_cohort: pd.DataFrame) -> None:
    rejected = raw_cohort[["Recycled Date", "Disqualified Date"]].notna().any(axis=1) & raw_cohort["SAL Date"].isna()
    row = stated(looked_back, "n_disagreements").loc[REJECTED_UNTOUCHED]
    assert [row["estimate"], row["n"], row["verdict"]] == [
        raw_cohort.loc[rejected, "wait"].isna().sum(), rejected.sum(), "counted",
    ]  # fmt: skip
    assert row["estimate"] > 50


def test_the_share_touched_in_time_leaves_out_what_is_too_young(looked_back: Step, raw_cohort: pd.DataFrame) -> None:
    promised = pd.Timedelta(days=2)  # [goals."2025-q2"] first_touch_days
    judged = raw_cohort[raw_cohort["Hand-off Date"] + promised < pd.Timestamp(2025, 7, 1)]
    k = (judged["wait"] <= promised).sum()
    row = stated(looked_back, "touched_in_time_share").iloc[0]
    assert [row["estimate"], row["n"]] == [k / len(judged), len(judged)]
    assert len(judged) < len(raw_cohort)
    assert [row["low"], row["high"]] == pytest.approx(wilson(k, len(judged)))


def test_without_a_promise_nobody_is_late(warehouse: Warehouse) -> None:
    assert "2025-q1" not in warehouse.definition.goals
    step = handoff(Situation.looking_back(warehouse, find_period(warehouse.periods, "2025-q1")), EVERYONE)
    assert stated(step, "touched_in_time_share").empty
    assert REJECTED_UNTOUCHED in stated(step, "n_disagreements").index


def test_conversion_is_of_those_at_the_status_before(planned: Step) -> None:
    n, rate = stated(planned, "n_reached")["estimate"], stated(planned, "conversion_rate")
    assert list(n.index) == ["inquiry", "marketing_qualified", "handed_off", "sales_accepted", "sales_qualified", "won"]
    assert list(rate.index) == list(n.index[1:])
    assert rate["n"].tolist() == n.iloc[:-1].tolist()
    assert (rate["estimate"] * rate["n"] <= n.iloc[1:] + 1e-9).all()
    assert n.is_monotonic_decreasing


def test_a_channels_cost_moves_with_its_rate_of_success(planned: Step) -> None:
    spent, n, won = (stated(planned, name)["estimate"] for name in ("spent_amount", "n_leads", "n_won"))
    looks = planned.looks[planned.looks["measure"] == "cost_per_won_amount"]
    cost = looks[looks["subject"] == "market"].set_index("level")
    assert len(cost) == 7
    assert cost["estimate"].to_dict() == pytest.approx((spent / won).to_dict())
    low, high = wilson(won["trade_fair"], n["trade_fair"])
    ends = cost.loc["trade_fair", ["low", "high"]].astype(float).tolist()
    assert ends == pytest.approx([spent["trade_fair"] / n["trade_fair"] / rate for rate in (high, low)])


def test_drawn_arms_are_stated_with_their_intervals(planned: Step) -> None:
    arms, n = stated(planned, "arm_accepted_rate"), stated(planned, "n_arm_accepted")
    assert (arms["estimate"] * arms["n"]).to_dict() == pytest.approx(n["estimate"].to_dict())
    assert set(arms.index) == {"save_time", "start_small"}


def test_two_drawn_arms_are_compared_with_each_other(planned: Step) -> None:
    raw = pd.read_csv(data_folder() / "harbor" / "raw" / "leads.csv", dtype=str).drop_duplicates("Lead ID")
    raw = raw.dropna(subset=["Test", "Hand-off Date"])
    days = ["SAL Date", "Recycled Date", "Disqualified Date"]
    known = raw[days].apply(pd.to_datetime, errors="coerce") < pd.Timestamp(2025, 4, 1)
    decided, accepted = raw[known.any(axis=1)], known["SAL Date"]
    k, n = (part.groupby(raw["Test Arm"]).sum() for part in (accepted[decided.index], accepted[decided.index] | True))
    causal = planned.looks[planned.looks["kind"] == "causal"]
    assert causal["measure"].tolist() == ["accepted_rate", "qualified_rate", "won_rate", "won_amount_per_lead"]
    look = causal.iloc[0].to_dict()
    assert (look["level"], look["against"], look["subject"]) == ("start_small", "save_time", "opening-message")
    rates = k / n
    assert [look["estimate"], look["baseline"]] == pytest.approx([rates["start_small"], rates["save_time"]])
    gap = stated(planned, "arm_accepted_rate_difference").loc["start_small"]
    assert [gap["estimate"], gap["n"]] == pytest.approx([rates["start_small"] - rates["save_time"], n.sum()])
    low, high = wilson(k, n)  # Newcombe's interval, worked out from Wilson's
    small, time = (list(k.index).index(arm) for arm in ("start_small", "save_time"))
    below = np.hypot(rates["start_small"] - low[small], high[time] - rates["save_time"])
    assert gap["low"] == pytest.approx(gap["estimate"] - below)
    assert 0.05 < gap["low"] < 0.12 < gap["high"] < 0.25, "the truth planted 12 points"
    table = [[k["start_small"], (n - k)["start_small"]], [k["save_time"], (n - k)["save_time"]]]
    assert look["p"] < scipy.stats.fisher_exact(table).pvalue < 0.001


def test_places_on_the_list_to_call_are_no_arms() -> None:
    """Who is ranked onto the list was chosen, not drawn."""
    frame = pd.DataFrame({"experiment": ["opening", CALL_LIST, None], "arm": ["a", RANKED, None], "is_accepted": True})
    assert [(name, len(part)) for name, part in experiments(frame)] == [("opening", 1)]


def test_the_channels_of_an_experiment_are_told(planned: Step) -> None:
    assert set(stated(planned, "n_drawn_leads").index) == {"content", "search", "webinar"}


def test_the_score_is_stated_by_model_and_by_group(planned: Step) -> None:
    within = stated(planned, "auc_within")
    assert within.loc["logistic", "low"] < planned.results["auc_within"] < within.loc["logistic", "high"]
    whole = stated(planned, "auc").loc["logistic"]
    assert whole["low"] < whole["estimate"] == planned.results["auc"] < whole["high"]
    groups, inside = stated(planned, "observed_rate"), stated(planned, "n_groups_inside").iloc[0]
    assert inside["estimate"] == groups["baseline"].between(groups["low"], groups["high"]).sum()
    assert inside["n"] == len(groups) == 10
    assert groups["n"].min() >= LEAST_SHOWN
    assert stated(planned, "n_listed")["estimate"].tolist() == [len(planned.tables["next_leads"])]


@pytest.mark.parametrize("step", ["planned", "looked_back"])
def test_only_records_stay_tables_and_small_groups_stay_unsaid(step: str, request: pytest.FixtureRequest) -> None:
    found: Step = request.getfixturevalue(step)
    assert set(found.tables) <= {"next_leads", "wake_up", "leaks"}
    grouped = found.statements[found.statements["field"] != ""]
    known = grouped.dropna(subset=["n"])
    assert len(known) > 50
    assert (known["n"] >= LEAST_SHOWN).all()


@pytest.mark.parametrize(("n", "expected"), [(9, []), (10, [0.3])])
def test_a_rate_of_fewer_than_ten_is_not_stated(n: int, expected: list[float]) -> None:
    assert [row["estimate"] for row in rates([("a", 0.3 * n, n)], "field")] == pytest.approx(expected)


def test_too_few_leads_are_calm(warehouse: Warehouse) -> None:
    begun = handoff(Situation.looking_back(warehouse, find_period(warehouse.periods, "2026-q1")), EVERYONE)
    assert begun.statements.empty
    assert "Fewer than ten leads" in begun.missing["promises"]


def test_marketings_fit_stands_against_sales_verdict(warehouse: Warehouse) -> None:
    rule = Rule((Branch((Among("sites", ("1",)),), "single", 100, 1.0),), "several", ("sites",))
    told = (
        Persona("single", "Single", win_rate=0.5, low=0.4, high=0.6, n=70, is_assumed=False),
        Persona("several", "Several", win_rate=0.2, low=0.15, high=0.28, n=110, is_assumed=False),
    )
    in_force = PersonaSet("harbor", "2025-q2", "research", rule, told, base_rate=0.3, fields=("sites",))
    step = handoff(Situation.looking_back(warehouse, find_period(warehouse.periods, "2025-q2")), in_force)
    found = stated(step, "n_disagreements")
    frame = lead_frame(Situation.looking_back(warehouse, find_period(warehouse.periods, "2025-q2")))
    decided = frame[(frame["handed_off_on"] >= pd.Timestamp(2025, 4, 1)) & frame["is_accepted"].notna()]
    single = decided[decided["sites"] == "1"]
    fits = found.loc["of a persona that wins more often, yet given back"]
    assert [fits["estimate"], fits["n"]] == [(~single["is_accepted"].astype(bool)).sum(), len(single)]
    assert found.loc["of a persona that wins less often, yet accepted", "n"] == len(decided) - len(single)
    few = replace(in_force, personas=tuple(replace(p, n=9, is_assumed=True) for p in told))
    step = handoff(Situation.looking_back(warehouse, find_period(warehouse.periods, "2025-q2")), few)
    kinds = stated(step, "n_disagreements").index
    assert not any("of a persona that wins" in kind for kind in kinds), "a rate of nine deals tells nobody's fit"


def test_the_score_stands_beside_the_stage_of_open_deals(planned: Step) -> None:
    areas = stated(planned, "auc_open")
    gain = planned.looks[planned.looks["measure"] == "gain_over_stage"].iloc[0]
    assert areas.loc["stage", "estimate"] > 0.6, "late stages are won more often"
    assert gain["estimate"] == pytest.approx(areas.loc["score", "estimate"] - areas.loc["stage", "estimate"])
    assert gain["low"] < gain["estimate"] < gain["high"]
    assert gain["n"] >= 40
