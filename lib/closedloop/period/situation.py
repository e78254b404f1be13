"""What a notebook may see: one market, one period, and the view of one day."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from closedloop.market.contract import FIELD_TABLES, Likeness
from closedloop.market.definition import Claims, Definition
from closedloop.market.kept import Frames, kept, settings
from closedloop.market.periods import FOREVER, Period, period_of
from closedloop.market.warehouse import View, Warehouse
from closedloop.market.where import meeting
from closedloop.terms import Moment

_LONG_AGO = date(1900, 1, 1)


@lru_cache(maxsize=16)  # every verb asks for the same
def _fields(situation: "Situation", table: str, up_to: Moment) -> tuple[str, ...]:
    from closedloop.period.leaks import leaking

    def make() -> dict[str, pd.DataFrame]:
        leaks = leaking(situation)
        names = [name for name in situation.view.inherited(table, up_to) if name not in leaks]
        return {"fields": pd.DataFrame({"name": names}, dtype="str")}

    return tuple(situation.kept("fields", f"{table} {up_to}", make)["fields"]["name"])


@dataclass(frozen=True)
class Situation:
    """One market on the day that plans a period, or looks back on it."""

    warehouse: Warehouse
    period: Period
    on: date
    claims: Claims  # the statistical settings in force: the market's own, or those of a notebook's parameters
    where: str = ""  # a condition that deals and leads have to meet (``market.where``)

    @classmethod
    def planning(
        cls, warehouse: Warehouse, period: Period, claims: Claims | None = None, where: str = ""
    ) -> "Situation":
        """The situation at the period's start; without ``claims`` under the market's own settings."""
        return cls(warehouse, period, period.planned_on, claims or warehouse.definition.claims, where)

    @classmethod
    def looking_back(
        cls, warehouse: Warehouse, period: Period, claims: Claims | None = None, where: str = ""
    ) -> "Situation":
        """The situation when the period has ended, or so far while it is running."""
        on = period.looked_back_on(warehouse.extracted_on)
        return cls(warehouse, period, on, claims or warehouse.definition.claims, where)

    @classmethod
    def latest(cls, warehouse: Warehouse) -> "Situation":
        """The situation in which the most is known."""
        last = warehouse.periods[-1]
        return (cls.looking_back if warehouse.has_begun(last) else cls.planning)(warehouse, last)

    @cached_property
    def previous(self) -> "Situation | None":
        """The same day of the period before, its start or its end; None for the first one and without dates."""
        names = [period.name for period in self.warehouse.periods]
        place = names.index(self.period.name)
        if not place:
            return None
        situate = Situation.planning if self.on == self.period.planned_on else Situation.looking_back
        return situate(self.warehouse, self.warehouse.periods[place - 1], self.claims, self.where)

    @property
    def seen(self) -> dict[str, str]:
        """What a report that is kept rests on: period, plan or outcome, and the fingerprint of the rows it may see."""
        moment = "plan" if self.on == self.period.planned_on else "outcome"
        return {"period": self.period.name, "moment": moment, "fingerprint": self.warehouse.fingerprint(self.on)}

    @property
    def definition(self) -> Definition:
        """The market's definition."""
        return self.warehouse.definition

    @property
    def market(self) -> str:
        """The market's name."""
        return self.definition.name

    @property
    def is_dated(self) -> bool:
        """Does the market record when things happened?"""
        return self.definition.clock != "none"

    @property
    def last_day(self) -> date:
        """The last day of which anything is known."""
        return min(self.on - timedelta(days=1), self.warehouse.extracted_on)

    @cached_property
    def view(self) -> View:
        """All that was known on the day."""
        view = self.warehouse.view(self.on)
        vars(view)["held_back"] = self._held_back(view)
        return view

    def _held_back(self, view: View) -> dict[str, dict[str, Likeness]]:
        """What ``view`` holds back, found once for the same rows: every field's values have to be looked at."""
        found: dict[str, dict[str, Likeness]] = {table: {} for table in FIELD_TABLES if view.has(table)}

        def make() -> Frames:
            unfit = {table: view.unfit(table, view.frame(table)) for table in found}
            rows = [(table, name, *astuple(like)) for table, of in unfit.items() for name, like in of.items()]
            return {"fields": pd.DataFrame(rows, columns=["table", "name", "kind", "n_values", "n"])}

        for table, name, kind, n_values, n in self.kept("held back", "", make)["fields"].itertuples(index=False):
            found[table][name] = Likeness(str(kind), int(n_values), int(n))
        return found

    def holds(self, table: str) -> bool:
        """Was any row of the table known on the day? A source may have the table, and nothing in it."""
        return len(self.known(table)) > 0

    def kept(self, kind: str, what: str, make: Callable[[], Frames]) -> Frames:
        """What ``make`` gives, made once for the rows that may be seen on the day and the market's settings.

        A period's end is the start of the next one, so what is kept must not depend on the period.
        """
        rows = f"{self.market} {self.on} {self.where!r} {self.warehouse.fingerprint(self.on)}"
        return kept(kind, f"{what} {rows} {settings(self.definition)}", make)

    def known(self, table: str, up_to: Moment = Moment.CLOSE, columns: Sequence[str] = ()) -> pd.DataFrame:
        """A table as known on the day (``View.frame``), or some columns; no rows where the market does not have it."""
        return self.view.frame(table, up_to, columns) if self.warehouse.has(table) else pd.DataFrame()

    def with_fields(self, table: str, key: str) -> pd.DataFrame:
        """Deals or leads as known on the day, with the fields they inherit, sorted by their ``key``."""
        rows = meeting(self.where, self.view.with_fields(table), self.view)
        return rows.sort_values(key, ignore_index=True)

    def rng(self, purpose: str, *, each_period: bool = True) -> np.random.Generator:
        """A generator of its own: the same market, period and purpose always draw the same numbers.

        Without ``each_period`` every period draws them, so that what has not changed gives what it gave before.
        """
        seed = hashlib.sha256(f"{self.market}/{self.period.name if each_period else ''}/{purpose}".encode()).digest()
        return np.random.default_rng(int.from_bytes(seed[:8], "big"))

    @cached_property
    def window_start(self) -> pd.Timestamp:
        """First day of the last ``window`` periods before the day; long ago when there are fewer."""
        past = [period for period in self.warehouse.periods if period.end <= self.on]
        if not self.is_dated or len(past) < self.claims.window:
            return pd.Timestamp(_LONG_AGO)
        return pd.Timestamp(past[-self.claims.window].start)

    def name_of(self, day: pd.Timestamp | date | None) -> str:
        """The name of the period that holds ``day``; ``all`` in a market without dates."""
        if self.definition.periods is None or day is None or pd.isna(day):
            return self.period.name
        return period_of(pd.Timestamp(day).date(), self.definition.periods).name

    def names_of(self, days: pd.Series) -> pd.Series:
        """The name of the period that holds each day, a missing one in this period."""
        codes, known = pd.factorize(days)  # -1 for a missing one, which takes the last name
        names = np.array([*map(self.name_of, known), self.period.name], dtype=object)
        return pd.Series(names[codes], index=days.index, dtype="str")

    def in_window(self, frame: pd.DataFrame, days: pd.Series) -> pd.DataFrame:
        """The rows whose day lies in the window, or is missing."""
        return frame[~(days < self.window_start)]

    @cached_property
    def deals(self) -> pd.DataFrame:
        """Deals as known on the day, with the fields they inherit; ``age_days`` of open ones counts up to the day.

        ``tells_lost``: are lost deals recorded at all? Where they are not, nobody knows how often deals are won.
        """
        frame = self.with_fields("deals", "deal_id")
        for column in ("created_on", "closed_on"):
            frame[column] = pd.to_datetime(frame[column]) if column in frame else pd.NaT
        declared = self.definition.deals
        tells_lost = bool((frame["outcome"] == "lost").any()) and (declared is None or "lost" in declared.outcomes)
        today = pd.Timestamp(self.on) if self.on < FOREVER else pd.NaT
        ended = frame["closed_on"].where(frame["outcome"] != "open", today)
        age = (ended - frame["created_on"]).dt.days
        month = frame["closed_on"].dt.month + (self.definition.periods.shift if self.definition.periods else 0)
        is_end = (month % 3 == 0).astype("boolean").where(month.notna() & self.definition.has_calendar)
        return frame.assign(age_days=age.where(age >= 0), is_quarter_end=is_end, tells_lost=tells_lost)

    @cached_property
    def has_only_won(self) -> bool:
        """Are won deals recorded and no lost ones, so that nobody can tell how often deals are won?"""
        if not self.view.has("deals"):
            return False
        return bool((self.deals["outcome"] == "won").any() and not self.deals["tells_lost"].any())

    @cached_property
    def closed_deals(self) -> pd.DataFrame:
        """Deals that ended within the window."""
        closed = self.deals[has_ended(self.deals)]
        return self.in_window(closed, closed["closed_on"])

    def span(self, days: pd.Series) -> tuple[str, str]:
        """Names of the first and last period that hold ``days``."""
        known = days.dropna()
        if known.empty or not self.is_dated:
            return self.period.name, self.period.name
        return self.name_of(known.min()), self.name_of(known.max())

    def fields(self, table: str, up_to: Moment = Moment.CREATION) -> list[str]:
        """Fields of a table, own and inherited, to cut, compare and score by: none that looks like a leak."""
        return list(_fields(self, table, up_to))

    def deal_fields(self, up_to: Moment = Moment.CREATION) -> list[str]:
        """Fields of deals to compare by, known by ``up_to``; not internal ones."""
        present = set(self.deals.columns)
        return [name for name in self.fields("deals", up_to) if name in present]

    def in_period(self, days: pd.Series) -> pd.Series:
        """Which ``days`` lie within the period, before the day of the view."""
        if not self.is_dated:
            return pd.Series(True, index=days.index)
        start = pd.Timestamp(self.period.start)
        return (days >= start) & (days < min(pd.Timestamp(self.period.end), pd.Timestamp(self.on)))

    @property
    def expires_on(self) -> date | None:
        """The day after which a claim of this period has to be looked at again; none without a calendar."""
        days = (self.period.end - self.period.start).days
        return self.period.end + timedelta(days=days) if self.definition.has_calendar else None

    @property
    def about(self) -> dict[str, Any]:
        """What every claim of the period bears: market, period, and the day after which it expires."""
        return {"market": self.market, "period": self.period.name, "expires_on": self.expires_on}


def has_ended(deals: pd.DataFrame) -> "pd.Series[bool]":
    """Which deals ended and say when; where no deal says when, those that ended."""
    is_closed, is_known = deals["outcome"] != "open", deals["closed_on"].notna()
    return is_closed & (is_known if (is_closed & is_known).any() else True)
