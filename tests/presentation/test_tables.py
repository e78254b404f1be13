"""Tables: labelled, with units, escaped, cut; and CSV files that no spreadsheet executes."""

import csv
import io

import pandas as pd
import pytest
from closedloop.period.store import as_csv
from closedloop.presentation.tables import table

from tests.documents.ledger import HOSTILE, words

FRAME = pd.DataFrame(
    {
        "channel": ["search", None],
        "n_leads": [1234, 0],
        "spent_amount": [9876.0, float("nan")],
        "accepted_rate": [0.5, float("nan")],
        "median_days": [2.5, float("nan")],
        "is_kept": [True, False],
        "created_on": pd.to_datetime(["2025-01-02", None]),
    }
)
HEADINGS = {name: name for name in FRAME.columns}


def test_units_come_from_the_names_and_missing_stays_missing() -> None:
    shown = table(FRAME, HEADINGS, words())
    plain = [tuple(cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row) for row in shown.rows]
    assert plain == [
        ("search", "1,234", "EUR 9,880", "50 %", "2.5 days", "yes", "2025-01-02"),
        ("–", "0", "–", "–", "–", "no", "–"),
    ]


def test_long_tables_are_cut_and_say_so() -> None:
    shown = table(pd.DataFrame({"n": range(20)}), {"n": "n"}, words(), limit=12)
    assert len(shown.rows) == 12
    assert "8 more rows are in the stored table." in shown._repr_html_()


def test_headers_have_a_scope_and_hostile_cells_are_text() -> None:
    html = table(pd.DataFrame({"channel": [HOSTILE], "topic": [HOSTILE]}), {"channel": HOSTILE, "topic": "t"}, words())
    text = html._repr_html_()
    assert "<img" not in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3
    assert 'scope="col"' in text
    assert 'scope="row"' in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
def test_a_text_that_would_be_a_formula_is_neutralised_and_numbers_are_not(start: str) -> None:
    frame = pd.DataFrame({"text": [f"{start}cmd|' /C calc'!A0"], "effect": [-0.25], "n": [-3]})
    row = next(csv.DictReader(io.StringIO(as_csv(frame), newline="")))
    assert row["text"] == f"'{start}cmd|' /C calc'!A0".replace("\r", " ")
    assert (row["effect"], row["n"]) == ("-0.25", "-3")


def test_plain_text_and_missing_cells_stay_as_they_are() -> None:
    assert as_csv(pd.DataFrame({"a": ["kept", None], "b": [1.5, None]})) == "a,b\nkept,1.5\n,\n"
