"""The scramble test: whatever is altered that nobody could know on a day, the view on that day stays the same.

What is unknown is worked out here from the contract's table, row by row in pandas, without the product's queries.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from closedloop.market.contract import TABLES
from closedloop.market.definition import Definition
from closedloop.market.periods import FOREVER
from closedloop.market.warehouse import View, Warehouse, open_warehouse, read_again
from closedloop.terms import Moment

from .test_view import FILES, MORE, project_at, write_market

OWN_DATES = {
    "leads": [
        *("marketing_qualified_on", "handed_off_on", "sales_accepted_on", "sales_qualified_on"),
        *("recycled_on", "disqualified_on"),
    ],
    "deals": ["closed_on"],
    "materials": ["retired_on"],
}
STATUS_DATES = [name for name in OWN_DATES["leads"] if name != "handed_off_on"]
HANDOFF = {"leads": ["rep_id", "rep_team"]}
STAGE = {"deals": ["stage", "expected_amount", "expected_close_on", "competitor", "rep_id", "rep_team"]}
CLOSE = {"leads": ["rejection_reason"], "deals": ["outcome", "won_amount", "loss_reason"]}
Tables = dict[str, pd.DataFrame]
Flags = pd.Series


def is_own(table: str, name: str) -> bool:
    """Is it a date, or its time of day, that is known from the day it holds?"""
    return name.removesuffix("_at").removesuffix("_on") + "_on" in OWN_DATES.get(table, [])


class Unknown:
    """What nobody knows at the start of one day: whole rows, single cells."""

    def __init__(self, definition: Definition, tables: Tables, on: date, extracted_on: date) -> None:
        self.definition, self.tables = definition, tables
        self.on, self.last = pd.Timestamp(on), pd.Timestamp(extracted_on)
        self.is_complete = on > extracted_on

    def before(self, days: Flags, later: int = 0) -> Flags:
        """A missing date counts as the last day of the data."""
        return days.fillna(self.last) + pd.Timedelta(days=later) < self.on

    def column(self, table: str, name: str) -> Flags:
        frame = self.tables[table]
        missing = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us]")
        return frame[name] if name in frame.columns else missing

    def born(self, table: str) -> Flags:
        days = self.column(table, TABLES[table].born)
        if table == "deals":
            days = days.fillna(self.column(table, "closed_on"))
        if table in ("accounts", "materials"):
            return days.isna() | (days < self.on)
        return self.before(days)

    def ended_on(self, table: str) -> Flags:
        if table == "deals":
            return self.column(table, "closed_on")
        ends = pd.DataFrame({name: self.column(table, name) for name in ("recycled_on", "disqualified_on")})
        deals = self.tables.get("deals")
        if deals is not None and {"lead_id", "closed_on"} <= set(deals.columns):
            first = deals[self.born("deals")].groupby("lead_id")["closed_on"].min()
            ends["deal"] = first.reindex(self.tables["leads"]["lead_id"]).to_numpy()
        return ends.min(axis=1)

    def hidden(self, table: str, name: str) -> Flags | None:
        """The born rows' cells that are unknown; None for a column that is known with its row."""
        moment = self.definition.known_at(table).get(name) or self.stated(table, name)
        if moment is None:
            return self.always(table)
        if table == "leads" and name == "status":
            dated = set(STATUS_DATES) & set(self.tables[table].columns)
            return self.always(table) if dated else self.never(table) | (not self.is_complete)
        known = self.known(table, moment)
        return None if known is None else ~known

    def stated(self, table: str, name: str) -> str | None:
        """The contract's moment of a column, or of the date whose time of day it is; None for one nobody declared."""
        name = name.removesuffix("_at") + "_on" if name.endswith("_at") else name
        for moment, columns in (("handoff", HANDOFF), ("stage", STAGE), ("close", CLOSE)):
            if name in columns.get(table, []):
                return moment
        return "creation" if TABLES[table].column(name) or name in self.definition.items else None

    def known(self, table: str, moment: str) -> Flags | None:
        kind, _, later = moment.partition("+")
        n_days = 0 if self.definition.clock == "none" else int(later or 0)
        if kind in ("research", "creation") or (kind == "handoff" and table == "deals"):
            return None
        if kind == "handoff" and table == "leads":
            return self.before(self.column(table, "handed_off_on"))
        if kind == "stage" and table == "deals":
            return (self.column(table, "closed_on") < self.on) | self.is_complete
        if kind == "close" and table in ("leads", "deals"):
            return self.before(self.ended_on(table), n_days)
        return self.before(self.column(table, "no such date"), n_days)

    def always(self, table: str) -> Flags:
        return pd.Series(True, index=self.tables[table].index)

    def never(self, table: str) -> Flags:
        return pd.Series(False, index=self.tables[table].index)


