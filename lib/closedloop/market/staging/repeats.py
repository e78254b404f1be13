"""Rows of one key: which are repeated, and what they say otherwise."""

from collections.abc import Sequence

import duckdb

from closedloop.errors import allowed
from closedloop.market.contract import Table, kind_of
from closedloop.market.sources import quoted


def repeated(connection: duckdb.DuckDBPyConnection, table: Table) -> list[int]:
    """The numbers of the rows behind the first one of each key."""
    keys = ", ".join(table.key)
    numbered = f"select rowid as id, row_number() over (partition by {keys} order by rowid) as n from {table.name}"
    found = connection.execute(f"select id from ({numbered} where _line is not null) where n > 1").fetchall()
    return [int(row[0]) for row in found]


def differing(connection: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> str:
    """In what rows of one key differ, and how much of an amount the first ones hold: a file may list the items.

    One line of a file that stands for several rows comes of a join.
    """
    rows = f"(select * from {table.name} where _line is not null)"
    keys, others = ", ".join(table.key), [name for name in columns if name not in table.key]
    same = connection.execute(
        f"select count(*) from (select {keys}, _line from {rows} group by all having count(*) > 1)"
    )
    joined = " by a join, which gives one line of the file several rows" if (same.fetchone() or (0,))[0] else ""
    tests = ", ".join(f"bool_or(n_{i} > 1)" for i in range(len(others)))
    counts = ", ".join(f"count(distinct {quoted(name)}) as n_{i}" for i, name in enumerate(others))
    if not others:
        return joined
    found = connection.execute(f"select {tests} from (select {counts} from {rows} group by {keys})").fetchone()
    apart = [name for name, differs in zip(others, found or (), strict=False) if differs]
    told = f"{joined}, with another {allowed(apart, 6)}" if apart else joined
    for name in (name for name in apart if kind_of(name) == "amount"):
        query = f"select sum({quoted(name)}), sum({quoted(name)}) filter (n = 1) from (select *, row_number() over "
        whole, kept = connection.execute(
            f"{query}(partition by {keys} order by _line) as n from {rows})"
        ).fetchone() or (0, 0)
        told += f" ({name} {whole:,} in all rows, {kept:,} in the first ones)"
    return told
