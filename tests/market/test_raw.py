"""Sources as they come: containers, encodings, columns with a declared type, blanks, names of columns."""

import gzip
import io
import os
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from closedloop.errors import ClosedLoopError, DefinitionError, SourceError
from closedloop.market.definition import Definition
from closedloop.market.reading import containers
from closedloop.market.staging.ladder import Ladder

from .conftest import HEAD, TinyMarket

TEXT = "id,opened,paid\nD1,2024-01-02,12.50\nD2,2024-01-03,\n"
SELECT = "select id as deal_id, opened as created_on, 'won' as outcome, paid as won_amount from raw.deals"
TYPED = '[sources.deals.columns]\nopened = "date"\npaid = "amount"\n'


def climb(definition: Definition) -> Ladder:
    ladder = Ladder(definition)
    ladder.climb()
    return ladder


def cells(ladder: Ladder, query: str) -> list[tuple[Any, ...]]:
    return ladder.connection.execute(query).fetchall()


def done(ladder: Ladder) -> list[tuple[str, str, str]]:
    return [(action["column"], action["reason"], action["lines"]) for action in ladder.actions]


def sheet(rows: list[list[Any]], *, more_sheets: int = 0) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    for i in range(more_sheets):
        book.create_sheet(f"more {i}")
    book.save(file)
    return file.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    return bytes(frame.to_parquet(index=False))


ROWS = [["id", "opened", "paid"], ["D1", datetime(2024, 1, 2), 12.5], ["D2", date(2024, 1, 3), None]]
FRAME = pd.DataFrame({"id": ["D1", "D2"], "opened": pd.to_datetime(["2024-01-02", "2024-01-03"]), "paid": [12.5, None]})


@pytest.mark.parametrize(
    ("content", "more"),
    [
        (TEXT.encode(), ""),
        (gzip.compress(TEXT.encode(), mtime=0), ""),
        (TEXT.encode("utf-16"), 'encoding = "utf-16"\n'),
        (("sep=,\r\n" + TEXT.replace("\n", "\r\n")).encode(), ""),
        (sheet(ROWS), ""),
        (sheet([["of today"], [], *ROWS], more_sheets=1), 'sheet = "Sheet"\nskip_lines = 2\n'),
        (parquet(FRAME), ""),
    ],
    ids=["text", "gzip", "UTF-16", "sep", "workbook", "workbook of sheets", "Parquet"],
)
def test_the_same_table_in_every_container(tiny_market: TinyMarket, content: bytes, more: str) -> None:
    ladder = climb(tiny_market({"deals": content}, {"deals": SELECT}, more=f"{more}{TYPED}"))
    found = cells(ladder, "select deal_id, created_on::varchar, won_amount::varchar from deals order by 1")
    assert found == [("D1", "2024-01-02", "12.50"), ("D2", "2024-01-03", None)]
    counts = ladder.raw.counts["deals"]
    assert counts["n_lines"] == sum(n for name, n in counts.items() if name != "n_lines")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("deals.csv", TEXT)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (TEXT.encode("utf-16"), r'deals\.csv is UTF-16 text; write encoding = "utf-16" under \[sources\.deals\]'),
        (TEXT.encode("utf-16-le"), r'UTF-16 text; write encoding = "utf-16-le"'),
        (zipped(), r"deals\.csv is a zip archive; write member = .*; it holds deals\.csv"),
        (sheet(ROWS, more_sheets=2), r"several sheets: Sheet, more 0, more 1; write sheet ="),
        (sheet(ROWS)[:-200], "an Excel workbook that cannot be opened"),
        (parquet(FRAME)[:-20], "a Parquet file that cannot be opened"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "a gzip file that cannot be unpacked"),
        (
            b"\xd0\xcf\x11\xe0" + b"\0" * 600,
            r"an old Excel workbook \(or a workbook with a password\); save it as \.xlsx",
        ),
        (b"%PDF-1.7", "a PDF; export the report as CSV"),
        (b"\n<!DOCTYPE html><html>", "a web page, perhaps a login"),
    ],
)
def test_what_is_no_table_is_named_with_what_to_do(tiny_market: TinyMarket, content: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        climb(tiny_market({"deals": content}, {"deals": SELECT}, more=TYPED))


def test_a_gzip_bomb_is_refused(tiny_market: TinyMarket) -> None:
    with pytest.raises(SourceError, match="would unpack to more than"):
        climb(tiny_market({"deals": gzip.compress(b"0" * 30_000_000)}, {"deals": SELECT}))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(TEXT)
    real = Path.read_bytes

    def slowly(self: Path) -> bytes:
        found = real(self)
        self.write_text(TEXT + "D3,2024-01-04,1\n")
        os.utime(self, ns=(1, 1))
        return found

    monkeypatch.setattr(Path, "read_bytes", slowly)
    with pytest.raises(SourceError, match="changed while it was read"):
        containers.content_of(path)


def test_a_locked_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(TEXT)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SourceError, match=r"deals\.csv cannot be read: Permission denied"):
        containers.content_of(path)


