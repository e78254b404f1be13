"""Weighted shares against statsmodels and figures worked out by hand, their coverage, and segments of weighted rows."""

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.ledger import share_looks
from closedloop.period.counting import share_counts
from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.indicators import (
    effective_counts,
    effective_size,
    profile_of,
    profile_sizes,
    sizes_of,
    weighted_mean,
)
from closedloop.statistics.segmentation.segments import segmentation
from statsmodels.api import WLS
from statsmodels.stats.proportion import proportion_confint

from .simulated import ABOUT, any_claim, runs


def test_effective_size_is_kishs() -> None:
    assert effective_size(np.array([9.0, 1, 1, 1])) == pytest.approx(12**2 / 84)
    assert effective_size(np.full(7, 3.0)) == 7


def test_counts_by_hand() -> None:
    """9 and 1 say yes, 1 and 1 no: 10 of 12. Kish: 144 / 84; the one heavy answer is on the common side."""
    k, n = effective_counts(np.array([[1.0], [1], [0], [0]]), np.array([9.0, 1, 1, 1]))
    assert (k / n).item() == pytest.approx(10 / 12)
    assert n.item() == pytest.approx(144 / 84)


def test_the_effective_n_is_smaller_where_the_heaviest_give_the_rarer_answer() -> None:
    """2 of weight 9 say yes, 72 of weight 1 no: share .2, Kish 8100 / 234, linearised .16 * 8100 / 106.56 = 12.2."""
    hit, weights = np.repeat([1.0, 0.0], [2, 72]), np.repeat([9.0, 1.0], [2, 72])
    _, n = effective_counts(hit[:, None], weights)
    assert effective_size(weights) == pytest.approx(8100 / 234)
    squares = 2 * 81 * 0.8**2 + 72 * 0.2**2
    assert n.item() == pytest.approx(0.2 * 0.8 * 90**2 / squares)


def test_the_error_of_a_share_is_that_of_a_weighted_regression_on_a_constant() -> None:
    rng = np.random.default_rng(3)
    weights = rng.exponential(1, 300) + 0.1
    hit = (rng.random(300) < 0.1 + 0.5 * (weights > 1.5)).astype(float)
    k, n = effective_counts(hit[:, None], weights)
    fitted = WLS(hit, np.ones(300), weights=weights).fit(cov_type="HC0")
    share = (k / n).item()
    assert share == pytest.approx(fitted.params[0])
    assert n.item() < effective_size(weights)
    assert np.sqrt(share * (1 - share) / n.item()) == pytest.approx(fitted.bse[0])
    assert [end.item() for end in wilson(k, n)] == pytest.approx(
        [end.item() for end in proportion_confint(k, n, alpha=0.10, method="wilson")]
    )


def test_the_mean_and_its_error_are_those_of_a_weighted_regression_on_a_constant() -> None:
    rng = np.random.default_rng(4)
    values, weights = rng.normal(5, 2, 80), rng.exponential(1, 80) + 0.1
    fitted = WLS(values, np.ones(80), weights=weights).fit(cov_type="HC1")
    assert weighted_mean(values, weights) == pytest.approx((fitted.params[0], fitted.bse[0]))


def test_nobody_who_answered_is_no_case_and_no_share() -> None:
    assert [part.tolist() for part in effective_counts(np.full((3, 1), np.nan), np.ones(3))] == [[0.0], [0.0]]


def test_sizes_and_profile_are_the_markets_not_the_samples() -> None:
    labels = pd.Series([0, 0, 0, 1])
    weights = np.array([1.0, 1, 1, 9])
    items = pd.DataFrame({"wants_a": [1, 0, np.nan, 1], "age": [20.0, 30, 40, 60]})
    assert sizes_of(labels, 2, weights)["share"].tolist() == pytest.approx([3 / 12, 9 / 12])
    found = profile_of(items, labels, weights)
    assert found["wants_a"].to_dict() == pytest.approx({"0": 1 / 2, "1": 1.0, "market": 10 / 11})
    assert found["age"].to_dict() == pytest.approx({"0": 30.0, "1": 60.0, "market": (20 + 30 + 40 + 540) / 12})
    worth = profile_sizes(items, labels, weights)
    assert worth.loc["market"].to_dict() == pytest.approx({"wants_a": 11**2 / 83, "age": 12**2 / 84})


