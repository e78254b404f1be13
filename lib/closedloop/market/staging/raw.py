"""Raw files as tables of values: ``raw.<source>``, read once, whatever cannot be read counted with its line."""

import hmac
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL
from duckdb.sqltypes import VARCHAR

from closedloop.errors import DefinitionError, allowed
from closedloop.market.definition import Definition, Source, zone
from closedloop.market.reading.containers import decoded, eight_bit, kind_of, lines_with, rows_of
from closedloop.market.reading.database import Snapshots, table_rows
from closedloop.market.reading.lines import AS_WRITTEN, OURS, Records, own_names, split
from closedloop.market.reading.parts import joined
from closedloop.market.reading.values import TO_MEND, WORDS, Style, read, why_unreadable
from closedloop.market.sources import fetch, file_of, files_of, order_is_open, quoted, raw_bytes, setting_of
from closedloop.market.staging.checks import Actions

_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "text": (pa.string(), "VARCHAR"),
    "amount": (pa.decimal128(18, 2), "DECIMAL(18,2)"),
    "number": (pa.float64(), "DOUBLE"),
    "count": (pa.int64(), "BIGINT"),
    "flag": (pa.bool_(), "BOOLEAN"),
    "date": (pa.date32(), "DATE"),
    "month": (pa.date32(), "DATE"),
    "time": (pa.timestamp("us"), "TIMESTAMP"),
}
_FEW_GROUPS = 3
_GROUPED_ROWS = 3  # rows of a group, on average, in a report that names a group once
_SHORT_ID, _LONG_ID = 15, "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ZONED = re.compile(r"\d ?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)$")
_SPOILED = "characters that the declared encoding does not hold"
_NUL = "NUL bytes, which are left out"
Texts = list[str | None]


@dataclass(frozen=True)
class Columns:
    """The columns of a source's table by name: texts as written, and on which line each row begins."""

    texts: dict[str, Texts]
    lines: list[int]


