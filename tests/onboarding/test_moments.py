"""When a column is known is learned from deals before the first period and from young ones, and from no others."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop.market.definition import read_definition
from closedloop.market.periods import _first
from closedloop.onboarding.moments import moments

from tests.onboarding.conftest import answered, climbed

ENDS = ["won", "lost", "won", "lost", "lost"]


def deals(n_early: int, n_later: int, n_young: int) -> pd.DataFrame:
    """Deals before the first period, in the periods, and young open ones."""
    parts = [("early", "2022-01-01", n_early), ("later", "2023-01-01", n_later), ("young", "2024-05-01", n_young)]
    frames = [
        pd.DataFrame({"part": part, "created_on": pd.Timestamp(day), "place": range(n)}) for part, day, n in parts
    ]
    found = pd.concat(frames, ignore_index=True)
    found["outcome"] = [ENDS[place % 5] if part != "young" else "open"
                        for part, place in zip(found["part"], found["place"], strict=True)]  # fmt: skip
    return found.assign(is_young=found["part"] == "young", is_early=found["part"] == "early")


def proposed(cells: pd.Series, of: pd.DataFrame) -> tuple[str, bool]:
    (found,) = moments("deals", pd.DataFrame({"Plan": cells}), {"Plan": "text"}, of, on_deals=True)
    return found.known, found.is_safe


def test_what_counted_deals_came_to_moves_no_guess() -> None:
    of = deals(300, 600, 60)
    plan = pd.Series([["A", "B", "C"][place % 3] for place in of["place"]], dtype=object)
    assert proposed(plan, of) == ("creation", True)
    leak = plan.where(of["part"] != "later", of["outcome"].map({"won": "A", "lost": "B"}))
    assert proposed(leak, of) == ("creation", True)
    early_leak = plan.where(of["part"] != "early", of["outcome"].map({"won": "A", "lost": "B"}))
    assert proposed(early_leak, of) == ("", False)


@pytest.mark.parametrize(("n_early", "known"), [(29, ""), (90, "creation")])
def test_with_too_few_deals_before_the_first_period_nothing_is_shown(n_early: int, known: str) -> None:
    of = deals(n_early, 600, 60)
    plan = pd.Series([["A", "B", "C"][place % 3] for place in of["place"]], dtype=object)
    assert proposed(plan, of)[0] == known


def test_deals_before_the_first_period_are_counted_as_market_toml_has_it(root: Path) -> None:
    lines = [
        f"D{i:03d},{['Closed Won', 'Closed Lost', 'Proposal'][i % 3]},{2022 + i % 3}-{1 + i % 11:02d}-03,"
        f"{2022 + i % 3}-{2 + i % 11:02d}-11,{1000 + i}.50,{'ABC'[i % 7 % 3]}"
        for i in range(600)
    ]
    head = "Deal ID,Stage,Created Date,Close Date,Amount,Plan"
    (root / "exports/deals.csv").write_text("\n".join([head, *lines, ""]))
    found = answered(root / "exports")
    (row,) = [row for row in found.answers["known"].rows if row["column"] == "Plan"]
    ladder = climbed()
    start = _first(read_definition("ours")).start
    (n_early,) = (
        ladder.connection.execute(f"select count(*) from deals where created_on < date '{start}'").fetchone() or ()
    )
    assert 0 < n_early < 600 and f"and {n_early} before the first period" in row["why"], row["why"]
