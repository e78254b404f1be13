"""``values.csv``: what people wrote in a column, and what it means; ``rates.csv``: what other currencies are worth."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL
from duckdb.sqltypes import VARCHAR

from closedloop.errors import DefinitionError, allowed
from closedloop.market.contract import TABLES, Table
from closedloop.market.reading.words import words
from closedloop.market.sources import quoted
from closedloop.terms import LEAD_STATUSES

HEAD = ("table", "column", "written", "meaning", "n")
_RATES = ("currency", "month", "rate")


@dataclass(frozen=True)
class Meaning:
    """What a text in a column means; an empty ``meaning`` is nothing, and ``n`` says how often it was met."""

    table: str
    column: str
    written: str
    meaning: str
    n: int = 0


def key(text: str) -> str:
    """Texts that differ by blanks and capital letters only are one."""
    return " ".join(text.split()).casefold()


Meanings = Mapping[tuple[str, str], Mapping[str, str]]


def read_meanings(path: Path) -> Meanings:
    """By table and column: what each text means, by its ``key``; empty without the file. Errors: DefinitionError."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line, row in _lines(path, HEAD):
        table, column, written, meaning, _ = row
        if table not in TABLES:
            raise DefinitionError(f"{path}, line {line}: {table!r} is no canonical table; allowed: {allowed(TABLES)}")
        listed = of_list(table, column)
        if meaning and listed and meaning not in listed:
            raise DefinitionError(f"{path}, line {line}: {meaning!r} is no {column}; allowed: {allowed(listed, 30)}")
        own = found.setdefault((table, column), {})
        if own.setdefault(key(written), meaning) != meaning:
            raise DefinitionError(f"{path}, line {line}: {written!r} means {own[key(written)]!r} above; one is allowed")
    return found