def test_a_declared_column_holds_values_and_its_text_stands_beside_it(tiny_market: TinyMarket) -> None:
    text = "id,opened,paid\nD1,03/04/2024,1.234\nD2,13/04/2024,soon\nD3,n/a,\n"
    more = f'decimal = ","\ndates = "DMY"\nblanks = ["N/A"]\n{TYPED}'
    select = SELECT.replace(
        "from", ', "opened (as written)" as opened_text, "paid (as written)" as paid_text, line as n_line from'
    )
    ladder = climb(tiny_market({"deals": text.encode()}, {"deals": select}, more=more))
    query = (
        "select created_on::varchar, won_amount::varchar, opened_text, paid_text, n_line from deals order by deal_id"
    )
    assert cells(ladder, query) == [
        ("2024-04-03", "1234.00", "03/04/2024", "1.234", 2),
        ("2024-04-13", None, "13/04/2024", "soon", 3),
        (None, None, None, None, 4),
    ]
    assert ("paid", "unreadable as an amount", "3") in done(ladder)


def test_without_declaration_only_the_declared_source_reads_its_own_way(tiny_market: TinyMarket) -> None:
    readings = "as_date(opened) as created_on, as_amount(paid) as won_amount"
    select = f"select id as deal_id, 'won' as outcome, {readings} from raw.deals"
    text = b"id,opened,paid\nD1,03/04/2024,1.234\n"
    told = climb(tiny_market({"deals": text}, {"deals": select}, more='decimal = ","\ndates = "DMY"\n'))
    assert cells(told, "select created_on::varchar, won_amount::varchar from deals") == [("2024-04-03", "1234.00")]
    untold = climb(tiny_market({"deals": text}, {"deals": select}))
    assert cells(untold, "select created_on, won_amount from deals") == [(None, None)]
    reasons = {action["reason"]: action["mend"] for action in untold.actions}
    assert reasons["unreadable as an amount: it can be read in two ways"] == "write decimal under [sources.deals]"
    assert reasons["unreadable as a date: it can be read in two ways"] == "write dates under [sources.deals]"


def test_one_select_of_two_offices_asks_for_types(tiny_market: TinyMarket) -> None:
    files: dict[str, str | bytes] = {"deals": b"id,paid\nD1,1.234\n", "more": b"id,paid\nD1,1.234\n"}
    joined = "raw.deals d join raw.more m using (id)"
    select = f"select d.id as deal_id, 'won' as outcome, as_amount(m.paid) as won_amount from {joined}"
    definition = tiny_market(files, {"deals": select, "more": "select 1"})
    (definition.folder / "more.sql").unlink()
    sources = {
        name: definition.sources[name].model_copy(update={"decimal": mark})
        for name, mark in (("deals", ","), ("more", "."))
    }
    with pytest.raises(DefinitionError, match=r"deals\.sql: it reads deals, more, which are written in different ways"):
        climb(definition.model_copy(update={"sources": sources}))


def test_a_column_that_is_gone_is_named(tiny_market: TinyMarket) -> None:
    with pytest.raises(
        DefinitionError, match=r"\[sources\.deals\] in .*: 'closed' is no column of deals\.csv; it has id, op"
    ):
        climb(tiny_market({"deals": TEXT.encode()}, {"deals": SELECT}, more=f'{TYPED}closed = "date"\n'))


def test_columns_of_one_name_are_told_apart(tiny_market: TinyMarket) -> None:
    text = "id,Owner,owner,line\nL1,a,b,c\n"
    select = 'select id as lead_id, "Owner" as o, "owner (2)" as p, "line (2)" as q from raw.leads'
    ladder = climb(tiny_market({"leads": text.encode()}, {"leads": select}))
    assert cells(ladder, "select o, p, q from leads") == [("a", "b", "c")]
    assert [reason for _, reason, _ in done(ladder)] == [
        "column 'owner' is there twice in the header; this one is read as 'owner (2)'",
        "column 'line' is a name of ours; this one is read as 'line (2)'",
    ]


