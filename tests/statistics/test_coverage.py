"""From when to when a source recorded what happened."""

import numpy as np
import pytest
from closedloop.statistics.recording import recorded_days

DAYS = 730


def events(seed: int, n: int = 4_000, chance: float = 0.07, mean: float = 50.0) -> tuple[np.ndarray, np.ndarray]:
    """Days on which cases came over two years, and on which it happened to some of them."""
    rng = np.random.default_rng(seed)
    came = np.sort(rng.integers(0, DAYS, n)).astype(float)
    happened = came + np.round(rng.gamma(2.0, mean / 2, n))
    return came, np.where((rng.random(n) < chance) & (happened <= DAYS), happened, np.nan)


@pytest.mark.parametrize("n", [200, 4_000])
@pytest.mark.parametrize(("chance", "mean"), [(0.07, 50.0), (0.9, 2.0)])
def test_records_that_cover_all_are_taken_to(n: int, chance: float, mean: float) -> None:
    found = [recorded_days(*events(seed, n, chance, mean), DAYS) for seed in range(12)]
    assert found == [(-np.inf, np.inf)] * 12


@pytest.mark.parametrize("strays", [0, 2])
def test_records_that_begin_late_begin_with_their_first_day(strays: int) -> None:
    for seed in range(5):
        came, happened = events(seed)
        early = np.flatnonzero(happened < 183)
        happened[early[strays:]] = np.nan
        first, last = recorded_days(came, happened, DAYS)
        assert 183 <= first <= 200
        assert last == np.inf


def test_records_that_end_early_end_with_their_last_day() -> None:
    for seed in range(5):
        came, happened = events(seed)
        happened[happened > 600] = np.nan
        first, last = recorded_days(came, happened, DAYS)
        assert first == -np.inf
        assert 560 <= last <= 600


def test_without_a_record_nothing_is_known_of_its_days() -> None:
    assert recorded_days([1.0, 2.0], [np.nan, np.nan], 10) == (-np.inf, np.inf)
