"""What was done to rows and cells on the way to canonical tables: how often, in which lines, with which values."""

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from closedloop.errors import DefinitionError, SourceError, allowed
from closedloop.market import sources
from closedloop.market.definition import Definition, Source

EMAIL = r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}"
TELEPHONE = r"(^|[\s:])(\+|00)[1-9][0-9 ().\-]{7,}[0-9]|\(?\b[0-9]{3}\)?[ .\-][0-9]{3}[ .\-][0-9]{4}\b"
COLUMNS = ("table", "action", "reason", "column", "n", "values", "allowed", "file", "lines")
_MOST_SHOWN = 5
_LONGEST = 60
Action = dict[str, Any]


class Actions(list[Action]):
    """Actions in the order in which they were taken, with the keys COLUMNS; without a file ``lines`` are rows."""

    def __init__(self, is_strict: bool) -> None:
        super().__init__()
        self._is_strict = is_strict

    def note(
        self,
        table: str,
        action: str,
        reason: str,
        column: str = "",
        *,
        lines: Sequence[int] = (),
        values: Iterable[object] = (),
        allowed: str = "",
        file: str = "",
        n: int | None = None,
    ) -> None:
        """Add one action; ``n`` is the number of lines where it is not given."""
        count = len(lines) if n is None else n
        shown = (table, action, reason, column, count, self._shown(values), allowed, file, _first(lines))
        self.append(dict(zip(COLUMNS, shown, strict=True)))

    def _shown(self, values: Iterable[object]) -> str:
        """The most frequent values with their counts, e-mail addresses and telephone numbers left out."""
        counts = Counter(self._plain(str(value)) for value in values).most_common()
        named = [f"{value} ({n} times)" if n > 1 else value for value, n in counts]
        return allowed(named, _MOST_SHOWN) if named else ""

    def _plain(self, value: str) -> str:
        for pattern, name in ((EMAIL, "an e-mail address"), (TELEPHONE, "a telephone number")):
            if self._is_strict and re.search(pattern, value):
                return f"(like {name})"
        return f"'{value[:_LONGEST]}…'" if len(value) > _LONGEST else f"'{value}'"


def _first(lines: Sequence[int]) -> str:
    return allowed(sorted(lines), _MOST_SHOWN) if lines else ""


def told(action: Mapping[Any, Any]) -> str:
    """One action as a line that a person reads."""
    columns = [name for name in action["column"].split(", ") if name and name not in action["reason"]]
    place = ".".join([action["table"], *columns]) if len(columns) < 2 else action["table"]
    about = f" ({action['column']})" if len(columns) > 1 else ""
    n = f"{action['n']:,} time{'s' * (action['n'] != 1)}"
    parts = [f"{action['action']}, {n}: {place} {action['reason']}{about}"]
    parts += [f"found {action['values']}"] if action["values"] else []
    parts += [f"allowed: {action['allowed']}"] if action["allowed"] else []
    if action["lines"]:
        kind = f"{action['file']}, line" if action["file"] else "row of the select"
        parts.append(f"{kind}{'s' * (action['n'] != 1) if action['file'] else ''} {action['lines']}")
    return "; ".join(parts)


SHOWN = 500  # characters of what was set aside


def quoted(name: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def file_of(source: Source) -> str:
    """The file that holds the text, as a person finds it."""
    return source.member[-1] if source.member else source.file


class RawFiles:
    """Loads sources into ``raw.<source>`` (``row_no`` from 1 on, then text) and ``lines.<source>`` (row_no, line).

    ``columns`` names those of each table; ``rejected`` holds the lines that do not fit the header.
    """

    def __init__(self, definition: Definition, connection: duckdb.DuckDBPyConnection, actions: Actions) -> None:
        self.columns: dict[str, list[str]] = {}
        self.rejected: dict[str, pd.DataFrame] = {}
        self._definition, self._connection, self._actions = definition, connection, actions
        for schema in ("raw", "lines"):
            connection.execute(f"create schema {schema}")

    def load(self, name: str) -> None:
        """Load one source; what does not fit its header is set aside."""
        source = self._definition.sources[name]
        text, spoiled = sources.raw_text(self._definition, name)
        columns = self._header(name, source, text)
        self._read(name, source, text, columns)
        self.columns[name] = ["row_no", *columns]
        self._number_lines(name, source, text, len(columns))
        if spoiled:
            lines = [number for number, line in enumerate(text.split("\n"), 1) if "\ufffd" in line]
            reason = "characters that the declared encoding does not hold"
            self._actions.note(f"raw.{name}", "flag", reason, lines=lines, file=file_of(source), n=spoiled)

    def _header(self, name: str, source: Source, text: str) -> list[str]:
        if not text.partition("\n")[0].strip():
            place = self._definition.folder / "market.toml"
            raise DefinitionError(f"{place}: sources.{name}: {source.file} is empty; its first line must be the header")
        header = pd.read_csv(StringIO(text), sep=source.delimiter, quotechar=source.quote, nrows=0)
        return [str(column) for column in header.columns]

    def _read(self, name: str, source: Source, text: str, columns: list[str]) -> None:
        dialect = f"delim = {_text(source.delimiter)}, quote = {_text(source.quote)}, escape = {_text(source.quote)}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "source.csv"
            path.write_text(text, "utf-8", newline="")
            query = (
                f"create table raw.{quoted(name)} as select row_number() over () as row_no, * from read_csv("
                f"$path, header = true, auto_detect = false, all_varchar = true, columns = $columns, "
                f"store_rejects = true, {dialect})"
            )
            try:
                self._connection.execute(query, {"path": str(path), "columns": dict.fromkeys(columns, "VARCHAR")})
            except duckdb.Error as error:
                raise SourceError(f"{source.file} (sources.{name}) cannot be read as lines: {error}") from error

    def _number_lines(self, name: str, source: Source, text: str, n_columns: int) -> None:
        """Note the lines that were set aside, and number those of the records that are left."""
        rejected = self._connection.execute(
            "select distinct on (line) line, lower(error_type::varchar) as reason, csv_line[:$n] as content"
            " from reject_errors order by line",
            {"n": SHOWN},
        ).df()
        self._connection.execute("delete from reject_errors")
        starts = _record_lines(text, source)
        lost = set(rejected["line"])  # the database numbers records, not lines
        read = [
            line
            for number, (line, is_blank) in enumerate(starts, 1)
            if number > 1 and number not in lost and not (is_blank and n_columns > 1)
        ]
        row = self._connection.execute(f"select count(*) from raw.{quoted(name)}").fetchone()
        if row and row[0] != len(read):  # the two readers disagree about some quote: nearly right is better than none
            read = list(range(2, row[0] + 2))
        query = f"create table lines.{quoted(name)} as select unnest(range(1, $n)) as row_no, unnest($lines) as line"
        self._connection.execute(query, {"n": len(read) + 1, "lines": read})
        if len(rejected):
            lines = [starts[number - 1][0] if number <= len(starts) else number for number in rejected["line"]]
            self.rejected[f"raw.{name}"] = rejected.assign(line=lines)
            reason = "line that does not fit the header"
            self._actions.note(f"raw.{name}", "set aside", reason, lines=lines, file=file_of(source))


def _record_lines(text: str, source: Source) -> list[tuple[int, bool]]:
    """The line on which each record begins, as an editor shows it, and whether it is blank; the header is the first.

    A record spans lines where a quoted field holds a line break.
    """
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(StringIO(text), delimiter=source.delimiter, quotechar=source.quote)
    lines, line = [], 1
    for fields in reader:
        lines.append((line, not fields))
        line = reader.line_num + 1
    return lines
