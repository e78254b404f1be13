"""Which test settles an open line: what can be drawn is, the rest waits, and what takes for ever is left open."""

import pandas as pd
import pytest
from closedloop.evidence.trials import trial
from closedloop.loop.comparisons import handed_off, lead_window
from closedloop.loop.experiments import planned_tests
from closedloop.loop.leads import leads
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.definition import Definition
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse

from tests.questions.test_other_orders import personas

LINE = {"verdict": "leaning", "subject": "market", "field": "channel", "level": "search", "measure": "accepted_rate",
        "estimate": 0.72, "baseline": 0.64, "effect": 0.08, "n": 200, "visible_difference": 0.1,
        "first_period": "2024-q2", "last_period": "2025-q1"}  # fmt: skip


@pytest.fixture(scope="module")
def situation() -> Situation:
    warehouse = open_warehouse("harbor")
    return Situation.planning(warehouse, find_period(warehouse.periods, "2025-q2"))


def planned(situation: Situation, *lines: dict) -> Step:
    return planned_tests(situation, personas(0.4, 0.2), pd.DataFrame([LINE | line for line in lines]))


def figures(step: Step) -> dict[str, float]:
    return step.statements.set_index("measure")["estimate"].to_dict()


def test_a_channel_is_drawn_in_arms_that_show_the_difference(situation: Situation) -> None:
    found, wanted = figures(planned(situation, {})), trial(0.64, 0.72)
    assert found["test_arm_leads"] == wanted.n_per_arm
    assert found["test_harm_difference"] == pytest.approx(wanted.harm)
    assert found["sought_accepted_rate"] == pytest.approx(0.72)
    known = leads(situation, personas(0.4, 0.2))
    a_week = known.results["n_leads"] / 52
    assert 2 * wanted.n_per_arm / a_week < found["test_weeks"] < 104, "not every lead is decided"


def test_of_two_measures_the_quicker_one_judges(situation: Situation) -> None:
    slow = {"measure": "won_rate", "baseline": 0.2, "estimate": 0.21, "effect": 0.01}
    assert set(figures(planned(situation, {}, slow))) == set(figures(planned(situation, {})))


def test_a_personas_test_waits_for_that_personas_leads(situation: Situation) -> None:
    own = planned(situation, {"subject": "large", "measure": "persona_accepted_rate"})
    assert figures(own)["test_weeks"] > figures(planned(situation, {}))["test_weeks"]
    assert set(own.statements["subject"]) == {"large"}


def test_who_a_lead_is_cannot_be_drawn(situation: Situation) -> None:
    found = figures(planned(situation, {"field": "region", "level": "south"}))
    assert found["wait_records"] == pytest.approx(200 * (0.1 / 0.08) ** 2 - 200, abs=1)
    assert found["wait_weeks"] == pytest.approx(found["wait_records"] / (200 / 52), rel=0.05)


def test_what_takes_more_than_two_years_is_left_open(situation: Situation) -> None:
    small = {"estimate": 0.645, "effect": 0.005}
    found = planned(situation, small)
    assert found.statements.empty
    assert "more than two years" in found.missing["tests"]


def test_nothing_open_is_said(situation: Situation) -> None:
    found = planned(situation, {"verdict": "supported"})
    assert found.statements.empty
    assert "nothing to settle" in found.missing["tests"]


def test_without_dates_nobody_can_say_how_long(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Situation, "is_dated", False)
    monkeypatch.setattr(Definition, "has_calendar", False)
    assert "no dates" in planned(situation, {}).missing["tests"]


def test_each_personas_channels_are_compared_with_its_own_leads(situation: Situation) -> None:
    told: PersonaSet = personas(0.4, 0.2)
    step = leads(situation, told)
    looks = step.looks[step.looks["measure"] == "persona_accepted_rate"]
    assert set(looks["subject"]) == {"large", "small"}
    assert set(looks["field"]) == {"channel", "campaign"}
    frame = lead_frame(situation).assign(persona=lambda rows: told.assign(rows))
    large = lead_window(situation, frame)[lambda rows: (rows["persona"] == "large") & rows["is_accepted"].notna()]
    period = situation.names_of(handed_off(large))
    by_period = large["is_accepted"].astype(float).groupby(period).mean()
    mine = looks[(looks["subject"] == "large") & (looks["field"] == "channel")].set_index("level")
    for level, row in mine.iterrows():
        assert row["baseline"] == pytest.approx(period[large["channel"] == level].map(by_period).mean())
    costs = step.statements[(step.statements["cell"] == "persona_channels") & (step.statements["field"] == "channel")]
    n = costs[costs["measure"] == "n_leads"].pivot_table(index="level", columns="subject", values="estimate")
    whole = step.statements[(step.statements["cell"] == "channels") & (step.statements["measure"] == "n_leads")]
    both = n.dropna()
    assert (both.sum(axis=1) == whole.set_index("level")["estimate"][both.index]).all()


def test_the_personas_bear_the_spend_of_a_channel_by_their_leads(situation: Situation) -> None:
    step = leads(situation, personas(0.4, 0.2))
    channels = step.statements[step.statements["field"] == "channel"]
    cost = step.looks[step.looks["measure"] == "cost_per_won_amount"].set_index(["subject", "level"])
    n = channels[channels["measure"] == "n_leads"].set_index(["subject", "level"])["estimate"]
    won = channels[channels["measure"] == "n_won"].set_index(["subject", "level"])["estimate"]
    checked = 0
    for (who, level), row in cost[cost.index.get_level_values("subject") != "market"].iterrows():
        spent = cost.loc[("market", level), "estimate"] * won["market", level]
        assert spent * n[who, level] / n["market", level] == pytest.approx(row["estimate"] * won[who, level])
        assert 1 <= won[who, level] <= won["market", level]
        checked += 1
    assert checked > 6
