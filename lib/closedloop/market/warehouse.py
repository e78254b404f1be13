"""The canonical tables of a market, and ``known``: the only way to read what was known on a day."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from closedloop.market.definition import Definition, read_definition
from closedloop.market.files import remembered, runs_folder
from closedloop.market.kept import fingerprint
from closedloop.market.periods import FOREVER, Period, calendar
from closedloop.terms import Moment

if TYPE_CHECKING:  # a notebook reads what is written; who asks for rows or builds a warehouse imports the databases
    import ibis
    import ibis.expr.types as ir

    from closedloop.market.staging.audit import Audit
    from closedloop.market.view import View

ABOUT = "market.json"


def fetched(table: "ir.Table", order: str | None = None) -> pd.DataFrame:
    """The rows of a query, sorted by ``order`` so that the same data always come in the same order.

    Whatever the database counts or measures with is a number in the frame (float64 where pandas would give decimals or
    integers of any size as objects), flags are ``boolean``, days are ``datetime64``; gaps are missing.
    """
    frame: pd.DataFrame = table.execute()
    for name, kind in table.schema().items():
        if kind.is_boolean():
            frame[name] = frame[name].astype("boolean")
        elif kind.is_numeric() and not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype("float64")
        elif kind.is_date() or kind.is_timestamp():
            frame[name] = frame[name].astype("datetime64[us]")
    return frame.sort_values(order, ignore_index=True) if order else frame


class Tables(Mapping[str, "ir.Table"]):
    """The stored tables of a folder by name; a database is opened, and a table looked at, when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.stem: path for path in sorted(folder.glob("*.parquet"))}
        self._read: dict[str, ir.Table] = {}

    @cached_property
    def _connection(self) -> "ibis.BaseBackend":
        import ibis

        return ibis.duckdb.connect(threads=1)

    def __getitem__(self, name: str) -> "ir.Table":
        if name not in self._read:
            self._read[name] = self._connection.read_parquet(str(self._paths[name]), table_name=name)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


class Warehouse:
    """The stored canonical tables of one market, read through one private DuckDB connection."""

    def __init__(self, definition: Definition, folder: Path) -> None:
        self.definition = definition
        self.folder = folder
        self.tables = Tables(folder / "tables")

    def has(self, *tables: str) -> bool:
        """Does the market have all these tables?"""
        return all(table in self.tables for table in tables)

    def frame(self, table: str) -> pd.DataFrame:
        """A stored canonical table as it is, without the firewall: for audits and tests, never for a finding."""
        return fetched(self.tables[table])

    @property
    def extracted_on(self) -> date:
        """The last day that the data cover."""
        return self.definition.extracted_on or FOREVER - timedelta(days=1)

    @property
    def audit(self) -> "Audit":
        """What the ladder did to this market's rows."""
        from closedloop.market.staging.audit import read_audit

        return read_audit(self.folder / "audit")

    @cached_property
    def periods(self) -> list[Period]:
        """The market's periods, from the first that runs to the running one."""
        stored = json.loads((self.folder / ABOUT).read_text("utf-8"))
        return calendar(self.definition, {date.fromisoformat(day) for day in stored["busy_days"]})

    def has_begun(self, period: Period) -> bool:
        """Is there anything to look back on? Not in a period that starts after the data's last day."""
        return not period.running or period.start <= self.extracted_on

    def view(self, on: date) -> "View":
        """All that was known at the start of the day ``on``."""
        from closedloop.market.view import View

        return View(self.definition, self.tables, on, self.extracted_on)

    def fingerprint(self, on: date) -> str:
        """Of all rows that the view of a day may see: it changes when one of those rows does, and only then."""

        def find() -> str:
            view, digest = self.view(on), hashlib.sha256()
            for name in sorted(self.tables):
                frame: pd.DataFrame = view.known(name).execute()
                rows = pd.util.hash_pandas_object(frame, index=False).sort_values()
                digest.update(f"{name} {list(frame.columns)} {len(frame)}".encode() + rows.to_numpy().tobytes())
            return digest.hexdigest()

        return remembered(self.folder / "seen" / f"{on}", find)

    def known(self, table: str, on: date, up_to: Moment = Moment.CLOSE) -> "ir.Table":
        """``table`` as known at the start of ``on``, without the columns of moments later than ``up_to``."""
        return self.view(on).known(table, up_to)


def build_warehouse(definition: Definition, place: Path | None = None) -> Path:
    """The folder of the market's canonical tables, made anew when anything they depend on has changed."""
    place = place or runs_folder() / ".warehouse" / definition.name
    folder = place / fingerprint(definition)[:16]
    if folder.exists():
        return folder
    from closedloop.market.staging.audit import take_audit
    from closedloop.market.staging.ladder import Ladder

    place.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=place))
    try:
        ladder = Ladder(definition)
        ladder.climb()
        ladder.write(temporary)
        take_audit(ladder).write(temporary / "audit")
        temporary.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was faster, with the same bytes
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@cache
def open_warehouse(market: str) -> Warehouse:
    """The canonical tables of ``market``, built on first use."""
    definition = read_definition(market)
    return Warehouse(definition, build_warehouse(definition))


def read_again() -> None:
    """Let the next calls read definitions and tables anew: who looks at them may have changed them meanwhile."""
    read_definition.cache_clear()
    open_warehouse.cache_clear()
