"""What a file is by its first bytes, and its content: text, or the rows of a workbook or a Parquet file."""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from closedloop.errors import SourceError, allowed
from closedloop.market.reading.lines import Aside, Records, is_total

LARGEST = 4 * 1024**3  # bytes, unpacked
_LARGEST_RATIO = 200
_SIGNS = (
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"PAR1", "parquet"),
    (b"\xd0\xcf\x11\xe0", "old office"),
    (b"%PDF", "PDF"),
)
_REFUSED = {
    "old office": "an old Excel workbook (or a workbook with a password); save it as .xlsx without one, or as CSV",
    "PDF": "a PDF; export the report as CSV",
    "web page": "a web page, perhaps a login that took the file's place; download the export again",
}


def content_of(path: Path) -> bytes:
    """The bytes of a file, read once; SourceError where it is too large, locked, or changes meanwhile."""
    try:
        before = path.stat()
        if before.st_size > LARGEST:
            raise SourceError(f"{path} has {before.st_size:,} bytes; allowed: {LARGEST:,}")
        content = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
        raise SourceError(f"{path} changed while it was read; wait until it is written, and run again")
    return content


def member(content: bytes, name: str, path: Path) -> bytes:
    """A file inside a zip archive; SourceError where there is none, or it is damaged or a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if name not in archive.namelist():
                raise SourceError(f"{path} holds no {name!r}; it holds {allowed(archive.namelist())}")
            info = archive.getinfo(name)
            if info.file_size > LARGEST or info.file_size > _LARGEST_RATIO * max(info.compress_size, 1024):
                raise SourceError(f"{path}: {name!r} would unpack to {info.file_size:,} bytes; that is refused")
            return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{path}: {name!r} cannot be unpacked ({error})") from error


def kind_of(content: bytes) -> str:
    """``text``, ``zip``, ``xlsx``, ``gzip``, ``parquet``, or what is refused."""
    for sign, kind in _SIGNS:
        if content.startswith(sign):
            return "xlsx" if kind == "zip" and b"xl/work" in content else kind
    head = content[:1000].lstrip().lower()
    return "web page" if head.startswith((b"<!doctype html", b"<html")) else "text"


def unpacked(content: bytes, place: str) -> bytes:
    """The content of a gzip file; that of other files as it is."""
    if kind_of(content) != "gzip":
        return content
    try:
        with gzip.open(io.BytesIO(content)) as file:
            plain = file.read(min(LARGEST, _LARGEST_RATIO * max(len(content), 1024)) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{place} is a gzip file that cannot be unpacked ({error})") from error
    if len(plain) > min(LARGEST, _LARGEST_RATIO * max(len(content), 1024)):
        raise SourceError(f"{place} would unpack to more than {len(plain) - 1:,} bytes; that is refused")
    return plain


def utf_16(content: bytes) -> str:
    """The encoding of UTF-16 text, with its mark or without; empty for other content."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    every_other = content[1:200:2]
    return "utf-16-le" if every_other.count(0) > 0.8 * max(len(every_other), 4) else ""


# where letters beyond ASCII stand inside words: what the code pages of Windows and of old Macs have there
_INSIDE_ON_MACS = re.compile(rb"[A-Za-z][\x80-\x91\x93-\x95\x98-\x9f][a-z]")
_INSIDE_ON_WINDOWS = re.compile(rb"[A-Za-z][\xc0-\xff][a-z]")


def eight_bit(content: bytes) -> str:
    """The code page of text that is no UTF-8: that of Windows, or of Macs, where its letters make more sense."""
    on_macs, on_windows = (len(inside.findall(content)) for inside in (_INSIDE_ON_MACS, _INSIDE_ON_WINDOWS))
    return "mac_roman" if on_macs > on_windows else "cp1252"


