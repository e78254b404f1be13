"""Cells whose text cannot be read as what a select wants of it: in which lines, with which texts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from closedloop.errors import allowed
from closedloop.market.actions import Actions
from closedloop.market.contract import Table
from closedloop.market.raw_files import quoted
from closedloop.market.readings import Reading, Select

_CELL = "empty the cell"
Cell = tuple[int, str]  # the line on which its record begins, and the text


class Unreadable:
    """Counts what cannot be read. ``files`` names each source's file.

    ``lines``, by table and column: of cells that held something, and are empty only because it could not be used.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: Mapping[str, str], actions: Actions) -> None:
        self.lines: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self.reasons: dict[tuple[str, str], str] = {}
        self._connection, self._files, self._actions = connection, files, actions
        self._elsewhere: list[Reading] = []  # in helpers and joins: no cell of a table is known to rest on them

    def count(self, table: Table, columns: Sequence[str], select: Select, source: str | None) -> None:
        """Note the cells of a table's ``columns`` that are empty because the text in ``source`` cannot be read."""
        named = {column.lower(): column for column in columns}
        for name, readings in select.readings().items():
            for group in _by_cell(readings):
                if name in named and group[0].source == source:
                    self._count(table, named[name], group)
                else:
                    self._elsewhere += group

    def _count(self, table: Table, column: str, group: Sequence[Reading]) -> None:
        query = f"select _line from {table.name} where {quoted(column)} is null"
        empty = {line for (line,) in self._connection.execute(query).fetchall()}
        cells = [cell for cell in self._cells(group) if cell[0] in empty]
        self.lines[table.name, column] |= {line for line, _ in cells}
        self.reasons[table.name, column] = f"unreadable as {group[0].kind}"
        if column not in table.required:  # else its row is set aside, for this reason
            self._note(table.name, column, group, cells)

    def count_elsewhere(self) -> None:
        """Note what cannot be read on the way to a table, in helpers and joined files."""
        for group in _by_cell(self._elsewhere):
            self._note(f"raw.{group[0].source}", allowed(group[0].columns), group, self._cells(group))

    def _note(self, table: str, column: str, group: Sequence[Reading], cells: Sequence[Cell]) -> None:
        if cells:
            self._actions.note(
                *(table, _CELL, f"unreadable as {group[0].kind}", column),
                lines=[line for line, _ in cells],
                values=[text for _, text in cells],
                allowed=" or ".join(dict.fromkeys(reading.allowed for reading in group)),
                file=self._files[group[0].source],
            )

    def stopped(self, readings: Iterable[Reading], message: str) -> str:
        """Which cell stopped a select with the database's ``message``, which names its text; empty if another cause."""
        for reading in readings:
            cells = self._found(reading, f"({reading.text}) is not null and ({reading.value}) is null")
            named = [cell for cell in cells if f"'{cell[1]}'" in message or f'"{cell[1]}"' in message]
            if named:
                (line, text), n = named[0], len(cells)
                return (
                    f"{self._files[reading.source]}, line {line}: {allowed(reading.columns)} holds {text!r}, which "
                    f"cannot be read as {reading.kind}{f' ({n:,} such cells)' if n > 1 else ''}; allowed: "
                    f"{reading.allowed}. Mend the file, or use try_cast, try_strptime, as_amount or as_flag in the "
                    "select: what they cannot read is emptied and counted"
                )
        return ""

    def _cells(self, group: Sequence[Reading]) -> list[Cell]:
        """The cells that none of the readings of the same columns can read, in the order of their lines."""
        return self._found(group[0], " and ".join(reading.unreadable for reading in group))

    def _found(self, reading: Reading, condition: str) -> list[Cell]:
        source = quoted(reading.source)
        query = (
            f"select line, text from (select row_no, ({reading.text})::varchar as text from raw.{source} "
            f"where {condition}) join lines.{source} using (row_no) order by line"
        )
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
