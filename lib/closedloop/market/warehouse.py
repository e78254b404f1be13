"""The canonical tables of a market, and what of them was known on a day: the only way to read it is ``known``."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from closedloop.errors import ParameterError, allowed
from closedloop.market.building import ABOUT, build_warehouse
from closedloop.market.contract import FIELD_TABLES, TABLES, Likeness, Table, is_field, likeness
from closedloop.market.definition import Definition, read_definition
from closedloop.market.files import remembered, write_atomic
from closedloop.market.periods import FOREVER, Period, calendar
from closedloop.terms import Moment

if TYPE_CHECKING:  # a notebook reads what is written; who builds a warehouse imports what makes it
    from closedloop.market.staging.audit import Audit


def fetched(table: ir.Table) -> pd.DataFrame:
    """The rows of a query.

    Whatever the database counts or measures with is a number in the frame (float64 for decimals, and for integers of
    any size), flags are ``boolean``, days are ``datetime64``; gaps are missing.
    """
    found: pa.Table = table.to_pyarrow()
    kinds = [pa.float64() if pa.types.is_decimal(field.type) else field.type for field in found.schema]
    numbers = found.cast(pa.schema(list(zip(found.column_names, kinds, strict=True))))
    frame: pd.DataFrame = numbers.to_pandas(date_as_object=False, types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    return frame.astype(dict.fromkeys(frame.select_dtypes("datetime"), "datetime64[us]"))


class Tables(Mapping[str, ir.Table]):
    """The stored tables of a folder by name; a database is opened, and a table looked at, when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.stem: path for path in sorted(folder.glob("*.parquet"))}
        self._read: dict[str, ir.Table] = {}

    @cached_property
    def _connection(self) -> ibis.BaseBackend:
        return ibis.duckdb.connect(threads=1)

    def __getitem__(self, name: str) -> ir.Table:
        if name not in self._read:
            self._read[name] = self._connection.read_parquet(str(self._paths[name]), table_name=name)
        return self._read[name]

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns of a table, without a database."""
        return tuple(parquet.read_schema(self._paths[name]).names)

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


_STATUS_STEPS = (
    ("marketing_qualified_on", "marketing_qualified"),
    ("handed_off_on", None),
    ("sales_accepted_on", "sales_accepted"),
    ("sales_qualified_on", "sales_qualified"),
    ("recycled_on", "recycled"),
    ("disqualified_on", "disqualified"),
)
_NOT_INHERITED = ("status", "rejection_reason", "product")


def _uppers(name: str, tables: Mapping[str, ir.Table]) -> list[str]:
    """The tables above deals and leads from which they take the fields that they lack."""
    return [upper for upper in ("leads", "accounts") if upper != name and upper in tables]


@dataclass(frozen=True)
class View:
    """One market at the start of one day; comparisons are strict, and a missing date counts as ``extracted_on``.

    ``folder``: where the answers of the database are kept, which are the same each time; None keeps none.
    """

    definition: Definition
    tables: Tables
    on: date
    extracted_on: date
    folder: Path | None = None

    @property
    def complete(self) -> bool:
        """Is the day after the data's last one, so that everything recorded is known?"""
        return self.on > self.extracted_on

    def has(self, *tables: str) -> bool:
        """Does the market have all these tables?"""
        return all(table in self.tables for table in tables)

    def known(self, name: str, up_to: Moment = Moment.CLOSE) -> ir.Table:
        """A canonical table as known on this day, without the columns of moments later than ``up_to``."""
        if name not in self.tables:
            raise ParameterError(f"{self.definition.name} has no table {name!r}; it has {allowed(self.tables)}")
        table = TABLES[name]
        rows = self._with_helpers(self.tables[name], name).filter(self._born(table))
        shown = [column for column in self._columns(name) if self._shows(name, column, up_to)]
        return rows.select(**{column: self._cell(rows, table, column) for column in shown})

    def frame(self, name: str, up_to: Moment = Moment.CLOSE, columns: Sequence[str] = ()) -> pd.DataFrame:
        """The rows of ``known`` as ``fetched``; of the columns those that are asked for, all without any."""
        if self.folder is None:
            rows = fetched(self.known(name, up_to))
            return rows[[column for column in columns or rows if column in rows]]
        path = self.folder / f"{self.on}" / f"{name}.parquet"
        if not path.exists():
            write_atomic(path, fetched(self.known(name)).to_parquet(index=False))
        # by one thread: starting more takes longer than reading some kilobytes
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            shown = [column for column in file.schema_arrow.names if self._shows(name, column, up_to)]
            wanted = [column for column in columns or shown if column in shown]
            found: pd.DataFrame = file.read(wanted, use_threads=False).to_pandas(use_threads=False)
        return found[wanted]

    def _shows(self, name: str, column: str, up_to: Moment) -> bool:
        """Is a column declared, and of no moment later than ``up_to``? Keys always are."""
        moment = self.definition.moment(name, column)
        return moment is not None and (Moment.named(moment) <= up_to or column in TABLES[name].key)

    def _columns(self, name: str) -> tuple[str, ...]:
        """The stored columns, and the status of leads wherever its dates are recorded."""
        columns = self.tables.columns(name)
        dated = name == "leads" and any(day in columns for day, status in _STATUS_STEPS if status)
        return (*columns, "status") if dated and "status" not in columns else columns

    def fields(self, table: str, up_to: Moment = Moment.CREATION) -> list[str]:
        """Columns to compare and segment by, known by ``up_to``: declared fields and canonical categories.

        Those that look like an identifier or free text are held back.
        """
        held = self.held_back[table]
        return [column for column in self._declared(table, up_to) if column not in held]

    def _declared(self, table: str, up_to: Moment) -> list[str]:
        """Declared fields and canonical categories, whatever their values look like."""
        moments = {column: self.definition.moment(table, column) for column in self.tables.columns(table)}
        known = [column for column, moment in moments.items() if moment and Moment.named(moment) <= up_to]
        return [column for column in known if is_field(TABLES[table], column)]

    @cached_property
    def held_back(self) -> dict[str, dict[str, Likeness]]:
        """Of each table the fields that nobody can be compared by, as far as their values are known on this day.

        A field that people vouch for in ``[checked]`` of market.toml is not among them.
        """
        return {table: self.unfit(table, self.frame(table)) for table in FIELD_TABLES if table in self.tables}

    def unfit(self, table: str, rows: pd.DataFrame) -> dict[str, Likeness]:
        """The fields of a table's ``rows`` that nobody can be compared by."""
        vouched = self.definition.checked.get(table, ())
        names = [name for name in self._declared(table, Moment.CLOSE) if name not in vouched]
        return {name: found for name in names if (found := likeness(rows[name])) is not None}

    def with_fields(self, name: str, up_to: Moment = Moment.CLOSE) -> pd.DataFrame:
        """Deals or leads with the visible fields that they lack taken from their lead, then from their account."""
        rows = self.frame(name, up_to)
        for upper in _uppers(name, self.tables):
            key = TABLES[upper].key[0]
            if key in rows:
                rows = self._inherit(rows, upper, key, up_to)
        return rows

    def inherited(self, name: str, up_to: Moment = Moment.CREATION) -> list[str]:
        """The fields that ``with_fields`` gives, own ones first."""
        given = set(self.with_fields(name, up_to).columns)
        fields, held = self.fields(name, up_to), set(self.held_back[name])
        for upper in _uppers(name, self.tables):
            held |= set(self.held_back[upper])
            fields += [f for f in self._handed_down(upper, up_to) if f in given and f not in (*fields, *held)]
        return fields

    def _handed_down(self, upper: str, up_to: Moment) -> list[str]:
        return [field for field in self._declared(upper, up_to) if field not in _NOT_INHERITED]

    def _inherit(self, rows: pd.DataFrame, upper: str, key: str, up_to: Moment) -> pd.DataFrame:
        source = self.frame(upper, up_to)
        wanted = [field for field in self._handed_down(upper, up_to) if field not in rows]
        link = ["account_id"] if upper == "leads" and "account_id" in source else []
        found = source.set_index(key)[[*wanted, *link]].reindex(rows[key]).set_axis(rows.index)
        rows = rows.assign(**found[wanted])
        for name in link:
            rows[name] = rows[name].fillna(found[name]) if name in rows else found[name]
        return rows

    def _day(self) -> ir.DateScalar:
        return ibis.literal(self.on, type="date")

    def _before(self, day: ir.DateValue, n_days: int = 0) -> ir.BooleanValue:
        """Does the day ``n_days`` after ``day`` lie before this one? A missing day counts as the data's last."""
        last = ibis.literal(self.extracted_on, type="date")
        return ibis.coalesce(day, last) < ibis.literal(self.on - timedelta(days=n_days), type="date")

    def _born(self, table: Table) -> ir.BooleanValue:
        columns = self.tables.columns(table.name)
        if table.born not in columns and table.name == "deals" and "closed_on" in columns:
            return self._before(ibis._.closed_on)
        if table.born not in columns:
            return ibis.literal(self.complete or table.name in ("accounts", "materials"))
        born = ibis._[table.born]
        if table.name == "deals" and "closed_on" in columns:
            return self._before(ibis.coalesce(born, ibis._.closed_on))
        if table.name in ("accounts", "materials"):
            return born.isnull() | (born < self._day())  # noqa: PD003 - an Ibis expression
        return self._before(born)

    def _cell(self, rows: ir.Table, table: Table, name: str) -> ir.Value:
        governing = table.governing(name)
        shown = self.definition.known_at(table.name).get(name) or (governing.shown if governing else "row")
        if shown in ("row", "research", "creation"):
            return rows[name]
        if shown == "own":
            return self._if(rows[name] < self._day(), rows[name])
        if shown == "share":
            return self._share_spent(rows, name)
        if shown == "status":
            return self._status(rows)
        if shown == "stage" and table.name == "deals":
            return self._staged(rows, name)
        if shown == "close" and name == "outcome":
            return ibis.ifelse(self._reached(rows, table, shown), rows[name], "open")
        return self._if(self._reached(rows, table, shown), rows[name])

    def _if(self, condition: ir.BooleanValue, value: ir.Value) -> ir.Value:
        return ibis.ifelse(condition, value, ibis.null(value.type()))

    def _reached(self, rows: ir.Table, table: Table, shown: str) -> ir.BooleanValue:
        """Has the row come to the moment ``shown`` (handoff, stage, close, close+n)?"""
        if shown == "handoff" and table.name == "deals":
            return ibis.literal(True)
        days = {"handoff": "handed_off_on", "close": "_closing_on"} if table.name in ("leads", "deals") else {}
        moment, _, n_days = shown.partition("+")
        day = rows[days[moment]] if days.get(moment) in rows.columns else ibis.null("date")
        # Without dates both views are full: nothing lies n days later.
        return self._before(day, 0 if self.definition.clock == "none" else int(n_days or 0))

    def _with_helpers(self, rows: ir.Table, name: str) -> ir.Table:
        """The row's closing day, and for deals the latest recorded change before this day."""
        if name == "deals":
            rows = rows.mutate(_closing_on=rows.closed_on if "closed_on" in rows.columns else ibis.null("date"))
            return self._with_latest_change(rows) if "stage_history" in self.tables else rows
        return self._with_lead_closing(rows) if name == "leads" else rows

    def _with_lead_closing(self, leads: ir.Table) -> ir.Table:
        ends = [leads[c] for c in ("recycled_on", "disqualified_on") if c in leads.columns]
        deals = self.tables.get("deals")
        if deals is not None and {"lead_id", "closed_on"} <= set(deals.columns):
            first = (
                deals.filter(self._born(TABLES["deals"]))
                .group_by("lead_id")
                .agg(_deal_closed_on=ibis._.closed_on.min())
            )
            leads = leads.left_join(first, "lead_id").drop("lead_id_right")
            ends = [leads[c] for c in ("recycled_on", "disqualified_on", "_deal_closed_on") if c in leads.columns]
        if not ends:
            return leads.mutate(_closing_on=ibis.null("date"))
        return leads.mutate(_closing_on=ibis.least(*ends))

    def _with_latest_change(self, deals: ir.Table) -> ir.Table:
        history = self.tables["stage_history"].filter(ibis._.entered_on < self._day())
        latest = history.filter(history.change_no == history.change_no.max().over(group_by="deal_id"))
        staged = [name for name in deals.columns if name in history.columns and name != "deal_id"]
        latest = latest.select("deal_id", **{f"_now_{name}": latest[name] for name in staged})
        return deals.left_join(latest, "deal_id").drop("deal_id_right")

    def _staged(self, rows: ir.Table, name: str) -> ir.Value:
        if self.complete:
            return rows[name]
        kind = rows[name].type()
        past = rows[f"_now_{name}"].cast(kind) if f"_now_{name}" in rows.columns else ibis.null(kind)
        return ibis.ifelse(rows._closing_on < self._day(), rows[name], past)

    def _status(self, rows: ir.Table) -> ir.Value:
        steps = [(rows[c], status) for c, status in _STATUS_STEPS if status and c in rows.columns]
        if not steps:
            return rows.status if self.complete else ibis.null(str)
        long_ago = ibis.literal(date(1, 1, 1), type="date")
        shown = [(ibis.ifelse(day < self._day(), day, long_ago).fill_null(long_ago), status) for day, status in steps]
        latest = ibis.greatest(*[day for day, _ in shown])
        value: ir.Value = ibis.literal("inquiry")
        for day, status in shown:  # the later step wins a tie
            value = ibis.ifelse((day == latest) & (latest > long_ago), ibis.literal(status), value)
        return value

    def _share_spent(self, rows: ir.Table, name: str) -> ir.Value:
        ends = rows.ends_on if "ends_on" in rows.columns else ibis.null("date")
        last = ibis.greatest(ibis.coalesce(ends, rows.starts_on), rows.starts_on)
        n_days = last.delta(rows.starts_on, unit="day") + 1
        n_past = ibis.least(self._day().delta(rows.starts_on, unit="day"), n_days)
        return rows[name].cast("float64") * n_past / n_days


