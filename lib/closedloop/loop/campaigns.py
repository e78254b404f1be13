"""What campaign briefs alone show: what sales says about each persona's leads."""

from closedloop.evidence.claims import Origin
from closedloop.loop.persona import PersonaSet
from closedloop.loop.remarks import remarks, state_logged, topics
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

_AT = ("campaign_brief", "feedback")


def campaigns(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """State sales' feedback and rejections by topic, of each persona and of all, from the remarks in the window."""
    notes = remarks(situation, in_force)
    for kind in ("feedback", "rejection"):
        said = notes[(notes["from_team"] == "sales") & (notes["kind"] == kind)]
        state_logged(draft, situation, said, _AT, f"n_sales_{kind}")
        for persona, part in said.groupby("persona"):
            state_logged(draft, situation, part, _AT, f"n_sales_{kind}", str(persona))
            origin = Origin(*_AT, "notes", *situation.span(part["written_on"]))
            draft.estimate(topics(part, kind), origin, f"sales_{kind}_share", subject=str(persona))
