"""Which test settles an open line: what can be drawn is, the rest waits, and what takes for ever is left open."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop import funnel, planned_tests
from closedloop.market.definition import Definition
from closedloop.period import store
from closedloop.statistics.proportions import trial
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod

from tests.documents.ledger import claims
from tests.questions.periods import by_size, planning

LINE = {"verdict": "leaning", "subject": "market", "field": "channel", "level": "search", "measure": "accepted_rate",
        "estimate": 0.72, "baseline": 0.64, "effect": 0.08, "n": 200, "visible_difference": 0.1,
        "first_period": "2024-q2", "last_period": "2025-q1"}  # fmt: skip


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    return planning("harbor", "2025-q2", by_size(), tmp_path_factory.mktemp("tests"))


def planned(now: OpenPeriod, *lines: dict, **settings: int) -> Answer:
    """The answer as it is when these lines are what the families gave."""
    answer = planned_tests(now.leads(), now.deals(), **settings)
    answer.statements, answer.missing = [], {}
    answer.conclude(answer, claims(*(LINE | line for line in lines)))
    return answer


def figures(answer: Answer) -> dict[str, float]:
    return answer.stated.set_index("measure")["estimate"].to_dict()


def test_a_channel_is_drawn_in_arms_that_show_the_difference(now: OpenPeriod) -> None:
    found, wanted = figures(planned(now, {})), trial(0.64, 0.72)
    assert found["test_arm_leads"] == wanted.n_per_arm
    assert found["test_harm_difference"] == pytest.approx(wanted.harm)
    assert found["sought_accepted_rate"] == pytest.approx(0.72)
    a_week = len(now.leads()) / 52
    assert 2 * wanted.n_per_arm / a_week < found["test_weeks"] < 104, "not every lead is decided"


def test_of_two_measures_the_quicker_one_judges(now: OpenPeriod) -> None:
    slow = {"measure": "won_rate", "baseline": 0.2, "estimate": 0.21, "effect": 0.01}
    assert set(figures(planned(now, {}, slow))) == set(figures(planned(now, {})))


def test_a_personas_test_waits_for_that_personas_leads(now: OpenPeriod) -> None:
    own = planned(now, {"subject": "large", "measure": "persona_accepted_rate"})
    assert figures(own)["test_weeks"] > figures(planned(now, {}))["test_weeks"]
    assert set(own.stated["subject"]) == {"large"}


def test_who_a_lead_is_cannot_be_drawn(now: OpenPeriod) -> None:
    found = figures(planned(now, {"field": "region", "level": "south"}))
    assert found["wait_records"] == pytest.approx(200 * (0.1 / 0.08) ** 2 - 200, abs=1)
    assert found["wait_weeks"] == pytest.approx(found["wait_records"] / (200 / 52), rel=0.05)


def test_what_takes_more_than_two_years_is_left_open(now: OpenPeriod) -> None:
    small = {"estimate": 0.645, "effect": 0.005}
    found = planned(now, small)
    assert found.stated.empty
    assert "more than two years" in found.missing["tests"]
    soon = planned(now, {}, most_weeks=10)
    assert soon.stated.empty and "more than 10 weeks" in soon.missing["tests"]


def test_nothing_open_is_said(now: OpenPeriod) -> None:
    found = planned(now, {"verdict": "supported"})
    assert found.stated.empty
    assert "nothing of it to settle" in found.missing["tests"]


def test_without_dates_nobody_can_say_how_long(now: OpenPeriod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("closedloop.period.situation.Situation.is_dated", False)
    monkeypatch.setattr(Definition, "has_calendar", False)
    assert "no dates" in planned(now, {}).missing["tests"]


def test_tests_follow_from_the_closed_families_and_from_02(tmp_path: Path) -> None:
    """They are provisional before; at the closing every leaning line of the notebook, and of 02, is planned or told."""
    now = planning("harbor", "2025-q2", by_size(), tmp_path)
    other = claims(LINE | {"measure": "win_rate", "field": "persona", "level": "large", "family": "how they end"})
    store.write(now.folder, "02_personas", now.step, other, {})
    tests = planned_tests(now.leads(), now.deals())
    assert "Provisional" in repr(tests)
    funnel(now.leads(), by=["channel", "campaign"], by_persona=True, outcome="accepted")
    now.close()
    leaning = now.claims.query("verdict == 'leaning'")
    assert len(leaning) > 1
    planned_lines = tests.claims[["field", "level"]].drop_duplicates()
    assert set(planned_lines.itertuples(index=False, name=None)) <= {
        *leaning[["field", "level"]].itertuples(index=False, name=None), ("persona", "large")
    }  # fmt: skip
    assert "large" in set(planned_lines["level"])
    kept = pd.read_parquet(now.folder / "claims" / "03_leads.parquet")
    assert set(tests.claims["claim_id"]) <= set(kept["claim_id"]), "they are written with the rest"
    assert set(tests.claims["family"]) == {"none"}
    n = len(tests.claims)
    funnel(now.leads(), by="region", outcome="accepted")
    assert not now.claims["claim_id"].duplicated().any() and len(tests.claims) >= n - 8
    assert "Two arms drawn by lot" in repr(tests)
