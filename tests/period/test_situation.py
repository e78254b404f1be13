"""What a day gives is read once, whichever period asks for it."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop.market import warehouse
from closedloop.market.warehouse import Warehouse, fetched, open_warehouse
from closedloop.period.situation import Situation


def test_the_end_of_a_period_gives_what_the_start_of_the_next_one_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def counted(table: Any) -> pd.DataFrame:
        asked.append(table)
        return fetched(table)

    whole = open_warehouse("harbor")
    folder = shutil.copytree(whole.folder, tmp_path / "harbor", ignore=shutil.ignore_patterns("seen"))
    monkeypatch.setattr(warehouse, "fetched", counted)
    fresh = Warehouse(whole.definition, folder)
    last, coming, later = fresh.periods[3:6]
    ended = Situation.looking_back(fresh, last).with_fields("deals", "deal_id")
    n_asked = len(asked)
    assert n_asked == len(fresh.tables)  # all of them are in the fingerprint of what is known
    started = Situation.planning(fresh, coming).with_fields("deals", "deal_id")
    pd.testing.assert_frame_equal(started, ended)
    assert len(asked) == n_asked
    assert len(Situation.planning(fresh, later).with_fields("deals", "deal_id")) > len(started)
    assert len(asked) == 2 * n_asked


def test_some_columns_of_a_table_are_read_alone() -> None:
    now = Situation.latest(open_warehouse("harbor"))
    told = now.known("notes", columns=["note_id", "topic", "no_such_column"])
    assert list(told) == ["note_id", "topic"]
    assert len(told) == len(now.known("notes", columns=["note_id"])) > 0
    assert now.known("no_such_table").empty
