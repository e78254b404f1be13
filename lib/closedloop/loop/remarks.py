"""What customers and both teams said: kinds and topics of remarks; their wording never leaves the market's room."""

import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.loop.counting import LEAST_SHOWN, shares
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.warehouse import fetched

_COLUMNS = ["written_on", "from_team", "kind", "topic", "deal_id", "lead_id"]


def remarks(situation: Situation, in_force: PersonaSet) -> pd.DataFrame:
    """Remarks written within the window: day, team, kind, topic, deal, lead, and the persona of the deal or lead."""
    if not situation.view.has("notes"):
        return pd.DataFrame(columns=[*_COLUMNS, "persona"]).astype({"written_on": "datetime64[us]"})
    notes = fetched(situation.view.known("notes"), "note_id").reindex(columns=_COLUMNS)
    notes = notes.assign(written_on=pd.to_datetime(notes["written_on"]))
    notes = situation.in_window(notes, notes["written_on"])
    of_deal, of_lead = (
        notes[f"{table}_id"].map(_personas(situation, in_force, f"{table}s")).astype("str")
        for table in ("deal", "lead")
    )
    return notes.assign(persona=of_deal.fillna(of_lead))


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


def state_logged(
    draft: Draft, situation: Situation, said: pd.DataFrame, at: tuple[str, str], measure: str, subject: str = "market"
) -> None:
    """State how many remarks these are, those of the whole market by topic as well; fewer than ten are not stated.

    ``at``: the notebook and its cell. Which remarks were logged at all is kept in the result ``logged``.
    """
    if said.empty:
        return
    origin = Origin(*at, "notes", *situation.span(said["written_on"]))
    rows = pd.DataFrame({"field": [""], "level": [""], "estimate": [len(said)], "n": [len(said)]})
    if subject == "market":
        draft.results["logged"] = [*draft.results.get("logged", []), measure]
        k = said["topic"].dropna().astype("str").value_counts().sort_index().sort_values(ascending=False, kind="stable")
        named = pd.DataFrame({"field": "topic", "level": k.index, "estimate": k.to_numpy(), "n": k.sum()})
        rows = pd.concat([rows, named], ignore_index=True)
    draft.count(rows[rows["estimate"] >= LEAST_SHOWN], origin, measure, subject=subject)


def topics(notes: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Shares of the topics of one kind of remark as statements (``counting.shares``), most frequent first."""
    return shares(notes.loc[notes["kind"] == kind, "topic"], "topic")
