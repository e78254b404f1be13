"""The audit of a market: every line that was set aside, every cell emptied, every contradiction, counted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.market.contract import FIELD_TABLES, TABLES, is_field, kind_of, likeness
from closedloop.market.periods import as_told
from closedloop.market.sources import quoted
from closedloop.market.staging.checks import COLUMNS
from closedloop.market.staging.findings import COLUMNS as COLUMNS_OF_FINDINGS
from closedloop.market.staging.findings import findings, foreign_amounts
from closedloop.market.staging.ladder import Ladder

_FRAMES = ("tables", "columns", "actions", "sources", "findings")
_SOURCES = ["source", "file", "n_lines", "n_header", "n_kept", "n_older", "n_blank", "n_aside"]


@dataclass(frozen=True)
class Audit:
    """``tables``: rows, first and last event; ``columns``: null share, moment; ``actions``: what was done how often.

    ``sources``: where each line of a file went; ``findings``: what looks wrong though the contract allows it.
    """

    tables: pd.DataFrame
    columns: pd.DataFrame
    actions: pd.DataFrame
    sources: pd.DataFrame
    findings: pd.DataFrame

    def write(self, folder: Path) -> None:
        """Write the three frames as Parquet into ``folder``."""
        folder.mkdir()
        for name in _FRAMES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)


def read_audit(folder: Path) -> Audit:
    """The audit that ``Audit.write`` left in ``folder``."""
    return Audit(*(pd.read_parquet(folder / f"{name}.parquet") for name in _FRAMES))


def take_audit(ladder: Ladder) -> Audit:
    """Count the market that ``ladder`` has climbed."""
    actions = pd.DataFrame(ladder.actions, columns=list(COLUMNS)).astype({"n": "int64"})
    actions = actions.sort_values(["table", "action", "reason", "column"], ignore_index=True)
    sources = [{"source": name, "file": ladder.files[name], **counts} for name, counts in ladder.raw.counts.items()]
    found = [
        *foreign_amounts(ladder.definition, ladder.connection, ladder.unreadable.numbers),
        *findings(ladder.definition, ladder.connection, ladder.columns),
    ]
    return Audit(
        *(_tables(ladder), _columns(ladder), actions, pd.DataFrame(sources, columns=_SOURCES)),
        pd.DataFrame(found, columns=list(COLUMNS_OF_FINDINGS)),
    )


def _tables(ladder: Ladder) -> pd.DataFrame:
    rows = []
    for name in ladder.columns:
        n_aside = len(ladder.rejected.get(name, ()))
        n_rows = _scalar(ladder, f"select count(*) from {name}")
        rows.append([name, n_rows, n_aside, *_edges(ladder, name), _n_repeated(ladder, name)])
    frame = pd.DataFrame(rows, columns=["table", "n_rows", "n_set_aside", "first_on", "last_on", "n_equal_but_for_ids"])
    return frame.astype({"first_on": "str", "last_on": "str"})


def _edges(ladder: Ladder, name: str) -> tuple[Any, Any]:
    """The first and the last day on which something happened, as the market tells days; forecasts do not count."""
    table = TABLES[name]
    events = [c.name for c in table.columns if c.name == table.born or c.shown == "own"]
    dates = ", ".join(quoted(c) for c in events if c in ladder.columns[name])
    if not dates:
        return None, None
    edges = (f"min(least({dates}))", f"max(greatest({dates}))")
    days = [_scalar(ladder, f"select {edge} from {name}") for edge in edges]
    first, last = (None if day is None else as_told(ladder.definition, day) for day in days)
    return first, last


def _n_repeated(ladder: Ladder, name: str) -> int:
    """Rows that are equal to an earlier one in everything but their ids."""
    others = [quoted(c) for c in ladder.columns[name] if kind_of(c) != "id"]
    if not others or len(TABLES[name].key) > 1:
        return 0
    return int(_scalar(ladder, f"select count(*) - count(distinct ({', '.join(others)}, 0)) from {name}"))


def _columns(ladder: Ladder) -> pd.DataFrame:
    rows = []
    for name, columns in ladder.columns.items():
        for column in columns:
            moment = ladder.definition.moment(name, column) or "not declared: in no view"
            share = _scalar(ladder, f"select avg(({quoted(column)} is null)::int) from {name}")
            rows.append([name, column, moment, share, _held_back(ladder, name, column)])
    frame = pd.DataFrame(rows, columns=["table", "column", "known", "null_share", "held_back"])
    return frame.astype({"null_share": "float64", "held_back": "str"})


def _held_back(ladder: Ladder, table: str, name: str) -> str:
    """What a field looks like by which nobody can be compared; nothing of all other columns."""
    is_vouched_for = name in ladder.definition.checked.get(table, ())
    is_shown = table in FIELD_TABLES and ladder.definition.moment(table, name) is not None
    if is_vouched_for or not is_shown or not is_field(TABLES[table], name):
        return ""
    values = ladder.connection.execute(f"select {quoted(name)} from {table}").df()[name]
    return str(likeness(values) or "")


def held_back(audit: Audit) -> list[str]:
    """A line for each field that looks like an identifier or free text: what it is kept out of, how to vouch for it."""
    rows = audit.columns[audit.columns["held_back"] != ""]
    return [
        f"held back: {table}.{name} {why}; it is kept out of rules, segments, comparisons and scores. "
        f'List it under [checked] of market.toml if it is a field: {table} = ["{name}"].'
        for table, name, why in rows[["table", "column", "held_back"]].itertuples(index=False)
    ]


def _scalar(ladder: Ladder, query: str) -> Any:
    row = ladder.connection.execute(query).fetchone()
    return row[0] if row else None
