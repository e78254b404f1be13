"""The days of a market's canonical tables: on which something happened, and up to which anything is recorded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise

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


def last_day(connection: duckdb.DuckDBPyConnection, present: Present) -> str | None:
    """The last day on which anything is recorded that has happened: no forecast.

    A few days that stand alone, months behind all others, are slips of the pen and not the end of the data.
    """
    counted = _counted(connection, present)
    days = sorted(counted)
    gaps, n_behind, last = _gaps(days), 0, len(days) - 1
    for place in reversed(range(len(gaps))):
        n_behind += counted[days[place + 1]]
        is_hardly_any = gaps[place] > _ALONE_DAYS and n_behind < _ALONE_SHARE * counted.total()
        if is_hardly_any or (gaps[place] > _YEAR and _are_far(gaps, place, n_behind, counted)):
            last = place
    return days[last].isoformat() if days else None


def alone(connection: duckdb.DuckDBPyConnection, present: Present) -> tuple[date, int] | None:
    """The first of one or two days that end the data far behind all others, and how many days behind."""
    counted = _counted(connection, present)
    days = sorted(counted)
    gaps, n_behind = _gaps(days), 0
    for place in reversed(range(len(gaps))):
        n_behind += counted[days[place + 1]]
        if gaps[place] <= _YEAR and _are_far(gaps, place, n_behind, counted):
            return days[place + 1], gaps[place]
    return None


def _counted(connection: duckdb.DuckDBPyConnection, present: Present) -> Counter[date]:
    """How much happened on each day."""
    counted: Counter[date] = Counter()
    for name, columns in present.items():
        for column in events_of(name, columns):
            query = f"select {column}, count(*) from {name} where {column} is not null group by 1"
            counted.update(dict(connection.execute(query).fetchall()))
    return counted


def _gaps(days: Sequence[date]) -> list[int]:
    return [(after - before).days for before, after in pairwise(days)]


def _are_far(gaps: Sequence[int], place: int, n_behind: int, counted: Counter[date]) -> bool:
    """Are the one or two events behind a gap far from all others, as nothing before it is? Few events tell nothing."""
    if n_behind > _FEW or counted.total() < _FEWEST:
        return False
    return gaps[place] > max(_ALONE_DAYS, _TIMES * max(gaps[:place], default=0))
