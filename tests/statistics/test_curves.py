"""Curves: a worked example, scikit-survival and statsmodels as oracles, and the boundaries."""

import warnings

import numpy as np
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.cumulative_incidence import CAUSES, cycle_days, share_by, win_curve
from closedloop.statistics.proportions import wilson
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.nonparametric import cumulative_incidence_competing_risks

NAMES = np.array(["open", *CAUSES])


def _cause(curve, cause):
    return curve[curve["cause"] == cause].set_index("day")["estimate"]


def test_a_curve_by_hand():
    """Of 4 deals one is won on day 1 (1/4); one is open since day 2; of the 2 left one is lost on day 3
    (3/4 x 1/2); the last is won on day 4 (3/8 x 1)."""
    curve = win_curve([1, 2, 3, 4], ["won", "open", "lost", "won"])
    assert _cause(curve, "won").to_dict() == {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.625}
    assert _cause(curve, "lost").to_dict() == {1: 0.0, 2: 0.0, 3: 0.375, 4: 0.375}
    assert _cause(curve, "no_decision").tolist() == [0.0] * 4
    assert curve.loc[curve["cause"] == "won", "n_at_risk"].tolist() == [4, 3, 2, 1]


def test_aalens_variance_by_hand():
    """One of two deals won on day 1: Aalen's variance is 1 x (2 - 1) / (4 x 1) = 1/4, so the log-log reach is
    1.645 x 1/2 / (1/2 ln 1/2)."""
    first = win_curve([1, 5], ["won", "open"], at_days=[1]).iloc[0]
    reach = 1.6448536269514722 * 0.5 / (0.5 * np.log(2))
    assert first["low"] == pytest.approx(0.5 ** np.exp(reach))
    assert first["high"] == pytest.approx(0.5 ** np.exp(-reach))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60))
@settings(deadline=None, max_examples=150)
def test_the_curve_equals_scikit_survival(deals):
    every_cause = [(3, 1), (3, 2), (9, 3), (12, 0)]  # the oracle asks for an event of each cause
    days, codes = (np.array(part) for part in zip(*deals, *every_cause, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the oracle divides by zero where nobody is left
        times, estimate, interval = cumulative_incidence_competing_risks(
            codes, days.astype(float), conf_level=0.90, conf_type="log-log"
        )
    curve = win_curve(days, NAMES[codes])
    for number, cause in enumerate(CAUSES, start=1):
        ours = curve[curve["cause"] == cause]
        assert ours["day"].tolist() == times.tolist()
        assert np.abs(ours["estimate"].to_numpy() - estimate[number]).max() < 1e-10
        for end, expected in zip(("low", "high"), interval[number], strict=True):
            both = np.isfinite(expected) & ours[end].notna().to_numpy() & (estimate[number] > 0)
            assert np.abs(ours[end].to_numpy() - expected)[both].max(initial=0) < 1e-10


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(list(NAMES))), min_size=1, max_size=50))
def test_shares_add_up_to_those_who_left_and_never_fall(deals):
    days, outcome = zip(*deals, strict=True)
    wide = win_curve(days, outcome).pivot_table(index="day", columns="cause", values="estimate")
    assert (wide.sum(axis=1) <= 1 + 1e-12).all()
    assert (wide.diff().dropna() >= -1e-12).all().all()


def test_at_days_reads_the_steps_and_stops_where_nothing_is_known():
    curve = win_curve([2, 4, 6], ["won", "lost", "open"], at_days=[0, 2, 5, 6, 7])
    won = _cause(curve, "won")
    assert won.loc[[0, 2, 5, 6]].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert np.isnan(won[7])


def test_a_curve_in_which_everything_closed_goes_on():
    curve = win_curve([2, 4], ["won", "lost"], at_days=[100])
    assert curve["estimate"].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_none_or_all_have_the_interval_of_a_rate_of_what_is_known():
    ages, ends = [1] * 20 + [5] * 40 + [8] * 10, ["open"] * 20 + ["lost"] * 40 + ["open"] * 10
    curve = win_curve(ages, ends, at_days=[5]).set_index("cause")
    assert curve.loc["won", ["low", "high"]].tolist() == pytest.approx([part[()] for part in wilson(0, 50)])
    for n in (2, 5, 7, 10, 14, 50, 100):  # the sum of so many shares is 1 only nearly
        every = win_curve(range(1, n + 1), ["won"] * n, at_days=[n]).set_index("cause")
        assert every.loc["won", ["low", "high"]].tolist() == pytest.approx([part[()] for part in wilson(n, n)])


def test_boundaries_of_the_curve():
    assert len(win_curve([], [])) == 0
    assert win_curve([], [], at_days=[5])["estimate"].isna().all()
    all_open = win_curve([3, 3], ["open", "open"])
    assert all_open["estimate"].tolist() == [0.0, 0.0, 0.0]
    assert all_open["low"].tolist() == [0.0, 0.0, 0.0]
    same_day = win_curve([0, 0, 0, 0], ["won", "lost", "lost", "no_decision"])
    assert same_day["estimate"].tolist() == [0.25, 0.5, 0.25]


def test_deals_without_days_or_outcome_are_left_out():
    curve = win_curve([1, np.nan, 2, 3], ["won", "won", None, "open"], at_days=[2])
    assert _cause(curve, "won").tolist() == [0.5]


def test_impossible_deals_are_refused():
    with pytest.raises(ParameterError, match="found -2 days"):
        win_curve([-2], ["won"])
    with pytest.raises(ParameterError, match="'winning'; allowed are won, lost, no_decision, open"):
        win_curve([2], ["winning"])


def test_cycle_days_is_the_median_of_won_with_its_order_statistics():
    """Of 20 won deals the 6th and the 15th: a binomial(20, 1/2) has 2.07 % below 6, and 5.77 % below 7."""
    days = [*range(20), 500, 600]
    found = cycle_days(days, ["won"] * 20 + ["lost", "open"])
    assert found == {"estimate": 9.5, "low": 5.0, "high": 14.0, "n": 20}


def test_cycle_days_of_too_few_and_of_none():
    few = cycle_days([4, 8], ["won", "won"])
    assert (few["estimate"], few["n"]) == (6.0, 2)
    assert np.isnan([few["low"], few["high"]]).all()
    none = cycle_days([4], ["open"])
    assert np.isnan(none["estimate"])
    assert none["n"] == 0


def test_a_share_by_a_day_is_the_curve_and_stays_beyond_its_end() -> None:
    """Four cases: two are won on days 1 and 3, one is seen for 2 days, one for 4: 1 / 4, then half of what is left."""
    found = share_by([1, 2, 3, 4], [True, False, True, False], [-1, 0, 1, 2, 3, 99])
    assert found.tolist() == pytest.approx([0, 0, 1 / 4, 1 / 4, 5 / 8, 5 / 8])