def _lines(path: Path, head: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The numbered lines of a file below its ``head``; none without the file. Errors: DefinitionError."""
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig")))) if path.exists() else [[*head]]
    if not rows or rows[0] != [*head]:
        raise DefinitionError(f"{path}: its first line must be {','.join(head)}")
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise DefinitionError(f"{path}, line {line}: found {len(row)} fields; allowed: {len(head)}")
        yield line, row


def written(meanings: list[Meaning]) -> str:
    """The text of ``values.csv``."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEAD)
    lines.writerows((one.table, one.column, one.written, one.meaning, one.n) for one in meanings)
    return text.getvalue()


def of_list(table: str, column: str) -> tuple[str, ...]:
    """The values that the contract allows in a column; empty where it allows any."""
    known = TABLES[table].column(column)
    return known.values if known else ()


def add_means(connection: duckdb.DuckDBPyConnection, meanings: Meanings) -> None:
    """The function ``means(table, column, text)``: what ``values.csv`` says; missing for a word that is not in it."""

    def means(tables: pa.ChunkedArray, columns: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.Array:
        rows = zip(tables.to_pylist(), columns.to_pylist(), texts.to_pylist(), strict=True)
        found = (meanings.get((table, column), {}).get(key(text)) if text else None for table, column, text in rows)
        return pa.array([meant or None for meant in found], pa.string())

    connection.create_function("means", means, [VARCHAR] * 3, VARCHAR, type=ARROW, null_handling=SPECIAL)


def translate(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    columns: Sequence[str],
    meanings: Meanings,
    note: Callable[..., None],
) -> None:
    """Say in the contract's words what people wrote; what has no word of a list with ``other`` becomes that.

    A stage or status that appears later is open until ``values.csv`` says more. What a loss reason said beyond the list
    is kept as a remark of sales (``add_notes``).
    """
    for column in columns:
        known, listed = meanings.get((table.name, column), {}), of_list(table.name, column)
        if not (known or "other" in listed):
            continue
        texts = connection.execute(f"select distinct {quoted(column)} from {table.name}").fetchall()
        own = [text for (text,) in texts if isinstance(text, str)]
        means = {text: known[key(text)] for text in own if key(text) in known}
        rest = [text for text in own if text not in means and listed and text not in listed]
        later = "other" if "other" in listed else _LATER.get(column, "") if known else ""
        if later and rest:
            query = f"select _line, {quoted(column)} from {table.name} where {quoted(column)} in (select unnest($rest))"
            found = connection.execute(f"{query} order by 1", {"rest": rest}).fetchall()
            lines, values = zip(*found, strict=True)
            may, day = allowed(listed), "closed_on" if "closed_on" in columns else "null"
            counts = Counter(values)  # what is met once or twice may be a remark, with names in it
            is_remark = {value for value, n in counts.items() if n < 3 and len(value.split()) > 2}
            shown = ["a text of its own" if value in is_remark else value for value in values]
            note(f"read as {later}", "no meaning in values.csv", column, lines=lines, values=shown, allowed=may)
            means |= dict.fromkeys(rest, later)
            if column == "loss_reason":
                connection.execute(_AS_NOTES.format(day=day), {"rest": rest})
        if blank := [text for text, meant in means.items() if not meant]:
            query = f"select _line from {table.name} where {quoted(column)} in (select unnest($rest)) order by 1"
            gone = [line for (line,) in connection.execute(query, {"rest": blank}).fetchall()]
            note("empty the cell", "means nothing by values.csv", column, lines=gone, values=blank)
        for text, meant in means.items():
            statement = f"update {table.name} set {quoted(column)} = $meant where {quoted(column)} = $text"
            connection.execute(statement, {"meant": meant or None, "text": text})


_LATER = {"outcome": "open", "status": LEAD_STATUSES[0]}  # what a word is that appears later
_AS_NOTES = """create table _other_reasons as
select 'loss-' || deal_id as note_id, {day}::date as written_on, 'sales' as from_team, 'loss' as kind,
    loss_reason as text, deal_id
from deals where loss_reason in (select unnest($rest))"""


def add_notes(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> list[str]:
    """Add what loss reasons said beyond the list to the remarks, whose ``columns`` these are, and tell all columns.

    A market without remarks of its own gets a table of them.
    """
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if "_other_reasons" not in tables:
        return list(columns)
    own = [name for (name, *_) in connection.execute("describe _other_reasons").fetchall()]
    if "notes" in tables:
        lacking = [name for name in own if name not in columns]
        for name in lacking:
            connection.execute(f"alter table notes add column {name} {'date' if name == 'written_on' else 'varchar'}")
        connection.execute("insert into notes by name select 0 as _line, * from _other_reasons")
        return [*columns, *lacking]
    connection.execute("create table notes as select row_number() over () as _line, * from _other_reasons")
    return own


def add_rates(connection: duckdb.DuckDBPyConnection, path: Path, currency: str) -> None:
    """The function ``in_currency(amount, currency, day)``: in the market's currency, missing where no rate is known.

    A currency by its code, or by a name or sign of it alone; ``path``: of the rates, if there are any. Errors:
    DefinitionError with the line.
    """
    connection.execute("create table _rates (currency varchar, month date, rate decimal(18, 8))")
    for line, (code, month, rate) in _lines(path, _RATES):
        try:
            connection.execute(
                "insert into _rates values (?, ?, ?)",
                [code.upper(), date.fromisoformat(f"{month[:7]}-01"), Decimal(rate)],
            )
        except (ValueError, InvalidOperation, duckdb.Error) as error:
            raise DefinitionError(
                f"{path}, line {line}: found '{code},{month},{rate}'; allowed: USD,2024-03,0.92"
            ) from error
    connection.execute("create table _currencies (name varchar, iso varchar)")  # names and signs of one currency alone
    known = [[name, codes[0]] for name, codes in words("currencies").items() if len(codes) == 1]
    connection.executemany("insert into _currencies values (?, ?)", known)
    named = "select max(c.iso) from _currencies c where c.name = lower(trim(text))"
    connection.execute(f"create macro _currency(text) as coalesce(({named}), upper(trim(text)))")
    rate = "select max(r.rate) from _rates r where r.currency = _currency(code) and r.month = date_trunc('month', day)"
    is_ours = f"coalesce(_currency(code), '{currency}') = '{currency}'"
    connection.execute(
        f"create macro in_currency(x, code, day) as case when {is_ours} then x else (x * ({rate}))::decimal(18, 2) end"
    )
