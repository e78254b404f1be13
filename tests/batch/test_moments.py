"""What worker processes do with the bundled market."""

from datetime import date
from pathlib import Path

import ibis
from closedloop.batch.moments import _Seen, compute, open_market
from closedloop.market.warehouse import Warehouse, open_warehouse


def test_a_market_is_opened_with_its_periods_and_audit_page(tmp_path: Path) -> None:
    periods = open_market("harbor", tmp_path)
    assert [period.name for period in periods][:2] == ["2024-q1", "2024-q2"]
    # 2026-q1 starts after the last day of the data: it is planned, and there is nothing to look back on
    assert {period.name for period in periods if not period.looks_back} == {"2026-q1"}
    assert "Harbor: software for port and warehouse operators" in (tmp_path / "harbor" / "audit.html").read_text()
    assert len({period.data["plan"] for period in periods}) == len(periods)
    assert periods[0].data["outcome"] == periods[1].data["plan"]


def test_a_fingerprint_covers_the_rows_that_the_view_sees_and_no_others() -> None:
    warehouse = open_warehouse("harbor")
    altered = Warehouse(warehouse.definition, warehouse.folder)
    deals, early, late = altered.tables["deals"], date(2025, 7, 1), date(2025, 10, 1)
    is_later = deals.created_on >= ibis.date(2025, 7, 1)
    altered.tables["deals"] = deals.mutate(product=is_later.ifelse("other", deals["product"]))
    assert _Seen(altered).fingerprint(early) == _Seen(warehouse).fingerprint(early)
    assert _Seen(altered).fingerprint(late) != _Seen(warehouse).fingerprint(late)


def test_a_plan_names_personas_and_competitors(tmp_path: Path) -> None:
    turn = compute("plan", "harbor", "2024-q1", tmp_path)
    assert len(turn.personas) >= 2
    assert "no_decision" in turn.competitors
    assert set(turn.missing or {}) == {"research", "personas", "leads"}
    assert (tmp_path / "harbor" / "2024-q1" / "personas.yml").exists()
