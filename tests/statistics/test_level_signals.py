"""Which levels enter as signals, what they promise, and when they leave: by hand, on cases with planted effects."""

import itertools

import numpy as np
import pytest
import scipy
from closedloop.personas.signals import CONFIRMED, NEW, NOT_YET_TOLD, WITHDRAWN, Cases, refine
from closedloop.statistics.level_effects import PERSONA, Effects, Level, level_fit
from closedloop.statistics.signals import Prior, Shrunk, Since, deviation_tests, entering, is_tried, is_withdrawn

from tests.statistics.levels import N_PERIODS, drawn_cases

RATE = 0.05 / 8
NAMES = tuple(f"p{number}" for number in range(N_PERIODS))


def _entered(cases: tuple, **more) -> list[Level]:
    return [entry.level for entry in entering([level_fit(*cases)], [], RATE, **more)[0]]


def _cases(won: np.ndarray, period: np.ndarray, levels, n_periods: int) -> Cases:
    rows = period < n_periods
    return Cases(won[rows], period[rows], levels[rows].reset_index(drop=True), NAMES[:n_periods])


def test_an_estimate_is_shrunk_as_the_integral_over_the_prior_says() -> None:
    others = Effects(np.array([0.02, -0.1, 0.9, 0.15, -0.05, np.nan]), np.array([0.1, 0.15, 0.2, 0.12, 0.1, np.nan]))
    x, error, spike = 0.9, 0.2, 0.03
    theta = np.linspace(-4, 4, 40_001)
    normal = scipy.stats.norm.pdf
    weights, means, squares = [], [], []
    shares, modes, spreads = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6), np.arange(2, 11) / 10, (0.05, 0.1, 0.2)
    for share, mode, spread in itertools.product(shares, modes, spreads):
        slab = (normal(theta, mode, spread) + normal(theta, -mode, spread)) / 2
        prior = share * slab + (1 - share) * normal(theta, 0, spike)
        evidence = np.exp(-(mode**2) / 2)
        for one, own in zip(others.log_odds[:5], others.error[:5], strict=True):
            evidence *= np.trapezoid(prior * normal(one, theta, own), theta)
        posterior = prior * normal(x, theta, error)
        posterior /= np.trapezoid(posterior, theta)
        weights.append(evidence)
        means.append(np.trapezoid(posterior * theta, theta))
        squares.append(np.trapezoid(posterior * theta**2, theta))
    mean = np.average(means, weights=weights)
    found = Prior.of(others).shrunk(x, error)
    assert found.log_odds == pytest.approx(mean, abs=1e-4)
    assert found.deviation == pytest.approx(np.sqrt(np.average(squares, weights=weights) - mean**2), abs=1e-4)
    assert 0 < found.log_odds < x


def test_planted_levels_enter_the_surest_first_and_noise_does_not() -> None:
    found = _entered(drawn_cases(3, 2400, {("channel", "a"): 1.2, ("size", "s"): -0.8}))
    assert found == [Level("channel", "a"), Level("size", "s")]
    assert _entered(drawn_cases(4, 2400, {})) == []


def test_at_most_two_levels_of_a_field_enter() -> None:
    planted = {("channel", "a"): 1.4, ("channel", "b"): -1.4, ("channel", "c"): 0.7, ("size", "s"): 1.0}
    found = _entered(drawn_cases(5, 3000, planted))
    assert len([one for one in found if one.field == "channel"]) == 2
    assert Level("size", "s") in found


def test_barred_levels_are_tested_and_stay_out() -> None:
    cases, barred = drawn_cases(3, 2400, {("channel", "a"): 1.2, ("size", "s"): -0.8}), Level("channel", "a")
    fit = level_fit(*cases)
    entered = [entry.level for entry in entering([fit], [], RATE, barred={barred})[0]]
    assert Level("size", "s") in entered
    assert barred not in entered
    tests = entering([fit], [], 0.0, barred={barred})[1].set_index(["field", "level"])
    assert tests.loc[("channel", "a"), "q"] < RATE


def test_a_level_that_acts_in_one_persona_is_that_personas_own() -> None:
    won, period, levels = drawn_cases(7, 3000, {}, within={("channel", "a", "p"): 1.6})
    refined = refine((), _cases(won, period, levels, N_PERIODS), "next", window=4, planned_periods=8)
    assert refined.signals[0].what == Level("channel", "a", "p")
    assert all(one.persona for one in refined.signals), "it is no signal of all"
    assert refined.signals[0].n == int(((levels["channel"] == "a") & (levels[PERSONA] == "p")).sum())


