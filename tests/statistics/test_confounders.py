"""Adjusted differences: the kidney stone table, hand-worked weights, statsmodels as oracle, and reversals."""

import itertools

import numpy as np
import pandas as pd
import pytest
from closedloop.statistics.stratified import adjusted_difference
from hypothesis import given
from hypothesis import strategies as st

from .simulated import adjusted_of, runs


def _stones(times=1):
    """Charig et al. (1986), BMJ 292: open surgery (group) is worse over all, better inside both strata."""
    return pd.DataFrame(
        {
            "group": [True, False, True, False],
            "stratum": ["small", "small", "large", "large"],
            "k": [81 * times, 234 * times, 192 * times, 55 * times],
            "n": [87 * times, 270 * times, 263 * times, 80 * times],
        }
    )


def test_the_kidney_stone_table_by_hand():
    """Crude 273/350 - 289/350. Weights 87 x 270 / 357 and 263 x 80 / 343."""
    found = adjusted_of(_stones())
    weights = np.array([87 * 270 / 357, 263 * 80 / 343])
    differences = np.array([81 / 87 - 234 / 270, 192 / 263 - 55 / 80])
    assert found.crude == pytest.approx(-16 / 350)
    assert found.adjusted == pytest.approx(weights @ differences / weights.sum())
    assert found.adjusted == pytest.approx(0.0538, abs=5e-5)
    assert found.n == 700
    assert found.turns == "maybe", "700 cases do not surely support the other direction"


@given(st.integers(0, 2**32 - 1))
def test_the_adjusted_difference_is_that_of_regression_within_strata(seed):
    """Least squares on the group and a constant of each stratum weighs strata by n1 n0 / n as Mantel-Haenszel does."""
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"group": rng.random(90) < 0.4, "stratum": rng.choice(list("abc"), 90), "won": rng.random(90) < 0.3}
    )
    fit = smf.ols("won ~ group + C(stratum)", rows.astype({"won": float, "group": float})).fit()
    assert adjusted_of(rows).adjusted == pytest.approx(fit.params["group"], abs=1e-10)


def test_the_same_table_with_enough_cases_is_a_reversal():
    found = adjusted_of(_stones(times=4))
    assert found.crude < 0 < found.low
    assert found.turns == "yes"


def test_a_reversal_has_to_be_surer_than_the_interval():
    """1.3 times the table: the 90 % interval excludes 0, but the distance is 1.8 errors, not 1.96."""
    found = adjusted_of(_stones(times=1.3))
    assert found.crude < 0 < found.low
    assert found.turns == "maybe"


def test_an_answer_is_what_its_interval_shows():
    """Whatever the crude difference's own sureness: yes beyond 0, maybe around it, no on the same side."""
    rng = np.random.default_rng(6)
    for _ in range(200):
        n1, n0 = rng.integers(20, 200, (2, 3)).astype(float)
        found = adjusted_difference(rng.binomial(n1.astype(int), 0.4), n1, rng.binomial(n0.astype(int), 0.45), n0, 0.95)
        is_other = found.crude * found.adjusted < 0
        wanted = "no" if not is_other else "maybe" if found.low <= 0 <= found.high else "yes"
        assert found.turns == wanted


def test_nothing_is_left_where_the_interval_holds_0_and_neither_the_crude_nor_a_worthwhile_difference():
    """40 % of hard and 80 % of easy deals are won by both; the group has 300 of its 400 in the hard ones."""
    k1, n1, k0, n0 = (np.array(part, dtype=float) for part in ([120, 80], [300, 100], [40, 240], [100, 300]))
    found = adjusted_difference(k1, n1, k0, n0, 0.95)
    half = found.high
    assert (found.crude, found.adjusted) == (pytest.approx(-0.2), pytest.approx(0.0, abs=1e-12))
    assert found.low == pytest.approx(-half) and 0.05 < half < 0.10
    assert found.answer(0.10) == "nothing"
    assert found.answer(half - 0.001) == "maybe", "too wide to say so, yet the difference may not hold"
    few = adjusted_difference(k1 / 20, n1 / 20, k0 / 20, n0 / 20, 0.95)
    assert few.low < few.crude < 0 < few.high and few.answer(0.10) == few.turns, "its interval holds what was counted"


def test_a_reversal_and_a_difference_that_stays_are_told_as_before():
    assert adjusted_of(_stones(times=4), 0.95).answer(0.10) == "yes"
    stays = adjusted_difference(np.array([150.0]), np.array([300.0]), np.array([90.0]), np.array([300.0]), 0.95)
    assert stays.answer(0.10) == stays.turns == "no"


def test_one_balanced_stratum_has_the_plain_interval():
    """Sato's variance is then p1 q1 / n + p0 q0 / n."""
    table = pd.DataFrame({"group": [True, False], "stratum": ["a", "a"], "k": [30, 20], "n": [50, 50]})
    found = adjusted_of(table)
    half = 1.6448536269514722 * np.sqrt(0.6 * 0.4 / 50 + 0.4 * 0.6 / 50)
    assert (found.adjusted, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert not found.reversal


def test_strata_with_one_side_only_and_missing_strata_say_nothing():
    extra = pd.DataFrame({"group": [True, False], "stratum": ["tiny", None], "k": [9.0, 1.0], "n": [10.0, 10.0]})
    found, plain = adjusted_of(pd.concat([_stones(), extra])), adjusted_of(_stones())
    assert found.adjusted == plain.adjusted
    assert found.n == 700
    assert found.crude == pytest.approx(282 / 360 - 289 / 350)


def test_without_a_rest_everything_is_missing():
    found = adjusted_of(_stones().query("group"))
    assert np.isnan([found.crude, found.adjusted, found.low]).all()
    assert not found.reversal
    assert adjusted_of(_stones().head(0)).n == 0


@pytest.mark.parametrize("mix", [0.0, 0.8])
def test_where_nothing_differs_hardly_any_difference_is_said_to_turn_round(mix: float) -> None:
    """Every level of six fields within every other field, which share their levels as far as ``mix`` says."""
    rng, found = np.random.default_rng(int(10 * mix)), []
    for _ in runs(15):
        shared = rng.integers(0, 4, 900)
        fields = [np.where(rng.random(900) < mix, shared, rng.integers(0, 4, 900)) for _ in range(6)]
        won = rng.random(900) < 0.36
        cells = [
            adjusted_of(pd.DataFrame({"group": one == level, "stratum": other, "won": won}))
            for one, other in itertools.permutations(fields, 2)
            for level in range(4)
        ]
        found.append(any(cell.reversal for cell in cells))
    assert np.mean(found) <= 0.10 + 2 * np.sqrt(0.09 / len(found))
