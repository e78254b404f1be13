"""Workbooks: each sheet is looked at, and headers stand where they stand."""

from pathlib import Path

import openpyxl
import pytest
from closedloop.errors import SourceError
from closedloop.onboarding.asking import summary

from tests.onboarding.conftest import answered, begun, climbed
from tests.onboarding.test_odd_exports import HEAD, deals, rows

CONTACTS = ["Contact ID", "Email", "Create Date", "Lifecycle Stage"]


def save(root: Path, **sheets: list[list[str | None]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, lines in sheets.items():
        page = book.create_sheet(name)
        for line in lines:
            page.append(line)
    book.save(root / "exports/export.xlsx")


def test_deals_on_a_smaller_sheet_are_found_and_the_others_named(root: Path) -> None:
    contacts = [[str(i), f"c{i}@example.com", "2024-01-05", "marketingqualifiedlead"] for i in range(500)]
    save(root, Cover=[["Summary"], ["Made by hand"]], Deals=[HEAD, *rows()], People=[CONTACTS, *contacts], Empty=[])
    told = summary("ours", answered(root / "exports"))
    assert "export.xlsx, sheet Deals: deals, 120 records" in told
    assert "export.xlsx, sheet People: leads, 500 records" in told
    assert "export.xlsx, sheet Cover: not used; its columns are Summary" in told
    statuses = climbed().connection.execute("select distinct status from leads").fetchall()
    assert (deals(), statuses) == ([(120,)], [("marketing_qualified",)])


def test_of_two_sheets_of_deals_the_one_that_is_not_read_is_named(root: Path) -> None:
    save(root, Now=[HEAD, *rows()], Before=[HEAD, *rows(40)])
    told = summary("ours", answered(root / "exports"))
    assert "sheet Now: deals, 120 records" in told and "sheet Before: not used" in told


def test_a_workbook_without_a_table_is_refused(root: Path) -> None:
    save(root, One=[], Two=[])
    with pytest.raises(SourceError, match=r"export\.xlsx holds no table in any of its sheets: One, Two"):
        begun(root / "exports")


def test_headings_of_groups_of_columns_are_no_header(root: Path) -> None:
    save(root, Deals=[["Deal", None, "Dates", None, "Money"], HEAD, *rows()])
    answered(root / "exports")
    assert deals("count(*), count(closed_on), count(won_amount)") == [(120, 60, 30)]


def test_a_column_without_a_name_makes_no_header_of_a_record(root: Path) -> None:
    lines = [[row[0], row[1], f"note {i}", row[2]] for i, row in enumerate(rows())]
    for head, cells in (
        (["Deal ID", "Stage", None, "Created Date"], lines),
        (["Deal ID", "Stage", None, "Lead Source"], [[*line[:2], "a", "b"] for line in lines]),
    ):
        save(root, Deals=[head, *cells])
        found = answered(root / "exports", market=f"own-{len(head[3] or '')}")
        assert [one.look.n_rows for one in found.exports] == [120]


def test_the_name_of_a_sheet_tells_what_it_holds(root: Path) -> None:
    answers = [[str(1 + i % 5), "NS"[i % 2], f"2024-03-{1 + i % 28:02d}"] for i in range(60)]
    save(root, Deals=[HEAD, *rows()], Survey=[["Rating", "Branch", "End Date", "Response ID"],
                                              *([*row, f"R{i}"] for i, row in enumerate(answers))])  # fmt: skip
    told = summary("ours", answered(root / "exports"))
    assert "export.xlsx, sheet Survey: respondents, 60 records" in told
