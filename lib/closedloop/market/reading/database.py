"""A table of a PostgreSQL database, read once: one read-only snapshot, in batches, rows in the order of its key."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from closedloop.errors import SourceError, allowed
from closedloop.market.reading.containers import as_text
from closedloop.market.reading.lines import Records

if TYPE_CHECKING:
    import psycopg

_BATCH = 10_000
_ROWS = "select count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text from {} as t"


class Snapshots:
    """Connections to databases, each in one transaction that only reads and sees what it saw at its start."""

    def __init__(self) -> None:
        self._open: dict[str, psycopg.Connection] = {}

    def to(self, database: str) -> "psycopg.Connection":
        """The snapshot of a database; ``$NAMES`` in its address are taken from the environment."""
        import psycopg

        if database not in self._open:
            try:
                connection = psycopg.connect(os.path.expandvars(database))
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
            except psycopg.Error as error:
                raise SourceError(f"{database} cannot be reached: {str(error).strip()}") from error
            self._open[database] = connection
        return self._open[database]

    def close(self) -> None:
        """Let go of all of them."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()


def table_names(snapshots: Snapshots, database: str) -> list[str]:
    """The tables and views that may be read, as "schema.table" where the plain name is none or another one's."""
    found = snapshots.to(database).execute(_TABLES).fetchall()
    return [name if is_found and "." not in name else f"{schema}.{name}" for schema, name, is_found in found]


_TABLES = """select n.nspname, c.relname, pg_table_is_visible(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
    and n.nspname <> 'information_schema' and not starts_with(n.nspname, 'pg_')
    and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
order by 1, 2"""


@dataclass(frozen=True)
class Keys:
    """What a person finds the rows of a table by: the values of its key, by the number of the row."""

    columns: tuple[str, ...]
    values: tuple[tuple[str | None, ...], ...]

    def said(self, line: int) -> str:
        """The row as a person finds it; the header is line 1."""
        told = zip(self.columns, self.values[line - 2], strict=True)
        return ", ".join(f"{column} = {value}" for column, value in told) if self.columns else f"row {line - 1}"


def _identifier(table: str) -> "psycopg.sql.Identifier":
    """A table's name, behind that of its schema where both are given."""
    from psycopg import sql

    return sql.Identifier(*table.split(".", 1))


def _refusal(error: "psycopg.Error", snapshots: Snapshots, database: str, table: str) -> SourceError:
    """That a table cannot be read; of one that is not there, which are."""
    from psycopg.errors import InvalidSchemaName, UndefinedTable

    told = f"{database}, table {table}: {str(error).strip()}"
    if isinstance(error, UndefinedTable | InvalidSchemaName):
        snapshots.to(database).rollback()
        told += f"; it has {allowed(table_names(snapshots, database), 40)}"
    return SourceError(told)


def table_rows(snapshots: Snapshots, database: str, table: str, decimal: str) -> tuple[Records, Keys]:
    """The records of a table, cells as text that is read back as the same value, and the keys of its rows.

    ``lines`` number the rows.
    """
    import psycopg
    from psycopg import sql

    connection, name = snapshots.to(database), _identifier(table)
    try:
        with connection.cursor() as asked:
            asked.execute(_KEY, {"table": name.as_string(connection)})
            keys = [row[0] for row in asked.fetchall()]
        order = sql.SQL(" order by ") + sql.SQL(", ").join(map(sql.Identifier, keys)) if keys else sql.SQL("")
        with connection.cursor("closedloop") as cursor:
            cursor.itersize = _BATCH
            cursor.execute(sql.SQL("select * from {}").format(name) + order)
            rows = [[as_text(cell, decimal) or "" for cell in row] for row in cursor]
            names = [column.name for column in cursor.description or ()]
    except psycopg.Error as error:
        raise _refusal(error, snapshots, database, table) from error
    found = Records(names, len(rows) + 1, 1)
    for line, cells in enumerate(rows, 2):
        found.add(cells, line, 1)
    found.check(f"{database}, table {table}")
    places = [names.index(key) for key in keys if key in names]
    held = tuple(tuple(row[place] for place in places) for row in found.rows)
    return found, Keys(tuple(names[place] for place in places), held)


_KEY = """select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where i.indrelid = %(table)s::regclass and i.indisprimary order by array_position(i.indkey::int[], a.attnum::int)"""


def table_digest(database: str, table: str) -> str:
    """What changes when a row of a table does, whatever order the rows come in."""
    import psycopg
    from psycopg import sql

    snapshots = Snapshots()
    try:
        row = snapshots.to(database).execute(sql.SQL(_ROWS).format(_identifier(table))).fetchone()
    except psycopg.Error as error:
        raise _refusal(error, snapshots, database, table) from error
    finally:
        snapshots.close()
    return f"{row}"
