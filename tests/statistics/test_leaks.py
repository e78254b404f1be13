"""Leaks: columns that tell the outcome too well or are filled only afterwards are named, honest ones are not."""

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.scoring.leaks import (
    COLUMNS,
    FILL_TELLS,
    FILLED_AFTER,
    TELLS_TOGETHER,
    TELLS_TOO_WELL,
    TOO_WELL,
    Cases,
    judge_columns,
    one_sided_levels,
)

N, N_OPEN = 600, 100


def cases(rows: dict[str, object], n: int = N, n_open: int = N_OPEN, rate: float = 0.3, seed: int = 1) -> Cases:
    """``n`` decided records and ``n_open`` open ones over four periods; ``rate`` of the decided are won."""
    rng = np.random.default_rng(seed)
    won = pd.Series(rng.random(n) < rate, dtype="boolean")
    is_won = pd.concat([won, pd.Series([pd.NA] * n_open, dtype="boolean")], ignore_index=True)
    period = pd.Series([f"p{i % 4}" for i in range(n + n_open)])
    return Cases(pd.DataFrame(rows, index=is_won.index), is_won, is_won.isna(), period, period)


def outcome(**more: float) -> pd.Series:
    """1 won, 0 lost, NaN open: what ``cases`` of the same size draws."""
    return cases({}, **more).is_won.astype("float64")


def judged(values: object, *, told_when_born: bool = True, **more: object) -> pd.Series:
    """What is said of the one column ``x``."""
    born = ["x"] if told_when_born else []
    return judge_columns(cases({"x": values}, **more), ["x"], told_when_born=born).iloc[0]


def noise(n: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def test_a_copy_of_the_outcome_is_a_perfect_leak() -> None:
    copy = outcome().map({1.0: "closed won", 0.0: "closed lost"}).fillna("pending")
    found = judged(copy)
    assert (found["why"], found["n"]) == (TELLS_TOO_WELL, N)
    assert found["auc_within"] > 0.999


def test_a_number_that_grows_with_success_is_a_leak_at_any_scale() -> None:
    seconds = np.exp(1.8 * outcome().fillna(0) + noise(N + N_OPEN))
    assert judged(seconds)["why"] == TELLS_TOO_WELL
    assert judged(seconds * 1e6)["auc_within"] == judged(seconds)["auc_within"]
    # the two normals are 1.8 apart: AUC = Phi(1.8 / sqrt 2) = .898, less what bands cost
    assert judged(seconds)["auc_within"] == pytest.approx(0.898, abs=0.03)


def test_a_number_that_tells_from_both_ends_is_a_leak() -> None:
    spread = noise(N + N_OPEN) * np.where(outcome() == 1, 6.0, 0.5)
    assert judged(spread)["why"] == TELLS_TOO_WELL


def test_dates_tell_like_numbers() -> None:
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.where(outcome() == 1, 40, 0) + noise(N + N_OPEN), unit="D")
    assert judged(pd.Series(days))["why"] == TELLS_TOO_WELL


def test_filled_only_when_won_is_told_by_the_gaps_alone() -> None:
    won = outcome()
    invoice = pd.Series([f"INV-{i}" if value == 1 else None for i, value in enumerate(won)])
    for fill_only in ([], ["x"]):
        found = judge_columns(cases({"x": invoice}), ["x"], fill_only=fill_only).iloc[0]
        assert found["why"] == FILL_TELLS
        assert tuple(found[["open_filled_share", "won_filled_share", "lost_filled_share"]]) == (0.0, 1.0, 0.0)


def test_filled_for_everything_decided_and_nothing_open_is_filled_afterwards() -> None:
    answers = pd.Series(np.where(outcome().notna(), np.where(noise(N + N_OPEN) > 0, "a", "b"), None))
    found = judged(answers)
    assert found["why"] == FILLED_AFTER
    assert found["auc_within"] < 0.6


def test_a_column_that_open_records_cannot_have_yet_is_not_filled_afterwards() -> None:
    answers = pd.Series(np.where(outcome().notna(), "a", None))
    assert judged(answers, told_when_born=False)["why"] == ""


def test_a_column_that_was_given_up_is_not_filled_afterwards() -> None:
    """Old records have it and are decided, new ones lack it and are open: their periods do not meet."""
    whole = cases({"x": np.where(outcome().notna(), "a", None)})
    born = pd.Series(np.where(whole.is_open, "new", "old"))
    apart = Cases(whole.rows, whole.is_won, whole.is_open, whole.period, born)
    assert judge_columns(apart, ["x"], told_when_born=["x"])["why"].tolist() == [""]


def test_few_open_records_prove_no_gap() -> None:
    values = pd.Series([1.0] * N + [np.nan] * 29)
    assert judged(values, n_open=29)["why"] == ""
    assert judged(pd.Series([1.0] * N + [np.nan] * 30), n_open=30)["why"] == FILLED_AFTER


