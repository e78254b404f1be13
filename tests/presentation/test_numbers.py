"""Numbers as people read them."""

import math

import pytest
from closedloop.presentation import numbers

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.44, "44 %"), (0.0, "0 %"), (1.0, "100 %"), (0.004, "0.4 %"), (0.0096, "1 %"), (math.nan, "–"), (None, "–")],
)
def test_rates_are_percentages_and_undefined_ones_are_missing(value: float | None, text: str) -> None:
    assert numbers.rate(value) == text.replace(" ", NBSP)


def test_a_difference_in_points_has_no_sign_and_counts_its_noun() -> None:
    assert numbers.points(-0.11) == f"11{NBSP}points"
    assert numbers.points(0.01) == f"1{NBSP}point"


def test_what_moves_a_rate_has_a_sign_and_the_ends_of_its_interval() -> None:
    texts = [numbers.moved(*figures).replace(numbers.SPACE, " ") for figures in (
        (0.09, 0.04, 0.14), (-0.08, -0.13, -0.03), (0.012, -0.04, 0.06), (0.2,), (None, None, None))]  # fmt: skip
    assert texts == ["+9 points (4 to 14)", "−8 points (−13 to −3)", "+1 point (−4 to 6)", "+20 points", "–"]


def test_days_keep_a_decimal_only_below_ten() -> None:
    assert [numbers.days(value) for value in (1, 2.5, 54.4)] == [f"1{NBSP}day", f"2.5{NBSP}days", f"54{NBSP}days"]


def test_estimated_money_has_three_significant_digits_and_totals_have_all() -> None:
    assert numbers.rounded_money(46512.3, "EUR") == f"EUR{NBSP}46,500"
    assert numbers.rounded_money(0, "EUR") == f"EUR{NBSP}0"
    assert numbers.money(46512.3, "USD") == f"USD{NBSP}46,512"


def test_an_interval_names_its_unit_once() -> None:
    assert numbers.interval(0.38, 0.5, "rate", "EUR") == f"38–50{NBSP}%"
    assert numbers.interval(0.1361, 0.1439, "rate", "EUR") == f"13.6–14.4{NBSP}%", "never 14–14"
    assert numbers.interval(0.9999, 1.0, "rate", "EUR") == f"99.99–100.00{NBSP}%"
    assert numbers.interval(1000, 2500, "amount", "EUR") == f"EUR{NBSP}1,000–2,500"
    assert numbers.interval(-0.19, 0.02, "ratio", "EUR") == "−0.19 to 0.02"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.00726, "−0.007"), (0.8, "0.8"), (0.0001, "0.0001"), (2.649, "2.65"), (1234.5, "1,234"), (0, "0"), (None, "–")],
)
def test_a_ratio_has_three_decimals_at_most_unless_nothing_were_left(value: float | None, text: str) -> None:
    assert numbers.ratio(value) == text
    assert numbers.interval(math.nan, 0.5, "rate", "EUR") == "–"


def test_decimals_have_two_places_and_a_real_minus() -> None:
    assert [numbers.decimal(value) for value in (0.9482, -0.6, None)] == ["0.95", "−0.60", "–"]
