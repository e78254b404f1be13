"""What worker processes do with the bundled market."""

from collections.abc import Callable
from pathlib import Path

from closedloop.batch.moments import compute, open_market
from closedloop.batch.plan import PeriodPlan


def test_a_market_is_opened_with_its_periods_and_audit_page(tmp_path: Path) -> None:
    asked: list[object] = []

    def call(task: Callable[..., list[PeriodPlan]], *given: object) -> list[PeriodPlan]:
        asked.append(given)
        return task(*given)

    periods = open_market("harbor", tmp_path, call)
    assert [period.name for period in periods][:2] == ["2024-q1", "2024-q2"]
    # 2026-q1 starts after the last day of the data: it is planned, and there is nothing to look back on
    assert {period.name for period in periods if not period.looks_back} == {"2026-q1"}
    assert "Harbor: software for port and warehouse operators" in (tmp_path / "harbor" / "audit.html").read_text()
    assert len({period.data["plan"] for period in periods}) == len(periods)
    assert periods[0].data["outcome"] == periods[1].data["plan"]
    assert open_market("harbor", tmp_path, call) == periods
    assert asked == [("harbor", tmp_path)]  # the second time it is remembered
    (tmp_path / "harbor" / "periods.json").write_text("{")
    assert open_market("harbor", tmp_path, call) == periods
    assert len(asked) == 2


def test_a_plan_names_personas_and_competitors(tmp_path: Path) -> None:
    turn = compute("plan", "harbor", "2024-q1", tmp_path)
    assert len(turn.personas) >= 2
    assert "no_decision" in turn.competitors
    assert set(turn.missing or {}) == {"research", "personas", "leads"}
    assert (tmp_path / "harbor" / "2024-q1" / "personas.yml").exists()
