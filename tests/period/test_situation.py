"""What a day gives is read once, whichever period asks for it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop.market import kept
from closedloop.market.warehouse import fetched, open_warehouse
from closedloop.period import situation
from closedloop.period.situation import Situation


def test_the_end_of_a_period_gives_what_the_start_of_the_next_one_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str | None] = []

    def counted(table: Any, order: str | None = None) -> pd.DataFrame:
        made.append(order)
        return fetched(table, order)

    monkeypatch.setattr(kept, "runs_folder", lambda: tmp_path)
    monkeypatch.setattr(situation, "fetched", counted)
    warehouse = open_warehouse("harbor")
    last, coming, later = warehouse.periods[3:6]
    ended = Situation.looking_back(warehouse, last).with_fields("deals", "deal_id")
    started = Situation.planning(warehouse, coming).with_fields("deals", "deal_id")
    pd.testing.assert_frame_equal(started, ended)
    assert made.count("deal_id") == 1
    assert len(Situation.planning(warehouse, later).with_fields("deals", "deal_id")) > len(started)
    assert made.count("deal_id") == 2


def test_some_columns_of_a_table_are_read_alone() -> None:
    now = Situation.latest(open_warehouse("harbor"))
    told = now.known("notes", columns=["note_id", "topic", "no_such_column"])
    assert list(told) == ["note_id", "topic"]
    assert len(told) == len(now.known("notes", columns=["note_id"])) > 0
    assert now.known("no_such_table").empty
