"""Crossed groups: reps are not blamed for their segments, and one column alone agrees with shrunk rates."""

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.logistic_regression import shrink_crossed
from closedloop.statistics.proportions import shrink_rates
from scipy.special import logit


@pytest.fixture(scope="module")
def confounded():
    """Segment a is won 50 %, b 20 %; rep x works mostly a, rep y mostly b, and neither matters."""
    cells = [("x", "a", 200, 400), ("x", "b", 20, 100), ("y", "a", 50, 100), ("y", "b", 80, 400)]
    rows = [(rep, seg, i < k) for rep, seg, k, n in cells for i in range(n)]
    return pd.DataFrame(rows, columns=["rep", "segment", "won"])


def test_crossed_effects_clear_the_rep_and_keep_the_segment(confounded):
    table = shrink_crossed(confounded["won"], confounded[["rep", "segment"]]).set_index(["column", "level"])
    crude = confounded.groupby("rep")["won"].mean()
    assert crude["x"] - crude["y"] == pytest.approx(0.18)
    assert table["points"]["rep"].abs().max() < 0.01
    assert table.loc[("segment", "a"), "points_low"] > 0.10
    assert table.loc[("segment", "b"), "points_high"] < -0.10
    assert table["n"]["rep"].tolist() == [500, 500]


def test_marginal_points_are_the_change_of_the_overall_rate(confounded):
    """Everybody in segment a would be won about half of the time; over all it is 35 %."""
    table = shrink_crossed(confounded["won"], confounded[["rep", "segment"]]).set_index(["column", "level"])
    assert table.loc[("segment", "a"), "points"] == pytest.approx(0.15, abs=0.01)
    assert table.loc[("segment", "b"), "points"] == pytest.approx(-0.15, abs=0.01)


def test_one_column_agrees_with_shrunk_rates():
    k, n = np.array([20, 90, 130, 60, 15]), np.array([100, 200, 300, 220, 40])
    levels = np.repeat(list("abcde"), n)
    won = np.concatenate([np.arange(size) < hits for hits, size in zip(k, n, strict=True)])
    table = shrink_crossed(won, pd.DataFrame({"level": levels}))
    rates = k.sum() / n.sum() + table["points"].to_numpy()
    shrunk = shrink_rates(k, n)
    assert rates == pytest.approx(shrunk.mean, abs=0.015)
    width = (table["points_high"] - table["points_low"]).to_numpy()
    assert width == pytest.approx(shrunk.high - shrunk.low, abs=0.04)


def test_log_odds_and_points_tell_the_same_story(confounded):
    """With one column the marginal rate of a level is its own: their logits differ as the log-odds do."""
    table = shrink_crossed(confounded["won"], confounded[["segment"]])
    rates = 0.35 + table["points"]
    assert logit(rates[0]) - logit(rates[1]) == pytest.approx(table["log_odds"][0] - table["log_odds"][1], abs=1e-3)


def test_missing_levels_are_a_level_and_all_won_does_not_fail():
    groups = pd.DataFrame({"rep": ["a", None, "b", "a", None]})
    table = shrink_crossed([1, 1, 1, 1, 1], groups)
    assert table["level"].tolist() == ["a", "b", "missing"]
    assert table["n"].tolist() == [2, 1, 2]
    assert table["points"].abs().max() < 0.1


def test_nothing_to_fit_gives_no_rows_and_unequal_lengths_are_refused():
    assert len(shrink_crossed([], pd.DataFrame({"rep": []}))) == 0
    assert len(shrink_crossed([1, 0], pd.DataFrame(index=[0, 1]))) == 0
    with pytest.raises(ParameterError, match="found 1 outcomes for 2 rows"):
        shrink_crossed([1], pd.DataFrame({"rep": ["a", "b"]}))
