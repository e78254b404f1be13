"""Gaps of fields that depend on the outcome."""

import numpy as np
import pandas as pd
import pytest
from closedloop.statistics.recording import FEW_RECORDED, FILLED, recorded_shares, unfit


def test_gaps_that_depend_on_the_outcome_are_found_inside_the_periods():
    """One field lacks half of the lost deals in both periods; one lacks any half in the period that wins less."""
    hit = pd.Series(([True] * 60 + [False] * 40 + [True] * 20 + [False] * 80) * 2)
    strata = pd.Series((["q1"] * 100 + ["q2"] * 100) * 2)
    turn = np.arange(400) % 2 == 0
    frame = pd.DataFrame({"full": "x", "by_outcome": "x", "by_period": "x"}, index=hit.index)
    frame.loc[~hit & turn, "by_outcome"] = None
    frame.loc[(strata == "q2") & turn, "by_period"] = None
    looks = recorded_shares(frame, hit, strata).set_index("field")
    assert looks.index.tolist() == ["by_outcome", "by_period"]
    assert looks.loc["by_outcome", ["estimate", "baseline"]].tolist() == [1.0, 0.5]
    assert looks.loc["by_outcome", "p"] < 1e-6
    assert looks.loc["by_period", "effect"] > 0.2 and looks.loc["by_period", "p"] > 0.9


@pytest.mark.parametrize(
    ("k", "n", "won", "total", "reason"),
    [
        (2, 100, 500, 1_000, FILLED),  # where half are won, two of a hundred tell that it was filled for lost ones
        (98, 100, 500, 1_000, FILLED),
        (10, 100, 500, 1_000, ""),
        (380, 10_000, 480, 10_000, ""),  # where 5 % are won, 4 % are nothing unusual
        (20, 10_000, 480, 10_000, FILLED),  # but a twentieth of them is
        (980, 1_000, 480, 10_000, FILLED),
        (2, 100, 5, 1_000, FEW_RECORDED),
    ],
)
def test_one_sided_is_what_is_so_beside_how_many_are_usual(k: int, n: int, won: int, total: int, reason: str) -> None:
    found = unfit(np.array([k]), np.array([n]), np.array([1e-6]), won, total, 10, True)
    assert found.tolist() == [reason]
    if reason != FEW_RECORDED:
        assert unfit(np.array([k]), np.array([n]), np.array([1e-6]), won, total, 10, False).tolist() == [""]
