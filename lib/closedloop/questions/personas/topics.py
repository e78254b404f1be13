"""What is heard: the topics of notes by kind, and how deals ended in which an objection was raised."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from closedloop.period.counting import LEAST_SHOWN, rates, shares
from closedloop.period.records import won
from closedloop.personas.notes import about
from closedloop.presentation.blocks import Listing, Note, Piece, stating
from closedloop.presentation.findings import backed, table_of
from closedloop.presentation.sentences import capital, records
from closedloop.questions.personas.buying import Columns, tabulated, touches_in_window
from closedloop.terms import MATERIAL_KINDS
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of, no_deals
from closedloop.workbench.period import opened

if TYPE_CHECKING:
    from closedloop.market.view import View


class _Kind(NamedTuple):
    """A kind of notes: who writes them (anybody without), the section that shows them, and their name in measures."""

    kind: str
    team: str
    section: str
    name: str
    words: str


_KINDS = (
    _Kind("pain", "", "buying", "pain", "pains"),
    _Kind("objection", "", "objections", "objection", "objections"),
    _Kind("question", "", "buying", "question", "questions"),
    _Kind("trigger", "", "buying", "trigger", "triggers"),
    _Kind("loss", "buyer", "why", "loss_topic", "buyers' reasons of losses"),
    _Kind("feedback", "sales", "feedback", "sales_feedback", "feedback of sales"),
    _Kind("rejection", "sales", "feedback", "sales_rejection", "reasons of rejected leads"),
)
_LOSS = "loss_topic"  # told of the market and of each competitor, not of each persona


def topics(notes: pd.DataFrame, deals: pd.DataFrame, *, least: int = LEAST_SHOWN, among: str | None = None) -> Answer:
    """How many notes of each kind there are, their topics in all and as shares in each persona, and what was raised.

    Shares have simultaneous multinomial intervals; a topic that was named fewer than ``least`` times (ten at least)
    counts in the total and is not shown. Of each objection: the win rate of the persona's decided ``deals`` in which it
    was raised.
    """
    now = opened()
    answer = now.ask("topics", "objections", notes, "notes", _show, among=among, others={"deals": deals}, least=least)
    if answer.rows.empty:
        if not now.situation.view.has("notes"):
            answer.missing["notes"] = "No notes are recorded: log pains, objections and questions with a topic each."
        return answer
    answer.results["logged"] = []
    for kind in _KINDS:
        part = of_kind(answer.rows, kind.kind, kind.team)
        origin = answer.origin(part["written_on"], kind.section)
        if len(part):
            answer.results["logged"].append(f"n_{kind.name}")
            answer.count(_logged(part, least, by_topic=True), origin, f"n_{kind.name}")
        for persona, mine in part.groupby("persona") if kind.name != _LOSS else ():
            origin = answer.origin(mine["written_on"], kind.section)
            answer.count(_logged(mine, least), origin, f"n_{kind.name}", subject=str(persona))
            answer.estimate(shares(mine["topic"], "topic"), origin, f"{kind.name}_share", subject=str(persona))
    ended = answer.others["deals"]
    for persona, mine in ended.groupby("persona") if len(ended) else ():
        _raised(answer, str(persona), mine)
    return answer


def of_kind(notes: pd.DataFrame, kind: str, team: str = "") -> pd.DataFrame:
    """The notes of one kind, of one team if it is given."""
    return notes[(notes["kind"] == kind) & ((notes["from_team"] == team) if team else True)]


def _logged(notes: pd.DataFrame, least: int, *, by_topic: bool = False) -> pd.DataFrame:
    """How many notes these are, and of each topic, where they are enough to be stated."""
    rows = pd.DataFrame({"field": [""], "level": [""], "estimate": [len(notes)], "n": [len(notes)]})
    if by_topic:
        k = notes["topic"].dropna().astype("str").value_counts().sort_index()
        k = k.sort_values(ascending=False, kind="stable")
        named = pd.DataFrame({"field": "topic", "level": k.index, "estimate": k.to_numpy(), "n": k.sum()})
        rows = pd.concat([rows, named], ignore_index=True)
    return rows[rows["estimate"] >= max(least, LEAST_SHOWN)]


def _raised(answer: Answer, persona: str, deals: pd.DataFrame) -> None:
    """How the persona's decided deals ended in which each objection was raised."""
    notes, is_won = answer.rows[answer.rows["persona"] == persona], won(deals).dropna().astype(bool)
    decided = deals.loc[is_won.index]
    ended = []
    for topic, part in of_kind(notes, "objection").groupby("topic"):
        hits = is_won[on_records(decided, part)]
        ended.append((topic, hits.sum(), len(hits)))
    origin = answer.origin(deals["closed_on"], "objections", "deals")
    answer.estimate(rates(ended, "topic"), origin, "win_rate_when_raised", subject=persona)


def on_records(deals: pd.DataFrame, notes: pd.DataFrame) -> "pd.Series[bool]":
    """Which deals these notes or touches are on, or on the lead of."""
    is_met = deals["deal_id"].isin(notes["deal_id"].dropna())
    return is_met | deals["lead_id"].isin(notes["lead_id"].dropna()) if "lead_id" in deals else is_met


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    counted = shown.claims[(shown.claims["subject"] == "market") & (shown.claims["field"] == "topic")]
    pieces: list[Piece] = []
    if len(counted):
        order = counted.groupby("level")["estimate"].transform("sum")
        ordered = counted.assign(_all=order).sort_values(["_all", "level"], ascending=[False, True], kind="stable")
        heads = {f"n_{kind.name}": kind.words for kind in _KINDS}
        pieces.append(
            table_of(
                ordered.drop(columns="_all"), shown.words, "topic", heads, label=level_of(shown.words), caption=title
            )
        )
    lines = []
    for kind in _KINDS:
        most = shown.of(f"{kind.name}_share").sort_values("estimate", ascending=False, kind="stable")
        for claim in records(most.head(1)):
            who, topic = shown.words.told(claim["subject"]), shown.words.level("topic", claim["level"])
            text = f"{capital(kind.words)}, named most often: {topic}, {backed(claim, shown.words)} of those of {who}."
            lines.append(stating(text, claim))
    note = Note("Kinds and topics are counted; what was said stays in the market's own room.")
    return *pieces, *([Listing(lines)] if lines else []), note


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
