"""What no place of a select can read is counted: cell by cell, with line, text and what is allowed."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import duckdb

from closedloop.errors import allowed
from closedloop.market.contract import Table
from closedloop.market.reading.values import WORDS
from closedloop.market.sources import quoted
from closedloop.market.staging.checks import Actions
from closedloop.market.staging.selects import CONVERTED, Reading, Select

_NUMBERS = (WORDS["amount"][0], WORDS["number"][0], WORDS["count"][0])
_CELL = "empty the cell"
Cell = tuple[int, str]  # the line on which its record begins, and the text


class Unreadable:
    """Counts what cannot be read. ``files`` names each source's file.

    ``lines``, by table and column: of cells that held something, and are empty only because it could not be used.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Mapping[str, str],
        actions: Actions,
        reason: Callable[[str, str, str], str],
    ) -> None:
        self.lines: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self.reasons: dict[tuple[str, str], str] = {}
        self.numbers: set[tuple[str, str]] = set()  # the columns of sources that are read as amounts or numbers
        self.without_rate: dict[str, float] = {}  # of a column of amounts: the share that cannot be converted
        self._connection, self._files, self._actions, self._reason = connection, files, actions, reason
        self._elsewhere: list[Reading] = []  # in helpers and joins: no cell of a table is known to rest on them

    def count(self, table: Table, columns: Sequence[str], select: Select, source: str | None) -> None:
        """Note the cells of a table's ``columns`` that are empty because the text in ``source`` cannot be read."""
        named = {column.lower(): column for column in columns}
        for name, readings in select.readings().items():
            for group in _by_cell(readings):
                if group[0].kind in _NUMBERS:
                    self.numbers |= {(group[0].source, column) for column in group[0].columns}
                if name in named and group[0].source == source:
                    self._count(table, named[name], group)
                else:
                    self._elsewhere += group

    def _count(self, table: Table, column: str, group: Sequence[Reading]) -> None:
        query = f"select _line from {table.name} where {quoted(column)} is null"
        empty = {line for (line,) in self._connection.execute(query).fetchall()}
        cells = [cell for cell in self._cells(group) if cell[0] in empty]
        self.lines[table.name, column] |= {line for line, _ in cells}
        if group[0].kind == CONVERTED[0]:
            known = self._connection.execute(f"select count({quoted(column)}) from {table.name}").fetchone()
            self.without_rate[column] = len(cells) / max(len(cells) + (known[0] if known else 0), 1)
        self.reasons[table.name, column] = f"unreadable as {group[0].kind}"
        if column not in table.required:  # else its row is set aside, for this reason
            self._note(table.name, column, group, cells)

    def count_elsewhere(self) -> None:
        """Note what cannot be read on the way to a table, in helpers and joined files."""
        for group in _by_cell(self._elsewhere):
            self._note(f"raw.{group[0].source}", allowed(group[0].columns), group, self._cells(group))

    def _note(self, table: str, column: str, group: Sequence[Reading], cells: Sequence[Cell]) -> None:
        first, reasons = group[0], defaultdict[str, list[Cell]](list)
        for cell in cells:
            own = self._reason(first.source, first.reader, cell[1]) if first.reader else f"unreadable as {first.kind}"
            reasons[own].append(cell)
        for reason, bad in reasons.items():
            self._actions.note(
                *(table, _CELL, reason, column),
                lines=[line for line, _ in bad],
                values=[text for _, text in bad],
                allowed=" or ".join(dict.fromkeys(reading.allowed for reading in group)),
                file=self._files[first.source],
            )

    def stopped(self, readings: Iterable[Reading], message: str) -> str:
        """Which cell stopped a select with the database's ``message``, which names its text; empty if another cause."""
        for reading in readings:
            cells = self._found([reading], f"({reading.text}) is not null and ({reading.value}) is null")
            named = [cell for cell in cells if f"'{cell[1]}'" in message or f'"{cell[1]}"' in message]
            if named:
                (line, text), n, file = named[0], len(cells), self._files[reading.source]
                place = self._actions.place(file, [line])
                return (
                    f"{place}: {allowed(reading.columns)} holds {text!r}, which "
                    f"cannot be read as {reading.kind}{f' ({n:,} such cells)' if n > 1 else ''}; allowed: "
                    f"{reading.allowed}. Mend the file, or use try_cast, try_strptime, as_amount or as_flag in the "
                    "select: what they cannot read is emptied and counted"
                )
        return ""

    def _cells(self, group: Sequence[Reading]) -> list[Cell]:
        """The cells that none of the readings of the same columns can read, in the order of their lines."""
        asked = " or ".join(reading.asked for reading in group)
        read = " or ".join(f"({reading.asked} and ({reading.value}) is not null)" for reading in group)
        return self._found(group, f"({asked}) and not ({read})")

    def _found(self, group: Sequence[Reading], condition: str) -> list[Cell]:
        source, texts = quoted(group[0].source), ", ".join(f"({reading.text})::varchar" for reading in group)
        query = f"select line, coalesce({texts}) as text from raw.{source} where {condition} order by line"
        try:
            return self._connection.execute(query).fetchall()
        except duckdb.Error:  # what the text is made of fails by itself, which the select's own error tells
            return []


def _by_cell(readings: Iterable[Reading]) -> list[list[Reading]]:
    """Readings of the same cells together: text that one of several ways can read is readable."""
    groups: defaultdict[tuple[str, tuple[str, ...]], dict[Reading, None]] = defaultdict(dict)
    for reading in readings:
        groups[reading.source, reading.columns][reading] = None
    return [list(group) for group in groups.values()]


def missing_column(message: str, columns: Iterable[Sequence[str]]) -> str:
    """What to say of a column that a select names and none of the files has; nothing of another error."""
    found = re.search(r'does not have a column named "(.+?)"|Referenced column "(.+?)" not found', message)
    if not found:
        return ""
    there = dict.fromkeys(own for source in columns for own in source)
    return (
        f"{found[1] or found[2]!r} is no column of what it reads; the files have {allowed(there, 60)}. Where it was "
        "renamed in the source, write its new name there"
    )
