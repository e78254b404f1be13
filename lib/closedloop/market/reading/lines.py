"""Delimited text as records: every line of it is the header's, a record's, set aside, or blank, and they add up."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from closedloop.errors import SourceError
from closedloop.market.reading.words import words

LONGEST = 1_000_000  # characters of a line that is read
SHOWN = 500  # characters of what was set aside
UNFIT = "line that does not fit the header"
UNCLOSED = "a quote is opened that nothing closes where it should"
AFTER_QUOTE = "text behind a closing quote"
TOO_LONG = f"line of more than {LONGEST:,} characters"
FOOTER = "line of a report's footer"
CUT_OFF = "record that is cut off: the file ends in it, so what came behind it is missing; export it again"
TOTAL = "total row"
AGAIN = "the header once more"
AS_WRITTEN = "{} (as written)"  # beside a column that holds values: its text
OURS = ("row_no", "line")
_SEPARATOR = re.compile(r'"?sep=(.|\\t)"?', re.IGNORECASE)
_FIGURE = re.compile(r"\W*(?:[^\W\d_]{1,3}\W*)?\d[\d\s.,'’]*\W*(?:[^\W\d_]+)?\W*")  # "EUR 1,234.50", "30 deals"
_SEEN = 50  # records that tell how many fields a record has
csv.field_size_limit(2**31 - 1)


class Aside(NamedTuple):
    """A line that was set aside: which, why, and its beginning."""

    line: int
    reason: str
    content: str


def own_names(header: Sequence[str]) -> list[str]:
    """A name of its own for every column; the database takes ``Owner`` and ``owner`` for one, and two are ours."""
    found, taken = list[str](), set(OURS)
    for place, written in enumerate(header, 1):
        plain = written or f"column {place}"
        own, number = plain, 1
        while own.casefold() in taken:
            number += 1
            own = f"{plain} ({number})"
        taken |= {own.casefold(), AS_WRITTEN.format(own).casefold()}
        found.append(own)
    return found


@dataclass
class Records:
    """``rows``: the texts of each record, None where nothing is written; ``lines``: on which each begins.

    ``n_lines`` = ``n_header`` + ``n_kept`` + ``n_older`` + lines of ``aside`` + ``n_blank``; all count lines as an
    editor shows them. ``spans``: how many lines each record has; ``n_older``: lines of records of which a later file
    tells more.
    """

    header: list[str]
    n_lines: int
    n_header: int
    n_blank: int = 0
    n_older: int = 0
    rows: list[Sequence[str | None]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    spans: list[int] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)

    @property
    def n_kept(self) -> int:
        """Lines of the records that are kept."""
        return sum(self.spans)

    def add(self, fields: Sequence[str | None], line: int, n_lines: int = 1) -> None:
        """Keep a record that spans ``n_lines`` from ``line`` on."""
        self.rows.append([text if text and text.strip() else None for text in fields])
        self.lines.append(line)
        self.spans.append(n_lines)

    def check(self, place: str) -> None:
        """SourceError where the lines do not add up."""
        told = self.n_header + self.n_kept + self.n_older + len(self.aside) + self.n_blank
        if told != self.n_lines:
            raise SourceError(f"{place} has {self.n_lines} lines, and {told} are accounted for; nothing is read")


class Header(NamedTuple):
    """The names of the columns, the same as written, the line on which they stand, and how many lines they span."""

    names: list[str]
    written: list[str]
    line: int
    n_lines: int


def split(
    text: str, delimiter: str, quote: str, skip_lines: int, place: str, setting: str, header_lines: int = 1
) -> Records:
    """The records of a text whose line breaks are ``\\n``. ``place`` names the file in errors, ``setting`` its keys.

    Of a header of several lines (surveys) the first names the columns; where it is blank, or names one twice, the
    second is added.
    """
    lines = text.replace("\n\ufeff", "\n").split("\n")  # of an export that was put behind another
    if lines[-1] == "":
        lines.pop()
    cut = Cutter(lines, delimiter, quote)
    header = _joined(cut, _header(cut, skip_lines, place, setting), header_lines)
    found = Records(header.names, len(lines), header.line + header.n_lines - 1)
    at, width = found.n_header, len(header.names)
    while at < len(lines):
        if not lines[at].strip() or (width > 1 and not lines[at].strip(f"{delimiter} ")):
            found.n_blank += 1
            at += 1
            continue
        record = cut.record(at)
        reason = record if isinstance(record, str) else UNFIT if len(record.fields) != width else ""
        if isinstance(record, Cut) and not reason and record.n_lines > 1:
            reason = UNCLOSED if cut.holds_records(at, record.n_lines, width) else ""
        if isinstance(record, Cut) and not reason:
            reason = TOTAL if is_total(record.fields) else AGAIN if record.fields == header.written else ""
        if isinstance(record, Cut) and not reason:
            found.add(record.fields, at + 1, record.n_lines)
            at += record.n_lines
        else:
            found.aside.append(Aside(at + 1, reason, lines[at][:SHOWN]))
            at += 1
    _name_end(found, delimiter, quote, is_whole=text.endswith("\n"))
    found.check(place)
    return found


class Cut(NamedTuple):
    """The fields of a record, and how many lines it spans."""

    fields: list[str]
    n_lines: int


class Cutter:
    """Cuts lines into fields; a quoted field may hold delimiters, line breaks and doubled quotes."""

    def __init__(self, lines: list[str], delimiter: str, quote: str) -> None:
        self.lines, self.delimiter, self.quote = lines, delimiter, quote

    def record(self, at: int) -> Cut | str:
        """The record that begins on the line with this place, or why there is none."""
        line = self.lines[at]
        if len(line) > LONGEST:
            return TOO_LONG
        if self.quote not in line:
            return Cut(line.split(self.delimiter), 1)
        reader = csv.reader(self._from(at), delimiter=self.delimiter, quotechar=self.quote, strict=True)
        try:
            return Cut(next(reader), reader.line_num)
        except csv.Error as error:
            return UNCLOSED if "unexpected end" in str(error) else AFTER_QUOTE

    def _from(self, at: int) -> Iterator[str]:
        for place in range(at, len(self.lines)):
            yield f"{self.lines[place]}\n"

    def holds_records(self, at: int, n_lines: int, width: int) -> bool:
        """Is a record's first line whole without the lines that its quote swallows, and one of them a record itself?"""
        if width < 3 or self.lines[at].count(self.delimiter) < width - 1:
            return False
        inner = (self.record(place) for place in range(at + 1, at + n_lines))
        return any(isinstance(found, Cut) and found.n_lines == 1 and len(found.fields) == width for found in inner)