class Warehouse:
    """The stored canonical tables of one market, read through one private DuckDB connection."""

    def __init__(self, definition: Definition, folder: Path) -> None:
        self.folder = folder
        self.tables, self._seen = Tables(folder / "tables"), folder / "seen"
        self._about = json.loads((folder / ABOUT).read_text("utf-8"))
        recorded = self._about["last_day"]
        is_latest = definition.extracted_on == "latest"
        update = {"extracted_on": date.fromisoformat(recorded) if recorded else None}
        self.definition = definition.model_copy(update=update) if is_latest else definition

    def has(self, *tables: str) -> bool:
        """Does the market have all these tables?"""
        return all(table in self.tables for table in tables)

    def frame(self, table: str) -> pd.DataFrame:
        """A stored canonical table as it is, without the firewall: for audits and tests, never for a finding."""
        return fetched(self.tables[table])

    @property
    def extracted_on(self) -> date:
        """The last day that the data cover."""
        return self.definition.last_day or FOREVER - timedelta(days=1)

    @property
    def audit(self) -> "Audit":
        """What the ladder did to this market's rows."""
        from closedloop.market.staging.audit import read_audit

        return read_audit(self.folder / "audit")

    @cached_property
    def periods(self) -> list[Period]:
        """The market's periods, from the first that runs to the running one."""
        return calendar(self.definition, {date.fromisoformat(day) for day in self._about["busy_days"]})

    def has_begun(self, period: Period) -> bool:
        """Is there anything to look back on? Not in a period that starts after the data's last day."""
        return not period.running or period.start <= self.extracted_on

    def view(self, on: date) -> View:
        """All that was known at the start of the day ``on``."""
        return View(self.definition, self.tables, on, self.extracted_on, self._seen)

    def fingerprint(self, on: date) -> str:
        """Of all rows that the view of a day may see: it changes when one of those rows does, and only then."""

        def find() -> str:
            view, digest = self.view(on), hashlib.sha256()
            for name in sorted(self.tables):
                frame = view.frame(name)
                rows = pd.util.hash_pandas_object(frame, index=False).sort_values()
                digest.update(f"{name} {list(frame.columns)} {len(frame)}".encode() + rows.to_numpy().tobytes())
            return digest.hexdigest()

        return remembered(self._seen / f"{on}" / "fingerprint", find)

    def known(self, table: str, on: date, up_to: Moment = Moment.CLOSE) -> ir.Table:
        """``table`` as known at the start of ``on``, without the columns of moments later than ``up_to``."""
        return self.view(on).known(table, up_to)


@cache
def open_warehouse(market: str) -> Warehouse:
    """The canonical tables of ``market``, built on first use."""
    definition = read_definition(market)
    return Warehouse(definition, build_warehouse(definition))


def read_again() -> None:
    """Let the next calls read definitions and tables anew: who looks at them may have changed them meanwhile."""
    read_definition.cache_clear()
    open_warehouse.cache_clear()
