"""Several files of one table, which of them is the newest, and all read as one: pieces, or exports of what changed."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

from closedloop.errors import SourceError, allowed
from closedloop.market.reading.lines import Records, own_names
from closedloop.market.reading.values import ORDERS, Style, read

_YEAR = re.compile(r"(?:19|20)\d{2}(?:\d{4})?")  # alone, or with its month and day


def in_order(names: Collection[str]) -> tuple[list[str], bool]:
    """The names of files, the newest last, by the days in them, else by their numbers; and is the order of days open?

    It is where the days of all names can be read in two ways, and these give different orders.
    """
    numbered = sorted(names, key=lambda name: [(part.isdigit(), part.zfill(20)) for part in re.split(r"(\d+)", name)])
    for n_pieces, kind in ((3, "date"), (2, "month"), (1, "date")):
        readings = [{name: _days(name, n_pieces, kind, order) for name in numbered} for order in ORDERS]
        found = {tuple(sorted(numbered, key=days.__getitem__)) for days in readings if all(days.values())}
        if found:
            return (list(found.pop()), False) if len(found) == 1 else (numbered, True)
    return numbered, False


def _days(name: str, n_pieces: int, kind: str, order: str) -> list[date]:
    """The days, or the first days of months, that pieces of a file's name give."""
    pieces, style = re.findall(r"\d+|[^\W\d_]+", name), Style("", None, order)
    texts = [pieces[place : place + n_pieces] for place in range(len(pieces) - n_pieces + 1)]
    days = [read(kind, " ".join(text), style) for text in texts if any(map(_YEAR.fullmatch, text))]
    return [day for day in days if day]


@dataclass(frozen=True)
class Places:
    """In which file each line of the joined ones stands: ``ends`` counts the lines up to the end of each file."""

    names: tuple[str, ...]
    ends: tuple[int, ...]

    def of(self, line: int) -> tuple[str, int]:
        """The name of the file, and the line in it."""
        place = bisect_right(self.ends, line - 1)
        return self.names[place], line - (self.ends[place - 1] if place else 0)

    def said(self, line: int) -> str:
        """The line as a person finds it."""
        name, own = self.of(line)
        return f"{own} of {name}"


def joined(parts: Mapping[str, Records], key: str, setting: str) -> tuple[Records, Places, dict[str, int]]:
    """The records of files by name, in their order; where each line stands; and in how many files a column is missing.

    Columns are those of all files, the last one's first. Of a record that several files hold, as ``key`` tells it, the
    last one's row is kept. Raises SourceError for a file without that column.
    """
    headers = {name: own_names(part.header) for name, part in parts.items()}
    if without := [name for name, header in headers.items() if key and key not in header]:
        held = allowed(headers[without[0]], 60)
        raise SourceError(f"{without[0]}: key = {key!r} is no column of it; key, {setting}; it has {held}")
    columns = list(dict.fromkeys(column for header in reversed(headers.values()) for column in header))
    counts = Counter(column for header in headers.values() for column in header)
    ends = tuple(accumulate(part.n_lines for part in parts.values()))
    found = Records(columns, ends[-1], sum(part.n_header for part in parts.values()))
    found.n_blank = sum(part.n_blank for part in parts.values())
    places = {name: header.index(key) for name, header in headers.items()} if key else {}
    older = older_records([[row[places[name]] if key else None for row in part.rows] for name, part in parts.items()])
    for place, (name, part) in enumerate(parts.items()):
        before = ends[place] - part.n_lines
        found.aside += [one._replace(line=one.line + before) for one in part.aside]
        at = [headers[name].index(column) if column in headers[name] else -1 for column in columns]
        for number, (row, line, span) in enumerate(zip(part.rows, part.lines, part.spans, strict=True)):
            if number in older[place]:
                found.n_older += span
            else:
                found.add([row[i] if i >= 0 else None for i in at], line + before, span)
    found.check(allowed(parts))
    return found, Places(tuple(parts), ends), {name: len(parts) - n for name, n in counts.items() if n < len(parts)}


def older_records(keys: Sequence[Sequence[Hashable]]) -> list[set[int]]:
    """The numbers of each file's records that a later file holds as well, by their ``keys``; blanks tell nothing."""
    seen, found = set[Hashable](), list[set[int]]()
    for own in reversed(keys):
        found.insert(0, {number for number, key in enumerate(own) if key in seen})
        seen |= {key for key in own if key}
    return found
