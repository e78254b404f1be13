"""The table of figures: a bar that can fail, room for small runs only, and no figure without a test."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.bench.validity import BY_KEY, FIGURES, Figure, measured, missed, passed, table

BAR = Figure("any", "anything", 5, 0.87, 0.93)


@pytest.mark.parametrize(("value", "holds"), [(0.87, True), (0.93, True), (0.8699, False), (0.9301, False)])
def test_a_bar_holds_its_ends_and_nothing_beyond(value: float, holds: bool) -> None:
    assert BAR.holds(value) is holds


def test_a_missing_value_reaches_no_bar() -> None:
    assert not BAR.holds(np.nan)
    assert not BAR.holds(np.nan, slack=np.nan)
    assert not Figure("any", "information", 5).holds(np.nan)


def test_bars_are_told_as_they_are_checked() -> None:
    shown = [BAR.bar, Figure("a", "", 1, low=0.5).bar, Figure("a", "", 1, high=0, shown=".0f").bar]
    assert shown == ["0.870 to 0.930", ">= 0.500", "<= 0"]
    assert Figure("a", "", 1, low=1, high=1, shown=".0f").bar == "= 1"
    assert Figure("a", "", 1).bar == "-"


def test_only_small_simulations_are_given_room() -> None:
    """Of 100 runs 12 with a claim: .12 with a standard error of root(.12 x .88 / 100)."""
    runs = [True] * 12 + [False] * 88
    small = measured("null-rates", runs, n=None, is_full=False)
    assert small["slack"] == pytest.approx(2 * np.sqrt(0.12 * 0.88 / 100))
    assert missed(small) == ""
    assert passed(small) == "within error"
    full = measured("null-rates", runs, n=None, is_full=True)
    assert "is 0.120; the bar is <= 0.100" in missed(full)
    assert passed(full) == "NO"
    assert measured("bank-auc", 0.7, n=8238, is_full=False)["slack"] == 0.0


def test_the_table_names_what_nobody_measured_and_shows_the_larger_run() -> None:
    runs = [measured("fdr-10", [0.0] * n + [1.0], n=None, is_full=True) for n in (999, 9)]
    lines = table([*runs, measured("bank-auc", 0.771, n=8238, is_full=True)])
    assert re.search(r"^fdr-10 .* 0\.001 +<= 0\.100 +1,000 +yes$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^bank-auc .* 0\.771 +>= 0\.765 +8,238 +yes$", "\n".join(lines), re.MULTILINE)
    absent = lines[-1].removeprefix("not measured in this run: ").split(", ")
    assert sorted(absent) == sorted(set(BY_KEY) - {"fdr-10", "bank-auc"})


def test_every_figure_has_its_own_key_and_a_test_that_measures_it() -> None:
    assert len(BY_KEY) == len(FIGURES)
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("*/test_*.py"))
    told = [re.escape(literal) for literal in re.findall(r'validity\(\s*f?"([^"]+)"', source)]
    patterns = [re.sub(r"\\\{.*?\\\}", ".+", literal) for literal in told]
    unmeasured = [key for key in BY_KEY if not any(re.fullmatch(pattern, key) for pattern in patterns)]
    assert unmeasured == []
