"""Has the segmentation held: which rows are the last wave, and what an earlier cut says of them."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop import segments, waves
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.period.situation import Situation
from closedloop.questions.research.sample import last_wave
from closedloop.workbench.period import silence

from tests.questions.researched import Researched, opened_at_start, researched


@pytest.fixture(scope="module")
def planned(out: Path) -> Researched:
    return researched("harbor", "2025-q3", out / "waves")


def then() -> Situation:
    warehouse = open_warehouse("harbor")
    return Situation.planning(warehouse, find_period(warehouse.periods, "2025-q3"))


def answered(*days: tuple[str, int]) -> pd.Series:
    """These days, so many answers each."""
    return pd.Series(pd.to_datetime([day for day, n in days for _ in range(n)]))


def test_the_last_wave_is_the_latest_run_of_periods() -> None:
    rows = answered(("2023-11-01", 80), ("2024-12-10", 30), ("2025-01-10", 40))
    gap = last_wave(then(), rows, 50)
    assert gap is not None
    assert gap.sum() == 70
    assert rows[gap].min() == pd.Timestamp("2024-12-10")
    rows = answered(*[(f"2024-{month:02d}-10", 60) for month in (2, 5, 8, 11)])
    steady = last_wave(then(), rows, 50)
    assert steady is not None
    assert set(rows[steady]) == {pd.Timestamp("2024-11-10")}
    assert steady.sum() == 60


def test_one_wave_or_a_small_one_cannot_be_compared() -> None:
    assert last_wave(then(), answered(("2023-11-01", 200)), 50) is None
    small = answered(("2023-11-01", 200), ("2025-01-10", 49))
    assert last_wave(then(), small, 50) is None
    found = last_wave(then(), small, 40)
    assert found is not None and found.sum() == 49
    assert last_wave(then(), pd.Series(dtype="datetime64[us]"), 50) is None


def test_one_wave_is_told_with_what_to_ask(out: Path) -> None:
    with silence():
        now = opened_at_start("harbor", "2024-q1", out / "first")
        answer = waves(segments(now.sample(), now.items))
        assert "Cannot tell: there is one wave of answers only" in answer.missing["held"]
        assert answer.compared.empty and answer.stated.empty


def test_the_simulated_segments_have_held(planned: Researched) -> None:
    """The simulated needs are the same in both waves: the older cut agrees, and no segment changes size."""
    stated = planned.waves.stated.set_index("measure")
    assert stated.loc["wave_agreement", "estimate"] > 0.9
    assert stated.loc["wave_agreement", "n"] == stated.loc["n_last_wave", "estimate"] == 300
    assert sorted(planned.waves.tables["matched"]["earlier"]) == ["0", "1", "2", "3"]
    changes = stated.loc["wave_share_change"]
    assert (changes["low"] < 0).all()
    assert (changes["high"] > 0).all()
    assert (planned.waves.compared["measure"] == "wave_share").sum() == 4


def test_shares_of_the_waves_are_counts_of_the_labels(planned: Researched) -> None:
    sample, found = planned.found.fitted
    is_last = sample.rows["answered_on"] >= "2024-07-01"
    last, before = (found.labels[part].value_counts(normalize=True).sort_index() for part in (is_last, ~is_last))
    changes = planned.waves.stated.query("measure == 'wave_share_change'").sort_values("level")
    assert changes["estimate"].tolist() == pytest.approx((last - before).tolist())
    looks = planned.waves.compared.sort_values("level")
    assert looks["baseline"].tolist() == pytest.approx(found.labels.value_counts(normalize=True).sort_index().tolist())
    (redraw,) = planned.waves.redraws
    assert (redraw.groups == redraw.group).tolist() == is_last.tolist()