def decoded(content: bytes, encoding: str, place: str, setting: str) -> tuple[str, list[int]]:
    """Text with ``\\n`` as line break, what cannot be decoded replaced, without NUL; and the lines that held one."""
    if kind := _REFUSED.get(kind_of(content)):
        raise SourceError(f"{place} is {kind}")
    if kind_of(content) == "zip":
        names = zipfile.ZipFile(io.BytesIO(content)).namelist() if zipfile.is_zipfile(io.BytesIO(content)) else ()
        raise SourceError(f"{place} is a zip archive; write member = [...] under {setting}; it holds {allowed(names)}")
    if utf_16(content) and "16" not in encoding:
        raise SourceError(f'{place} is UTF-16 text; write encoding = "{utf_16(content)}" under {setting}')
    text = content.decode(encoding, errors="replace").removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", ""), lines_with("\0", text)


def lines_with(sign: str, text: str) -> list[int]:
    """The lines that hold a sign, the first of them 1."""
    return [number for number, line in enumerate(text.split("\n"), 1) if sign in line] if sign in text else []


def rows_of(content: bytes, sheet: str | None, skip_lines: int, decimal: str, place: str, setting: str) -> Records:
    """The records of a workbook's sheet or a Parquet file; cells as text that is read back as the same value."""
    return records_below(cells_of(content, sheet, place, setting), skip_lines, decimal, place, setting)


def cells_of(content: bytes, sheet: str | None, place: str, setting: str) -> list[Sequence[Any]]:
    """Every row of a workbook's sheet or a Parquet file, as it holds them."""
    return list(_parquet(content, place) if kind_of(content) == "parquet" else _sheet(content, sheet, place, setting))


def records_below(rows: Sequence[Sequence[Any]], skip_lines: int, decimal: str, place: str, setting: str) -> Records:
    """The records below the header that follows on ``skip_lines`` rows. Errors: SourceError where that row is empty."""
    numbered = [(number, [as_text(cell, decimal) for cell in row]) for number, row in enumerate(rows, 1)]
    if len(numbered) <= skip_lines or not any(numbered[skip_lines][1]):
        raise SourceError(f"{place}, row {skip_lines + 1} is empty; it must be the header; skip_lines, {setting}")
    head = numbered[skip_lines][1]
    width = max(place for place, name in enumerate(head, 1) if name)
    names = [" ".join((name or "").split()) for name in head[:width]]
    found = Records(names, len(numbered), skip_lines + 1)
    for line, cells in numbered[skip_lines + 1 :]:
        if not any(cells):
            found.n_blank += 1
        elif any(cells[width:]):
            found.aside.append(Aside(line, "cells beside the table", " | ".join(filter(None, cells))))
        elif is_total(cells[:width]):
            found.aside.append(Aside(line, "total row", " | ".join(filter(None, cells))))
        else:
            found.add([cell or "" for cell in (*cells, *[None] * width)[:width]], line, 1)
    found.check(place)
    return found


def _sheet(content: bytes, sheet: str | None, place: str, setting: str) -> Iterator[Sequence[Any]]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except Exception as error:  # the library passes on whatever a damaged archive raises
        raise SourceError(f"{place} is an Excel workbook that cannot be opened; save it again, or as CSV") from error
    names = book.sheetnames
    if sheet is None and len(names) > 1:
        raise SourceError(f"{place} has several sheets: {allowed(names)}; write sheet = ... under {setting}")
    if sheet is not None and sheet not in names:
        raise SourceError(f"{place} has no sheet {sheet!r}; sheet, {setting}; it has {allowed(names)}")
    page = book[sheet or names[0]]
    page.reset_dimensions()  # what the file says of its own size is often wrong
    yield from page.iter_rows(values_only=True)


def _parquet(content: bytes, place: str) -> Iterator[Sequence[Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except pyarrow.ArrowException as error:
        raise SourceError(f"{place} is a Parquet file that cannot be opened: {error}") from error
    yield table.column_names
    yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def as_text(cell: Any, decimal: str) -> str | None:
    """A typed cell as text in which nobody can read another value."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if cell.time() != datetime.min.time() else cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float):
        cell = int(cell) if cell.is_integer() and abs(cell) < 1e15 else Decimal(repr(cell))
    if isinstance(cell, Decimal):
        whole, _, part = f"{cell:f}".partition(".")
        return f"{whole}{decimal}{part.ljust(4, '0')}" if part else whole  # three decimals look like thousands
    return str(cell)
