"""Gaps of fields that depend on the outcome."""

import numpy as np
import pandas as pd
from closedloop.statistics.recording import recorded_shares


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