def test_an_honest_strong_predictor_is_no_leak() -> None:
    strong = outcome().fillna(0) + noise(N + N_OPEN)  # AUC Phi(1 / sqrt 2) = .760
    found = judged(strong)
    assert found["why"] == ""
    assert 0.70 < found["auc_within"] < TOO_WELL


def test_the_whole_interval_has_to_lie_above_the_edge() -> None:
    near = 1.25 * outcome().fillna(0) + noise(N + N_OPEN)  # AUC .812
    found = judged(near)
    assert found["auc_within_low"] < TOO_WELL < found["auc_within_high"]
    assert found["why"] == ""


def test_a_rate_that_rises_from_period_to_period_earns_nothing() -> None:
    """A column that only tells the period tells the outcome over all, and nothing inside a period."""
    period = pd.Series(np.repeat(["a", "b", "c"], 300))
    is_won = pd.Series(np.random.default_rng(3).random(900) < np.repeat([0.05, 0.5, 0.95], 300), dtype="boolean")
    rows = pd.DataFrame({"index_of_prices": np.repeat([1.0, 2.0, 3.0], 300)})
    found = judge_columns(Cases(rows, is_won, is_won.isna(), period, period), ["index_of_prices"]).iloc[0]
    assert found["auc_within"] == 0.5
    assert found["why"] == ""


@pytest.mark.parametrize("n", [0, 1, 12, 39])
def test_tiny_samples_are_not_judged(n: int) -> None:
    found = judged(outcome(n=n, n_open=0, rate=0.5), n=n, n_open=0, rate=0.5)
    assert np.isnan(found["auc_within"])
    assert found["why"] == ""


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_one_outcome_alone_is_not_judged(rate: float) -> None:
    found = judged(noise(N + N_OPEN), rate=rate)
    assert np.isnan(found["auc_within"])
    assert found["why"] == ""


def test_all_missing_and_constant_columns_tell_nothing() -> None:
    empty = judged(pd.Series([None] * (N + N_OPEN), dtype="object"))
    assert (empty["why"], empty["won_filled_share"]) == ("", 0.0)
    assert np.isnan(empty["auc_within"])
    constant = judged("same")
    assert constant["why"] == ""
    assert constant["auc_within"] == 0.5


def test_unique_levels_tell_nothing_of_unseen_records() -> None:
    found = judged(pd.Series([f"text {i}" for i in range(N + N_OPEN)]))
    assert found["why"] == ""
    assert found["auc_within"] == 0.5


def test_ids_are_judged_by_their_gaps_only() -> None:
    owner = outcome().map({1.0: "rep-1", 0.0: "rep-2"}).fillna("rep-2")
    judged_ = judge_columns(cases({"owner_id": owner}), ["owner_id"], fill_only=["owner_id"]).iloc[0]
    assert judged_["why"] == ""


def test_independent_columns_are_hardly_ever_named() -> None:
    named = 0
    for seed in range(25):
        rng = np.random.default_rng(100 + seed)
        n, n_open = int(rng.integers(45, 400)), 60
        size = n + n_open
        rows: dict[str, object] = {f"number_{i}": rng.normal(size=size) for i in range(8)}
        rows |= {f"level_{i}": rng.integers(0, 2 + 3 * i, size).astype(str) for i in range(8)}
        rows |= {f"gaps_{i}": np.where(rng.random(size) < 0.1 * (i + 1), "a", None) for i in range(8)}
        found = judge_columns(cases(rows, n, n_open, 0.45, seed), list(rows), told_when_born=list(rows))
        named += int((found["why"] != "").sum())
    assert named / (25 * 24) < 0.01


def test_the_same_cells_always_give_the_same_figures_in_one_order() -> None:
    rows = {"b": noise(N + N_OPEN, 1), "a": noise(N + N_OPEN, 2), "c": outcome()}
    first, again = (judge_columns(cases(rows), order) for order in (["a", "b", "c"], ["c", "b", "a"]))
    pd.testing.assert_frame_equal(first, again)
    assert list(first.columns) == list(COLUMNS)
    assert first["column"].iloc[0] == "c"
    assert first["auc_within"].is_monotonic_decreasing


def test_no_columns_give_no_rows_and_an_absent_one_is_an_error() -> None:
    assert judge_columns(cases({}), []).empty
    with pytest.raises(ParameterError, match=r"columns \['z'\] are absent"):
        judge_columns(cases({"x": 1.0}), ["z"])


# columns that leak together


def three(distance: float = 1.092) -> dict[str, object]:
    """Three normals ``distance`` apart: AUC Phi(distance / root 2) = .78 alone, Phi(1.891 / root 2) = .91 together."""
    return {f"x{i}": noise(N + N_OPEN, 20 + i) + distance * outcome().fillna(0) for i in range(3)}


