"""Several files of one table, read as one: pieces of a history, or exports of what has changed."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from closedloop.errors import SourceError, allowed
from closedloop.market.reading.lines import Records, own_names


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
