"""Which of the team's texts are used with each persona, and those in force for its documents."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from closedloop.documents.pieces import Note, Piece
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.notes import about
from closedloop.loop.records import won
from closedloop.questions.answer import Answer
from closedloop.questions.buying import Columns, tabulated, touches_in_window
from closedloop.questions.evidence import Evidence
from closedloop.questions.gaps import no_deals
from closedloop.questions.period import opened
from closedloop.questions.topics import on_records
from closedloop.terms import MATERIAL_KINDS

if TYPE_CHECKING:
    from closedloop.market.view import View

COLUMNS = (
    "material_id", "added_on", "kind", "title", "text", "persona", "buying_role", "stage", "competitor", "topic",
    "retired_on",
)  # fmt: skip


def materials(deals: pd.DataFrame, touches: pd.DataFrame, *, among: str | None = None) -> Answer:
    """How often each of the team's texts was used with a persona, when last, and how those ``deals`` ended.

    The texts in force themselves go to the documents (table ``texts``), and are not shown here.
    """
    now = opened()
    answer = now.ask(
        "materials", "materials", deals, "deals", _show_materials, among=among, others={"touches": touches}
    )
    answer.tables["texts"] = texts_in_force(now.situation.view)
    if no_deals(answer):
        return answer
    met, uses = touches_in_window(answer), []
    for persona, part in answer.rows.groupby("persona"):
        used = about(met, part).dropna(subset=["material_id"])
        parts = [(str(name), some) for name, some in used.groupby("material_id") if len(some) >= LEAST_SHOWN]
        rows = [{"field": "material_id", "level": name, "estimate": len(some)} for name, some in parts]
        answer.count(rows, answer.origin(used["touched_on"], table="touches"), "n_used", subject=str(persona))
        is_won = won(part).dropna().astype(bool)
        hits = [(name, is_won[on_records(part.loc[is_won.index], some)]) for name, some in parts]
        ended = rates([(name, hit.sum(), len(hit)) for name, hit in hits], "material_id")
        answer.estimate(ended, answer.origin(part["closed_on"]), "win_rate_when_used", subject=str(persona))
        uses += [(str(persona), name, some["touched_on"].max()) for name, some in parts]
    answer.tables["materials"] = pd.DataFrame(uses, columns=["persona", "material_id", "last_on"])
    return answer


def _show_materials(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: Columns = {"n_used": "times used", "win_rate_when_used": ("deals won in which it was used", "backed")}
    ordered = shown.claims.sort_values(["subject", "measure", "estimate"], ascending=[True, True, False], kind="stable")
    if ordered.empty:
        return (Note("No text of the team was used ten times with a persona."),)
    note = "What was used in won deals need not be why they were won."
    return tabulated(
        replace(shown, claims=ordered), "persona and text", columns, title, note, ("n_used", "First in use")
    )


def texts_in_force(view: "View") -> pd.DataFrame:
    """The team's texts in force on the day, with every column of the contract; newest first within a kind."""
    known = view.known("materials").execute() if view.has("materials") else pd.DataFrame()
    frame = known.reindex(columns=list(COLUMNS))
    current = frame[frame["retired_on"].isna() & frame["text"].notna() & frame["kind"].isin(MATERIAL_KINDS)]
    return current.sort_values(["added_on", "material_id"], ascending=[False, True], ignore_index=True)
