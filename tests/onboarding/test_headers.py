"""What columns are called, and what they hold: a header alone settles nothing that its values deny."""

from pathlib import Path

from closedloop.onboarding.asking import summary
from closedloop.validation.checking import WARNING, check

from tests.onboarding.conftest import answered
from tests.onboarding.test_odd_exports import HEAD, put, rows


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