class Scramble:
    """The same market with everything unknown on one day altered at random."""

    def __init__(self, unknown: Unknown, seed: int) -> None:
        self.unknown, self.random = unknown, np.random.default_rng(seed)

    def days(self, n: int, *, gaps: bool) -> list[Any]:
        """Days from the view's on; gaps too, where a missing date is as unknown as a later one."""
        ahead = self.random.integers(0, 400, n)
        days = [self.unknown.on + timedelta(days=int(k)) if self.unknown.on.year < 9000 else None for k in ahead]
        return [None if gaps and self.random.random() < 0.3 else day for day in days]

    def values(self, stored: pd.Series, n: int) -> list[Any]:
        seen = stored.dropna().unique()[:200].tolist()
        pool = [*seen, None] if seen else [None]
        return [pool[k] for k in self.random.integers(0, len(pool), n)]

    def table(self, name: str) -> pd.DataFrame:
        stored, unknown = self.unknown.tables[name], self.unknown
        altered, born = stored.astype(object).copy(), unknown.born(name)
        for column in stored.columns:
            if column in TABLES[name].key:
                continue
            where = self.where(name, column) & born
            if is_own(name, column):
                fresh = self.days(int(where.sum()), gaps=not unknown.is_complete)
            else:
                fresh = self.values(stored[column], int(where.sum()))
            altered.loc[where, column] = pd.Series(fresh, index=stored.index[where], dtype=object)
        return pd.concat([altered[born], self.unborn(name, stored[~born])], ignore_index=True)

    def where(self, name: str, column: str) -> Flags:
        if not is_own(name, column):
            hidden = self.unknown.hidden(name, column)
            return self.unknown.never(name) if hidden is None else hidden
        days = self.unknown.tables[name][column]
        # While the data go on, "no date" may become a date; once they are complete, a gap is a fact.
        return (days >= self.unknown.on) | (days.isna() & (not self.unknown.is_complete))

    def unborn(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Half of the unborn rows are gone, the others and as many invented ones hold anything, from the day on."""
        table, unknown = TABLES[name], self.unknown
        if unknown.on.year > 9000 or (unknown.is_complete and table.born not in rows.columns):
            return rows.iloc[:0].astype(object)
        kept = rows[self.random.random(len(rows)) < 0.5]
        keys = [f"later-{k}" for k in range(len(kept) + 3)]
        n, stored = len(kept) + len(keys), unknown.tables[name]
        mixed = pd.DataFrame({column: self.values(stored[column], n) for column in stored.columns}, dtype=object)
        mixed[table.key[0]] = [*kept[table.key[0]], *keys]
        if len(table.key) > 1:
            mixed["change_no"] = [*kept["change_no"], *(1 for _ in keys)]
        dated = [table.born, "closed_on"] if name == "deals" else [table.born]
        gaps = name not in ("accounts", "materials") and not unknown.is_complete
        for column in dated:
            if column in mixed.columns:
                mixed[column] = self.days(n, gaps=gaps)
        can_be_unborn = table.born in mixed.columns or name not in ("accounts", "materials")
        return mixed if can_be_unborn else mixed.iloc[:0]


def arrow(frame: pd.DataFrame, like: pa.Schema) -> pa.Table:
    columns = {
        field.name: pa.array([plain(value) for value in frame[field.name]], type=field.type, from_pandas=True)
        for field in like
    }
    return pa.table(columns)


def plain(value: Any) -> Any:
    if value is None or value is pd.NaT or value != value:
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def views(view: View) -> Iterator[tuple[str, pa.Table]]:
    for name in view.tables:
        keys = [(key, "ascending") for key in TABLES[name].key]
        yield name, view.known(name).to_pyarrow().sort_by(keys)
        if name in ("leads", "deals"):
            joined = pa.Table.from_pandas(view.with_fields(name), preserve_index=False)
            yield f"{name} with fields", joined.sort_by(keys)


def scrambled(warehouse: Warehouse, day: date, seed: int) -> dict[str, pa.Table]:
    tables = {name: table.execute() for name, table in warehouse.tables.items()}
    scramble = Scramble(Unknown(warehouse.definition, tables, day, warehouse.extracted_on), seed)
    return {name: arrow(scramble.table(name), warehouse.tables[name].schema().to_pyarrow()) for name in tables}


class Altered(dict[str, Any]):
    """Tables as a warehouse has them, in memory."""

    def columns(self, name: str) -> tuple[str, ...]:
        return tuple(self[name].columns)


def differences(warehouse: Warehouse, day: date, seed: int = 20240101) -> list[str]:
    """The tables of the view on ``day`` that change when what is unknown is altered."""
    altered = Altered({name: ibis.memtable(table) for name, table in scrambled(warehouse, day, seed).items()})
    other = View(warehouse.definition, altered, day, warehouse.extracted_on)
    pairs = zip(views(warehouse.view(day)), views(other), strict=True)
    return [name for (name, stored), (_, changed) in pairs if not stored.equals(changed)]


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    with project_at(tmp_path_factory.mktemp("firewall")) as root:
        write_market(root, FILES, more=MORE)
        return open_warehouse("tiny")


@pytest.fixture(scope="module")
def harbor() -> Iterator[Warehouse]:
    read_again()
    yield open_warehouse("harbor")
    read_again()


DAYS = [
    *("2024-01-01", "2024-01-06", "2024-01-12", "2024-01-21", "2024-02-10", "2024-02-11", "2024-03-01", "2024-03-15"),
    *("2024-03-16", "2024-04-11", "2024-05-11", "2024-06-30", "2024-07-01", "2024-09-29"),
]


@pytest.mark.parametrize("day", [date.fromisoformat(day) for day in DAYS], ids=str)
def test_the_timeline(timeline: Warehouse, day: date) -> None:
    assert differences(timeline, day) == []


@pytest.mark.parametrize(
    "day",
    [date(2023, 10, 1), date(2024, 7, 1), date(2025, 4, 1), date(2025, 12, 31), date(2026, 1, 1)],
    ids=str,
)
def test_harbor(harbor: Warehouse, day: date) -> None:
    assert differences(harbor, day) == []


@pytest.mark.real
@pytest.mark.parametrize(
    ("market", "day"),
    [
        ("bank", date(2008, 7, 1)),
        ("bank", date(2010, 10, 1)),
        ("maven", date(2016, 11, 1)),
        ("maven", date(2017, 4, 1)),
        ("maven", date(2017, 12, 31)),
        ("maven", date(2018, 1, 1)),
        ("b2b", date(2024, 1, 1)),
        ("b2b", FOREVER),
    ],
    ids=str,
)
def test_real_markets(market: str, day: date) -> None:
    assert differences(open_warehouse(market), day) == []


def test_the_scramble_reaches_the_later_views(timeline: Warehouse, harbor: Warehouse) -> None:
    """The test can fail: what is altered for one day is seen on a later one, in every table that has a future."""
    for warehouse, day in ((timeline, date(2024, 3, 1)), (harbor, date(2025, 1, 1))):
        altered = Altered({name: ibis.memtable(table) for name, table in scrambled(warehouse, day, 3).items()})
        later = warehouse.extracted_on + timedelta(days=1)
        other = View(warehouse.definition, altered, later, warehouse.extracted_on)
        pairs = zip(views(warehouse.view(later)), views(other), strict=True)
        same = {name for (name, stored), (_, changed) in pairs if stored.equals(changed)}
        assert same <= {"materials"}


@pytest.mark.parametrize(
    ("leak", "tables"),
    [
        ("_staged", ["deals", "deals with fields"]),
        ("_reached", ["leads", "leads with fields", "deals", "deals with fields"]),
        ("_born", ["accounts", "leads", "leads with fields", "deals", "deals with fields", "stage_history"]),
    ],
)
def test_a_leak_is_found(timeline: Warehouse, monkeypatch: pytest.MonkeyPatch, leak: str, tables: list[str]) -> None:
    open_doors = {
        "_staged": lambda view, rows, name: rows[name],
        "_reached": lambda view, rows, table, shown: ibis.literal(True),
        "_born": lambda view, table: ibis.literal(True),
    }
    monkeypatch.setattr(View, leak, open_doors[leak])
    found = {name for seed in (1, 2, 3) for name in differences(timeline, date(2024, 2, 21), seed)}
    assert found >= set(tables)


# what holds on every day


MARKETS = ["timeline", "harbor", *(pytest.param(name, marks=pytest.mark.real) for name in ("bank", "maven", "b2b"))]


@pytest.fixture
def market(request: pytest.FixtureRequest) -> Warehouse:
    named = request.param
    return request.getfixturevalue(named) if named in ("timeline", "harbor") else open_warehouse(named)


def some_days(warehouse: Warehouse, n: int) -> list[date]:
    """``n`` days at even steps, from the first period's start to the day after the data."""
    first, last = warehouse.periods[0].start, warehouse.extracted_on + timedelta(days=1)
    if warehouse.definition.clock == "none":
        return [date(2024, 1, 1), FOREVER]
    return [first + (last - first) * k // (n - 1) for k in range(n)]


@pytest.mark.parametrize("market", MARKETS, indirect=True)
def test_rows_only_grow(market: Warehouse) -> None:
    for name in market.tables:
        keys = list(TABLES[name].key)
        earlier: set[tuple[Any, ...]] = set()
        for day in some_days(market, 8):
            found = set(market.known(name, day).select(keys).execute().itertuples(index=False, name=None))
            assert earlier <= found, f"{name}: {sorted(earlier - found)[:3]} were known before {day}"
            earlier = found
        assert len(earlier) == len(market.frame(name))


@pytest.mark.parametrize("market", MARKETS, indirect=True)
def test_every_deal_has_one_outcome_and_joins_upward_keep_the_rows(market: Warehouse) -> None:
    for day in some_days(market, 3):
        view = market.view(day)
        outcomes = view.known("deals").select("outcome").execute()["outcome"]
        assert outcomes.isin(["won", "lost", "no_decision", "open"]).all()
        for name in {"leads", "deals"} & set(market.tables):
            key = TABLES[name].key[0]
            ids = view.known(name).select(key).execute()[key]
            assert len(outcomes) == len(ids) or name == "leads"
            for up_to in (Moment.CREATION, Moment.CLOSE):
                joined = view.with_fields(name, up_to)[key]
                assert joined.is_unique and set(joined) == set(ids)


def test_days_in_the_oracle_are_days() -> None:
    """The oracle compares days of the stored tables with timestamps of pandas; a gap stays a gap."""
    unknown = Unknown.__new__(Unknown)
    unknown.on, unknown.last = pd.Timestamp("2024-03-01"), pd.Timestamp("2024-02-29")
    days = pd.Series([datetime(2024, 2, 29), datetime(2024, 3, 1), pd.NaT])
    assert unknown.before(days).tolist() == [True, False, True]
    assert unknown.before(days, 1).tolist() == [False, False, False]