def test_a_grouped_report_is_named_and_filled_down(tiny_market: TinyMarket) -> None:
    rows = [f"D{i},{'Fair' if i == 0 else 'Web' if i == 6 else ''}" for i in range(12)]
    text = "\n".join(["id,source", *rows])
    select = "select id as lead_id, source as channel from raw.leads"
    ladder = climb(tiny_market({"leads": text.encode()}, {"leads": select}))
    (action,) = ladder.actions
    assert action["column"] == "source" and 'write fill_down = ["source"] under [sources.leads]' in action["mend"]
    filled = climb(tiny_market({"leads": text.encode()}, {"leads": select}, more='fill_down = ["source"]\n'))
    assert cells(filled, "select channel, count(*) from leads group by 1 order by 1") == [("Fair", 6), ("Web", 6)]
    assert filled.actions == []


@pytest.mark.parametrize(
    ("filled", "n", "is_grouped"),
    [
        ({0: "Web", 9: "Fair"}, 10, False),  # the second would be a group of one row
        ({0: "Fair", 2: "Web"}, 40, False),
        ({0: "Fair", 19: "Mail", 39: "Web"}, 40, False),
        ({0: "Fair", 12: "Mail", 20: "Web"}, 40, True),
        ({0: "a", 6: "b", 7: "c", 14: "d", 20: "e"}, 21, True),  # groups of one row beside larger ones
        ({0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}, 21, False),
    ],
)
def test_a_column_that_is_nearly_empty_is_no_group(
    tiny_market: TinyMarket, filled: dict[int, str], n: int, is_grouped: bool
) -> None:
    text = "\n".join(["id,source", *(f"D{i},{filled.get(i, '')}" for i in range(n))])
    select = "select id as lead_id, source as channel from raw.leads"
    ladder = climb(tiny_market({"leads": text.encode()}, {"leads": select}))
    assert [action["column"] for action in ladder.actions] == ["source"] * is_grouped


@pytest.mark.parametrize("machine", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_utc_time_falls_on_the_markets_day_on_every_machine(
    tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setenv("TZ", machine)
    text = "id,opened\nD1,2024-04-01T01:09:44Z\n"
    head = HEAD.replace('clock = "day"', 'clock = "day"\ntimezone = "America/Phoenix"')
    for reading, more in (
        ("opened::timestamptz::date", ""),
        ("as_date(opened)", ""),
        ("opened::date", '[sources.deals.columns]\nopened = "time"\n'),
    ):
        select = f"select id as deal_id, {reading} as created_on, 'open' as outcome from raw.deals"
        ladder = climb(tiny_market({"deals": text.encode()}, {"deals": select}, more=more, head=head))
        assert cells(ladder, "select created_on from deals") == [(date(2024, 3, 31),)]


def test_codes_do_not_depend_on_who_else_there_is(tiny_market: TinyMarket) -> None:
    select = "select id as lead_id, as_code(owner) as rep_id from raw.leads"
    one = climb(tiny_market({"leads": b"id,owner\nL1,Kim\n"}, {"leads": select}))
    two = climb(tiny_market({"leads": b"id,owner\nL0,Ann\nL1,Kim\n"}, {"leads": select}))
    kim = "select rep_id from leads where lead_id = 'L1'"
    assert cells(one, kim) == cells(two, kim)
    assert "Kim" not in str(cells(one, kim))
    definition = tiny_market({"leads": b"id,owner\nL1,Kim\n"}, {"leads": select})
    (definition.folder / "key").write_text("another secret")
    assert cells(climb(definition), kim) != cells(one, kim)


def test_the_last_file_of_a_pattern_is_read(tiny_market: TinyMarket, tmp_path: Path) -> None:
    for number in (2, 9, 10):
        (tmp_path / f"deals-{number}.csv").write_text(f"id,opened,paid\nD{number},2024-01-02,1\n")
    definition = tiny_market({"deals": TEXT.encode()}, {"deals": SELECT}, more=TYPED)
    source = definition.sources["deals"].model_copy(update={"file": "", "path": str(tmp_path / "deals-*.csv")})
    assert cells(climb(definition.model_copy(update={"sources": {"deals": source}})), "select deal_id from deals") == [
        ("D10",)
    ]
    gone = source.model_copy(update={"path": str(tmp_path / "leads-*.csv")})
    with pytest.raises(ClosedLoopError, match=r"leads-\*\.csv does not exist; sources\.deals\.path in"):
        climb(definition.model_copy(update={"sources": {"deals": gone}}))
