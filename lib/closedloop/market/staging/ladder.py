"""From raw files to canonical tables: stop, set aside, empty the cell, or flag; nothing is lost silently."""

import re
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from closedloop.errors import ContractError, DefinitionError, Problems, allowed
from closedloop.market.contract import KINDS, NOTES, TABLES, Table, kind_of
from closedloop.market.definition import Definition
from closedloop.market.periods import as_told
from closedloop.market.reading.lines import SHOWN
from closedloop.market.sources import file_of, quoted
from closedloop.market.staging.checks import (
    FIELD_YEARS,
    LIKE_A_TELEPHONE,
    Actions,
    are_codes,
    checked,
    far_amounts,
    flags_for,
    outside,
    problems,
    stops,
    unfit,
)
from closedloop.market.staging.days import last_day
from closedloop.market.staging.losses import missed
from closedloop.market.staging.meanings import add_means, add_notes, add_rates, read_meanings, translate
from closedloop.market.staging.raw import RawFiles
from closedloop.market.staging.repeats import differing, repeated
from closedloop.market.staging.selects import Select
from closedloop.market.staging.unreadable import Unreadable, missing_column

_RAW_SOURCE = re.compile(r"""\braw\s*\.\s*("?)([^\s",();]+)\1""", re.IGNORECASE)
_READER = re.compile(r"\bas_(amount|number|count|flag|date|time)(?=\s*\()", re.IGNORECASE)
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

_MOST_WITHOUT_RATE = 0.05  # of the amounts of a column


