"""What a score is learned from and gives: leads, or deals where no leads are recorded, with the fields it may use."""

from dataclasses import dataclass

import pandas as pd

from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import column, won
from closedloop.loop.situation import Situation
from closedloop.terms import Moment

MATURE_SHARE = 0.7
_NOT_SCORED_BY = ("campaign", "experiment", "arm", "rep_team", "status")


@dataclass(frozen=True)
class Prospects:
    """What is scored: rows of leads (else deals), the fields a score may use, the outcome, and the day it is about.

    ``times`` names what each row is compared in for being decided: its month, or without a calendar its period.
    """

    table: str
    key: str
    rows: pd.DataFrame
    fields: list[str]
    is_won: pd.Series
    when: pd.Series
    times: pd.Series

    @property
    def is_mature(self) -> pd.Series:
        """Decided rows of times of which most are decided: quick outcomes must not crowd out slow ones."""
        if self.when.isna().all():
            return self.is_won.notna()
        decided = self.is_won.notna().where(self.when.notna()).groupby(self.times).transform("mean")
        return self.is_won.notna() & (decided >= MATURE_SHARE)


def prospects_of(situation: Situation, leads: pd.DataFrame | None) -> Prospects:
    """Leads with the fields known at their hand-off; deals where no leads are recorded."""
    if leads is not None and len(leads):
        known = situation.fields("leads", Moment.HANDOFF)
        fields = [name for name in known if name in leads and name not in _NOT_SCORED_BY]
        handed = leads[leads["handed_off_on"].notna()] if "handed_off_on" in leads else leads
        day = column(handed, "handed_off_on").fillna(column(handed, "created_on")).reindex(leads.index)
        is_won = handed["is_won"].reindex(leads.index)
        return Prospects("leads", "lead_id", leads, fields, is_won, day, _times(situation, day))
    if not situation.view.has("deals"):
        nothing = pd.Series(dtype="datetime64[us]")
        return Prospects("deals", "deal_id", pd.DataFrame(), [], nothing, nothing, nothing)
    deals, day = situation.deals, situation.deals["closed_on"]
    fields = situation.deal_fields()
    return Prospects("deals", "deal_id", deals, fields, won(deals), day, _times(situation, day))


def _times(situation: Situation, days: pd.Series) -> pd.Series:
    return days.dt.to_period("M") if situation.definition.has_calendar else situation.names_of(days)


def with_personas(rows: pd.DataFrame, in_force: PersonaSet) -> pd.DataFrame:
    """The rows with the persona in force as one more field."""
    return rows.assign(persona=in_force.assign(rows)) if len(rows) else rows
