"""Who waits for a call: open records with their age and last touch, best first, and how they are listed."""

import pandas as pd

from closedloop.evidence.scores import Score
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import column
from closedloop.loop.situation import Situation
from closedloop.market.periods import EPOCH, FOREVER
from closedloop.market.warehouse import fetched
from closedloop.market.where import meeting
from closedloop.questions.prospects import Prospects
from closedloop.terms import Moment

_DAYS = ("created_on", "last_touch_on")
_MOST_FOR, _MOST_AGAINST = 2, 1
_KEPT = ("account_id", "rep_id", "status", "stage", "channel", "created_on", "age_days", "last_touch_on")


class Waiting:
    """Open records for sales to call, best first (``ranked``), as known on the day.

    What was not handed off yet is marketing's. Where nobody waits, they are the leads that come in during the period,
    by what is known of them before they are handed over (``is_arriving``).
    """

    def __init__(self, situation: Situation, prospects: Prospects, score: Score | None, personas: PersonaSet) -> None:
        self.situation, self.prospects, self.score, self.personas = situation, prospects, score, personas
        rows, self.is_arriving = self._in_hand(), False
        if rows.empty and prospects.table == "leads" and situation.is_dated:
            rows, self.is_arriving = self._arriving(), True
        self.ranked = rows if rows.empty else self._ranked(self._with_contact(rows))

    @property
    def is_open(self) -> "pd.Series[bool]":
        """Which records nobody has decided on: open deals, or leads without an outcome and without a deal."""
        rows = self.prospects.rows
        if self.prospects.table == "deals":
            return rows["outcome"] == "open"
        is_open = rows["is_won"].isna() & column(rows, "recycled_on").isna() & column(rows, "disqualified_on").isna()
        if self.situation.view.has("deals") and "lead_id" in self.situation.deals:
            is_open &= ~rows["lead_id"].isin(self.situation.deals["lead_id"].dropna())
        return is_open

    @property
    def why_nobody(self) -> str:
        """Why the list is empty: nobody is known, everybody is decided, or nobody was handed to sales."""
        table, n = self.prospects.table, len(self.prospects.rows)
        n_open = int(self.is_open.sum()) if n else 0
        if n_open:
            return f"{n_open:,} {table} were open when this period was planned; none of them was handed off."
        if n:
            return f"All {n:,} {table} that were known when this period was planned are decided."
        return f"No {table} were known when this period was planned."

    @property
    def _unknown(self) -> list[str]:
        """The score's fields that are not known of who is to come, such as the day of the hand-off."""
        if not self.is_arriving:
            return []
        before = {*self.situation.view.inherited(self.prospects.table, Moment.CREATION), "persona"}
        return [name for name in self.prospects.fields if name not in before]

    def _in_hand(self) -> pd.DataFrame:
        """Who is with sales on the day: open deals, or open leads that were handed off where that is recorded."""
        rows = self.prospects.rows
        if rows.empty:
            return rows
        is_open = self.is_open
        if self.prospects.table == "leads" and "handed_off_on" in rows:
            is_open &= rows["handed_off_on"].notna()
        return rows[is_open]

    def _arriving(self) -> pd.DataFrame:
        """Leads that came in during the period, each with the fields known at its hand-off and nothing later."""
        period = self.situation.period
        later = self.situation.warehouse.view(period.end if period.end < FOREVER else FOREVER)
        rows = fetched(meeting(self.situation.where, later.with_fields("leads", Moment.HANDOFF), later), "lead_id")
        rows = rows[rows["created_on"] >= pd.Timestamp(period.start)]
        return rows.assign(persona=self.personas.assign(rows)) if len(rows) else rows

    def _with_contact(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the days since they are known (missing for who is to come), and either team's last touch."""
        situation, key = self.situation, self.prospects.key
        on = pd.Series(pd.Timestamp(situation.on) if situation.definition.has_calendar else pd.NaT, index=rows.index)
        age = (on - column(rows, "created_on")).dt.days
        last = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")
        touches = fetched(situation.view.known("touches")) if situation.view.has("touches") else pd.DataFrame()
        if len(touches) and {key, "touched_on"} <= set(touches):
            last = rows[key].map(touches["touched_on"].groupby(touches[key]).max())
        return rows.assign(age_days=age.where(age > 0), last_touch_on=last).sort_values(key, kind="stable")

    def _ranked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """By the score, shrunk but never gated; before there is any by the personas' promises, then newest."""
        if self.score is not None:
            rows = self.score.as_usual(rows, self._unknown)
        newest = rows.sort_values("created_on", ascending=False, kind="stable") if "created_on" in rows else rows
        if self.score is not None:
            return newest.iloc[self.score.order(newest[self.prospects.fields])]
        promise = newest["persona"].map(self.personas.deviations())
        return newest.loc[promise.sort_values(ascending=False, kind="stable").index]

    def listed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """A list as it is written: record, persona, chance where it is one, reasons and caution, and what is known.

        A chance is shown for records of which all is known; reasons and caution are pairs of field and level.
        """
        table = pd.DataFrame({"rank": rows["rank"].to_numpy(), "record_id": rows[self.prospects.key].to_numpy()})
        table["persona"], table["score"] = rows["persona"].to_numpy(), float("nan")
        favour: list[list[list[str]]] = [[]] * len(rows)
        against = favour
        if self.score is not None and self.score.verdict == "usable":
            fields = rows[self.prospects.fields]
            favour, against = _reasons(self.score, fields)
            if self.score.shown_as == "probability" and not self._unknown:
                on = pd.Timestamp(self.situation.on)
                when = pd.Series(on, index=rows.index) if self.situation.is_dated else None
                table["score"] = self.score.predict(fields, when)
        table["reasons"], table["caution"] = pd.Series(favour, dtype=object), pd.Series(against, dtype=object)
        kept = [name for name in (*_KEPT, *(("slot", "arm_rate") if "slot" in rows else ())) if name in rows]
        written = table.assign(**{name: rows[name].to_numpy() for name in kept})
        return written if self.situation.definition.has_calendar else _by_position(written)


def _by_position(written: pd.DataFrame) -> pd.DataFrame:
    """The list without days: a market that only has an order knows positions, and one without dates neither."""
    days = [name for name in _DAYS if name in written]
    for name in days:
        positions = (pd.to_datetime(written[name]) - pd.Timestamp(EPOCH)).dt.days.astype("Int64")
        if positions.notna().any():
            written = written.assign(**{name.replace("_on", "_position"): positions})
    return written.drop(columns=[*days, "age_days"], errors="ignore")


def _reasons(score: Score, rows: pd.DataFrame) -> tuple[list[list[list[str]]], list[list[list[str]]]]:
    """What speaks most for each row, its persona apart, and the one thing that speaks most against it.

    As field and level: the market's words for them are for who shows it.
    """
    parts = [[part for part in row if part[0] != "persona"] for row in score.reasons(rows, most=rows.shape[1])]
    favour = [[[field, level] for field, level, points in row if points > 0][:_MOST_FOR] for row in parts]
    against = [[[field, level] for field, level, points in row if points < 0][:_MOST_AGAINST] for row in parts]
    return favour, against
