"""What the step of leads states, against the bundled market's records counted by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop.evidence.rates import wilson
from closedloop.evidence.rules import Rule
from closedloop.loop.arm_outcomes import experiments
from closedloop.loop.call_list import CALL_LIST, RANKED
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.leads import leads
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.periods import find_period
from closedloop.market.place import data_folder
from closedloop.market.warehouse import Warehouse, open_warehouse

EVERYONE = PersonaSet("harbor", "2025-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    return open_warehouse("harbor")


@pytest.fixture(scope="module")
def planned(warehouse: Warehouse) -> Step:
    return leads(Situation.planning(warehouse, find_period(warehouse.periods, "2025-q2")), EVERYONE)


def stated(step: Step, measure: str, **wanted: str) -> pd.DataFrame:
    """The statements on a measure, by level."""
    rows = step.statements[step.statements["measure"] == measure]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.set_index("level")


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


def test_only_records_stay_tables_and_small_groups_stay_unsaid(planned: Step) -> None:
    assert set(planned.tables) <= {"next_leads", "wake_up", "leaks"}
    grouped = planned.statements[planned.statements["field"] != ""]
    known = grouped.dropna(subset=["n"])
    assert len(known) > 50
    assert (known["n"] >= LEAST_SHOWN).all()


@pytest.mark.parametrize(("n", "expected"), [(9, []), (10, [0.3])])
def test_a_rate_of_fewer_than_ten_is_not_stated(n: int, expected: list[float]) -> None:
    assert [row["estimate"] for row in rates([("a", 0.3 * n, n)], "field")] == pytest.approx(expected)


def test_the_score_stands_beside_the_stage_of_open_deals(planned: Step) -> None:
    areas = stated(planned, "auc_open")
    gain = planned.looks[planned.looks["measure"] == "gain_over_stage"].iloc[0]
    assert areas.loc["stage", "estimate"] > 0.6, "late stages are won more often"
    assert gain["estimate"] == pytest.approx(areas.loc["score", "estimate"] - areas.loc["stage", "estimate"])
    assert gain["low"] < gain["estimate"] < gain["high"]
    assert gain["n"] >= 40
