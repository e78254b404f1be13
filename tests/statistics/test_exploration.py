"""Before any cut: what goes together is found, and unrelated answers give nothing."""

import numpy as np
import pandas as pd
import pytest
from closedloop.statistics.segmentation.indicators import associations, components
from scipy import stats

from tests.statistics.simulated import runs


def answers(rng: np.random.Generator, n: int = 300, m: int = 8) -> pd.DataFrame:
    return pd.DataFrame(rng.integers(0, 2, (n, m)), columns=[f"item_{j}" for j in range(m)])


def n_outstanding(items: pd.DataFrame, seed: int) -> int:
    found = components(items, np.random.default_rng(seed))
    return int((found["share"] > found["shuffled"]).cumprod().sum())


def test_two_planted_dimensions_stand_out() -> None:
    rng = np.random.default_rng(1)
    traits = rng.standard_normal((400, 2))
    items = pd.DataFrame({f"i{j}": traits[:, j % 2] + rng.standard_normal(400) > 0 for j in range(8)})
    assert n_outstanding(items, 0) == 2


def test_unrelated_answers_have_no_dimension_and_no_association() -> None:
    rng = np.random.default_rng(2)
    items = [answers(rng) for _ in runs(40)]
    assert np.mean([n_outstanding(one, i) > 0 for i, one in enumerate(items)]) <= 0.15
    strongest = [associations(one).iloc[0] for one in items]
    assert np.mean([(one["low"] > 0) | (one["high"] < 0) for one in strongest]) <= 0.2


def test_levels_of_one_field_are_no_association_and_no_dimension() -> None:
    rng = np.random.default_rng(3)
    items = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], 300), "size": rng.choice(["x", "y", "z"], 300)})
    pairs = associations(items)
    assert {
        (a.partition("=")[0], b.partition("=")[0]) for a, b in zip(pairs["first"], pairs["second"], strict=True)
    } == {("kind", "size")}
    assert n_outstanding(items, 0) == 0


def test_the_strongest_pair_is_the_planted_one_with_spearmans_correlation() -> None:
    rng = np.random.default_rng(4)
    items = answers(rng).assign(age=rng.exponential(size=300))
    items["income"] = items["age"] ** 3 + rng.exponential(size=300)
    items.loc[:20, "age"] = np.nan
    top = associations(items).iloc[0]
    known = items.dropna()
    assert (top["first"], top["second"], top["n"]) == ("age", "income", 279)
    assert top["estimate"] == pytest.approx(stats.spearmanr(known["age"], known["income"]).statistic, abs=0.01)
    assert top["low"] < top["estimate"] < top["high"]


def test_a_column_without_answers_or_without_variety_is_left_out() -> None:
    items = answers(np.random.default_rng(5)).assign(empty=np.nan, same=1)
    assert len(components(items, np.random.default_rng(0))) == 6
    assert not set(associations(items)["first"]) & {"empty", "same"}
    assert components(items[["item_0"]], np.random.default_rng(0)).empty


def test_answers_that_hardly_anybody_gives_are_left_out() -> None:
    items = answers(np.random.default_rng(6)).assign(rare=[1] * 9 + [0] * 291, also_rare=[1] * 9 + [0] * 291)
    assert not set(associations(items)["first"]) & {"rare", "also_rare"}
    assert "rare" in set(associations(items.assign(rare=[1] * 10 + [0] * 290))["second"])
