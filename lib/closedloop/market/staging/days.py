"""The days of a market's canonical tables: on which something happened, and up to which anything is recorded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

import duckdb

from closedloop.market.contract import TABLES
from closedloop.market.definition import zone
from closedloop.market.sources import quoted

_ALONE_DAYS, _ALONE_SHARE = 92, 0.002  # days behind all others with so few of all events
_YEAR, _FEW, _FEWEST, _TIMES = 365, 2, 20, 3  # days; events behind them, and of all; times the longest gap before
Present = Mapping[str, Sequence[str]]  # the columns of each table


def busy_days(connection: duckdb.DuckDBPyConnection, present: Present) -> list[str]:
    """The days on which leads and deals begin or end: with them the market's periods are known without a query."""
    days: set[date] = set()
    for table, column in (("leads", "created_on"), ("deals", "created_on"), ("deals", "closed_on")):
        if column in present.get(table, ()):
            found = connection.sql(f"select distinct {quoted(column)} from {table}").fetchall()
            days.update(day for (day,) in found if day is not None)
    return sorted(day.isoformat() for day in days)


def today(timezone: str) -> date:
    """The day that it is where a market counts days."""
    return datetime.now(zone(timezone)).date()


def events_of(table: str, columns: Sequence[str]) -> list[str]:
    """The columns of a table that say when something happened: no forecasts."""
    found = [own.name for own in TABLES[table].columns if own.name == TABLES[table].born or own.shown == "own"]
    return [name for name in found if name in columns]


class Gap(NamedTuple):
    """Days without anything before ``after``: how many, how many at most in a row before them, and what follows."""

    before: date
    after: date
    n_days: int
    longest: int
    n_behind: int
    n_all: int

    @property
    def is_far(self) -> bool:
        """Are the one or two events behind it far from all others, as nothing before is? Few events tell nothing."""
        is_few = self.n_behind <= _FEW and self.n_all >= _FEWEST
        return is_few and self.n_days > max(_ALONE_DAYS, _TIMES * self.longest)


def last_day(connection: duckdb.DuckDBPyConnection, present: Present) -> str | None:
    """The last day on which anything is recorded that has happened: no forecast.

    A few days that stand alone, months behind all others, are slips of the pen and not the end of the data.
    """
    counted = _counted(connection, present)
    slips = [
        gap.before
        for gap in _gaps(counted)
        if (gap.n_days > _ALONE_DAYS and gap.n_behind < _ALONE_SHARE * gap.n_all) or (gap.n_days > _YEAR and gap.is_far)
    ]
    return min([max(counted), *slips]).isoformat() if counted else None


def alone(connection: duckdb.DuckDBPyConnection, present: Present) -> tuple[date, int] | None:
    """The first of one or two days that end the data far behind all others, and how many days behind."""
    far = (gap for gap in _gaps(_counted(connection, present)) if gap.n_days <= _YEAR and gap.is_far)
    return next(((gap.after, gap.n_days) for gap in far), None)


def _counted(connection: duckdb.DuckDBPyConnection, present: Present) -> Counter[date]:
    """How much happened on each day."""
    counted: Counter[date] = Counter()
    for name, columns in present.items():
        for column in events_of(name, columns):
            query = f"select {column}, count(*) from {name} where {column} is not null group by 1"
            counted.update(dict(connection.execute(query).fetchall()))
    return counted


def _gaps(counted: Counter[date]) -> list[Gap]:
    """Between the days on which something happened, the last one first."""
    found, longest, n_behind = list[Gap](), 0, counted.total()
    for before, after in pairwise(sorted(counted)):
        n_days, n_behind = (after - before).days, n_behind - counted[before]
        found.append(Gap(before, after, n_days, longest, n_behind, counted.total()))
        longest = max(longest, n_days)
    return found[::-1]
