"""Raw records that do not come through a select: lost by its joins, or left out by its conditions."""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb

from closedloop.market.contract import Table
from closedloop.market.sources import quoted
from closedloop.market.staging.selects import Mark, Select


class Missed(NamedTuple):
    """Records of a ``source`` on these ``lines``: what became of them, and why."""

    source: str
    action: str
    reason: str
    lines: list[int]


def missed(
    connection: duckdb.DuckDBPyConnection, table: Table, select: Select, text: str, source: str | None
) -> Iterator[Missed]:
    """What does not come through the ``text`` of a select, of which the ``table`` was made.

    What would come through if its joins kept every record is lost by them; the rest it leaves out on purpose.
    """
    for mark in select.marks(table.key[0], source):
        gone = _lines(connection, mark, table.name)
        left_out = _left_out(connection, mark, select, text) if gone else []
        if left_out is None:
            yield Missed(mark.source, "lost", f"by a join or a condition of {table.name}.sql", gone)
            continue
        kept_out = set(left_out)
        lost = [line for line in gone if line not in kept_out]
        for action, by, lines in (("lost", "a join", lost), ("left out", "a condition", left_out)):
            if lines:
                yield Missed(mark.source, action, f"by {by} of {table.name}.sql", lines)


def _left_out(connection: duckdb.DuckDBPyConnection, mark: Mark, select: Select, text: str) -> list[int] | None:
    """The lines that its conditions leave out; None where its joins cannot be made to keep everything."""
    for side in ("FULL", "LEFT"):  # not every join can be both
        try:
            return _lines(connection, mark, f"({select.with_joins(side, text)})")
        except duckdb.Error:
            continue
    return None


def _lines(connection: duckdb.DuckDBPyConnection, mark: Mark, rows: str) -> list[int]:
    """The lines of the raw records without a row among ``rows``."""
    raw = f"select line, ({mark.text})::varchar as mark from raw.{quoted(mark.source)}"
    here = f"select {quoted(mark.column)}::varchar as mark from {rows} as t"
    query = f"select line from ({raw}) as r anti join ({here}) as t on r.mark is not distinct from t.mark order by line"
    return [line for (line,) in connection.execute(query).fetchall()]
