"""Lines of a file: header, records, set aside, blank; they add up, whatever was done to the file."""

import pytest
from closedloop.errors import SourceError
from closedloop.market.reading.lines import AFTER_QUOTE, AGAIN, FOOTER, TOTAL, UNCLOSED, UNFIT, Records, split
from hypothesis import given
from hypothesis import strategies as st

HEAD = "id,source,stage,amount"
ROWS = [f"D{i},web,won,{i}00.00" for i in range(1, 9)]


def read(*lines: str, skip: int = 0, header_lines: int = 1, delimiter: str = ",") -> Records:
    return split("\n".join(lines) + "\n", delimiter, '"', skip, "deals.csv", "[sources.deals]", header_lines)


def aside(found: Records) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in found.aside]


def test_every_line_has_its_place() -> None:
    found = read(
        HEAD,
        ROWS[0],
        "",
        'D2,"two\nlines",won,1',
        ",,,",
        "D3,web",
        ROWS[3],
        HEAD,
        "Total,,,1200.50",
        "",
        "Made by R",
        "© R",
    )
    assert [row[0] for row in found.rows] == ["D1", "D2", "D4"]
    assert found.lines == [2, 4, 8]
    assert aside(found) == [(7, UNFIT), (9, AGAIN), (10, TOTAL), (12, FOOTER), (13, FOOTER)]
    assert (found.n_lines, found.n_header, found.n_kept, found.n_blank) == (13, 1, 4, 3)


def test_a_customer_called_total_is_no_row_of_sums() -> None:
    head = "account,deal_id,created_on,stage,amount,owner,closed_on,reason"
    found = read(head, "Total,D1,2024-01-05,demo,,,,", "Total,,,,EUR 1 200.50,,,", "Total (30 deals),,,,1200,,,")
    assert [row[1] for row in found.rows] == ["D1", None]
    assert aside(found) == [(3, TOTAL)]


def test_an_export_behind_another_one_brings_its_mark_along() -> None:
    found = read(HEAD, ROWS[0], "\ufeff" + HEAD, ROWS[1])
    assert [row[0] for row in found.rows] == ["D1", "D2"]
    assert aside(found) == [(3, AGAIN)]


@pytest.mark.parametrize("column", [0, 1, 3])
def test_one_stray_quote_costs_one_line(column: int) -> None:
    cells = ROWS[2].split(",")
    cells[column] = f'"{cells[column]}'
    found = read(HEAD, *ROWS[:2], ",".join(cells), *ROWS[3:])
    assert aside(found) == [(4, UNCLOSED)]
    assert [row[0] for row in found.rows] == ["D1", "D2", *(f"D{i}" for i in range(4, 9))]


def test_two_stray_quotes_cost_two_lines() -> None:
    lines = [*ROWS[:2], 'D3,"web,won,300.00', *ROWS[3:5], 'D6,"web,won,600.00', *ROWS[6:]]
    found = read(HEAD, *lines)
    assert [line for line, _ in aside(found)] == [4, 7]
    assert len(found.rows) == 6


def test_text_behind_a_closing_quote_is_no_other_value() -> None:
    assert aside(read(HEAD, 'D1,"we"b,won,1', ROWS[1])) == [(2, AFTER_QUOTE)]


def test_empty_cells_are_nothing() -> None:
    assert read(HEAD, 'D1,"",  ,1').rows == [["D1", None, None, "1"]]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["Report: Pipeline", HEAD, *ROWS], r"first line 'Report: Pipeline' has 1 field, .* skip_lines = 1 under \[so"),
        (["sep=;", HEAD.replace(",", ";")], r"first line says 'sep=;'; write delimiter = ';' under \[sources.deals\]"),
        (
            [HEAD.replace(",", ";"), *(row.replace(",", ";") for row in ROWS)],
            r"not divided by ','; write delimiter = ';'",
        ),
        (["", HEAD], "is empty; its first line must be the header; .* skip_lines"),
    ],
)
def test_what_is_no_header_is_named_with_the_setting(lines: list[str], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read(*lines)


def test_lines_above_the_header_and_a_line_for_spreadsheets_are_understood() -> None:
    found = read("Report", "of today", HEAD, *ROWS, skip=2)
    assert (found.n_header, found.lines[0], len(found.rows)) == (3, 4, 8)
    assert len(read("sep=,", HEAD, *ROWS).rows) == 8


def test_a_survey_has_two_lines_of_header() -> None:
    found = read(
        "Respondent ID,Which do you use?,,Why?", ",Web,Phone,Open-Ended Response", "1,x,,since", header_lines=2
    )
    assert found.header == ["Respondent ID", "Which do you use?: Web", "Which do you use?: Phone", "Why?"]
    assert found.rows == [["1", "x", None, "since"]]


@given(st.lists(st.text('ab,"\n;\t ', max_size=20), max_size=12))
def test_lines_add_up_whatever_they_hold(texts: list[str]) -> None:
    text = "\n".join([HEAD, *texts])
    found = split(text, ",", '"', 0, "deals.csv", "[sources.deals]")
    n_lines = text.count("\n") + (not text.endswith("\n"))
    assert found.n_lines == n_lines == found.n_header + found.n_kept + found.n_blank + len(found.aside)
    assert all(len(row) == 4 for row in found.rows)
    assert found.lines == sorted(set(found.lines)) and not set(found.lines) & {line for line, _ in aside(found)}
