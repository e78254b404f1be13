"""Periods: the turns of the loop, and the days on which each is planned and looked back on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from closedloop.errors import DefinitionError, ParameterError, allowed
from closedloop.market.definition import Definition, Periods

EPOCH = date(2000, 1, 1)  # position 0 of a market that only has an order
FOREVER = date(9999, 12, 31)
_MONTHS = {"month": 1, "quarter": 3, "half": 6, "year": 12}
_PATTERNS = {
    "month": r"([12]\d{3})-(\d\d)",
    "quarter": r"([12]\d{3})-q([1-4])",
    "half": r"([12]\d{3})-h([12])",
    "year": r"([12]\d{3})",
}


@dataclass(frozen=True, order=True)
class Period:
    """One turn of the loop: ``start`` is its first day, ``end`` the first day after it."""

    start: date
    end: date
    name: str
    running: bool = False

    @property
    def planned_on(self) -> date:
        """The day whose view plans this period."""
        return self.start

    def looked_back_on(self, extracted_on: date) -> date:
        """The day whose view looks back: the first day after, or after the data's last day while running."""
        return min(self.end, extracted_on + timedelta(days=1)) if self.running else self.end


ALL = Period(FOREVER, FOREVER, "all")


def as_told(definition: Definition, day: date) -> str:
    """A day as the market knows it: by the calendar, or where it only has an order, as a position."""
    return f"position {(day - EPOCH).days:,}" if definition.clock == "order" else f"{day}"


def _month_start(months: int) -> date:
    return date(months // 12, months % 12 + 1, 1)


@lru_cache(maxsize=1024)  # asked of every day on which something happened
def _calendar_period(months: int, length: str, shift: int = 0) -> Period:
    """The period of a month, counted in months of the fiscal calendar, which runs ``shift`` months ahead."""
    size = _MONTHS[length]
    first = months - months % size
    start = _month_start(first)
    number = start.month // size + (1 if size > 1 else 0)
    name = {
        "month": f"{start.year}-{start.month:02d}",
        "quarter": f"{start.year}-q{number}",
        "half": f"{start.year}-h{number}",
        "year": f"{start.year}",
    }[length]
    return Period(_month_start(first - shift), _month_start(first + size - shift), name)


def period_of(day: date, periods: Periods) -> Period:
    """The period that holds ``day``; for an integer length, periods of that many positions from 2000-01-01."""
    length = periods.length
    if isinstance(length, str):
        return _calendar_period(day.year * 12 + day.month - 1 + periods.shift, length, periods.shift)
    number = (day - EPOCH).days // length
    start = EPOCH + timedelta(days=number * length)
    return Period(start, start + timedelta(days=length), f"p{number + 1:03d}")


def _first(definition: Definition) -> Period:
    assert definition.periods is not None
    periods = definition.periods
    name, length = periods.first, periods.length
    pattern = r"p(\d{3,})" if isinstance(length, int) else _PATTERNS[length]
    match = re.fullmatch(pattern, name)
    number, *others = [int(found) for found in match.groups()] if match else [0]
    if number and isinstance(length, int):
        first = period_of(EPOCH + timedelta(days=(number - 1) * length), periods)
    elif number:
        first = _calendar_period(number * 12 + ([*others, 1][0] - 1) * _MONTHS[str(length)], str(length), periods.shift)
    if not number or first.name != name:  # "2024-13" would count on into the next year
        raise DefinitionError(f"{definition.folder / 'market.toml'}: periods.first = {name!r} is no {length}")
    return first


def calendar(definition: Definition, busy: Iterable[date]) -> list[Period]:
    """The market's periods, oldest first: from ``first`` to the one that is running or comes next.

    ``busy`` are days on which something happened; a past period without any is a gap and left out.
    """
    if definition.periods is None or definition.last_day is None:
        return [ALL]
    length, after = definition.periods.length, definition.last_day + timedelta(days=1)
    # a day of each month names all the calendar's periods
    days = busy if isinstance(length, int) else {(day.year, day.month): day for day in busy}.values()
    used = {period_of(day, definition.periods).name for day in days}
    periods, period = [], _first(definition)
    while period.start <= after:
        running = period.end > after
        if running or period.name in used:
            periods.append(Period(period.start, period.end, period.name, running))
        period = period_of(period.end, definition.periods)
    if not periods:
        raise DefinitionError(f"{definition.folder / 'market.toml'}: periods.first lies after extracted_on")
    return periods


def find_period(periods: list[Period], name: str, *, planning: bool = True) -> Period:
    """The period called ``name``; ``latest``: the running one for planning, the last complete for looking back."""
    if name == "latest":
        complete = [period for period in periods if not period.running]
        return periods[-1] if planning or not complete else complete[-1]
    for period in periods:
        if period.name == name:
            return period
    raise ParameterError(f"period = {name!r} does not exist; allowed: latest, {allowed(p.name for p in periods)}")
