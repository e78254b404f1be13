"""How numbers are written for people: the only place where a figure becomes text."""

import math
from datetime import date, datetime
from typing import Any

import pandas as pd

MISSING = "–"
SPACE = "\N{NO-BREAK SPACE}"


def is_missing(value: Any) -> bool:
    """Is there nothing to write?"""
    return value is None or (not isinstance(value, (list, tuple, dict)) and bool(pd.isna(value)))


def rate(value: Any) -> str:
    """A fraction as a percentage: 0.44 -> "44 %"; rates under one percent keep one decimal."""
    return MISSING if is_missing(value) else f"{_percent(float(value))}{SPACE}%"


def _percent(value: float) -> str:
    percent = 100 * value
    return f"{percent:.1f}" if 0 < abs(percent) < 0.95 else f"{round(percent):d}"


def fine_rate(value: Any, digits: int = 1) -> str:
    """``rate`` with decimals, where two rates would read the same: 0.0531 -> "5.3 %"."""
    return MISSING if is_missing(value) else f"{100 * float(value):.{digits}f}{SPACE}%"


def rates_apart(one: Any, other: Any) -> tuple[str, str]:
    """Two rates, with decimals where they would read the same."""
    told = rate(one), rate(other)
    return told if told[0] != told[1] else (fine_rate(one), fine_rate(other))


def left_out(n: int, where: str) -> str:
    """That more rows are elsewhere, nothing where none are: "1 more row is in the ledger."."""
    return f"{plural(n, 'more row')} {'is' if n == 1 else 'are'} {where}." if n > 0 else ""


def points(value: Any) -> str:
    """A difference of two fractions in points: 0.11 -> "11 points"; the sign is left to the sentence."""
    if is_missing(value):
        return MISSING
    number = _percent(abs(float(value)))
    return f"{number}{SPACE}point{'' if number == '1' else 's'}"


def signed_points(value: Any) -> str:
    """``points`` with their sign: -0.11 -> "−11 points"."""
    return MISSING if is_missing(value) else f"{'−' if float(value) < 0 else '+'}{points(value)}"


def moved(estimate: Any, low: Any = None, high: Any = None) -> str:
    """A change of a rate in points, with the ends of its interval: 0.09, 0.04, 0.14 -> "+9 points (4 to 14)"."""
    if is_missing(low) or is_missing(high):
        return signed_points(estimate)
    ends = (_minus(_percent(float(end))) for end in (low, high))
    return f"{signed_points(estimate)} ({' to '.join(ends)})"


def fine_points(value: Any) -> str:
    """``signed_points`` with one decimal, where a tenth decides: -0.0264 -> "−2.6 points"."""
    return MISSING if is_missing(value) else f"{_minus(f'{100 * float(value):+.1f}')}{SPACE}points"


def count(value: Any) -> str:
    """A whole number with thousands separated: 12345 -> "12,345"."""
    return MISSING if is_missing(value) else _minus(f"{round(float(value)):,d}")


def plural(n: Any, noun: str) -> str:
    """A number with what it counts: "1 edit", "1,200 edits"."""
    return f"{count(n)} {noun}{'s' * (count(n) != '1')}"


def sample(n: Any, effective: Any = None) -> str:
    """How many cases are behind a figure; of a weighted survey also how many equal ones: "n = 240, effective 146"."""
    return f"n = {count(n)}" if is_missing(effective) else f"n = {count(n)}, effective {count(effective)}"


def days(value: Any) -> str:
    """A duration: 54.2 -> "54 days", 2.5 -> "2.5 days"."""
    if is_missing(value):
        return MISSING
    number = _days(float(value))
    return f"{number}{SPACE}day{'' if number == '1' else 's'}"


def _days(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if abs(value) < 10 else f"{round(value):,d}"


def money(value: Any, currency: str) -> str:
    """An amount in the market's currency: 46512.3 -> "EUR 46,512"."""
    return MISSING if is_missing(value) else f"{currency}{SPACE}{round(float(value)):,d}"


def rounded_money(value: Any, currency: str) -> str:
    """An estimated amount, to three significant digits: 46512.3 -> "EUR 46,500"."""
    if is_missing(value) or float(value) == 0:
        return money(value, currency)
    digits = 2 - math.floor(math.log10(abs(float(value))))
    return money(round(float(value), min(digits, 0)), currency)


def plain(value: Any) -> str:
    """A number without a unit: three significant digits, thousands separated."""
    if is_missing(value):
        return MISSING
    number = float(value)
    return _minus(f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.3g}")


def ratio(value: Any) -> str:
    """``plain``, and under 1 no more than three decimals: -0.00726 -> "−0.007"."""
    return MISSING if is_missing(value) else plain(round(float(value), 3) or value)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def decimal(value: Any) -> str:
    """A number on a scale to 1 or around 0, two decimals: 0.9482 -> "0.95", -0.6 -> "−0.60"."""
    return MISSING if is_missing(value) else _minus(f"{float(value):z.2f}")


def day(value: Any) -> str:
    """A date as year-month-day."""
    if is_missing(value):
        return MISSING
    return value.strftime("%Y-%m-%d") if isinstance(value, (date, datetime)) else str(value)[:10]


def written(value: Any, unit: str, currency: str) -> str:
    """A value in its claim's unit: rate, points (with their sign), amount, days, count or ratio."""
    if unit == "amount":
        return rounded_money(value, currency)
    return {"rate": rate, "days": days, "count": count, "points": signed_points, "ratio": ratio}.get(unit, plain)(value)


def interval(low: Any, high: Any, unit: str, currency: str) -> str:
    """Both ends of an interval, the unit once: "38–50 %"."""
    if is_missing(low) or is_missing(high):
        return MISSING
    first, last = written(low, unit, currency), written(high, unit, currency)
    for digits in (1, 2):  # ends that round alike would say that nothing is uncertain
        if unit == "rate" and first == last and low != high:
            first, last = fine_rate(low, digits), fine_rate(high, digits)
    if unit == "points" or float(low) < 0:
        return f"{first.split(SPACE)[0]} to {last}"
    if unit == "amount":
        return f"{first}–{last.split(SPACE)[-1]}"
    return f"{first.split(SPACE)[0]}–{last}"
