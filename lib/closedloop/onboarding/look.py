"""A first look at an export: how it is written and what its columns hold. Only here anything is guessed."""

import csv
import glob
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from closedloop.errors import SourceError, allowed
from closedloop.market.definition import zone
from closedloop.market.reading.containers import (
    cells_of,
    content_of,
    decoded,
    eight_bit,
    kind_of,
    records_below,
    unpacked,
    utf_16,
)
from closedloop.market.reading.database import Snapshots, table_rows
from closedloop.market.reading.lines import Cut, Cutter, Records, own_names, split
from closedloop.market.reading.values import ORDERS, Style, read
from closedloop.market.reading.words import words

MARKS = (",", ";", "\t", "|")
_SEEN = 200  # lines that tell how a file is divided
_MOSTLY = 0.8  # of the lines have the same number of fields
_NEARLY = 0.98  # of the texts of a column can be read as what it holds
_DATED = re.compile(r"\d{1,4}[-/. ](?:\d{1,2}|[^\W\d_]{3,10})[-/. ]\d{1,4}.*")
_IDENTIFIER = re.compile(r"(^|[^a-z])ids?( \(.*\))?$", re.IGNORECASE)
_MOST_TITLES = 10  # lines above a header that are looked through
_NARROW = 2  # cells of a row that may be a title
_MIDNIGHT = re.compile(r"[T ]0?0:00(:00(\.0+)?)?( ?(Z|UTC|GMT|[+-]\d\d:?\d\d))?$")
_DOUBTFUL = ("na", "-", "--", "null", "nan")
_IMPORT_ID, _ZONE = '{"ImportId"', re.compile(r'"timeZone": ?"([^"]+)"')
QUALTRICS = 3  # lines of its header: names, questions, what they are called inside


@dataclass
class Look:
    """One file: its ``settings`` as market.toml has them, its ``texts`` by column, and what each column holds.

    ``dates``: the orders in which its days can be read, ISO ones left aside; ``asks_decimal``: can its amounts be read
    in two ways, all of them? ``kept``: texts that may stand for nothing, or for something. ``said``: the question of
    each column, where it stands below the header.
    """

    path: Path
    name: str
    settings: dict[str, Any]
    texts: dict[str, list[str | None]]
    kinds: dict[str, str] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    asks_decimal: bool = False
    kept: set[str] = field(default_factory=set)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The file as a person finds it, with the sheet where it has several."""
        return f"{self.path.name}, sheet {self.settings['sheet']}" if "sheet" in self.settings else self.path.name

    @property
    def n_rows(self) -> int:
        """How many records there are."""
        return len(next(iter(self.texts.values()), ()))

    def known(self, column: str) -> list[str]:
        """The texts of a column that are there."""
        return [text for text in self.texts[column] if text]

    def style(self, currency: str) -> Style:
        """How its values are read."""
        dates = self.settings.get("dates") or (self.dates[0] if len(self.dates) == 1 else None)
        return Style(currency, self.settings.get("decimal"), dates, None, UTC)


def looks(path: Path, name: str) -> Iterator[Look]:
    """A look at a file, or at each sheet of a workbook: its encoding, delimiter, lines above the header, its blanks.

    Errors: SourceError where it holds no table.
    """
    content = unpacked(content_of(path), str(path))
    plain: dict[str, Any] = {"path": pattern(path.resolve())}
    if kind_of(content) not in ("xlsx", "parquet"):
        records, questions = _delimited(content, plain, path)
        said = dict(zip(own_names(records.header), questions, strict=False))
        yield _seen(Look(path, name, plain, {}, said=said), records)
        return
    sheets, n_found = _sheets(content), 0
    for sheet in sheets:
        settings = plain | ({"sheet": sheet} if sheet else {})
        try:
            records = _table(content, settings, path)
        except SourceError:
            if len(sheets) == 1:
                raise
            continue
        n_found += 1
        yield _seen(Look(path, name, settings, {}), records)
    if not n_found:
        raise SourceError(f"{path.name} holds no table in any of its sheets: {allowed(sheets)}")


def look_at_table(snapshots: Snapshots, database: str, table: str) -> Look:
    """Look at a table of a PostgreSQL database; whoever reads it again finds it by the same address."""
    settings: dict[str, Any] = {"database": database, "table": table}
    return _seen(Look(Path(table), table, settings, {}), table_rows(snapshots, database, table, ".")[0])


def _seen(found: Look, records: Records) -> Look:
    """The look with the texts of the records."""
    for place, own in enumerate(own_names(records.header)):
        found.texts[own] = [row[place] for row in records.rows]
    _blanks(found)
    return found


def see(found: Look, currency: str, amounts: Sequence[str]) -> None:
    """See how numbers and days are written, and what each column holds; ``amounts``: columns that are of money."""
    _marks(found, currency, amounts)
    found.kinds = {column: _kind(found, column, currency) for column in found.texts}
    found.settings["columns"] = {column: kind for column, kind in found.kinds.items() if kind != "text"}


def pattern(path: Path) -> str:
    """The path of this export and of the next one: what changes at the end of its name, a day or a number, is ``*``."""
    stem = re.sub(r"(?<=[-_ ])[0-9][-_.0-9]*$", "", path.stem)
    if stem == path.stem:
        return str(path)
    return str(Path(glob.escape(str(path.parent))) / f"{glob.escape(stem)}[0-9]*{path.suffix}")


def _table(content: bytes, settings: dict[str, Any], path: Path) -> Records:
    """The records of a workbook or a Parquet file, below the titles that may stand above its header."""
    best, found, rows = 0, None, cells_of(content, settings.get("sheet"), path.name, "[sources]")
    for skipped in range(_MOST_TITLES):
        try:
            records = records_below(rows, skipped, ".", path.name, "[sources]")
        except SourceError:
            if found is None and skipped == _MOST_TITLES - 1:
                raise
            continue
        width = sum(map(bool, records.header))
        is_of_groups = found is not None and sum(not name for name in found.header) > 1
        if width > best and (best <= _NARROW or (is_of_groups and _are_names(records))):
            best, found = width, records
            settings.update({"skip_lines": skipped} if skipped else {})
        if best > _NARROW and (records is not found or all(records.header)):
            break
    if found is None:
        raise SourceError(f"{path.name} holds no table")
    return found


def _are_names(records: Records) -> bool:
    """Are these the columns' names, below headings of groups of them? They are texts, and none is there once more."""
    names, plain = [name for name in records.header if name], Style("")
    is_text = all(read(kind, name, plain) is None for name in names for kind in ("amount", "date"))
    is_again = any(name in (row[place] for row in records.rows) for place, name in enumerate(records.header) if name)
    return is_text and not is_again and len(set(names)) == len(names)


