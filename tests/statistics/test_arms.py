"""Arms of an experiment: which is compared with which, and the figures of each comparison."""

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop.claims.arms import (
    ALL_OTHERS,
    arm_differences,
    arm_looks,
    mean_pairs,
    pairs,
    uneven_look,
)
from closedloop.claims.comparisons import LOOK_COLUMNS, Origin

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


def brought(seed: int = 3) -> pd.DataFrame:
    """What each lead brought: mostly nothing, else a log-normal amount; arm a twice as often as b and c."""
    rng = np.random.default_rng(seed)
    level = np.repeat(["a", "b", "c"], [90, 60, 50])
    hit = rng.random(200) < np.where(level == "a", 0.6, 0.3)
    return pd.DataFrame({"level": level, "amount": np.where(hit, rng.lognormal(7, 0.8, 200), 0.0)})


@pytest.mark.parametrize("control", [None, "b"])
def test_amounts_are_compared_by_welchs_test_and_interval(control: str | None) -> None:
    rows = brought()
    found = arm_looks(rows, AT, measure="won", experiment="opening", control=control).set_index("level")
    gaps = arm_differences(rows, control).set_index("level")
    assert found.index.tolist() == (["a", "c"] if control else ["a", "b", "c"])
    for level, look in found.iterrows():
        mine = rows.loc[rows["level"] == level, "amount"]
        others = rows.loc[(rows["level"] == control) if control else (rows["level"] != level), "amount"]
        wanted = scipy.stats.ttest_ind(mine, others, equal_var=False)
        means = [look["estimate"], look["baseline"], look["p"]]
        assert means == pytest.approx([mine.mean(), others.mean(), wanted.pvalue])
        ends = wanted.confidence_interval(0.90)
        assert gaps.loc[level, ["low", "high"]].tolist() == pytest.approx([ends.low, ends.high])
        own = scipy.stats.t.interval(0.90, len(mine) - 1, mine.mean(), mine.sem())
        assert [look["low"], look["high"]] == pytest.approx([max(own[0], 0.0), own[1]])
        assert (look["unit"], look["kind"], look["against"]) == ("amount", "causal", control or "")
        assert look["log_deviation"] == pytest.approx(rows["amount"].std() / rows["amount"].mean())


def test_the_chance_of_an_amount_beyond_the_threshold_is_the_normal_posteriors() -> None:
    rows = brought().query("level != 'c'")
    found = mean_pairs(rows["amount"], (rows["level"] == "b").astype(int), 2)
    error = np.hypot(*(rows.loc[rows["level"] == arm, "amount"].sem() for arm in "ab"))
    drawn = np.random.default_rng(1).normal(found.effect[0], error, 400_000)
    assert found.beyond(0.10)[0] == pytest.approx((np.abs(drawn) > 0.10 * found.baseline[0]).mean(), abs=0.005)
    same = mean_pairs([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1], 2)
    assert same.beyond(0.0)[0] == 0.0 and same.p[0] == 1.0


def test_amounts_of_arms_that_are_alike_are_rarely_told_apart_and_their_interval_holds() -> None:
    rng, truth = np.random.default_rng(4), 0.3 * np.exp(7 + 1 / 2)
    arm, factor, p, held = np.repeat([0, 1], 150), np.repeat([1.0, 1.5], 150), [], []
    for _ in range(1000):
        amounts = np.where(rng.random(300) < 0.3, rng.lognormal(7, 1.0, 300), 0.0)
        p.append(mean_pairs(amounts, arm, 2).p[0])
        found = mean_pairs(amounts * factor, arm, 2)
        _, low, high = found.difference()
        held.append(low[0] <= (0.5 if found.arm[0] else -0.5) * truth <= high[0])
    assert np.mean(np.array(p) <= 0.10) <= 0.10 + 2 * 0.0095
    assert 0.86 <= np.mean(held) <= 0.93


def test_arms_are_held_against_the_draw_by_pearsons_test() -> None:
    sizes, shares = pd.Series({"a": 300, "b": 260, "c": 140}), pd.Series({"a": 0.4, "b": 0.4, "c": 0.2})
    (look,) = uneven_look(sizes, shares, AT, measure="arm_share", experiment="opening").to_dict("records")
    assert look["p"] == pytest.approx(scipy.stats.chisquare([300, 260, 140], [280, 280, 140]).pvalue)
    assert (look["level"], look["n"], look["kind"]) == ("a", 700, "descriptive")
    assert [look["estimate"], look["baseline"], look["effect"]] == pytest.approx([3 / 7, 0.4, 3 / 7 - 0.4])
