"""What columns are called, and what they hold: a header alone settles nothing that its values deny."""

from pathlib import Path

import pytest
from closedloop.onboarding.asking import summary
from closedloop.onboarding.look import Look
from closedloop.onboarding.recognise import recognise
from closedloop.validation.checking import WARNING, check

from tests.onboarding.conftest import answered, climbed
from tests.onboarding.test_odd_exports import HEAD, deals, put, rows


def test_deals_without_a_closing_day_are_told_by_both_commands(root: Path) -> None:
    put(root / "exports", rows(), [*HEAD[:3], "Day X", HEAD[4]])
    found = answered(root / "exports")
    assert "the day a deal was closed (without it every deal counts as open)" in summary("ours", found)
    checked = check("ours", lambda _: None)
    assert checked.exit_code == WARNING
    assert "60 of 60 deals that ended have no closing day" in checked.text
    assert "flag, 60 times: deals closed without closed_on" in checked.text


def test_what_is_lost_by_a_missing_day_is_told_as_it_is(root: Path) -> None:
    put(root / "exports", rows(), [*HEAD[:2], "Day X", *HEAD[3:]])
    told = summary("ours", answered(root / "exports"))
    assert "the day a deal was created (how long deals take is not told)" in told
    assert "was closed" not in told


@pytest.mark.parametrize("written", ["2024-05-{:02d}", "{:02d}.05.2024", "05/{:02d}/2024 09:30"])
def test_a_column_called_like_a_flag_may_hold_days(root: Path, written: str) -> None:
    """Of a status beside it, and of a deal that is open, which has none."""
    words = {"Closed Won": "Won", "Closed Lost": "Lost"}
    lines = [[row[0], words.get(row[1], "Open"), row[2], "", row[4]] for row in rows()]
    for i, line in enumerate(lines):
        line[3] = written.format(1 + i % 28) if line[1] != "Open" else ""
    put(root / "exports", lines, ["Deal ID", "Status", "Created", "Closed", "Amount"])
    answered(root / "exports")
    assert deals("count(closed_on), min(closed_on)::varchar") == [(60, "2024-05-01")]


def test_days_of_winning_and_losing_are_no_flags(root: Path) -> None:
    lines = [
        [row[0], row[2], "2024-05-01" if i % 4 == 0 else "", "2024-06-01" if i % 4 == 1 else ""]
        for i, row in enumerate(rows())
    ]
    put(root / "exports", [[*line, ["Won", "Lost", "Open", "Open"][i % 4]] for i, line in enumerate(lines)],
        ["Deal ID", "Created", "Won", "Lost", "Status"])  # fmt: skip
    answered(root / "exports")
    ends = climbed().connection.execute("select distinct outcome, closed_on::varchar from deals order by 1").fetchall()
    assert ends == [("lost", "2024-06-01"), ("open", None), ("won", "2024-05-01")]


def test_when_a_record_was_deleted_is_no_flag() -> None:
    texts = {
        "Deal ID": ["1", "2"],
        "Status": ["Won", "Lost"],
        "Created": ["2024-01-02"] * 2,
        "Deleted": ["2024-03-01", None],
    }
    found = recognise(Look(Path("deals.csv"), "deals", {}, texts))
    assert found is not None and "is_deleted" not in found.columns


def test_a_flag_of_what_was_lost_is_no_day() -> None:
    texts = {"Deal ID": ["1", "2"], "Status": ["Won", "Lost"], "Created": ["2024-01-02"] * 2, "Lost": ["no", "yes"]}
    found = recognise(Look(Path("deals.csv"), "deals", {}, texts))
    assert found is not None and "lost_on" not in found.columns
