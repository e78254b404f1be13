"""Scores of several criteria: their weights count, their uncertainty shows, and luck makes nobody a target."""

import numpy as np
import pytest
from closedloop.statistics.weighing import Criterion, weighted_scores

from tests.statistics.simulated import runs

NAN = float("nan")


def exact(*values: float, sign: int = 1) -> Criterion:
    there = np.array(values)
    return Criterion(there, there, there, sign)


def test_weights_and_signs_count() -> None:
    criteria = {"size": exact(3, 1, 2), "days": exact(10, 30, 20, sign=-1), "rate": exact(0, 1, 0.5)}
    agreed = weighted_scores(criteria, {"size": 1, "days": 1})
    assert agreed.estimate.argsort().tolist() == [1, 2, 0]
    assert agreed.estimate.sum() == pytest.approx(0)
    assert agreed.low.tolist() == agreed.high.tolist()  # exact values leave nothing open
    assert weighted_scores(criteria, {"size": 1, "rate": 9}).estimate.argmax() == 1
    assert weighted_scores(criteria, {"size": 9, "rate": 1}).estimate.argmax() == 0


def test_unknown_criteria_are_left_out_and_equal_ones_say_nothing() -> None:
    criteria = {"size": exact(3, 1), "amount": exact(NAN, 5), "texts": exact(1, 1)}
    found = weighted_scores(criteria, {"size": 1, "amount": 5, "texts": 1})
    assert found.counted == ("size", "texts")
    assert found.estimate.tolist() == [0.5, -0.5]
    assert np.isnan(weighted_scores(criteria, {"amount": 1}).estimate).all()
    no_interval = Criterion(np.array([1.0, 2.0]), np.array([NAN, 1.0]), np.array([NAN, 3.0]))
    assert weighted_scores({"days": no_interval}, {"days": 1}).counted == ()


def noisy(rng: np.random.Generator, truth: np.ndarray, error: np.ndarray) -> Criterion:
    estimate = truth + error * rng.standard_normal(len(truth))
    return Criterion(estimate, estimate - 1.645 * error, estimate + 1.645 * error)


def test_segments_that_do_not_differ_give_no_target(validity) -> None:
    """Any segment above the average one, among two to eight that are equal, with errors of other sizes."""
    rng = np.random.default_rng(7)
    above = []
    for _ in runs(400):
        k = int(rng.integers(2, 9))
        criteria = {name: noisy(rng, np.zeros(k), rng.uniform(0.2, 2, k)) for name in "abc"}
        above.append((weighted_scores(criteria, {"a": 3, "b": 1, "c": 1}).low > 0).any())
    validity("null-targets", above)


def test_a_segment_that_is_better_is_found() -> None:
    rng = np.random.default_rng(8)
    truth = np.array([2.0, 0.0, 0.0, 0.0])
    found = [weighted_scores({"a": noisy(rng, truth, np.full(4, 0.4))}, {"a": 1}) for _ in runs(100)]
    assert np.mean([score.low[0] > 0 for score in found]) >= 0.8
    assert np.mean([(score.low[1:] > 0).any() for score in found]) <= 0.05