def _sheets(content: bytes) -> Sequence[str | None]:
    """The sheets of a workbook, where it has several."""
    if kind_of(content) != "xlsx":
        return [None]
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    return [page.title for page in book.worksheets] if len(book.sheetnames) > 1 else [None]


def _delimited(content: bytes, settings: dict[str, Any], path: Path) -> tuple[Records, list[str]]:
    """The records of a text, and the questions below its header, where a survey's has three lines."""
    encoding = _encoding(content)
    if encoding != "utf-8":
        settings["encoding"] = encoding
    text, _ = decoded(content, encoding, path.name, "[sources]")
    lines = text.split("\n")
    first = 1 if lines[0].strip().strip('"').casefold().startswith("sep=") else 0
    delimiter, width = _delimiter(lines[first:])
    if delimiter != ",":
        settings["delimiter"] = delimiter
    above = _above(lines[first:], delimiter, width)
    if above:
        settings["skip_lines"] = above + first
    below = _below(lines[first + above :], delimiter)
    if below > 1:
        settings["header_lines"] = below
    records = split(text, delimiter, '"', settings.get("skip_lines", 0), path.name, "[sources]", below)
    if below < QUALTRICS:
        return records, []
    _, questions, ids, *_ = _cells((f"{line}\n" for line in lines[first + above :][:60]), delimiter)
    zones = {name for cell in ids for name in _ZONE.findall(cell)}
    with suppress(ValueError):
        settings |= {"timezone": zone(zones.pop()).key} if len(zones) == 1 else {}
    return records, [" ".join(question.split()) for question in questions]


def _encoding(content: bytes) -> str:
    if utf_16(content):
        return utf_16(content)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return eight_bit(content)
    return "utf-8"


