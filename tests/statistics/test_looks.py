"""Looks: what is compared with what, by hand on tables of a few rows."""

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.comparisons import (
    LOOK_COLUMNS,
    Origin,
    amount_looks,
    cycle_looks,
    rate_looks,
    share_looks,
    stacked,
)
from closedloop.errors import ParameterError
from closedloop.statistics.amounts import shrink_amounts
from closedloop.statistics.proportions import exact_difference_p, midp, shrink_rates

ORIGIN = Origin("05_deals", "findings", "deals", "2024-q1", "2024-q4")
COUNTS = pd.DataFrame(
    {
        "field": ["region", "region", "region", "size"],
        "level": ["north", "south", None, "small"],
        "k": [30, 50, 20, 100],
        "n": [100, 100, 50, 250],
    }
)


@pytest.fixture(scope="module")
def looks():
    return rate_looks(COUNTS, ORIGIN, measure="win_rate").set_index("level")


def test_every_level_of_a_field_is_looked_at_against_the_pooled_rate(looks):
    """100 of 250 rows, those without a region included."""
    assert looks.index.tolist() == ["north", "south"]
    assert looks["baseline"].tolist() == [0.4, 0.4]
    assert looks["n"].tolist() == [100, 100]
    assert looks["p"].to_numpy() == pytest.approx(midp([30, 50], [100, 100], 0.4))


def test_estimates_are_shrunk_and_effects_are_differences(looks):
    shrunk = shrink_rates([30, 50], [100, 100])
    assert looks["estimate"].to_numpy() == pytest.approx(shrunk.mean)
    assert looks["low"].to_numpy() == pytest.approx(shrunk.low)
    assert looks["effect"].to_numpy() == pytest.approx(shrunk.mean - 0.4)
    assert looks["beyond"].to_numpy() == pytest.approx(shrunk.beyond(0.03, 0.4))
    assert 0.30 < looks["estimate"]["north"] < 0.40 < looks["estimate"]["south"] < 0.50


def test_looks_carry_what_they_are_about(looks):
    row = looks.loc["north"]
    assert (row["field"], row["measure"], row["unit"], row["subject"]) == ("region", "win_rate", "rate", "market")
    assert (row["first_period"], row["last_period"], row["kind"]) == ("2024-q1", "2024-q4", "descriptive")
    assert (row["notebook"], row["cell"], row["source_table"]) == ("05_deals", "findings", "deals")


def test_a_field_with_one_level_gives_no_look():
    one = rate_looks(COUNTS.query("field == 'size'"), ORIGIN, measure="win_rate")
    empty_level = pd.DataFrame({"field": ["f", "f"], "level": ["a", "b"], "k": [3, 0], "n": [9, 0]})
    assert len(one) == 0
    assert len(rate_looks(empty_level, ORIGIN, measure="win_rate")) == 0
    assert one.dtypes.astype(str).to_dict() == dict(LOOK_COLUMNS)


def test_a_given_baseline_is_used():
    row = rate_looks(COUNTS, ORIGIN, measure="win_rate", baseline=0.5).set_index("level").loc["south"]
    assert row["baseline"] == 0.5
    assert row["p"] == 1.0


def test_small_levels_count_in_the_baseline_but_are_not_looked_at():
    counts = pd.DataFrame({"field": "f", "level": ["a", "b", "c", None], "k": [30, 40, 9, 1], "n": [90, 90, 9, 1]})
    looks = rate_looks(counts, ORIGIN, measure="win_rate", least=10)
    assert looks["level"].tolist() == ["a", "b"]
    assert looks["baseline"].tolist() == pytest.approx([80 / 190] * 2)


def test_like_is_compared_with_like():
    """Two quarters of 200 win .8 and .2, and hold 160 and 40 of one level: as many as expected are won of each."""
    counts = pd.DataFrame({"field": "f", "level": ["early", "late"], "k": [136, 64], "n": [200, 200]})
    within = counts.assign(expected=[136, 64], contrast=[64, 64])
    crude, fair = (rate_looks(frame, ORIGIN, measure="win_rate") for frame in (counts, within))
    assert (crude["p"] < 1e-6).all() and crude["effect"].abs().min() > 0.15
    assert fair["p"].tolist() == pytest.approx([1.0, 1.0], abs=0.05)
    assert fair["effect"].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
    assert fair["baseline"].tolist() == [0.68, 0.32] and fair["estimate"].tolist() == pytest.approx([0.68, 0.32])
    assert fair["n"].tolist() == [200, 200] and fair["n_effective"].tolist() == [128, 128]