def test_small_levels_and_personas_are_not_tried() -> None:
    won, period, levels = drawn_cases(8, 1200, {})
    levels.loc[levels.index[39:], "region"] = levels.loc[levels.index[39:], "region"].replace("n", "w")
    fit = level_fit(won, period, levels)
    tried = {fit.names[i] for i in np.flatnonzero(is_tried(fit, []))}
    assert Level("region", "n") not in tried
    assert Level("region", "w") in tried
    assert not any(name.field == PERSONA for name in tried)
    assert Level("channel", "a") not in {fit.names[i] for i in np.flatnonzero(is_tried(fit, [Level("channel", "a")]))}
    assert {level.persona for level in deviation_tests(fit, [])[0]} == {"p", "q", "r"}


def test_a_signal_is_new_then_confirmed_and_withdrawn_when_its_effect_ends() -> None:
    won, period, levels = drawn_cases(11, 3600, {("channel", "a"): 1.2})
    turned, *_ = drawn_cases(11, 3600, {("channel", "a"): -0.2})
    now, later = np.where(period < 3, won, turned), won
    signals = refine((), _cases(now, period, levels, 2), "p2", window=2, planned_periods=8).signals
    assert refine((), _cases(now, period, levels, 2), "p2", window=3, planned_periods=8).signals == ()
    (entered,) = signals
    assert (entered.what, entered.state, entered.entered) == (Level("channel", "a"), NEW, "p2")
    assert entered.low < entered.points < entered.high
    assert entered.n == int((levels["channel"][period < 2] == "a").sum())
    (confirmed,) = refine(signals, _cases(now, period, levels, 3), "p3", window=2, planned_periods=8).signals
    assert (confirmed.state, confirmed.n_same, confirmed.n_periods) == (CONFIRMED, 1, 1)
    assert (confirmed.points, confirmed.low) == (entered.points, entered.low), "what was promised stays"
    held = (confirmed,)
    for n in (4, 5, 6):
        held = refine(held, _cases(now, period, levels, n), (*NAMES, "p6")[n], window=2, planned_periods=8).signals
    gone = next(one for one in held if one.what == entered.what)
    assert (gone.state, gone.is_in_force) == (WITHDRAWN, False)
    kept = (confirmed,)
    for n in (4, 5, 6):
        kept = refine(kept, _cases(later, period, levels, n), (*NAMES, "p6")[n], window=2, planned_periods=8).signals
    assert kept[0].is_in_force
    assert kept[0].n_periods == 4


@pytest.mark.parametrize(
    ("log_odds", "error", "is_gone"),
    [
        (0.0, 0.1, True),  # nothing is left of it
        (0.0, 0.6, False),  # nobody can tell
        (0.5, 0.1, False),  # as promised
        (0.25, 0.01, False),  # less than promised, and worth a line yet
        (-0.5, 0.1, True),
        (np.nan, np.nan, False),
    ],
)
def test_a_level_leaves_only_beyond_doubt_and_under_the_gate(log_odds: float, error: float, is_gone: bool) -> None:
    latest = Since(log_odds, error, 100, 0, 0, 0, 1, 3)
    assert is_withdrawn(Shrunk(0.5, 0.1), latest) is is_gone
    flipped = Since(-log_odds, error, 100, 0, 0, 0, 1, 3)
    assert is_withdrawn(Shrunk(-0.5, 0.1), flipped) is is_gone


def test_a_signal_of_which_too_little_came_is_as_it_was() -> None:
    won, period, levels = drawn_cases(11, 3600, {("channel", "a"): 1.2})
    (entered,) = refine((), _cases(won, period, levels, 2), "p2", window=2, planned_periods=8).signals
    few = np.concatenate([np.flatnonzero(period < 2), np.flatnonzero(period == 2)[:59]])
    cases = Cases(won[few], period[few], levels.iloc[few].reset_index(drop=True), NAMES[:3])
    assert refine((entered,), cases, "p3", window=2, planned_periods=8).signals == (entered,)
    assert entered.state == NEW != NOT_YET_TOLD
