"""The days of a market's canonical tables: on which something happened, and up to which anything is recorded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

import duckdb

from closedloop.market.contract import TABLES
from closedloop.market.sources import quoted

_ALONE_DAYS, _ALONE_SHARE = 92, 0.002  # days behind all others with so few of all events
Present = Mapping[str, Sequence[str]]  # the columns of each table


def busy_days(connection: duckdb.DuckDBPyConnection, present: Present) -> list[str]:
    """The days on which leads and deals begin or end: with them the market's periods are known without a query."""
    days: set[date] = set()
    for table, column in (("leads", "created_on"), ("deals", "created_on"), ("deals", "closed_on")):
        if column in present.get(table, ()):
            found = connection.sql(f"select distinct {quoted(column)} from {table}").fetchall()
            days.update(day for (day,) in found if day is not None)
    return sorted(day.isoformat() for day in days)


def last_day(connection: duckdb.DuckDBPyConnection, present: Present) -> str | None:
    """The last day on which anything is recorded that has happened: no forecast.

    A few days that stand alone, months behind all others, are slips of the pen and not the end of the data.
    """
    counted: Counter[date] = Counter()
    for name, columns in present.items():
        table = TABLES[name]
        events = [own.name for own in table.columns if own.name == table.born or own.shown == "own"]
        for column in (own for own in events if own in columns):
            query = f"select {column}, count(*) from {name} where {column} is not null group by 1"
            counted.update(dict(connection.execute(query).fetchall()))
    days, n_behind, last = sorted(counted), 0, len(counted) - 1
    for place, (before, after) in reversed(list(enumerate(pairwise(days)))):
        n_behind += counted[after]
        if (after - before).days > _ALONE_DAYS and n_behind < _ALONE_SHARE * counted.total():
            last = place
    return days[last].isoformat() if days else None