def _cells(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    return list(csv.reader(lines, delimiter=delimiter))


def _delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """The mark that divides most lines into the same number of fields, and that number."""
    best = (0.0, 0, ",")
    for mark in MARKS:
        widths = _widths(list(lines[:_SEEN]), mark)
        if not widths:
            continue
        width, n = max(widths.items(), key=lambda item: (item[0] > 1, item[1]))
        share = n / sum(widths.values()) if width > 1 else 0.0
        best = max(best, (share, width, mark), key=lambda one: (one[0] > _MOSTLY, one[1], one[0]))
    return best[2], max(best[1], 1)


def _widths(lines: list[str], delimiter: str) -> Counter[int]:
    """How many records have how many fields; none have the lines that are no record."""
    found, cutter, at = Counter[int](), Cutter(lines, delimiter, '"'), 0
    while at < len(lines):
        record = cutter.record(at)
        width, n_lines = (len(record.fields), record.n_lines) if isinstance(record, Cut) else (0, 1)
        found[width] += bool(lines[at].strip())
        at += n_lines
    return +found


def _above(lines: Sequence[str], delimiter: str, width: int) -> int:
    """How many lines stand above the header: the first record that is as wide as the others; names may span lines."""
    cutter, at = Cutter(list(lines[:_SEEN]), delimiter, '"'), 0
    while at < len(cutter.lines):
        record = cutter.record(at)
        row = record.fields if isinstance(record, Cut) else next(iter(_cells([lines[at]], delimiter)), [])
        if len(row) >= width and sum(bool(cell.strip()) for cell in row) * 2 > width:
            return at
        at += record.n_lines if isinstance(record, Cut) else 1
    return 0


def _below(lines: Sequence[str], delimiter: str) -> int:
    """How many lines the header has: Qualtrics writes three, SurveyMonkey two."""
    rows = _cells(lines[:60], delimiter)
    if any(cell.startswith(_IMPORT_ID) for row in rows[1:4] for cell in row):
        return 1 + next(place for place, row in enumerate(rows) if any(cell.startswith(_IMPORT_ID) for cell in row))
    second = {cell.strip().casefold() for cell in rows[1]} if len(rows) > 1 else set()
    is_survey = any(not cell.strip() for cell in rows[0]) or "respondent id" in {c.strip().casefold() for c in rows[0]}
    return 2 if is_survey and second & {"response", "open-ended response"} else 1


def _blanks(found: Look) -> None:
    """Name what stands for nothing, and empty it; what may be a value ("NA") only where others are numbers or days."""
    blanks = set()
    for texts in found.texts.values():
        met = {text.strip() for text in texts if text}
        nothing = {text for text in met if text.casefold() in words("blanks")["of"]}
        doubtful = {text for text in nothing if text.casefold() in _DOUBTFUL}
        rest = met - nothing
        is_plain = bool(rest) and all(text[:1].isdigit() or text[:1] in "-+($€£" for text in rest)
        blanks |= nothing if is_plain else nothing - doubtful
        found.kept |= set() if is_plain else doubtful
    blanks -= found.kept
    if blanks:
        found.settings["blanks"] = sorted(blanks)
    gone = {text.casefold() for text in blanks}
    for texts in found.texts.values():
        texts[:] = [None if text is None or text.strip().casefold() in gone else text for text in texts]


def _marks(found: Look, currency: str, amounts: Sequence[str]) -> None:
    """The decimal mark and the order of dates, as far as the file tells; what it leaves open is asked.

    Columns of money decide about the mark, where there are any: coordinates are written in another way.
    """
    plain, point, comma = Style(currency), Style(currency, "."), Style(currency, ",")
    columns = {column: set(found.known(column)) for column in found.texts}
    asked = [columns[name] for name in amounts if columns[name]] or [texts for texts in columns.values() if texts]
    numeric = [texts for texts in asked if _share(texts, "amount", point, comma) >= _NEARLY]
    shares = [(_share(texts, "amount", point), _share(texts, "amount", comma)) for texts in numeric]
    votes = {"." if a > b else "," for a, b in shares if max(a, b) >= _NEARLY > min(a, b)}
    if len(votes) == 1:
        found.settings["decimal"] = votes.pop()
    elif not votes and amounts and any(_share(texts, "amount", plain) < 1 for texts in numeric):
        found.asks_decimal = True
    styles = {order: Style(currency, None, order) for order in ORDERS}
    able, dated = dict.fromkeys(ORDERS, 0.0), list[set[str]]()
    for texts in columns.values():
        days = {text for text in texts if _DATED.fullmatch(text)}
        is_dated = bool(days) and len(days) >= _NEARLY * len(texts)
        is_open = is_dated and any(read("date", text, plain) is None for text in days)
        if is_open and max(_share(days, "date", style) for style in styles.values()) >= _NEARLY:
            dated.append(days)
    for order, style in styles.items():
        able[order] = min((_share(days, "date", style) for days in dated), default=0.0)
    best = max(able.values())
    found.dates = tuple(order for order in ORDERS if dated and able[order] == best)
    if len(found.dates) == 1:
        found.settings["dates"] = found.dates[0]


def _share(texts: set[str], kind: str, *styles: Style) -> float:
    """The share of the texts that can be read as a kind in one of the styles."""
    return sum(any(read(kind, text, own) is not None for own in styles) for text in texts) / max(len(texts), 1)


def _kind(found: Look, column: str, currency: str) -> str:
    """What a column holds; identifiers stay text, however many digits they have."""
    texts = set(found.known(column))
    if not texts or _IDENTIFIER.search(column.strip()):
        return "text"
    style = found.style(currency)
    if not style.dates and found.dates:
        style = Style(currency, style.decimal, found.dates[0])
    words = {text.strip().casefold() for text in texts}
    if len(words) <= 2 and _share(texts, "flag", style) == 1 and not words <= {"0", "1", "0.0", "1.0", "s", "n"}:
        return "flag"
    if _share(texts, "time", style) >= _NEARLY and not all(text.strip().isdigit() for text in texts):
        return "time" if any(":" in text for text in texts) and not all(_MIDNIGHT.search(t) for t in texts) else "date"
    for kind in ("count", "month", "number", "amount"):
        if _share(texts, kind, style) >= _NEARLY:
            return "text" if kind == "count" and _are_codes(texts) else kind
    return "text"


def _are_codes(texts: set[str]) -> bool:
    """Digits with leading zeros, or all of one length of eight or more, are no numbers."""
    return any(text.startswith("0") and len(text) > 1 for text in texts) or (
        len({len(text) for text in texts}) == 1 and len(next(iter(texts))) >= 8
    )