def test_a_share_is_compared_by_what_weighs_and_told_with_both_sizes() -> None:
    """Twelve rows a side; of p the three who say yes weigh 3 each: 9 of 18, effective 18^2 / 36 = 9."""
    rows = pd.DataFrame({"wants": ["yes"] * 3 + ["no"] * 9 + ["yes"] * 6 + ["no"] * 6})
    subjects = pd.Series(["p"] * 12 + ["q"] * 12)
    counted = share_counts(rows, subjects, pd.Series([3.0] * 3 + [1.0] * 21)).set_index("subject")
    assert counted.loc["p", ["k", "n", "k_rest", "n_rest", "n_rows"]].tolist() == pytest.approx([4.5, 9, 6, 12, 12])
    assert counted.loc["q", "share_of_all"] == pytest.approx(15 / 30)
    look = share_looks(counted.reset_index(), ABOUT).set_index("subject").loc["p"]
    assert (look["n"], look["n_effective"], look["baseline"]) == (12, pytest.approx(9), pytest.approx(0.5))


def drawn_by_size(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers of firms: nine in ten are small and want it at .7, the large at .3; half of those asked are large."""
    is_large = rng.random(n) < 0.5
    return rng.random(n) < np.where(is_large, 0.3, 0.7), np.where(is_large, 1.0, 9.0)


@pytest.mark.parametrize("n", [120, 240])
def test_the_interval_of_a_weighted_share_holds_the_markets_share(validity, n: int) -> None:
    rng, truth, held = np.random.default_rng(n), 0.9 * 0.7 + 0.1 * 0.3, []
    for _ in runs(300):
        hit, weights = drawn_by_size(rng, n)
        low, high = wilson(*effective_counts(hit[:, None].astype(float), weights))
        held.append(bool(low[0] <= truth <= high[0]))
    validity(f"coverage-weighted-share-{n}", held)


def weighted_null_shares(rng: np.random.Generator) -> pd.DataFrame:
    """Four personas of one population, six attributes; who is asked depends on the weight, and so do the attributes."""
    persona = pd.Series(np.repeat(list("pqrs"), [120, 200, 80, 300]))
    is_large = rng.random(len(persona)) < 0.5
    asked = {f"field {j}": rng.random(len(persona)) < np.where(is_large, 0.3, 0.6) for j in range(6)}
    rows = pd.DataFrame({name: np.where(yes, "yes", "no") for name, yes in asked.items()})
    return share_looks(share_counts(rows, persona, pd.Series(np.where(is_large, 1.0, 5.0))), ABOUT)


def test_unequal_weights_rarely_give_a_persona_an_attribute(validity) -> None:
    validity("null-weighted-shares", any_claim(weighted_null_shares, 60, seed=14))


def test_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(6)
    group = rng.integers(0, 2, 300)
    items = pd.DataFrame({f"wants_{j}": rng.random(300) < np.where(group, 0.8, 0.2) for j in range(6)}).astype(int)
    weights = pd.Series(4.0, index=items.index)
    plain, weighted = (
        segmentation(items, weights=told, ks=[2, 3], bootstraps=8, rng=np.random.default_rng(7))
        for told in (None, weights)
    )
    pd.testing.assert_frame_equal(plain.criteria, weighted.criteria, check_exact=True)
    pd.testing.assert_series_equal(plain.labels, weighted.labels)


@pytest.mark.parametrize("kind", ["answers", "numbers"])
def test_segments_are_as_large_as_in_the_market_not_as_in_the_sample(kind: str) -> None:
    """Three clear groups, a third of the sample each; in the market they are six, three and one in ten."""
    rng = np.random.default_rng(8)
    group = np.repeat([0, 1, 2], 150)
    is_own = np.arange(9) // 3 == group[:, None]
    if kind == "answers":
        items = pd.DataFrame((rng.random(is_own.shape) < np.where(is_own, 0.9, 0.1)).astype(int))
    else:
        items = pd.DataFrame(rng.normal(np.where(is_own, 4.0, 0.0), 1.0))
    items.columns = pd.Index([f"wants_{j}" for j in range(9)])
    weights = pd.Series(np.array([1.0, 6.0, 3.0])[group])
    found = segmentation(items, weights=weights, ks=[2, 3], bootstraps=8, rng=np.random.default_rng(9))
    assert found.recommended_k == 3
    assert found.sizes["share"].tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    for place, told in enumerate((1, 2, 0)):
        assert (found.labels[group == told] == place).mean() > 0.9, "the larger in the market comes first"
    assert found.profile.loc["market", "wants_0"] == pytest.approx(np.average(items["wants_0"], weights=weights))


def test_a_sample_is_small_by_what_its_weights_leave() -> None:
    rng = np.random.default_rng(10)
    items = pd.DataFrame({f"wants_{j}": rng.integers(0, 2, 200) for j in range(3)})
    weights = pd.Series(np.where(np.arange(200) < 20, 20.0, 1.0))
    for told, is_small in ((None, False), (weights, True)):
        found = segmentation(items, weights=told, ks=[2], bootstraps=4, rng=np.random.default_rng(11))
        assert found.sample_warning is is_small