class Ladder:
    """One pass over one market; afterwards ``connection`` holds its canonical tables, ``actions`` all that was done."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
        self.actions = Actions(definition.privacy == "strict")
        self.files = {name: file_of(definition, name) for name in definition.sources}
        self.raw = RawFiles(definition, self.connection, self.actions)
        self.rejected = self.raw.rejected
        self.columns: dict[str, list[str]] = {}
        self._files: dict[str, str] = {}  # of a table whose rows are those of one file
        self._helpers: dict[str, Select] = {}
        self._meanings = read_meanings(definition.folder / "values.csv")
        self.unreadable = Unreadable(self.connection, self.files, self.actions, self.raw.reason)
        self.connection.execute(f"set TimeZone = '{definition.timezone}'")
        self.raw.add_readers()
        add_means(self.connection, self._meanings)
        add_rates(self.connection, definition.folder / "rates.csv", definition.currency)

    def climb(self) -> None:
        """Load the raw files, stage and check every canonical table that the market has, then flag."""
        helpers, tables = self._selects()
        try:
            with Problems() as problems:
                for name in self.definition.sources:
                    with problems.of(name):
                        self.raw.load(name)
        finally:
            self.raw.snapshots.close()
        for statement in ("set enable_external_access = false", "set lock_configuration = true"):
            self.connection.execute(statement)
        with Problems() as problems:
            for path in helpers:
                with problems.of(path.stem):
                    self._create(path)
            for table, path in tables:
                with problems.of(table.name):
                    self._make(table, path)
        if NOTES.name not in self.columns and (columns := add_notes(self.connection, ())):
            self.columns[NOTES.name], self._files[NOTES.name] = columns, ""
        self.unreadable.count_elsewhere()
        self._flag()

    def _make(self, table: Table, path: Path) -> None:
        """Stage one canonical table, say it in the contract's words, leave out what is not of this market, check it."""
        self._stage(table, path)
        translate(self.connection, table, self.columns[table.name], self._meanings, partial(self._done, table))
        if table is NOTES:
            self.columns[table.name] = add_notes(self.connection, self.columns[table.name])
        self._leave_out(table)
        self._empty_unconverted(table)
        self._check(table)

    def file_of(self, name: str) -> str:
        """The file of a raw or a canonical table's rows; empty where they are of several."""
        return self.files.get(name.removeprefix("raw."), "") if name.startswith("raw.") else self._files.get(name, "")

    def _selects(self) -> tuple[list[Path], list[tuple[Table, Path]]]:
        paths = {path.stem: path for path in sorted(self.definition.folder.glob("*.sql"))}
        helpers = [path for name, path in paths.items() if name.startswith("_")]
        unknown = [path for name, path in paths.items() if path not in helpers and name not in TABLES]
        if unknown:
            raise DefinitionError(f"{unknown[0]}: no canonical table; allowed: {allowed(TABLES)}, or _helper.sql")
        return helpers, [(table, paths[name]) for name, table in TABLES.items() if name in paths]

    def _select(self, path: Path) -> str:
        try:
            statements = self.connection.extract_statements(path.read_text("utf-8-sig"))
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise DefinitionError(f"{path}: {error}") from error
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DefinitionError(f"{path}: holds {len(statements)} statements; allowed: one select")
        text = re.sub(r";\s*\Z", "", statements[0].query)
        if not _READER.search(text):
            return text
        named = {name.lower(): name for name in self.definition.sources}
        read = {named[name.lower()] for _, name in _RAW_SOURCE.findall(text) if name.lower() in named}
        try:
            suffix = self.raw.suffix(sorted(read))
        except DefinitionError as error:
            raise DefinitionError(f"{path}: {error}") from error
        return _READER.sub(rf"\g<0>{suffix}", text) if suffix else text

    def _create(self, path: Path) -> tuple[Select | None, str | None]:
        """Make the table or helper of a select; a table with the ``row_no`` of the raw file whose rows it tells of."""
        written = self._select(path)
        select, name = self._followed(written, path), path.stem
        text, source = select.with_rows(TABLES[name].key[0]) if select and name in TABLES else (written, None)
        try:
            self.connection.execute(f"create table {quoted(name)} as {text}")
        except duckdb.Error:
            text, source = written, None
            self._run(f"create table {quoted(name)} as {text}", path, select)
        if select and name in TABLES:
            for one in missed(self.connection, TABLES[name], select, text, source):
                self.raw.note(one.source, one.action, one.reason, lines=one.lines)
        elif select and name not in TABLES:
            self._helpers[name.lower()] = select
        return select, source

    def _followed(self, text: str, path: Path) -> Select | None:
        described = self.connection.execute(
            "select table_name, list(column_name) from duckdb_columns() where schema_name = 'main' group by all"
        )
        try:
            return Select(text, self.raw.columns, dict(described.fetchall()), self._helpers)
        except Exception:  # whatever the parser raises: a market can be built without, and says so
            reason = "select that cannot be followed: values in it that cannot be read count as missing"
            self.actions.note(path.stem, "flag", reason, n=1)
            return None

    def _run(self, statement: str, path: Path, select: Select | None = None) -> None:
        try:
            self.connection.execute(statement)
        except duckdb.Error as error:
            cell = self.unreadable.stopped(select.hard_readings() if select else (), str(error))
            raise DefinitionError(
                f"{path}: {cell or missing_column(str(error), self.raw.columns.values()) or error}"
            ) from error

    def _stage(self, table: Table, path: Path) -> None:
        select, source = self._create(path)
        described = self.connection.execute(f"describe {table.name}").fetchall()
        found = {name: kind for name, kind, *_ in described}
        line = f"coalesce({'l.line, ' if source else ''}t.row_no, 0)" if "row_no" in found else "row_number() over ()"
        for ours in ("row_no", "line"):
            found.pop(ours, None)
        self._stop_on_columns(table, found, path)
        casts = ", ".join(f"{_cast(name, kind, path)} as {quoted(name)}" for name, kind in found.items())
        lines = f"left join (select row_no, line from raw.{quoted(source)}) as l using (row_no)" if source else ""
        rows = f"{table.name} as t {lines} order by t.rowid"
        self._run(f"create or replace table {table.name} as select {line} as _line, {casts} from {rows}", path)
        self.columns[table.name] = list(found)
        self._files[table.name] = self.files[source] if source else ""
        self._stop_on_values(table, found, path)
        if select:
            self.unreadable.count(table, self.columns[table.name], select, source)

    def _stop_on_columns(self, table: Table, found: dict[str, str], path: Path) -> None:
        wanted = [*table.required, *self.definition.known_at(table.name)]
        missing = [name for name in wanted if name not in found]
        if missing:
            raise ContractError(f"{path}: column {missing[0]!r} is missing; the select gives {allowed(found, 60)}")

    def _stop_on_values(self, table: Table, found: dict[str, str], path: Path) -> None:
        conditions = [(name, *bad) for name in found for bad in unfit(self.definition, table, name, found[name])]
        tests = ", ".join(f"bool_or({condition})" for *_, condition in conditions) or "false"
        seen = self.connection.execute(f"select {tests} from {table.name}").fetchone() or ()
        for (name, reason, condition), is_seen in zip(conditions, seen, strict=False):
            if is_seen and not (reason == LIKE_A_TELEPHONE and self._are_codes(table, name, condition)):
                lines = self._column(f"select _line from {table.name} where {condition} order by 1 limit 5")
                file = self._files[table.name]
                place = f"in {self.actions.place(file, lines)}" if file else f"in row {allowed(lines)} of the select"
                hint = (
                    f"; if people have checked that it holds no telephone numbers, list it: "
                    f'{table.name} = ["{name}"] under [checked] in market.toml'
                )
                raise ContractError(
                    f"{path}: {name!r} holds {reason} {place}; mend or leave it out in the select"
                    f"{hint if reason == LIKE_A_TELEPHONE else ''}"
                )

    def _are_codes(self, table: Table, name: str, condition: str) -> bool:
        """Is it a list of codes? That is noted: who knows better leaves the column out."""
        counts = f"select {quoted(name)}, count(*) from {table.name} where {condition} group by 1"
        if not are_codes(self.connection.execute(counts).fetchall()):
            return False
        lines = self._column(f"select _line from {table.name} where {condition} order by 1")
        reason = "looks like telephone numbers, kept as codes: few values, each on many rows"
        self.actions.note(table.name, "flag", reason, name, lines=lines, file=self._files[table.name])
        return True

    def _leave_out(self, table: Table) -> None:
        """Leave out what is deleted, the deals that are none of this market (``keep``), and what belongs to them."""
        keep = self.definition.deals.keep if self.definition.deals else ""
        if "is_deleted" in self.columns[table.name]:
            gone = self._column(f"select _line from {table.name} where is_deleted order by 1")
            if gone:
                self._done(table, "left out", "deleted in the source", lines=gone)
                self._delete(table, "is_deleted")
        if table.name == "deals" and keep:
            place = self.definition.folder / "market.toml"
            self._run(f"create table _left_out as select deal_id from deals where ({keep}) is not true", place)
        elif not keep or "deal_id" not in self.columns[table.name] or "deals" not in self.columns:
            return
        rows = self.connection.execute(
            f"select rowid, _line from {table.name} where deal_id in (select deal_id from _left_out) order by 2"
        ).fetchall()
        if rows:
            reason = f"no deal of this market: deals.keep = {keep}" if table.name == "deals" else "of a deal left out"
            self._done(table, "left out", reason, lines=[line for _, line in rows])
            self._delete(table, "deal_id in (select deal_id from _left_out)")

    def _empty_unconverted(self, table: Table) -> None:
        """Amounts of which too many have no rate are emptied: no mean or sum of the others would be of all."""
        for column, share in self.unreadable.without_rate.items():
            if column in self.columns[table.name] and share > _MOST_WITHOUT_RATE:
                lines = self._column(f"select _line from {table.name} where {quoted(column)} is not null order by 1")
                reason = f"{share:.0%} of its amounts have no rate in rates.csv: no mean of the others would be of all"
                self._done(table, "empty the cell", reason, column, lines=lines)
                self.unreadable.lines[table.name, column] |= set(lines)
                self.connection.execute(f"update {table.name} set {quoted(column)} = null")

    def _delete(self, table: Table, condition: str) -> None:
        """Leave rows out; the table is made anew, since the checks tell rows by their number in it."""
        kept = f"select * from {table.name} where ({condition}) is not true order by rowid"
        self.connection.execute(f"create or replace table {table.name} as {kept}")

    def _done(self, table: Table, action: str, reason: str, column: str = "", **more: Any) -> None:
        self.actions.note(table.name, action, reason, column, file=self._files[table.name], **more)

    def _column(self, query: str) -> list[int]:
        return [int(row[0]) for row in self.connection.execute(query).fetchall()]

    def _check(self, table: Table) -> None:
        listed = ", ".join(map(quoted, checked(table, self.columns[table.name])))
        frame = self.connection.execute(f"select {listed} from {table.name} order by rowid").df()
        found = list(problems(table, frame))
        for problem in found:
            if problem.column in table.required:
                self._set_rows_aside(table, *problem)
        for problem in found:
            if problem.column not in table.required:
                self._empty(table, *problem)
        self._empty_days(table)
        found_twice = repeated(self.connection, table)
        told = differing(self.connection, table, self.columns[table.name]) if found_twice else ""
        self._set_rows_aside(table, f"repeated{told}", table.key[0], found_twice)
        self._set_rows_aside(table, "touch about nothing", "", self._aimless(table))
        self.connection.execute(
            f"create or replace table {table.name} as select * from {table.name} where _line is not null"
        )

    def _empty_days(self, table: Table) -> None:
        """Days that no field can hold are emptied; an event on such a day has stopped the loop before."""
        for name in self.columns[table.name]:
            if kind_of(name) in ("date", "timestamp") and not stops(table, name):
                rows = self._column(f"select rowid from {table.name} where {outside(name, FIELD_YEARS)}")
                years = f"{FIELD_YEARS[0]}-{FIELD_YEARS[1]}"
                self._empty(table, f"a date outside {years}", name, rows, f"a day of the years {years}")

    def _aimless(self, table: Table) -> list[int]:
        links = [name for name in ("lead_id", "deal_id", "account_id") if name in self.columns[table.name]]
        if table.name != "touches":
            return []
        conditions = " and ".join(["_line is not null", *(f"{name} is null" for name in links)])
        return self._column(f"select rowid from touches where {conditions}")

    def _lines_of(self, table: Table, rows: list[int]) -> pd.DataFrame:
        query = f"select * from {table.name} where rowid in (select unnest($rows)) and _line is not null order by _line"
        return self.connection.execute(query, {"rows": rows}).df()

    def _set_rows_aside(self, table: Table, reason: str, column: str, rows: list[int], may: str = "") -> None:
        bad = self._lines_of(table, rows) if rows else pd.DataFrame()
        if bad.empty:
            return
        content = bad.drop(columns="_line").map(str).agg(" | ".join, axis=1).str[:SHOWN]
        unread = self.unreadable.lines[table.name, column] if reason == "missing" else set()
        reasons = bad["_line"].map(
            lambda line: self.unreadable.reasons[table.name, column] if line in unread else reason
        )
        aside = pd.DataFrame({"line": bad["_line"], "reason": (column + " " + reasons).str.strip(), "content": content})
        self.rejected[table.name] = pd.concat([self.rejected.get(table.name), aside])
        for told, part in bad.groupby(reasons):
            self._note(table, "set aside", str(told), column, part, may)
        self._blank(table, "_line", rows)

    def _empty(self, table: Table, reason: str, column: str, rows: list[int], may: str = "") -> None:
        bad = self._lines_of(table, rows) if rows else pd.DataFrame()
        if len(bad):
            self._note(table, "empty the cell", reason, column, bad, may)
            self.unreadable.lines[table.name, column] |= set(bad["_line"])
            self._blank(table, column, rows)

    def _note(self, table: Table, action: str, reason: str, column: str, bad: pd.DataFrame, may: str) -> None:
        values = [self._told(value) for value in bad[column].dropna()] if column else ()
        self._done(table, action, reason, column, lines=bad["_line"].tolist(), values=values, allowed=may)

    def _blank(self, table: Table, column: str, rows: list[int]) -> None:
        statement = f"update {table.name} set {quoted(column)} = null where rowid in (select unnest($rows))"
        self.connection.execute(statement, {"rows": rows})

    def _flag(self) -> None:
        definition, last = self.definition, last_day(self.connection, self.columns)
        if definition.extracted_on == "latest":
            definition = definition.model_copy(update={"extracted_on": date.fromisoformat(last) if last else None})
        for flag in flags_for(definition, self.columns):
            names = flag.columns.split(", ") if flag.columns else []
            shown = "".join(f", {quoted(name)}" for name in names)
            rows = self.connection.execute(f"select _line{shown} from {flag.table} t where {flag.condition} order by 1")
            unread = self.unreadable.lines[flag.table, flag.missing]
            found = [row for row in rows.fetchall() if row[0] not in unread]
            values = [[self._told(value) for value in row[1:] if value is not None] for row in found]
            if found:
                self.actions.note(
                    *(flag.table, "flag", flag.reason, flag.columns),
                    lines=[row[0] for row in found],
                    values=[", ".join(row) for row in values if row],
                    allowed=flag.allowed,
                    file=self._files[flag.table],
                )
        for table, columns in self.columns.items():
            for column in (name for name in columns if kind_of(name) == "amount"):
                told, far, amounts = far_amounts(self.connection, table, column)
                if told:
                    self.actions.note(table, "flag", told, column, lines=far, values=amounts, file=self._files[table])

    def _told(self, value: object) -> str:
        day = value.date() if isinstance(value, datetime) else value
        return as_told(self.definition, day) if isinstance(day, date) else str(value)


def _cast(name: str, kind: str, path: Path) -> str:
    wanted = KINDS[kind_of(name)]
    if kind != _NOTHING and wanted in _FITTING and kind.partition("(")[0] not in _FITTING[wanted]:
        raise ContractError(f"{path}: {name!r} is {kind}; its name says {wanted}. Cast it in the select")
    if wanted or kind == _NOTHING:
        return f"{quoted(name)}::{wanted or 'VARCHAR'}"
    return quoted(name)
