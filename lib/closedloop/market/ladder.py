"""From raw files to canonical tables: stop, set aside, empty the cell, or flag; nothing is lost silently."""

import re
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from closedloop.errors import ContractError, DefinitionError, SourceError, allowed
from closedloop.market import sources
from closedloop.market.contract import KINDS, TABLES, Table, kind_of
from closedloop.market.definition import Definition, Source
from closedloop.market.flags import flags_for

_CURRENCY = r"([A-Z]{3}|kr|[^\s\w.,()''-])?"
_NUMBER = r"-?([0-9]{1,3}([, \x{a0}\x{202f}''][0-9]{3})+|[0-9]+)?(\.[0-9]*)?"
# "1.234,50" or "12k" give null: a missing amount can be seen, one that is wrong by a factor of thousand cannot.
_AMOUNT = f"""create macro as_amount(x) as case
when regexp_full_match(trim(x), '-?{_CURRENCY}\\s*{_NUMBER}\\s*{_CURRENCY}')
then try_cast(regexp_replace(x, '[^0-9.\\-]', '', 'g') as decimal(18,2)) end"""
_FLAG = """create macro as_flag(x) as case when lower(trim(x)) in ('yes', 'true', '1', 'y', 't') then true
when lower(trim(x)) in ('no', 'false', '0', 'n', 'f') then false end"""
_EMAIL = r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}"
_TELEPHONE = r"(^|[\s:])(\+|00)[1-9][0-9 ().\-]{7,}[0-9]|\(?\b[0-9]{3}\)?[ .\-][0-9]{3}[ .\-][0-9]{4}\b"
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_NUMBERS = (*_WHOLE, "DECIMAL", "DOUBLE", "FLOAT")
_FITTING = {
    "DATE": ("DATE",),
    "TIMESTAMP": ("TIMESTAMP",),
    "DECIMAL(18,2)": _NUMBERS,
    "DOUBLE": _NUMBERS,
    "BIGINT": _WHOLE,
    "BOOLEAN": ("BOOLEAN",),
}
_NOTHING = '"NULL"'  # the type of a column that holds nothing but null
_SHOWN = 500  # characters of a line that was set aside
Action = dict[str, Any]


