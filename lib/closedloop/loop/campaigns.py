"""What campaign briefs alone show: what sales says about each persona's leads."""

from closedloop.evidence.claims import Origin
from closedloop.loop.persona import PersonaSet
from closedloop.loop.remarks import remarks, topics
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft


def campaigns(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """State the topics of sales' feedback and rejections by persona, from the remarks within the window."""
    notes = remarks(situation, in_force)
    said = notes[(notes["from_team"] == "sales") & notes["kind"].isin(["feedback", "rejection"])]
    for (persona, kind), part in said.groupby(["persona", "kind"]):
        origin = Origin("campaign_brief", "feedback", "notes", *situation.span(part["written_on"]))
        draft.estimate(topics(part, str(kind)), origin, f"sales_{kind}_share", subject=str(persona))
