"""One shrunken fit of all levels, against a library's, and every test of a level, against the same done by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop.statistics.level_effects import (
    PERSONA,
    Level,
    LevelFit,
    base_of,
    effects,
    level_fit,
    points,
    within_persona,
)
from sklearn.linear_model import LogisticRegression

from tests.statistics.levels import drawn_cases

FREE = 2.0  # deviation of what is not shrunk


@pytest.fixture(scope="module")
def cases() -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    return drawn_cases(1, 900, {("channel", "a"): 0.9, ("size", "s"): -0.5, (PERSONA, "p"): 0.6})


@pytest.fixture(scope="module")
def fit(cases: tuple[np.ndarray, np.ndarray, pd.DataFrame]) -> LevelFit:
    return level_fit(*cases)


def _design(fit: LevelFit) -> np.ndarray:
    times = np.unique(fit.period)
    return np.hstack([(fit.period[:, None] == times).astype(float), fit.flags])


def test_coefficients_are_those_of_a_ridge_regression_with_the_same_penalty(fit: LevelFit) -> None:
    deviation = np.concatenate([np.full(fit.n_free, FREE), fit.spreads[fit.owner]])
    model = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=10_000)
    model.fit(_design(fit) * deviation, fit.won)
    expected = (model.coef_[0] * deviation)[fit.n_free :]
    np.testing.assert_allclose(fit.coefficients, expected, atol=0.005)
    chance = model.predict_proba(_design(fit) * deviation)[:, 1]
    np.testing.assert_allclose(fit.chance, chance, atol=0.005)


def test_the_spread_of_a_field_that_does_nothing_stays_small(fit: LevelFit) -> None:
    spread = dict(zip(fit.fields, fit.spreads, strict=True))
    assert spread["region"] < 0.2 < spread["channel"]


def test_a_test_of_a_level_is_the_score_test_of_the_working_regression(fit: LevelFit) -> None:
    place = fit.names.index(Level("channel", "a"))
    own = [i for i, name in enumerate(fit.names) if name.field == "channel"]
    kept = [i for i in range(fit.n_levels) if i not in own]
    base = np.hstack([_design(fit)[:, : fit.n_free], fit.flags[:, kept]])
    is_persona = np.array([fit.names[i].field == PERSONA for i in kept])
    spread = np.where(is_persona, FREE, fit.spreads[fit.owner[kept]])
    penalty = 1 / np.concatenate([np.full(fit.n_free, FREE), spread]) ** 2
    weight = fit.chance * (1 - fit.chance)
    working = scipy.special.logit(fit.chance) + (fit.won - fit.chance) / weight

    def left(column: np.ndarray) -> np.ndarray:
        inner = (base.T * weight) @ base + np.diag(penalty)
        return column - base @ np.linalg.solve(inner, (base.T * weight) @ column)

    level = fit.flags[:, place]
    information = float((weight * level) @ left(level))
    score = float((weight * level) @ left(working))
    found = effects(fit, np.array([fit.n_free + place]), *base_of(fit, "channel", []))
    assert found.log_odds[0] == pytest.approx(score / information, rel=1e-8)
    assert found.error[0] == pytest.approx(information**-0.5, rel=1e-8)
    p = scipy.stats.chi2.sf(score**2 / information, 1)
    assert found.p[0] == pytest.approx(p, rel=1e-6)


def test_what_is_in_force_is_taken_off_without_shrinking(fit: LevelFit) -> None:
    channel, size = Level("channel", "a"), Level("size", "s")
    columns, precision = base_of(fit, "size", [channel])
    penalty = dict(zip(columns.tolist(), precision.tolist(), strict=True))
    assert penalty[fit.n_free + fit.names.index(channel)] == pytest.approx(1 / FREE**2)
    assert penalty[fit.n_free + fit.names.index(Level("channel", "b"))] > 1 / FREE**2
    assert fit.n_free + fit.names.index(size) not in penalty
    own = base_of(fit, "size", [Level("channel", "a", "p")])[0]
    personas = [fit.names[i].level for i in fit.places(PERSONA)]
    assert own[-1] == within_persona(fit, personas.index("p"), fit.names.index(channel))


def test_points_are_the_mean_change_of_the_chance(fit: LevelFit) -> None:
    place, own = fit.names.index(Level("size", "s")), [n.field == "size" for n in fit.names]
    without = scipy.special.logit(fit.chance) - fit.flags[:, own] @ fit.coefficients[own]
    expected = np.mean(scipy.special.expit(without + 0.7) - scipy.special.expit(without))
    assert points(fit, place, 0.7)[0] == pytest.approx(expected)
    assert points(fit, place, 0.0)[0] == 0


def test_error_bars_hold_the_truth() -> None:
    held = []
    for seed in range(20):
        fit = level_fit(*drawn_cases(seed, 900, {("channel", "a"): 0.8}))
        place = fit.names.index(Level("channel", "a"))
        found = effects(fit, np.array([fit.n_free + place]), *base_of(fit, "channel", []))
        held.append(abs(found.log_odds[0] - 0.8) < 1.645 * found.error[0])
    assert np.mean(held) >= 0.75