def quoted(name: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class Ladder:
    """One pass over one market; afterwards ``connection`` holds its canonical tables, ``actions`` all that was done."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
        self.actions: list[Action] = []
        self.rejected: dict[str, pd.DataFrame] = {}
        self.columns: dict[str, list[str]] = {}
        for statement in (_AMOUNT, _FLAG, "create schema raw"):
            self.connection.execute(statement)

    def climb(self) -> None:
        """Load the raw files, stage and check every canonical table that the market has, then flag."""
        helpers, tables = self._selects()
        for name, source in self.definition.sources.items():
            self._load(name, source)
        for statement in ("set enable_external_access = false", "set lock_configuration = true"):
            self.connection.execute(statement)
        for path in helpers:
            self._run(f"create table {quoted(path.stem)} as {self._select(path)}", path)
        for table, path in tables:
            self._stage(table, path)
            self._check(table)
        self._flag()

    def _selects(self) -> tuple[list[Path], list[tuple[Table, Path]]]:
        paths = {path.stem: path for path in sorted(self.definition.folder.glob("*.sql"))}
        helpers = [path for name, path in paths.items() if name.startswith("_")]
        unknown = [path for name, path in paths.items() if path not in helpers and name not in TABLES]
        if unknown:
            raise DefinitionError(f"{unknown[0]}: no canonical table; allowed: {allowed(TABLES)}, or _helper.sql")
        return helpers, [(table, paths[name]) for name, table in TABLES.items() if name in paths]

    def _note(self, table: str, action: str, reason: str, column: str, n: int, lines: list[int]) -> None:
        first = allowed(sorted(lines)[:5]) if lines else ""
        self.actions.append(
            {"table": table, "action": action, "reason": reason, "column": column, "n": n, "lines": first}
        )

    def _load(self, name: str, source: Source) -> None:
        text, spoiled = sources.raw_text(self.definition, name)
        columns = self._header(name, source, text)
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
                self.connection.execute(query, {"path": str(path), "columns": dict.fromkeys(columns, "VARCHAR")})
            except duckdb.Error as error:
                raise SourceError(f"{source.file} (sources.{name}) cannot be read as lines: {error}") from error
        self._set_lines_aside(f"raw.{name}")
        if spoiled:
            reason = "characters that the declared encoding does not hold"
            self._note(f"raw.{name}", "flag", reason, "", spoiled, [])

    def _header(self, name: str, source: Source, text: str) -> list[str]:
        if not text.partition("\n")[0].strip():
            place = self.definition.folder / "market.toml"
            raise DefinitionError(f"{place}: sources.{name}: {source.file} is empty; its first line must be the header")
        header = pd.read_csv(StringIO(text), sep=source.delimiter, quotechar=source.quote, nrows=0)
        return [str(column) for column in header.columns]

    def _set_lines_aside(self, source: str) -> None:
        lines = self.connection.execute(
            "select distinct on (line) line, lower(error_type::varchar) as reason, csv_line[:$n] as content"
            " from reject_errors order by line",
            {"n": _SHOWN},
        ).df()
        self.connection.execute("delete from reject_errors")
        if len(lines):
            self.rejected[source] = lines
            reason = "line that does not fit the header"
            self._note(source, "set aside", reason, "", len(lines), lines["line"].tolist())

    def _select(self, path: Path) -> str:
        try:
            statements = self.connection.extract_statements(path.read_text("utf-8-sig"))
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise DefinitionError(f"{path}: {error}") from error
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DefinitionError(f"{path}: holds {len(statements)} statements; allowed: one select")
        return re.sub(r";\s*\Z", "", statements[0].query)

    def _run(self, statement: str, path: Path) -> None:
        try:
            self.connection.execute(statement)
        except duckdb.Error as error:
            raise DefinitionError(f"{path}: {error}") from error

    def _stage(self, table: Table, path: Path) -> None:
        self._run(f"create table {table.name} as {self._select(path)}", path)
        described = self.connection.execute(f"describe {table.name}").fetchall()
        found = {name: kind for name, kind, *_ in described}
        line = "row_no" if "row_no" in found else "row_number() over ()"
        found.pop("row_no", None)
        self._stop_on_columns(table, found, path)
        casts = ", ".join(f"{_cast(name, kind, path)} as {quoted(name)}" for name, kind in found.items())
        self._run(f"create or replace table {table.name} as select {line} as _line, {casts} from {table.name}", path)
        self.columns[table.name] = list(found)
        self._stop_on_values(table, found, path)

    def _stop_on_columns(self, table: Table, found: dict[str, str], path: Path) -> None:
        wanted = [*table.required, *self.definition.known_at(table.name)]
        missing = [name for name in wanted if name not in found]
        if missing:
            raise ContractError(f"{path}: column {missing[0]!r} is missing; the select gives {allowed(found, 60)}")

    def _stop_on_values(self, table: Table, found: dict[str, str], path: Path) -> None:
        conditions = [(name, *bad) for name in found for bad in self._unfit(name, found[name])]
        tests = ", ".join(f"bool_or({condition})" for *_, condition in conditions) or "false"
        seen = self.connection.execute(f"select {tests} from {table.name}").fetchone() or ()
        for (name, reason, condition), is_seen in zip(conditions, seen, strict=False):
            if is_seen:
                lines = self._column(f"select _line from {table.name} where {condition} order by 1 limit 5")
                raise ContractError(
                    f"{path}: {name!r} holds {reason} in line {allowed(lines)}; mend or leave it out in the select"
                )

    def _unfit(self, name: str, found: str) -> list[tuple[str, str]]:
        """Reason and SQL condition of every kind of value that must stop the loop in the column ``name``."""
        kind, column = kind_of(name), quoted(name)
        if kind in ("date", "timestamp"):
            outside = f"year({column}) not between 1990 and 2100 or isinf({column})"
            return [("a date outside 1990-2100", outside)]
        if found != "VARCHAR" or self.definition.privacy != "strict":
            return []
        email = f"contains({column}, '@') and regexp_matches({column}, '{_EMAIL}')"
        telephone = f"regexp_matches({column}, '{_TELEPHONE}')"
        unfit = [("a value like an e-mail address", email), ("a value like a telephone number", telephone)]
        return unfit[:1] if kind == "id" else unfit

    def _column(self, query: str) -> list[int]:
        return [int(row[0]) for row in self.connection.execute(query).fetchall()]

    def _check(self, table: Table) -> None:
        from closedloop.market.checks import checked, problems  # pandera takes long, and few processes build a ladder

        listed = ", ".join(map(quoted, checked(table, self.columns[table.name])))
        frame = self.connection.execute(f"select {listed} from {table.name} order by rowid").df()
        found = list(problems(table, frame))
        for reason, column, rows in found:
            if column in table.required:
                self._set_rows_aside(table, reason, column, rows)
        for reason, column, rows in found:
            if column not in table.required:
                self._empty(table, reason, column, rows)
        self._set_rows_aside(table, "repeated", table.key[0], self._repeated(table))
        self._set_rows_aside(table, "touch about nothing", "", self._aimless(table))
        self.connection.execute(
            f"create or replace table {table.name} as select * from {table.name} where _line is not null"
        )

    def _repeated(self, table: Table) -> list[int]:
        keys = ", ".join(table.key)
        numbered = f"select rowid as id, row_number() over (partition by {keys} order by rowid) as n from {table.name}"
        return self._column(f"select id from ({numbered} where _line is not null) where n > 1")

    def _aimless(self, table: Table) -> list[int]:
        links = [name for name in ("lead_id", "deal_id", "account_id") if name in self.columns[table.name]]
        if table.name != "touches":
            return []
        conditions = " and ".join(["_line is not null", *(f"{name} is null" for name in links)])
        return self._column(f"select rowid from touches where {conditions}")

    def _lines_of(self, table: Table, rows: list[int]) -> pd.DataFrame:
        query = f"select * from {table.name} where rowid in (select unnest($rows)) and _line is not null order by _line"
        return self.connection.execute(query, {"rows": rows}).df()

    def _set_rows_aside(self, table: Table, reason: str, column: str, rows: list[int]) -> None:
        bad = self._lines_of(table, rows) if rows else pd.DataFrame()
        if bad.empty:
            return
        content = bad.drop(columns="_line").map(str).agg(" | ".join, axis=1).str[:_SHOWN]
        aside = pd.DataFrame({"line": bad["_line"], "reason": f"{column} {reason}".strip(), "content": content})
        self.rejected[table.name] = pd.concat([self.rejected.get(table.name), aside])
        self._note(table.name, "set aside", reason, column, len(bad), aside["line"].tolist())
        self._blank(table, "_line", rows)

    def _empty(self, table: Table, reason: str, column: str, rows: list[int]) -> None:
        lines = self._lines_of(table, rows)["_line"].tolist()
        if lines:
            self._note(table.name, "empty the cell", reason, column, len(lines), lines)
            self._blank(table, column, rows)

    def _blank(self, table: Table, column: str, rows: list[int]) -> None:
        statement = f"update {table.name} set {quoted(column)} = null where rowid in (select unnest($rows))"
        self.connection.execute(statement, {"rows": rows})

    def _flag(self) -> None:
        for flag in flags_for(self.definition, self.columns):
            lines = self._column(f"select _line from {flag.table} t where {flag.condition} order by 1")
            if lines:
                self._note(flag.table, "flag", flag.reason, flag.columns, len(lines), lines)


def _cast(name: str, kind: str, path: Path) -> str:
    wanted = KINDS[kind_of(name)]
    if kind != _NOTHING and wanted in _FITTING and kind.partition("(")[0] not in _FITTING[wanted]:
        raise ContractError(f"{path}: {name!r} is {kind}; its name says {wanted}. Cast it in the select")
    if wanted or kind == _NOTHING:
        return f"{quoted(name)}::{wanted or 'VARCHAR'}"
    return quoted(name)
