"""The stored tables: built once, again only when something changed, always with the same bytes."""

import multiprocessing
import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from closedloop.errors import WriteError
from closedloop.market.building import build_warehouse
from closedloop.market.definition import read_definition
from closedloop.market.staging import ladder, written
from closedloop.market.warehouse import open_warehouse

from .conftest import TinyMarket

FILES: dict[str, str | bytes] = {
    "leads": "lead_id,created_on,channel\nL2,2024-01-02,web\nL1,2024-02-03,fair\nL1,2024-03-04,web\nL3",
    "deals": "deal_id,created_on,outcome,won_amount,closed_on\nD1,2024-02-01,won,10.10,2024-05-01",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_build_leaves(tiny_market: TinyMarket, tiny_root: Path) -> None:
    folder = build_warehouse(tiny_market(FILES))
    assert folder.parent == tiny_root / "runs" / ".warehouse" / "tiny"
    assert set(contents(folder)) == {
        *("tables/leads.parquet", "tables/deals.parquet", "market.json"),
        *("audit/tables.parquet", "audit/columns.parquet", "audit/actions.parquet"),
        *("audit/sources.parquet", "audit/findings.parquet"),
        *("rejected/leads.jsonl", "rejected/raw.leads.jsonl"),
    }
    leads = parquet.read_table(folder / "tables" / "leads.parquet")
    assert leads.to_pylist() == [
        {"lead_id": "L1", "created_on": date(2024, 2, 3), "channel": "fair"},  # ordered by key
        {"lead_id": "L2", "created_on": date(2024, 1, 2), "channel": "web"},
    ]
    assert str(parquet.read_schema(folder / "tables" / "deals.parquet").field("won_amount").type) == "decimal128(18, 2)"
    rejected = (folder / "rejected" / "leads.jsonl").read_text()
    assert (
        rejected == '{"line":4,"reason":"lead_id repeated, with another created_on, channel",'
        '"content":"L1 | 2024-03-04 00:00:00 | web"}\n'
    )
    assert '"line":5' in (folder / "rejected" / "raw.leads.jsonl").read_text()


def test_the_audit_is_kept_with_the_tables(tiny_market: TinyMarket) -> None:
    tiny_market(FILES)
    audit = open_warehouse("tiny").audit
    assert audit.tables[["table", "n_rows", "n_set_aside"]].to_numpy().tolist() == [["leads", 2, 1], ["deals", 1, 0]]
    assert audit.actions[["table", "action", "n"]].to_numpy().tolist() == [
        ["leads", "set aside", 1],
        ["raw.leads", "set aside", 1],
    ]


def test_nothing_is_built_again_while_nothing_changes(tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_warehouse(tiny_market(FILES))

    def climb(_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(ladder.Ladder, "climb", climb)
    assert build_warehouse(read_definition("tiny")) == first


@pytest.mark.parametrize("name", ["leads.csv", "leads.sql", "market.toml", "_helper.sql"])
def test_a_change_of_any_input_builds_anew_and_keeps_the_old(tiny_market: TinyMarket, name: str) -> None:
    definition = tiny_market(FILES)
    first = build_warehouse(definition)
    before, path = contents(first), definition.folder / name
    more = {"leads.csv": "L4,2024-04-04,web\n", "leads.sql": "\n-- a remark", "market.toml": "\n[claims]\nwindow = 2\n"}
    path.write_text((path.read_text() if path.exists() else "select 1 as x") + more.get(name, ""))
    read_definition.cache_clear()
    second = build_warehouse(read_definition("tiny"))
    assert second != first and contents(first) == before
    assert parquet.read_metadata(second / "tables" / "leads.parquet").num_rows == (3 if name == "leads.csv" else 2)


def test_other_words_for_the_same_tables_build_nothing(tiny_market: TinyMarket) -> None:
    definition = tiny_market(FILES, more='[labels]\nchannel = "first contact"\n')
    first, path = build_warehouse(definition), definition.folder / "market.toml"
    path.write_text(
        path.read_text().replace("first contact", "where from").replace('"Tiny"', '"Small"') + "# a remark\n"
    )
    read_definition.cache_clear()
    again = read_definition("tiny")
    assert (again.title, again.label("channel")) == ("Small", "where from")
    assert build_warehouse(again) == first


def test_two_builds_have_the_same_bytes(tiny_market: TinyMarket, tmp_path: Path) -> None:
    definition = tiny_market(FILES)
    folders = [build_warehouse(definition, tmp_path / place) for place in ("one", "two")]
    assert contents(folders[0]) == contents(folders[1])
    assert folders[0].name == folders[1].name


def test_a_failed_build_leaves_nothing(
    tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    definition = tiny_market(FILES)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(written.parquet, "write_table", full)
    with pytest.raises(WriteError, match="the tables cannot be written: No space left on device; earlier ones stay"):
        build_warehouse(definition, tmp_path / "place")
    assert list((tmp_path / "place").iterdir()) == []


def test_a_builder_that_comes_second_takes_what_is_there(
    tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    definition, place = tiny_market(FILES), tmp_path / "place"
    rival = build_warehouse(definition, tmp_path / "rival")
    write = written.write

    def overtaken(climbed: ladder.Ladder, folder: Path) -> None:
        write(climbed, folder)
        shutil.copytree(rival, place / rival.name)

    monkeypatch.setattr(written, "write", overtaken)
    folder = build_warehouse(definition, place)
    assert contents(folder) == contents(rival)
    assert [path.name for path in place.iterdir()] == [rival.name]


def build_it(place: Path) -> str:
    return str(build_warehouse(read_definition("tiny"), place))


def test_processes_that_build_at_once_agree(tiny_market: TinyMarket, tmp_path: Path) -> None:
    tiny_market(FILES)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        folders = pool.map(build_it, [tmp_path / "place"] * 3, chunksize=1)
    assert len(set(folders)) == 1
    assert {path.name for path in (tmp_path / "place").iterdir()} == {Path(folders[0]).name, "imports"}
    assert (tmp_path / "place" / "imports").read_text() == f"{Path(folders[0]).name}\n"
    assert parquet.read_metadata(Path(folders[0]) / "tables" / "leads.parquet").num_rows == 2


def test_the_calendar_comes_from_leads_and_deals(tiny_market: TinyMarket) -> None:
    tiny_market(FILES)
    market = open_warehouse("tiny")
    assert [(period.name, period.running) for period in market.periods] == [
        *(("2024-q1", False), ("2024-q2", False), ("2024-q3", True)),
    ]
    assert market.extracted_on == date(2024, 6, 30)
    assert market.frame("deals")["deal_id"].tolist() == ["D1"]
    assert open_warehouse("tiny") is market


def test_no_warning_while_building(tiny_market: TinyMarket, recwarn: pytest.WarningsRecorder, tmp_path: Path) -> None:
    build_warehouse(tiny_market(FILES), tmp_path / "place")
    assert [str(warning.message) for warning in recwarn if "closedloop" in warning.filename] == []
    assert [str(warning.message) for warning in recwarn if "DB-API" in str(warning.message)] == []


def test_a_fingerprint_covers_the_rows_that_a_view_sees_and_no_others(tiny_market: TinyMarket) -> None:
    early, late = date(2024, 4, 1), date(2024, 7, 1)
    tiny_market(FILES)
    before = {day: open_warehouse("tiny").fingerprint(day) for day in (early, late)}
    later = f"{FILES['deals']}\nD2,2024-05-20,lost,,2024-06-01"
    tiny_market({**FILES, "deals": later})
    after = {day: open_warehouse("tiny").fingerprint(day) for day in (early, late)}
    assert after[early] == before[early], "a deal opened in May changes nothing that was known in April"
    assert after[late] != before[late]
