"""What is heard: topics of notes by kind, and where each competitor is met and how often we win against it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from closedloop.claims.comparisons import LOOK_COLUMNS, typed
from closedloop.period.counting import LEAST_SHOWN, rates, shares, won
from closedloop.period.situation import Situation
from closedloop.personas.notes import about
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, stating
from closedloop.presentation.sentences import COUNTED_ONLY, backed, records, where
from closedloop.presentation.tables import Column, table_of
from closedloop.presentation.words import capital
from closedloop.questions.personas.buying import on_records
from closedloop.statistics.recording import recorded_shares
from closedloop.terms import NO_COMPETITOR, NO_DECISION
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of, no_deals, recording
from closedloop.workbench.period import opened

_KINDS_OF_DEALS = ("persona", "product", "channel")
_FEWEST_DEALS = 10
_TEXT_COLUMNS = ["kind", "competitor", "added_on", "retired_on"]


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
    answer = now.ask(
        "topics", "objections", notes, "notes", _show_topics, among=among, others={"deals": deals}, least=least
    )
    if answer.rows.empty:
        if not now.situation.view.has("notes"):
            answer.missing["notes"] = "No notes are recorded: log pains, objections and questions with a topic each."
        return answer
    answer.results |= {"logged": [], "of_no_persona": []}
    for kind in _KINDS:
        part = of_kind(answer.rows, kind.kind, kind.team)
        origin = answer.origin(part["written_on"], kind.section)
        if len(part):
            answer.results["logged"].append(f"n_{kind.name}")
            answer.results["of_no_persona"] += [] if part["persona"].notna().any() else [f"n_{kind.name}"]
            answer.count(_logged(part, least, by_topic=True), origin, f"n_{kind.name}")
        for persona, mine in part.groupby("persona") if kind.name != _LOSS else ():
            origin = answer.origin(mine["written_on"], kind.section)
            answer.count(_logged(mine, least), origin, f"n_{kind.name}", subject=str(persona))
            answer.estimate(shares(mine["topic"], "topic"), origin, f"{kind.name}_share", subject=str(persona))
    ended = answer.others["deals"]
    for persona, mine in ended.groupby("persona") if len(ended) else ():  # how deals ended in which it was raised
        is_won = won(mine).dropna().astype(bool)
        raised = of_kind(answer.rows[answer.rows["persona"] == persona], "objection").groupby("topic")
        hits = [(topic, is_won[on_records(mine.loc[is_won.index], part)]) for topic, part in raised]
        origin = answer.origin(mine["closed_on"], "objections", "deals")
        rows = rates([(topic, hit.sum(), len(hit)) for topic, hit in hits], "topic")
        answer.estimate(rows, origin, "win_rate_when_raised", subject=str(persona))
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


def _show_topics(shown: Evidence, title: str) -> Sequence[Piece]:
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
            text = f"{capital(kind.words)}, the largest share within a persona: {topic}, "
            text += f"{backed(claim, shown.words)} of those of {who}."
            lines.append(stating(text, claim))
    note = Note("Kinds and topics are counted; what was said stays in the market's own room.")
    return *pieces, *([Listing(lines)] if lines else []), note


def competitors(
    deals: pd.DataFrame,
    notes: pd.DataFrame,
    by: Sequence[str] = _KINDS_OF_DEALS,
    *,
    least: int = _FEWEST_DEALS,
    among: str | None = None,
) -> Answer:
    """How often each competitor is met in ``deals``, in all and ``by`` kind of deal, and how often we win against it.

    Every rate is among the deals that record an alternative, with Wilson's interval; ``no_decision`` is among all that
    ended. Why: topics of buyers' ``notes`` of losses and of objections, and the reasons that sellers recorded. A
    competitor has a card from ``least`` known deals on; the comparison tests whether it is recorded more often for one
    outcome (family "recording").
    """
    now = opened()
    answer = now.ask("competitors", "met", deals, "deals", _show_competitors, among=among, others={"notes": notes},
                     by=list(by), least=least)  # fmt: skip
    names = competitor_names(now.situation, least)
    answer.results |= {"competitors": names, "recorded": _recorded(now.situation)}
    if no_deals(answer):
        return answer
    if not names:
        answer.missing["competitors"] = (
            f"No competitor is named in {least} known deals: collect deals.competitor, the name of what each deal was "
            "weighed against."
        )
        return answer
    rows, said, every = answer.rows, answer.others["notes"], answer.origin(answer.rows["closed_on"])
    if "competitor" in rows:  # is an alternative recorded as often for won as for lost deals?
        known, strong = rows["competitor"].where(rows["competitor"] != "unknown"), every._replace(cell="strong")
        recorded = recorded_shares(known.to_frame(), won(rows), now.situation.names_of(rows["closed_on"]))
        meta = {**strong._asdict(), "measure": "recorded_share", "unit": "rate", "kind": "descriptive"}
        answer.compare(typed(recorded.assign(**meta, subject="market", level="", within=""), LOOK_COLUMNS))
        answer.estimate(_won(rows[known.notna()], ""), strong, "win_rate")
    for name in names:
        is_met = met(rows, name).dropna().astype(bool)
        theirs = rows.loc[is_met.index[is_met]]
        if len(theirs) >= LEAST_SHOWN:  # the last period is that of the last deal
            total = [{"estimate": len(theirs), "n": len(is_met)}]
            answer.count(total, answer.origin(theirs["closed_on"]), "n_met", subject=name)
            of_all = rows.loc[is_met.index]
            found = [row for field in ("", *by) for row in _rates(of_all, field, is_met)]
            answer.estimate(found, answer.origin(of_all["closed_on"]), "met_share", subject=name)
        _why(answer, name, theirs, about(said, theirs))
        if name != NO_DECISION:
            found = [row for field in ("", *by) for row in _won(theirs, field)]
            answer.estimate(found, answer.origin(theirs["closed_on"], "strong"), "win_rate", subject=name)
    if not now.situation.view.has("materials"):
        return answer
    texts = now.situation.known("materials").reindex(columns=_TEXT_COLUMNS)
    texts = texts[texts["kind"].isin(["question", "answer"]) & texts["retired_on"].isna() & texts["added_on"].notna()]
    for name in names:  # how many of the team's dated questions and answers are about it, up to the latest
        mine = texts[texts["competitor"] == (NO_COMPETITOR[0] if name == NO_DECISION else name)]
        if len(mine):
            origin = answer.origin(pd.to_datetime(mine["added_on"]), "verified", "materials")
            answer.count([{"estimate": len(mine)}], origin, "n_texts", subject=name)
    return answer


def competitor_names(situation: Situation, least: int = _FEWEST_DEALS) -> list[str]:
    """Competitors met in at least ``least`` known deals, and ``no_decision`` where that outcome is recorded."""
    declared = situation.definition.deals
    undecided: list[str] = [NO_DECISION] if declared and NO_DECISION in declared.outcomes else []
    if not situation.view.has("deals") or "competitor" not in situation.deals:
        return undecided
    n = situation.deals["competitor"].value_counts()
    named = [str(name) for name in n[n >= least].index if name not in (*NO_COMPETITOR, "unknown")]
    return sorted(named) + undecided


def _recorded(situation: Situation) -> list[str]:
    """What battlecards are made of, as far as any known deal records it; no decision, where the source can."""
    deals, declared = situation.deals if situation.view.has("deals") else pd.DataFrame(), situation.definition.deals
    columns = [name for name in ("competitor", "loss_reason") if name in deals and deals[name].notna().any()]
    return [*columns, *([NO_DECISION] if declared and NO_DECISION in declared.outcomes else [])]


def met(deals: pd.DataFrame, name: str) -> pd.Series:
    """Was the competitor met in the deal, or did it end undecided? Missing where no alternative is recorded."""
    if name == NO_DECISION:
        return (deals["outcome"] == NO_DECISION).astype("boolean")
    if "competitor" not in deals:
        return pd.Series(pd.NA, index=deals.index, dtype="boolean")
    is_recorded = deals["competitor"].notna() & (deals["competitor"] != "unknown")
    return (deals["competitor"] == name).where(is_recorded).astype("boolean")


def _rates(deals: pd.DataFrame, field: str, hit: pd.Series) -> list[dict[str, object]]:
    """The rate of ``hit`` in all deals (no field) or at every level of a field."""
    if not field:
        return rates([("", hit.sum(), len(hit))], "")
    if field not in deals:
        return []
    return rates([(level, part.sum(), len(part)) for level, part in hit.groupby(deals[field])], field)


def _won(deals: pd.DataFrame, field: str) -> list[dict[str, object]]:
    """Won of won and lost deals, of all or by a field."""
    is_won = won(deals).dropna().astype(bool)
    return _rates(deals.loc[is_won.index], field, is_won)


def _why(answer: Answer, name: str, deals: pd.DataFrame, notes: pd.DataFrame) -> None:
    """What buyers gave as reasons, what was objected, and the reasons that sellers recorded."""
    for kind, team, stem in (("loss", "buyer", "loss_topic"), ("objection", "", "objection")):
        part = of_kind(notes, kind, team)
        origin = answer.origin(part["written_on"], "why", "notes")
        answer.estimate(shares(part["topic"], "topic"), origin, f"{stem}_share", subject=name)
        if len(part) >= LEAST_SHOWN:
            answer.count([{"estimate": len(part), "n": len(part)}], origin, f"n_{stem}", subject=name)
    if "loss_reason" in deals:  # against a competitor of lost deals alone: who decides nothing has other reasons
        ended = deals[deals["outcome"] == (NO_DECISION if name == NO_DECISION else "lost")]
        reasons, origin = shares(ended["loss_reason"], "loss_reason"), answer.origin(ended["closed_on"], "why")
        answer.estimate(reasons, origin, "loss_reason_share", subject=name)


def _show_competitors(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = where(shown.of("n_met", "met_share", "win_rate"), field="")
    columns: dict[str, str | tuple[str, Column]] = {
        "n_met": "deals",
        "met_share": ("of ended deals that record it", "backed"),
        "win_rate": ("decided deals won", "backed"),
    }
    if claims.empty:
        return (Sentence("No competitor is named in ten of the deals that ended."),)
    words = replace(shown.words, names={"market": "all that record whom we met, or nobody", **shown.words.names})
    listed = table_of(
        claims, words, "competitor", columns, label=lambda claim: words.name(claim["subject"]), caption=title
    )
    return listed, Note(COUNTED_ONLY), *recording(shown)