class RawFiles:
    """Loads sources into ``raw.<source>``: ``row_no`` from 1 on, ``line``, then the columns of the file.

    A column with a declared type holds values, and its text stands beside it as "<column> (as written)". ``columns``
    names those of each table, ``headers`` those of its file; ``rejected`` holds the lines set aside; ``counts`` where
    each line of a file went.
    """

    def __init__(self, definition: Definition, connection: duckdb.DuckDBPyConnection, actions: Actions) -> None:
        self.columns: dict[str, list[str]] = {}
        self.headers: dict[str, list[str]] = {}
        self.rejected: dict[str, pd.DataFrame] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.snapshots = Snapshots()
        self.styles = {name: style_of(definition, source) for name, source in definition.sources.items()}
        self._definition, self._connection, self._actions = definition, connection, actions
        connection.execute("create schema raw")

    def load(self, name: str) -> None:
        """Load one source; what does not fit its header is set aside, what cannot be read is emptied and counted."""
        source = self._definition.sources[name]
        records = self._records(name, source)
        columns = Columns(self._named(name, source, records), records.lines)
        self.headers[name] = list(columns.texts)
        self._blank(name, source, columns)
        self._fill_down(name, source, columns)
        arrays = {"row_no": pa.array(range(1, len(columns.lines) + 1), pa.int64())}
        arrays["line"] = pa.array(columns.lines, pa.int64())
        for column, texts in columns.texts.items():
            kind = source.columns.get(column, "text")
            arrays[column] = self._values(name, column, kind, columns)
            if kind != "text":
                arrays[AS_WRITTEN.format(column)] = pa.array(texts, pa.string())
        table = pa.table(arrays)
        self._connection.register("_loading", table)
        self._connection.execute(f"create table raw.{quoted(name)} as select * from _loading order by row_no")
        self._connection.unregister("_loading")
        self.columns[name] = table.column_names
        self._set_aside(name, records)

    def _records(self, name: str, source: Source) -> Records:
        place, setting = file_of(self._definition, name), setting_of(self._definition, name)
        if source.database:
            records, keys = table_rows(self.snapshots, source.database, source.table, source.decimal or ".")
            self._actions.places[place] = keys
            return records
        if source.path and order_is_open(self._definition, name):
            newest = fetch(self._definition, name).name
            reason = f"the days in its files' names can be read in two ways: {newest} is taken as the newest, by number"
            self.note(name, "flag", reason, n=1, allowed="names like deals_2024-09-30.csv")
        if source.files == "last":
            return self._records_of(name, source, raw_bytes(self._definition, name), place)
        parts = {path.name: self._records_of(name, source, raw_bytes(self._definition, name, path), path.name)
                 for path in files_of(self._definition, name)}  # fmt: skip
        records, self._actions.places[place], lacking = joined(parts, source.key, setting)
        for column, n in lacking.items():
            self.note(name, "flag", f"is missing in {n} of {len(parts)} files", column, n=n)
        return records

    def _records_of(self, name: str, source: Source, content: bytes, place: str) -> Records:
        """The records of one file's content; ``place``: its name."""
        setting = setting_of(self._definition, name)
        if kind_of(content) in ("xlsx", "parquet"):
            return rows_of(content, source.sheet, source.skip_lines, source.decimal or ".", place, setting)
        text, nul = decoded(content, source.encoding, place, setting)
        records = split(text, source.delimiter, source.quote, source.skip_lines, place, setting, source.header_lines)
        spoiled = lines_with("\ufffd", text)
        hint = _encoding(content) if source.encoding == "utf-8" and spoiled else ""
        for reason, lines in ((_SPOILED + hint, spoiled), (_NUL, nul)):
            if lines:
                self._actions.note(f"raw.{name}", "flag", reason, file=place, lines=lines)
        return records

    def _named(self, name: str, source: Source, records: Records) -> dict[str, Texts]:
        """The texts of every column under a name of its own, noted where it is not the header's."""
        found = dict[str, Texts]()
        for place, (written, own) in enumerate(zip(records.header, own_names(records.header), strict=True)):
            plain = written or f"column {place + 1}"
            if own != plain:
                other = "a name of ours" if plain.casefold() in OURS else "there twice in the header"
                self.note(name, "flag", f"column {plain!r} is {other}; this one is read as {own!r}", own, n=1)
            found[own] = [row[place] for row in records.rows]
        unknown = [column for column in (*source.columns, *source.fill_down) if column not in found]
        if unknown:
            setting, file = setting_of(self._definition, name), file_of(self._definition, name)
            raise DefinitionError(f"{setting}: {unknown[0]!r} is no column of {file}; it has {allowed(found, 60)}")
        return found

    def _blank(self, name: str, source: Source, columns: Columns) -> None:
        """Empty what the source declares as blank, and every cell with characters that could not be decoded."""
        blanks = {text.strip().casefold() for text in source.blanks}
        for column, texts in columns.texts.items():
            spoiled = [place for place, text in enumerate(texts) if text and "\ufffd" in text]
            if spoiled:
                lines = [columns.lines[place] for place in spoiled]
                self.note(name, "empty the cell", _SPOILED, column, lines=lines)
            for place in spoiled:
                texts[place] = None
            if blanks:
                texts[:] = [None if text and text.strip().casefold() in blanks else text for text in texts]

    def _fill_down(self, name: str, source: Source, columns: Columns) -> None:
        for column, texts in columns.texts.items():
            if column in source.fill_down:
                for place in range(1, len(texts)):
                    texts[place] = texts[place] or texts[place - 1]
            elif _is_grouped(texts):
                reason = (
                    f"stands in the first row of each group only: {sum(map(bool, texts))} in {len(texts)} rows"
                    f'{TO_MEND}write fill_down = ["{column}"] under {setting_of(self._definition, name)}'
                )
                self.note(name, "flag", reason, column, n=sum(not text for text in texts))

    def _values(self, name: str, column: str, kind: str, columns: Columns) -> pa.Array:
        texts, style = columns.texts[column], self.styles[name]
        if kind == "text":
            return pa.array(texts, pa.string())
        values = {text: stored(kind, text, style) for text in set(texts) if text}
        written = [(place, text) for place, text in enumerate(texts) if text] if kind == "time" else []
        plain = [place for place, text in written if not _ZONED.search(text)]
        if 0 < len(plain) < len(written):
            zone_ = self._definition.sources[name].timezone or self._definition.timezone
            reason = f"names no time zone, as others of the column do: read as {zone_}"
            self.note(name, "flag", reason, column, lines=[columns.lines[place] for place in plain])
        bad = defaultdict[str, list[int]](list)
        for place, text in enumerate(texts):
            if text and values[text] is None:
                bad[self.reason(name, kind, text)].append(place)
        for reason, places in bad.items():
            self.note(
                *(name, "empty the cell", reason, column),
                lines=[columns.lines[place] for place in places],
                values=[texts[place] for place in places],
                allowed=WORDS[kind][1],
            )
        return pa.array([values[text] if text else None for text in texts], _TYPES[kind][0])

    def _key(self) -> bytes:
        """What codes are made with: the market's own secret, or its name where all is published."""
        path = self._definition.folder / "key"
        return path.read_bytes().strip() if path.exists() else self._definition.name.encode()

    def reason(self, name: str, kind: str, text: str) -> str:
        """Why a text of a source is not read, with the setting that would tell."""
        return why_unreadable(kind, text, self.styles[name], f"[sources.{name}]") or f"unreadable as {WORDS[kind][0]}"

    def suffix(self, sources: Iterable[str]) -> str:
        """Which readers a select of these sources uses: those of the source that says how it is written.

        Raises DefinitionError where two of them say different things.
        """
        plain = style_of(self._definition)
        own = {self.styles[name]: name for name in sources if self.styles[name] != plain}
        if len(own) > 1:
            names = allowed(own.values())
            raise DefinitionError(f"it reads {names}, which are written in different ways; declare what their columns "
                                  "hold: [sources.<name>.columns] in market.toml")  # fmt: skip
        return "".join(f"__{name}" for name in own.values())

    def add_readers(self) -> None:
        """The functions with which a select reads text: as_amount, as_flag, as_date and so on."""
        add_readers(self._connection, style_of(self._definition))
        self._connection.create_function("as_id", long_id, [VARCHAR], VARCHAR)
        self._connection.create_function("as_code", partial(_code, self._key()), [VARCHAR], VARCHAR)
        for name, style in self.styles.items():
            if style != style_of(self._definition):
                add_readers(self._connection, style, f"__{name}")

    def _set_aside(self, name: str, records: Records) -> None:
        counts = {name: getattr(records, name) for name in ("n_header", "n_kept", "n_older", "n_blank")}
        self.counts[name] = {"n_lines": records.n_lines, **counts, "n_aside": len(records.aside)}
        if records.n_older:
            reason = f"a later file has the record, by its {self._definition.sources[name].key}"
            self.note(name, "left out", reason, n=records.n_older)
        if not records.aside:
            return
        self.rejected[f"raw.{name}"] = pd.DataFrame(records.aside, columns=["line", "reason", "content"])
        for reason in dict.fromkeys(one.reason for one in records.aside):
            self.note(name, "set aside", reason, lines=[one.line for one in records.aside if one.reason == reason])

    def note(self, name: str, action: str, reason: str, column: str = "", **more: Any) -> None:
        """Add one action on a source."""
        file = file_of(self._definition, name)
        self._actions.note(f"raw.{name}", action, reason, column, file=file, **more)


