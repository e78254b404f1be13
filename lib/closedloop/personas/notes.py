"""What customers and both teams said: kinds and topics of notes; their wording never leaves the market's room."""

import pandas as pd

from closedloop.period.lead_records import lead_frame
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet

HEARD = ("pain", "objection", "question", "trigger")  # kinds of notes, in the order that pages follow
_COLUMNS = ["note_id", "written_on", "from_team", "kind", "topic", "deal_id", "lead_id"]


def notes(situation: Situation, in_force: PersonaSet) -> pd.DataFrame:
    """Notes written within the window: id, day, team, kind, topic, deal, lead, and the persona of the deal or lead."""
    if not situation.view.has("notes"):
        return pd.DataFrame(columns=[*_COLUMNS, "persona"]).astype({"written_on": "datetime64[us]"})
    every = situation.known("notes", columns=_COLUMNS).sort_values("note_id", ignore_index=True)
    every = every.reindex(columns=_COLUMNS)
    every = every.assign(written_on=pd.to_datetime(every["written_on"]))
    found = situation.in_window(every, every["written_on"])
    of_deal, of_lead = (
        found[f"{table}_id"].map(_personas(situation, in_force, f"{table}s")).astype("str")
        for table in ("deal", "lead")
    )
    return found.assign(persona=of_deal.fillna(of_lead))


def _personas(situation: Situation, in_force: PersonaSet, table: str) -> "pd.Series[str]":
    """The persona of every deal or lead, by its id."""
    if not situation.view.has(table):
        return pd.Series(dtype="str")
    rows = situation.deals if table == "deals" else lead_frame(situation)
    return in_force.assign(rows).set_axis(rows[f"{table.removesuffix('s')}_id"])


def about(notes: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    """The notes, or touches, on these deals or on their leads."""
    leads = deals["lead_id"].dropna() if "lead_id" in deals else pd.Series(dtype="str")
    return notes[notes["deal_id"].isin(deals["deal_id"]) | notes["lead_id"].isin(leads)]
