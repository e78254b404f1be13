"""What a score is learned from and gives: leads, or deals where no leads are recorded, with the fields it may use."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from closedloop.loop.records import column, won
from closedloop.loop.situation import Situation
from closedloop.terms import Moment

MATURE_SHARE = 0.7
_KEYS = {"leads": "lead_id", "deals": "deal_id"}
_NOT_SCORED_BY = ("campaign", "experiment", "arm", "rep_team", "status")


@dataclass(frozen=True)
class Prospects:
    """What is scored: rows of leads (else deals), the fields a score may use, the outcome, and the day it is about.

    ``times`` names what each row is compared in for being decided: its month, or without a calendar its period.
    """

    table: str
    rows: pd.DataFrame
    fields: list[str]
    is_won: pd.Series
    when: pd.Series
    times: pd.Series

    @property
    def key(self) -> str:
        """The column that names a row."""
        return _KEYS[self.table]

    @property
    def is_mature(self) -> pd.Series:
        """Decided rows of times of which most are decided: quick outcomes must not crowd out slow ones."""
        if self.when.isna().all():
            return self.is_won.notna()
        decided = self.is_won.notna().where(self.when.notna()).groupby(self.times).transform("mean")
        return self.is_won.notna() & (decided >= MATURE_SHARE)


def prospects_of(
    situation: Situation, rows: pd.DataFrame, table: str, fields: Sequence[str] | None = None
) -> Prospects:
    """The rows of ``table`` (leads or deals, as the situation has them) with what a score may learn.

    ``fields``: the ones to score by; without any those known at the hand-off of leads, or at the creation of deals.
    """
    if rows.empty:
        nothing = pd.Series(dtype="datetime64[us]")
        return Prospects(table, rows, [], nothing, nothing, nothing)
    if table == "leads":
        known = [name for name in situation.fields("leads", Moment.HANDOFF) if name not in _NOT_SCORED_BY]
        handed = rows[rows["handed_off_on"].notna()] if "handed_off_on" in rows else rows
        day = column(handed, "handed_off_on").fillna(column(handed, "created_on")).reindex(rows.index)
        is_won = handed["is_won"].reindex(rows.index)
    else:
        known, day, is_won = situation.deal_fields(), rows["closed_on"], won(rows)
    names = [name for name in (known if fields is None else fields) if name in rows]
    times = day.dt.to_period("M") if situation.definition.has_calendar else situation.names_of(day)
    return Prospects(table, rows, names, is_won, day, times)