def test_a_field_with_few_of_one_outcome_is_not_compared():
    counts = pd.DataFrame({"field": "f", "level": ["a", "b"], "k": [88, 90], "n": [92, 95]})
    looks = rate_looks(counts, ORIGIN, measure="win_rate", least=10)
    assert looks["reason"].tolist() == ["few recorded"] * 2
    assert looks[["estimate", "baseline", "p"]].isna().all(axis=None) and looks["n"].tolist() == [92, 95]


@pytest.mark.parametrize(("is_late", "reason"), [(True, "filled by the outcome"), (False, "")])
def test_a_level_that_hardly_any_lost_deal_has_may_be_filled_by_the_outcome(is_late, reason):
    """Recorded while selling, on 60 won deals and on no lost one; a field of the start may do so honestly."""
    counts = pd.DataFrame({"field": "f", "level": ["a", "b"], "k": [60, 40], "n": [60, 280], "is_late": is_late})
    looks = rate_looks(counts, ORIGIN, measure="win_rate", least=10).set_index("level")
    assert looks.loc["a", "reason"] == reason
    assert looks.loc["b", "reason"] == ""


def test_inputs_are_left_as_they_were():
    before = COUNTS.copy(deep=True)
    rate_looks(COUNTS, ORIGIN, measure="win_rate")
    pd.testing.assert_frame_equal(COUNTS, before)


def test_shares_compare_a_persona_with_the_market():
    counts = pd.DataFrame(
        {
            "subject": ["planner", "operator"],
            "field": ["is_automated", "is_automated"],
            "level": ["true", "true"],
            "k": [60, 20],
            "n": [100, 100],
            "k_rest": [20, 60],
            "n_rest": [100, 100],
        }
    )
    looks = share_looks(counts, ORIGIN).set_index("subject")
    assert looks["baseline"].tolist() == [0.4, 0.4]
    assert looks["p"]["planner"] == pytest.approx(float(exact_difference_p(60, 100, 20, 100)))
    assert 0.5 < looks["estimate"]["planner"] < 0.6
    assert looks["beyond"].min() > 0.95


def test_amounts_are_compared_by_field():
    amounts = pd.DataFrame(
        {
            "field": ["product"] * 6 + ["region"] * 6,
            "level": ["a", "a", "a", "b", "b", "b"] + ["north"] * 6,
            "amount": [100.0, 120, 140, 300, 330, 360] * 2,
        }
    )
    looks = amount_looks(amounts, ORIGIN).set_index("level")
    table = shrink_amounts([100, 120, 140, 300, 330, 360], list("aaabbb")).set_index("group")
    assert looks.index.tolist() == ["a", "b"]
    assert looks["estimate"].to_numpy() == pytest.approx(table["estimate"].to_numpy())
    assert looks["baseline"].tolist() == [225, 225], "the plain mean of all"
    assert looks["effect"].to_numpy() == pytest.approx((table["estimate"] - 225).to_numpy())
    assert looks["unit"].tolist() == ["amount", "amount"]
    assert looks["p"].to_numpy() == pytest.approx(table["p"].to_numpy()) and looks["p"].max() < 0.1


def test_cycles_are_amounts_of_days_and_the_first_day_counts_half():
    cycles = pd.DataFrame({"field": "f", "level": list("aabb"), "days": [0, 2, 30, 50]})
    looks = cycle_looks(cycles, ORIGIN).set_index("level")
    assert looks["unit"].tolist() == ["days", "days"]
    assert looks["n"].tolist() == [2, 2]
    assert looks["baseline"]["a"] == pytest.approx((0.5 + 2 + 30 + 50) / 4)


def test_nothing_stacked_is_typed_and_missing_columns_are_named():
    nothing = stacked([])
    assert nothing.dtypes.astype(str).to_dict() == dict(LOOK_COLUMNS)
    with pytest.raises(ParameterError, match="no column k among field, level, n"):
        rate_looks(COUNTS[["field", "level", "n"]], ORIGIN, measure="win_rate")
    with pytest.raises(ParameterError, match="kind 'because'; allowed are descriptive, predictive, causal"):
        rate_looks(COUNTS, ORIGIN, measure="win_rate", kind="because")


def test_looks_of_several_sources_stack(looks):
    cycles = cycle_looks(pd.DataFrame({"field": "f", "level": list("aabb"), "days": [5, 6, 30, 50]}), ORIGIN)
    both = stacked([looks.reset_index(), cycles, stacked([])])
    assert both["measure"].tolist() == ["win_rate"] * 2 + ["sales_cycle_days"] * 2
    assert np.isnan(both["log_deviation"].tolist()).tolist() == [True, True, False, False]