def style_of(definition: Definition, source: Source | None = None) -> Style:
    """How a source of a market is written; without one, how text is read of which nothing is declared."""
    local = zone(definition.timezone)
    if source is None:
        return Style(definition.currency, local=local)
    written = zone(source.timezone) if source.timezone else None
    return Style(definition.currency, source.decimal, source.dates, written, local)


def stored(kind: str, text: str, style: Style) -> Any:
    """The value of a text as a table holds it: amounts with two decimals, numbers as floats."""
    value = read(kind, text, style)
    if isinstance(value, Decimal):
        return value.quantize(Decimal("0.01"), ROUND_HALF_UP) if kind == "amount" else float(value)
    return value if not isinstance(value, int) or abs(value) < 2**63 else None


def add_readers(connection: duckdb.DuckDBPyConnection, style: Style, suffix: str = "") -> None:
    """The functions with which a select reads text: as_amount, as_flag, as_date and so on, each with the suffix."""
    for kind in WORDS:
        name, reader, gives = f"_read_{kind}{suffix}", partial(_read_all, kind, style), duckdb.type(_TYPES[kind][1])
        connection.create_function(name, reader, [VARCHAR], gives, type=ARROW, null_handling=SPECIAL)
        connection.execute(f"create macro as_{kind}{suffix}(x) as {name}(x::varchar)")


def long_id(text: str) -> str:
    """An identifier without blanks; a short one of Salesforce (15 characters) in its long form of 18."""
    plain = text.strip()
    if len(plain) != _SHORT_ID or not (plain.isascii() and plain.isalnum()):
        return plain
    parts = [plain[start : start + 5] for start in range(0, _SHORT_ID, 5)]
    ends = [sum(1 << place for place, sign in enumerate(part) if sign.isupper()) for part in parts]
    return plain + "".join(_LONG_ID[end] for end in ends)


def _code(key: bytes, text: str) -> str:
    """A code for a name that goes no further: the same for the same name, whoever else there is."""
    return f"c-{hmac.new(key, text.strip().encode(), 'sha256').hexdigest()[:10]}"


def _read_all(kind: str, style: Style, texts: pa.ChunkedArray) -> pa.Array:
    found = texts.to_pylist()
    values = {text: stored(kind, text, style) if text.strip() else None for text in set(found) if text is not None}
    return pa.array([None if text is None else values[text] for text in found], _TYPES[kind][0])


def _is_grouped(texts: Texts) -> bool:
    """Is a column filled in the first row of each group only, as in a report?

    Two or three texts are in order by chance, in a column that is nearly empty: their groups have to be alike in size.
    """
    places = [place for place, text in enumerate(texts) if text]
    known = [str(texts[place]).casefold() for place in places]
    in_order = known in (sorted(known), sorted(known, reverse=True)) and len(set(known)) == len(known) > 1
    if not (in_order and places[0] == 0 and _GROUPED_ROWS * len(known) <= len(texts)):
        return False
    sizes = [end - start for start, end in pairwise([*places, len(texts)])]
    if len(sizes) <= _FEW_GROUPS:
        return 2 * min(sizes) * len(sizes) >= len(texts)
    return 2 * sizes.count(1) < len(sizes)


def _encoding(content: bytes) -> str:
    """The way to read a file of an older code page, where it is one."""
    name = eight_bit(content)
    try:
        content.decode(name)
    except UnicodeDecodeError:
        return ""
    return f'{TO_MEND}write encoding = "{name}", which reads them all'
