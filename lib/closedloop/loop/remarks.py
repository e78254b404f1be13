"""What customers and both teams said: kinds and topics of remarks; their wording never leaves the market's room."""

import pandas as pd

from closedloop.loop.counting import shares
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation, fetched

_COLUMNS = ["written_on", "from_team", "kind", "topic", "deal_id", "lead_id"]


def remarks(situation: Situation, in_force: PersonaSet) -> pd.DataFrame:
    """Remarks written within the window: day, team, kind, topic, deal, lead, and the persona of the deal or lead."""
    if not situation.view.has("notes"):
        return pd.DataFrame(columns=[*_COLUMNS, "persona"]).astype({"written_on": "datetime64[us]"})
    notes = fetched(situation.view.known("notes"), "note_id").reindex(columns=_COLUMNS)
    notes = notes.assign(written_on=pd.to_datetime(notes["written_on"]))
    notes = situation.in_window(notes, notes["written_on"])
    of_deal = notes["deal_id"].map(_personas(situation, in_force, "deals"))
    return notes.assign(persona=of_deal.fillna(notes["lead_id"].map(_personas(situation, in_force, "leads"))))


def _personas(situation: Situation, in_force: PersonaSet, table: str) -> "pd.Series[str]":
    """The persona of every deal or lead, by its id."""
    if not situation.view.has(table):
        return pd.Series(dtype="str")
    rows = situation.deals if table == "deals" else lead_frame(situation)
    return in_force.assign(rows).set_axis(rows[f"{table.removesuffix('s')}_id"])


def about(notes: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    """The remarks on these deals, or on their leads."""
    leads = deals["lead_id"].dropna() if "lead_id" in deals else pd.Series(dtype="str")
    return notes[notes["deal_id"].isin(deals["deal_id"]) | notes["lead_id"].isin(leads)]


def topics(notes: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Shares of the topics of one kind of remark as statements (``counting.shares``), most frequent first."""
    return shares(notes.loc[notes["kind"] == kind, "topic"], "topic")
