"""Arms of an experiment: which is compared with which, and the figures of each comparison."""

import numpy as np
import pandas as pd
import pytest
from closedloop.evidence.arms import ALL_OTHERS, arm_differences, arm_looks, pairs
from closedloop.evidence.looks import LOOK_COLUMNS, Origin

AT = Origin("03_leads", "experiments", "leads", "2025-q1", "2025-q2")


def arms(**counted: tuple[int, int]) -> pd.DataFrame:
    """Accepted of all decided leads, by arm."""
    rows = [{"level": name, "k": float(k), "n": n} for name, (k, n) in counted.items()]
    return pd.DataFrame(rows)


def looks(counts: pd.DataFrame, control: str | None = None) -> pd.DataFrame:
    return arm_looks(counts, AT, measure="accepted_rate", experiment="opening", control=control)


def test_two_arms_are_one_comparison_of_the_better_with_the_other() -> None:
    (row,) = looks(arms(long=(36, 80), short=(56, 80))).to_dict("records")
    assert (row["level"], row["against"], row["kind"], row["subject"]) == ("short", "long", "causal", "opening")
    assert [row["estimate"], row["baseline"], row["n"]] == pytest.approx([0.70, 0.45, 80])
    assert row["effect"] == pytest.approx(0.25)


def test_a_declared_control_is_what_every_other_arm_is_compared_with() -> None:
    found = looks(arms(a=(30, 60), b=(20, 50), usual=(25, 50)), "usual").set_index("level")
    assert found["against"].to_dict() == {"a": "usual", "b": "usual"}
    assert found["effect"].to_dict() == pytest.approx({"a": 0.0, "b": -0.1})
    assert found["n"].to_dict() == {"a": 50, "b": 50}, "of two arms the smaller one limits what can be seen"


def test_without_a_control_each_of_several_arms_is_compared_with_all_others() -> None:
    found = looks(arms(a=(30, 60), b=(20, 50), c=(25, 50))).set_index("level")
    assert (found["against"] == "").all()
    assert found["baseline"].to_dict() == pytest.approx({"a": 45 / 100, "b": 55 / 110, "c": 50 / 110})
    assert pairs([1, 2, 3], [9, 9, 9]).other.tolist() == [ALL_OTHERS] * 3


def test_one_arm_is_compared_with_nothing() -> None:
    for control in (None, "a"):
        alone = looks(arms(a=(3, 10)), control)
        assert alone.empty
        assert alone.dtypes.astype(str).to_dict() == dict(LOOK_COLUMNS)


def test_the_interval_of_the_difference_is_newcombes() -> None:
    """Newcombe (1998), Table II, method 10: 56/70 less 48/80 is .2000 (.0524 to .3339) at 95 %."""
    row = arm_differences(arms(new=(56, 70), old=(48, 80)), level=0.95).iloc[0]
    assert (row["level"], row["against"], row["n"]) == ("new", "old", 150)
    assert [row["estimate"], row["low"], row["high"]] == pytest.approx([0.2, 0.0524, 0.3339], abs=5e-5)


def test_a_difference_that_may_be_none_is_not_beyond_anything() -> None:
    found = pairs([55, 62], [100, 100])
    assert found.p[0] > 0.10
    assert found.beyond(0.03)[0] == 0.0


def test_the_chance_of_a_difference_beyond_the_threshold_is_the_posteriors() -> None:
    found = pairs([361, 452], [618, 627])
    rng = np.random.default_rng(1)
    drawn = rng.beta(452.5, 175.5, 400_000) - rng.beta(361.5, 257.5, 400_000)
    for threshold in (0.03, 0.10, 0.15):
        assert found.beyond(threshold)[0] == pytest.approx((np.abs(drawn) > threshold).mean(), abs=0.005)


def test_arms_that_are_alike_are_rarely_told_apart() -> None:
    """What is compared is decided by the outcome (the better arm), and the p value is two-sided: no more than luck."""
    rng = np.random.default_rng(2)
    for sizes in ((60, 60), (40, 120)):
        k = rng.binomial(sizes, 0.6, (4000, 2))
        p = np.array([pairs(row, sizes).p[0] for row in k[:1500]])
        assert (p <= 0.05).mean() <= 0.065
        assert (p <= 0.20).mean() == pytest.approx(0.20, abs=0.03)
