"""The value of another rule, against simulations whose truth is known."""

import numpy as np
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.scoring.accuracy import rule_value, taken_first
from scipy.special import expit

from tests.statistics.simulated import runs

ALIKE, BY_GROUP = "alike", "by group"


def _pool(n, base, rng):
    """Group, chance to be won and the seller's own ranking, which knows more than the group."""
    group, known = rng.integers(0, 4, n), rng.standard_normal(n)
    return group, expit(base + 0.5 * (group - 1.5) + 0.5 * known), known + 0.5 * group


def _log(n_pool, n_list, share, base, rng):
    """A list whose last places are drawn from all who are not ranked onto it: group, outcome, logged probability."""
    group, chance, rank = _pool(n_pool, base, rng)
    order, n_drawn = np.argsort(-rank), round(share * n_list)
    top, rest = np.split(order, [n_list - n_drawn])
    rows = np.r_[top, rng.choice(rest, n_drawn, replace=False)]
    logged = np.r_[np.ones(len(top)), np.full(n_drawn, n_drawn / len(rest))]
    return group[rows], (rng.random(n_list) < chance[rows]).astype(float), logged


def _other(rule, group, logged, places):
    return np.ones(len(group)) if rule == ALIKE else taken_first(group, logged, places)


def _truth(rule, share_called, base):
    group, chance, _ = _pool(400_000, base, np.random.default_rng(0))
    taken = _other(rule, group, np.ones(len(group)), share_called * len(group))
    return taken @ chance / taken.sum()


@pytest.mark.parametrize("rule", [ALIKE, BY_GROUP])
@pytest.mark.parametrize(
    ("n_pool", "n_list", "share", "base"),
    [(300, 200, 0.1, -1), (1500, 600, 0.1, -1), (1500, 600, 0.1, -2.5), (3000, 1000, 0.2, 0), (600, 300, 0.3, 1)],
)
def test_the_interval_of_another_rules_value_covers_its_truth(validity, rule, n_pool, n_list, share, base):
    rng, truth, inside, values = np.random.default_rng(7), _truth(rule, n_list / n_pool, base), [], []
    for _ in runs(300):
        group, y, logged = _log(n_pool, n_list, share, base, rng)
        found = rule_value(y, logged, _other(rule, group, logged, n_list))
        assert not found.is_refused
        inside.append(found.low <= truth <= found.high)
        values.append(found.estimate)
    validity("off-policy-coverage", inside)
    assert np.mean(values) == pytest.approx(truth, abs=0.015), "and it is not the rate of those called"


def test_a_log_worth_fewer_than_fifty_is_refused_without_a_number():
    rng = np.random.default_rng(2)
    _, y, logged = _log(2000, 200, 0.05, -1, rng)  # ten records stand for 1,810
    found = rule_value(y, logged, np.ones(200))
    weight = 1 / logged
    assert found.effective_n == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert found.effective_n < 50
    assert found.is_refused
    assert found.n == 200
    assert np.isnan([found.estimate, found.low, found.high]).all()


@pytest.mark.parametrize(("n", "is_refused"), [(49, True), (50, False)])
def test_the_bar_is_an_effective_sample_of_fifty(n, is_refused):
    y = np.arange(n) % 2
    assert rule_value(y, np.full(n, 0.2), np.full(n, 0.2)).is_refused == is_refused


def test_the_same_rule_is_worth_what_was_won():
    y = np.r_[np.ones(30), np.zeros(70)]
    found = rule_value(y, np.full(100, 0.4), np.full(100, 0.4))
    assert (found.estimate, found.effective_n, found.n) == (pytest.approx(0.3), pytest.approx(100), 100)
    assert found.low < 0.3 < found.high
    nothing = rule_value(np.zeros(100), np.ones(100), np.ones(100))
    assert nothing.low == 0 < nothing.high, "no success so far is not a rate of zero"


def test_records_that_the_other_rule_leaves_out_do_not_count():
    y, logged, other = np.r_[np.ones(60), np.zeros(500)], np.full(560, 0.5), np.r_[np.ones(60), np.zeros(500)]
    found = rule_value(y, logged, other)
    assert (found.estimate, found.n) == (1.0, 60)
    assert rule_value(y, logged, np.zeros(560)).is_refused


def test_a_rule_fills_its_places_with_the_highest_first_and_equals_share():
    logged = np.array([1, 1, 0.25, 0.5])  # stand for 1, 1, 4 and 2 of eight
    assert taken_first([3, 1, 2, 1], logged, 3).tolist() == [1, 0, 0.5, 0]
    assert taken_first([3, 1, 2, 1], logged, 6.5).tolist() == [1, 0.5, 1, 0.5]
    assert taken_first([3, 1, 2, 1], logged, 100).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("y", "logged", "other", "said"),
    [
        ([1, 2], [1, 1], [1, 1], "other values than 0 and 1"),
        ([1, 0], [1, 0], [1, 1], "logged probability"),
        ([1, 0], [1, np.nan], [1, 1], "logged probability"),
        ([1, 0], [1, 1], [1, 1.5], "other rule's probability"),
        ([1, 0], [1], [1, 1], "shapes"),
    ],
)
def test_what_is_no_log_is_named(y, logged, other, said):
    with pytest.raises(ParameterError, match=said):
        rule_value(y, logged, other)
