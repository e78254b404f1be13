"""The sections of 07 review."""

from closedloop.documents.pieces import Listing, Sentence
from closedloop.documents.sections.handoff import team_promises
from closedloop.documents.sections.personas import persona_changes
from closedloop.documents.sections.section import Evidence, Pieces, Section
from closedloop.documents.tables import table
from closedloop.documents.wording import sentences


def _held(shown: Evidence) -> Pieces:
    held = shown.claims[shown.claims["verdict"] == "supported"]
    if held.empty:
        return (Sentence("Nothing was shown to differ in this period."),)
    order = held.reindex(held["effect"].abs().sort_values(ascending=False, kind="stable").index).head(8)
    text = (
        f"{len(held)} findings hold; the {len(order)} largest are listed."
        if len(held) > 8
        else f"{len(held)} findings hold."
    )
    return Listing(sentences(order, shown.words)), Sentence(text)


def _asks(shown: Evidence) -> Pieces:
    frame = shown.table("asks")
    rows = table(frame, {"team": "asked of", "ask": "what is asked"}, shown.words)
    return rows, Sentence(f"{len(frame)} request{'s' if len(frame) != 1 else ''} for the next period.")


REVIEW = (
    Section("review", "promises", "What was promised, and was it kept?", team_promises, measures=("promise",)),
    Section("review", "findings", "What did we learn?", _held),
    Section("review", "changes", "What changes in the personas?", persona_changes),
    Section("review", "asks", "What does each team ask of the other?", _asks, ("asks",)),
)