def test_three_columns_that_together_tell_too_well_are_all_named() -> None:
    rows = three() | {"honest": noise(N + N_OPEN, 30) + 0.5 * outcome().fillna(0)}
    found = judge_columns(cases(rows), list(rows), known_early=list(rows)).set_index("column")
    assert (found.loc[["x0", "x1", "x2"], "why"] == TELLS_TOGETHER).all()
    assert (found.loc[["x0", "x1", "x2"], "auc_within_low"] < TOO_WELL).all()
    assert found.loc["honest", "why"] == ""
    assert np.isnan(found.loc["honest", "auc_together"])
    # with the honest one the four are 1.956 apart: AUC Phi(1.956 / root 2) = .917, less what bands and 400 rows cost
    assert 0.86 < found["auc_together"].max() < 0.917


def test_columns_that_are_declared_late_are_not_judged_together() -> None:
    assert set(judge_columns(cases(three()), list(three()))["why"]) == {""}


def test_honest_columns_that_together_reach_what_scores_reach_are_not_named() -> None:
    """Three normals .65 apart: together Phi(1.126 / root 2) = .787."""
    rows = three(0.65)
    assert set(judge_columns(cases(rows), list(rows), known_early=list(rows))["why"]) == {""}


def test_one_leak_does_not_make_its_neighbours_suspect() -> None:
    rows = {
        "leak": noise(N + N_OPEN, 40) + 2 * outcome().fillna(0),
        "honest": noise(N + N_OPEN, 41) + outcome().fillna(0),
    }
    found = judge_columns(cases(rows), list(rows), known_early=list(rows)).set_index("column")["why"]
    assert found.to_dict() == {"leak": TELLS_TOO_WELL, "honest": ""}


# gaps


def filled(for_won: float, for_lost: float) -> pd.Series:
    chance = outcome().map({1.0: for_won, 0.0: for_lost}).fillna(1.0)
    return pd.Series(np.where(np.random.default_rng(50).random(N + N_OPEN) < chance, "a", None))


def test_gaps_of_what_is_known_early_must_not_tell_the_outcome() -> None:
    """Filled for 85 % of won and 35 % of lost: AUC of the gaps .5 + .50 / 2 = .75."""
    values = cases({"x": filled(0.85, 0.35)})
    assert judge_columns(values, ["x"], known_early=["x"])["why"].tolist() == [FILL_TELLS]
    assert judge_columns(values, ["x"])["why"].tolist() == [""]  # selling fills it, and won deals were sold longer


def test_gaps_that_differ_a_little_name_nobody() -> None:
    values = cases({"x": filled(0.9, 0.75)})
    assert judge_columns(values, ["x"], known_early=["x"])["why"].tolist() == [""]


@pytest.mark.parametrize(("for_won", "for_lost"), [(0.2, 0.0), (0.0, 0.2)])
def test_what_only_one_outcome_has_is_named_however_rare(for_won: float, for_lost: float) -> None:
    assert judged(filled(for_won, for_lost), told_when_born=False)["why"] == FILL_TELLS


def test_a_gap_that_goes_with_the_period_tells_nothing() -> None:
    """Recorded from the second half on, when nearly all was won: within a period gaps are alike."""
    period = np.repeat(["a", "b"], 400)
    won = pd.Series(np.random.default_rng(8).random(800) < np.repeat([0.1, 0.9], 400), dtype="boolean")
    rows = pd.DataFrame({"x": np.where(period == "b", "filled", None)})
    found = judge_columns(Cases(rows, won, won.isna(), pd.Series(period), pd.Series(period)), ["x"], known_early=["x"])
    assert found["why"].tolist() == [""]


# levels of which none was won


def test_a_level_that_no_won_record_has_is_found_with_its_counts() -> None:
    """61 of 240 decided records, of which half were won: by luck once in 2 ** 61."""
    won = pd.Series([True] * 120 + [False] * 120, dtype="boolean")
    level = pd.Series(["Negotiation"] * 179 + ["Proposal"] * 61)
    period = pd.Series(np.tile(["a", "b"], 120))
    found = one_sided_levels(Cases(pd.DataFrame({"last": level}), won, won.isna(), period, period), ["last"])
    assert found.to_dict("records") == [{"column": "last", "level": "Proposal", "k": 0.0, "n": 61}]


def test_a_level_of_a_period_in_which_nothing_was_won_is_no_surprise() -> None:
    won = pd.Series([True] * 80 + [False] * 20 + [False] * 60 + [True], dtype="boolean")
    period = pd.Series(["a"] * 100 + ["b"] * 61)
    level = pd.Series(np.where(period == "b", "new", "old")).where(won.index < 160, "old")
    assert one_sided_levels(Cases(pd.DataFrame({"x": level}), won, won.isna(), period, period), ["x"]).empty


def test_few_records_of_a_level_prove_nothing() -> None:
    """(1 - .3) ** 19 is .001, and fewer than 20 are not looked at."""
    values = pd.Series(np.where((outcome() == 0) & (np.arange(N + N_OPEN) < 24), "rare", "usual"))
    assert (values == "rare").sum() < 20
    assert one_sided_levels(cases({"x": values}), ["x"]).empty
