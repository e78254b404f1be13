"""What the newest import of a market's data changes against the one before it, table by table and period by period."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from closedloop.errors import allowed
from closedloop.market.building import ABOUT, IMPORTS, listed
from closedloop.market.contract import TABLES
from closedloop.market.definition import Definition
from closedloop.market.files import append
from closedloop.market.warehouse import Warehouse

RAN = "ran"  # the folders of the imports of which pages were made, in their order
_SAME = 0.95  # of the values of two columns that are one


class Change(NamedTuple):
    """One table: rows that are ``new``, ``changed`` and ``gone``; deals ``closed`` and ``reopened``; its columns."""

    table: str
    new: int
    changed: int
    gone: int
    closed: int
    reopened: int
    columns: str


def before(folder: Path) -> Path | None:
    """The folder of the import that pages were last made of, before this one; while there are none the one before it.

    An import that was only checked, and mended, is skipped.
    """
    ran = listed(folder.parent / RAN)
    built = listed(folder.parent / IMPORTS)
    earlier = [*(built[: built.index(folder.name)] if folder.name in built else []), *ran]
    found = (folder.parent / name for name in reversed(earlier) if name != folder.name)
    return next((path for path in found if path.exists()), None)


def note_run(folder: Path) -> None:
    """Note that pages are made of this import."""
    if listed(folder.parent / RAN)[-1:] != [folder.name]:
        append(folder.parent / RAN, f"{folder.name}\n".encode())


def changes(old: Path, new: Path) -> Iterator[Change]:
    """Every table that differs between two imports."""
    names = sorted({path.stem for folder in (old, new) for path in (folder / "tables").glob("*.parquet")})
    for name in names:
        a, b = (_rows(folder / "tables" / f"{name}.parquet", name) for folder in (old, new))
        shared = a.index.intersection(b.index)
        columns = [column for column in a if column in b]
        one, other = a.loc[shared, columns], b.loc[shared, columns]
        differs = ~((one == other) | (one.isna() & other.isna())).all(axis=1)
        closed = reopened = 0
        if name == "deals":
            was, is_open = one["outcome"] == "open", other["outcome"] == "open"
            closed, reopened = int((was & ~is_open).sum()), int((~was & is_open).sum())
        counts = len(b.index.difference(a.index)), int(differs.sum()), len(a.index.difference(b.index))
        found = Change(name, *counts, closed, reopened, _columns(a.loc[shared], b.loc[shared]))
        if any(found[1:]):
            yield found


def _rows(path: Path, name: str) -> pd.DataFrame:
    frame = pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=list(TABLES[name].key))
    return frame.astype(object).set_index(list(TABLES[name].key))


def _columns(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Columns that came, went, or go by another name now."""
    gone, came = [name for name in old if name not in new], [name for name in new if name not in old]
    parts = []
    for name in list(gone):
        alike = [
            own for own in came if len(old) and float((old[name].astype(str) == new[own].astype(str)).mean()) >= _SAME
        ]
        if alike:
            parts.append(f"{name} is called {alike[0]} now")
            gone.remove(name)
            came.remove(alike[0])
    parts += [f"{name} is gone" for name in gone] + [f"{name} is new" for name in came]
    return ", ".join(parts)


def headers_told(old: Path, new: Path) -> list[str]:
    """Columns of raw files that came or went, whether a select reads them or not: a line a source."""
    one, other = (json.loads((folder / ABOUT).read_text("utf-8")).get("headers", {}) for folder in (old, new))
    lines = []
    for name in (name for name in other if name in one):
        came, gone = ([c for c in a if c not in b] for a, b in ((other[name], one[name]), (one[name], other[name])))
        parts = [f"{what} {allowed(columns, 20)}" for what, columns in (("came:", came), ("gone:", gone)) if columns]
        lines += [f"raw.{name}: columns {'; '.join(parts)}"] if parts else []
    return lines


def periods_that_change(definition: Definition, old: Path, new: Path) -> list[str]:
    """The past periods of which anything that was known then is told otherwise now: they run again."""
    one, other = Warehouse(definition, old), Warehouse(definition, new)
    shared = {period.name: period for period in one.periods if not period.running}
    there = {period.name for period in other.periods}
    return [*(f"{name} (gone)" for name in shared if name not in there),
            *(period.name for period in other.periods if period.name in shared
              and one.fingerprint(period.end) != other.fingerprint(period.end))]  # fmt: skip


def told(change: Change) -> str:
    """One table's changes as a line that a person reads."""
    counts = [(change.new, "new"), (change.changed, "changed"), (change.gone, "gone"), (change.closed, "closed"),
              (change.reopened, "reopened")]  # fmt: skip
    parts = [f"{n:,} {what}" for n, what in counts if n]
    return f"{change.table}: {', '.join([*parts, *([change.columns] if change.columns else [])])}"
