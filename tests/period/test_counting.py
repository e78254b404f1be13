"""Levels and counts, on tables small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest
from closedloop.period.counting import (
    band_edges,
    band_names,
    by_close,
    counts,
    crossed_counts,
    lagged_rate,
    levels,
    rates,
    recent,
    share_counts,
)
from closedloop.statistics.segmentation.indicators import edge_text
from closedloop.terms import RARE


def _twelve_of(*values: object) -> pd.Series:
    return pd.Series([value for value in values for _ in range(12)])


def test_rare_levels_and_gaps_are_missing_levels() -> None:
    field = pd.Series(["a"] * 12 + ["b"] * 9 + [None] * 3)
    assert levels(field.to_frame("f"), ["f"])["f"].fillna("-").tolist() == ["a"] * 12 + ["-"] * 12
    named = levels(field.to_frame("f"), ["f"], RARE)["f"]
    assert named.fillna("-").tolist() == ["a"] * 12 + [RARE] * 9 + ["-"] * 3


@pytest.mark.parametrize("storage", ["python", "pyarrow"])
def test_a_rare_level_is_told_from_a_nameless_one_however_texts_are_stored(storage: str) -> None:
    with pd.option_context("mode.string_storage", storage):
        field = pd.Series(["a", "", RARE] * 4, dtype="str")
        won, decided = crossed_counts(field, pd.Series(["p1"] * 12), field == RARE)
    assert decided["p1"].to_dict() == {"": 4, RARE: 4, "a": 4}
    assert won["p1"].to_dict() == {"": 0, RARE: 4, "a": 0}


def test_recent_cases_are_of_whole_periods_and_four_hundred_at_least() -> None:
    periods = np.repeat(["p9", "p10", "p11"], [500, 300, 350])
    assert recent(periods) == slice(500, None)
    assert recent(periods[:700]) == slice(0, None), "four hundred reach into the first period, so it counts whole"
    assert recent(periods[:400]) == recent(periods[:0]) == slice(0, None)
    won = np.repeat([0.0, 1.0, 0.0, 1.0], [500, 300, 250, 100])
    assert lagged_rate(won, periods) == pytest.approx(401 / 652)


def test_flags_read_as_yes_and_no() -> None:
    found = levels(_twelve_of(True, False).to_frame("is_x"), ["is_x"])["is_x"]
    assert found.tolist() == ["yes"] * 12 + ["no"] * 12


def test_numbers_are_cut_into_quarters() -> None:
    found = levels(pd.DataFrame({"age": np.arange(1.0, 101.0)}), ["age"])["age"]
    assert found.value_counts().tolist() == [25, 25, 25, 25]
    assert found.iloc[0] == "up to 25" and found.iloc[-1] == "over 75"


def test_an_edge_is_shown_as_it_cuts() -> None:
    """Values next to an edge lie where its name says, with no more digits than that takes."""
    values = [92.201, 92.379, 92.431, 92.893, 93.075, 93.2, 93.444, 93.749, 93.918, 93.994, 94.055, 94.465]
    index = pd.Series(values).repeat(40).reset_index(drop=True).to_frame("index")
    ends = band_edges(index, ["index"])["index"]
    assert band_names(ends) == ["up to 92.7", "92.7 to 93.2", "93.2 to 93.96", "over 93.96"]
    counted = levels(index, ["index"])["index"].value_counts()
    within = pd.cut(index["index"], [0, 92.7, 93.2, 93.96, 100], labels=band_names(ends)).value_counts()
    assert counted.to_dict() == within.to_dict()
    assert edge_text(1995) == "1995" and edge_text(12_345.5) == "12,345.5" and edge_text(0.1 + 0.2) == "0.3"
    around = pd.Series(np.repeat([-9.3, -7.1, -5.2, -0.3, 0.2, 1.4, 2.9, 3.1, 5.7, 8.8], 20)).to_frame("x")
    assert not any("-0" in name.split() for name in band_names(band_edges(around, ["x"])["x"]))


def test_a_deal_that_ended_on_no_day_counts_in_no_period() -> None:
    days = pd.to_datetime(pd.Series(["2024-02-01", None, "2024-03-01"]))
    deals = pd.DataFrame({"deal_id": list("abc"), "outcome": ["won", "won", "lost"], "closed_on": days})
    assert by_close(deals)["deal_id"].tolist() == ["a", "c"]
    assert len(by_close(deals.assign(closed_on=pd.NaT))) == 3, "a source without days of closing"
    forecast = deals.assign(
        closed_on=pd.to_datetime(pd.Series([None, "2024-02-01", None])), outcome=["won", "open", "lost"]
    )
    assert by_close(forecast)["deal_id"].tolist() == ["a", "c"], "the day of an open deal is no day of closing"


def test_counts_are_of_the_decided_rows_that_record_the_field() -> None:
    frame = pd.DataFrame({"f": ["a", "a", "b", None, "b", RARE]})
    hit = pd.Series([True, False, True, True, None, True], dtype="boolean")
    before = pd.Series([True, False, False, False, False, False])
    found = counts(frame, ["f"], hit, pd.Series(["x", "x", "y", "y", "y", "y"]), late=["f"], is_before=before)
    assert found["is_late"].all()
    assert found.drop(columns="is_late").fillna("-").to_dict("records") == [
        {"field": "f", "level": "a", "k": 1.0, "n": 2, "expected": 1.0, "contrast": 0.0, "n_before": 1},
        {"field": "f", "level": "b", "k": 1.0, "n": 1, "expected": 1.0, "contrast": 0.5, "n_before": 0},
        {"field": "f", "level": "-", "k": 1.0, "n": 1, "expected": 1.0, "contrast": 0.5, "n_before": 0},
    ]


def test_share_counts_ask_a_yes_no_question_once() -> None:
    subjects = pd.Series(["p"] * 12 + ["q"] * 12)
    rows = pd.DataFrame({"wants": ["yes"] * 9 + ["no"] * 3 + ["yes"] * 2 + ["no"] * 10})
    found = share_counts(rows, subjects).set_index("subject")
    assert found["level"].tolist() == ["yes", "yes"]
    assert found.loc["p", ["k", "n", "k_rest", "n_rest"]].tolist() == [9, 12, 2, 12]
    assert found.loc["q", ["k", "n", "k_rest", "n_rest"]].tolist() == [2, 12, 9, 12]


def test_shares_are_of_all_that_record_it_those_with_a_rare_level_too() -> None:
    subjects = pd.Series(["p"] * 20 + ["q"] * 20)
    rows = pd.DataFrame({"size": ["large"] * 15 + ["huge"] * 5 + ["large"] * 8 + ["small"] * 12})
    found = share_counts(levels(rows, ["size"], RARE), subjects).set_index(["subject", "level"]).sort_index()
    assert found.index.tolist() == [("p", "large"), ("p", "small"), ("q", "large"), ("q", "small")]
    assert found.loc[("p", "large"), ["k", "n", "k_rest", "n_rest"]].tolist() == [15, 20, 8, 20]
    titles = levels(pd.DataFrame({"title": [f"t{i}" for i in range(40)]}), ["title"], RARE)
    weights = pd.Series([1.0, 2.0] * 20)
    for given in (None, weights):
        assert share_counts(titles, subjects, given).empty, "each of its levels is rare"


def test_share_counts_leave_out_groups_under_ten() -> None:
    subjects = pd.Series(["p"] * 12 + ["q"] * 9)
    rows = pd.DataFrame({"size": ["large"] * 21})
    assert share_counts(rows, subjects)["subject"].tolist() == ["p"]


@pytest.mark.parametrize(("n", "expected"), [(9, []), (10, [0.3])])
def test_a_rate_of_fewer_than_ten_is_not_stated(n: int, expected: list[float]) -> None:
    assert [row["estimate"] for row in rates([("a", 0.3 * n, n)], "field")] == pytest.approx(expected)


def test_bands_of_large_numbers_are_no_powers_of_ten() -> None:
    low, high = "1,698,000,000", "3,027,000,000"
    assert band_names([1.698e9, 3.027e9]) == [f"up to {low}", f"{low} to {high}", f"over {high}"]
    assert band_names([1995.0, 12345.6]) == ["up to 1995", "1995 to 12,345.6", "over 12,345.6"]
