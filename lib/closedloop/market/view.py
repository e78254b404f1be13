"""Fields: which columns they are, and those by which nobody can be compared: identifiers and free text."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import ibis
import ibis.expr.types as ir
import pandas as pd

from closedloop.errors import ParameterError, allowed
from closedloop.market.contract import TABLES, Table, kind_of
from closedloop.market.definition import Definition
from closedloop.terms import Moment

FIELD_TABLES = ("accounts", "leads", "respondents", "deals")  # whose columns are compared, cut and scored by
_NO_FIELDS = ("outcome", "stage", "text", "title")
_FEWEST_VALUES = 20  # with fewer different values a field can be read, however few records there are
_HARDLY_REPEATED = 5  # records of one value
_FEWEST_WORDS = 4  # of a free text, on average
_TEXTS_REPEAT = 5  # records of one value, on average: fixed phrases
_LONG_NUMBER = 8  # digits


def is_field(table: Table, name: str) -> bool:
    """Is a column a field: an extra one, or a canonical category that people are not known by?"""
    if name in _NO_FIELDS or kind_of(name) in ("date", "timestamp"):
        return False  # a day groups nothing
    column = table.governing(name)
    if column is None:
        return True
    return kind_of(name) == "text" and column.shown not in ("own", "share") and not column.internal


@dataclass(frozen=True)
class Likeness:
    """What the values of a field look like: ``n_values`` different ones among the ``n`` records that have one."""

    kind: str
    n_values: int
    n: int

    def __str__(self) -> str:
        return f"looks like {self.kind}: {self.n_values:,} values among {self.n:,} records"


def likeness(values: pd.Series) -> Likeness | None:
    """Whether a field looks like an identifier or like free text; None for one to compare by.

    Text is an identifier when it has 20 values or more and half of the records bear one that fewer than five share, or
    when there are half as many values as records; free text when it has four words or more on average and its values
    repeat fewer than five times. Numbers are identifiers when no two are equal and they are running ones (more than
    half of the numbers between the lowest and the highest are there) or all of one length of eight digits or more.
    """
    known = values.dropna()
    if len(known) < _FEWEST_VALUES or pd.api.types.is_bool_dtype(known):
        return None
    is_number = pd.api.types.is_numeric_dtype(known)
    if is_number:
        return Likeness("an identifier", len(known), len(known)) if _are_numbered(known) else None
    if not all(isinstance(value, str) for value in known):  # dates and amounts are compared in bands
        return None
    sizes = known.value_counts()
    found = len(sizes), len(known)
    if len(sizes) < _FEWEST_VALUES:
        return None
    is_long = known.map(lambda text: len(text.split())).mean() >= _FEWEST_WORDS
    if is_long and len(known) < _TEXTS_REPEAT * len(sizes):
        return Likeness("free text", *found)
    n_alone = int(sizes[sizes < _HARDLY_REPEATED].sum())
    return Likeness("an identifier", *found) if 2 * max(n_alone, len(sizes)) >= len(known) else None


def _are_numbered(numbers: pd.Series) -> bool:
    """Whole numbers, each given once, that run on or are all long and of one length."""
    whole = numbers.astype(float)
    if whole.duplicated().any() or (whole % 1 != 0).any() or (whole < 0).any():
        return False
    low, high = whole.min(), whole.max()
    is_one_length = len(str(int(low))) == len(str(int(high))) >= _LONG_NUMBER
    return bool(high - low + 1 < 2 * len(whole) or is_one_length)


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
    """One market at the start of one day; comparisons are strict, and a missing date counts as ``extracted_on``."""

    definition: Definition
    tables: Mapping[str, ir.Table]
    on: date
    extracted_on: date

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
        moments = {column: self.definition.moment(name, column) for column in self._columns(name)}
        shown = {
            column: self._cell(rows, table, column)
            for column, moment in moments.items()
            if moment is not None and (Moment.named(moment) <= up_to or column in table.key)
        }
        return rows.select(**shown)

    def _columns(self, name: str) -> tuple[str, ...]:
        """The stored columns, and the status of leads wherever its dates are recorded."""
        columns = tuple(self.tables[name].columns)
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
        moments = {column: self.definition.moment(table, column) for column in self.tables[table].columns}
        known = [column for column, moment in moments.items() if moment and Moment.named(moment) <= up_to]
        return [column for column in known if is_field(TABLES[table], column)]

    @cached_property
    def held_back(self) -> dict[str, dict[str, Likeness]]:
        """Of each table the fields that nobody can be compared by, as far as their values are known on this day.

        A field that people vouch for in ``[checked]`` of market.toml is not among them.
        """
        return {table: self._held_back(table) for table in FIELD_TABLES if table in self.tables}

    def _held_back(self, table: str) -> dict[str, Likeness]:
        vouched = self.definition.checked.get(table, ())
        names = [name for name in self._declared(table, Moment.CLOSE) if name not in vouched]
        rows = self.known(table).select(*names).execute() if names else {}
        return {name: found for name in names if (found := likeness(rows[name])) is not None}

    def with_fields(self, name: str, up_to: Moment = Moment.CLOSE) -> ir.Table:
        """Deals or leads with the visible fields that they lack taken from their lead, then from their account."""
        rows = self.known(name, up_to)
        for upper in _uppers(name, self.tables):
            key = TABLES[upper].key[0]
            if key in rows.columns:
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

    def _inherit(self, rows: ir.Table, upper: str, key: str, up_to: Moment) -> ir.Table:
        wanted = [field for field in self._handed_down(upper, up_to) if field not in rows.columns]
        source = self.known(upper, up_to)
        link = "account_id"
        if upper == "leads" and link in source.columns:
            source = source.rename(lead_account_id=link)
            wanted.append("lead_account_id")
        source = source.select(key, *wanted)
        joined = rows.left_join(source, key).drop(f"{key}_right")
        if "lead_account_id" not in joined.columns:
            return joined
        own = joined[link] if link in joined.columns else ibis.null(str)
        return joined.mutate(account_id=ibis.coalesce(own, joined.lead_account_id)).drop("lead_account_id")

    def _day(self) -> ir.DateScalar:
        return ibis.literal(self.on, type="date")

    def _before(self, day: ir.DateValue, n_days: int = 0) -> ir.BooleanValue:
        """Does the day ``n_days`` after ``day`` lie before this one? A missing day counts as the data's last."""
        last = ibis.literal(self.extracted_on, type="date")
        return ibis.coalesce(day, last) < ibis.literal(self.on - timedelta(days=n_days), type="date")

    def _born(self, table: Table) -> ir.BooleanValue:
        columns = self.tables[table.name].columns
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
