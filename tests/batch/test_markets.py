"""A market is made ready in a process of its own: its periods, its audit page, and what goes wrong with it."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from closedloop.batch import markets
from closedloop.batch.plan import PeriodPlan
from closedloop.errors import ClosedLoopError

from tests.market.conftest import project_at, write_market


def open_market(market: str, out: Path, is_stopped: Callable[[], bool] = lambda: False) -> list[PeriodPlan]:
    """Its periods, once its audit page is there."""
    with ExitStack() as later:
        return markets.open_market(market, out, is_stopped, later)


SELECT = "select id as deal_id, opened::date as created_on, result as outcome from raw.deals"


def test_a_market_is_opened_with_its_periods_and_audit_page(tmp_path: Path) -> None:
    periods = open_market("harbor", tmp_path)
    assert [period.name for period in periods][:2] == ["2024-q1", "2024-q2"]
    # 2026-q1 starts after the last day of the data: it is planned, and there is nothing to look back on
    assert {period.name for period in periods if not period.looks_back} == {"2026-q1"}
    assert "Harbor: software for port and warehouse operators" in (tmp_path / "harbor" / "audit.html").read_text()
    assert len({period.data["start"] for period in periods}) == len(periods)
    assert periods[0].data["ended"] == periods[1].data["start"]
    stored = tmp_path / "harbor" / "periods.json"
    written = stored.stat().st_mtime_ns
    assert open_market("harbor", tmp_path) == periods
    assert stored.stat().st_mtime_ns == written  # the second time it is remembered
    stored.write_text("{")
    assert open_market("harbor", tmp_path) == periods


def test_what_is_wrong_with_a_market_is_one_line(tmp_path: Path) -> None:
    with project_at(tmp_path):
        write_market(tmp_path, {"deals": b"id,opened\nD1,2024-01-02\n"}, {"deals": SELECT})
        with pytest.raises(ClosedLoopError, match="result") as error:
            open_market("tiny", tmp_path / "runs")
    assert "Traceback" not in str(error.value)
    assert not (tmp_path / "runs" / "tiny" / "periods.json").exists()


def test_a_signal_ends_the_process_and_nothing_is_left(tmp_path: Path) -> None:
    began = time.monotonic()
    assert open_market("harbor", tmp_path, lambda: time.monotonic() - began > 0.5) == []
    assert [p for p in psutil.Process().children() if "closedloop.batch.markets" in p.cmdline()] == []
    assert not (tmp_path / "harbor" / "periods.json").exists()


def test_periods_are_remembered_by_data_code_and_words(tmp_path: Path) -> None:
    open_market("harbor", tmp_path)
    assert set(json.loads((tmp_path / "harbor" / "periods.json").read_text())["of"]) == {"data", "code", "market.toml"}