def _header(cut: Cutter, skip_lines: int, place: str, setting: str) -> Header:
    at = skip_lines
    first = cut.lines[at].strip() if at < len(cut.lines) else ""
    if says := _SEPARATOR.fullmatch(first):
        wanted = says[1].replace("\\t", "\t")
        if wanted != cut.delimiter:
            raise SourceError(f"{place}: its first line says {first!r}; write delimiter = {wanted!r} under {setting}")
        at += 1
    if at >= len(cut.lines) or not cut.lines[at].strip():
        above = f"what stands above it is left out with skip_lines under {setting}"
        raise SourceError(f"{place} is empty; its first line must be the header; {above}")
    found = cut.record(at)
    if isinstance(found, str):
        raise SourceError(f"{place}, line {at + 1}: the header cannot be read: {found}")
    _check_width(cut, at, found, place, setting)
    names = [" ".join(name.split()) for name in found.fields]
    return Header(names, found.fields, at + 1, found.n_lines)


def _joined(cut: Cutter, header: Header, n_lines: int) -> Header:
    """The header with the lines below it that belong to it."""
    below, at = list[list[str]](), header.line + header.n_lines - 1
    for _ in range(n_lines - 1):
        record = cut.record(at) if at < len(cut.lines) else ""
        if isinstance(record, str):
            break
        below.append(record.fields)
        at += record.n_lines
    if not below:
        return header
    names, last = list[str](), ""
    for place, name in enumerate(header.names):
        last = name or last
        more = " ".join(below[0][place].split()) if place < len(below[0]) else ""
        is_alone = bool(name) and header.names.count(name) == 1 and all(header.names[place + 1 : place + 2])
        is_plain = more.casefold() in ("", "response", "open-ended response") or is_alone
        names.append(last if is_plain else f"{last}: {more}")
    return Header(names, header.written, header.line, at - header.line + 1)


def _check_width(cut: Cutter, at: int, header: Cut, place: str, setting: str) -> None:
    """SourceError where the first line is no header: a title, or one of another delimiter."""
    width, sample = len(header.fields), [i for i in range(at, len(cut.lines)) if cut.lines[i].strip()][: _SEEN + 1]
    others = {mark: cut.lines[at].count(mark) for mark in ",;\t|" if mark != cut.delimiter}
    mark = max(others, key=lambda sign: others[sign])
    if width == 1 and others[mark] and all(cut.lines[i].count(mark) == others[mark] for i in sample[:5]):
        raise SourceError(f"{place}: its columns are not divided by {cut.delimiter!r}; write delimiter = {mark!r} "
                          f"under {setting}")  # fmt: skip
    widths = {i: len(found.fields) for i in sample if isinstance(found := cut.record(i), Cut)}
    usual, n = Counter(widths.values()).most_common(1)[0]
    if usual > width and n > len(widths) / 2:
        above = next(i for i, own in widths.items() if own == usual)
        raise SourceError(
            f"{place}: its first line {cut.lines[at][:60]!r} has {width} field{'s' * (width != 1)}, most lines have "
            f"{usual}; where {above} lines stand above the header, write skip_lines = {above} under {setting}"
        )


def is_total(fields: Sequence[str | None]) -> bool:
    """Is it a row of sums? Its first text says so, half of its fields are blank, and the others are figures."""
    written = [text.strip() for text in fields if text and text.strip(" -–—")]
    return (
        2 * len(written) <= len(fields)
        and bool(written)
        and written[0].partition(":")[0].strip().casefold() in words("totals")["of"]
        and all(map(_FIGURE.fullmatch, written[1:]))
    )


def _name_end(found: Records, delimiter: str, quote: str, *, is_whole: bool) -> None:
    """What does not fit behind the last record is a footer, where it has one field; else the file may be cut off."""
    last = found.lines[-1] if found.lines else 0
    for place, one in enumerate(found.aside):
        is_alone = len(next(csv.reader([one.content], delimiter=delimiter, quotechar=quote), ())) == 1
        if one.line > last and one.reason == UNFIT and is_alone:
            found.aside[place] = one._replace(reason=FOOTER)
        elif one.line == found.n_lines and not is_whole and one.reason in (UNFIT, UNCLOSED):
            found.aside[place] = one._replace(reason=CUT_OFF)
