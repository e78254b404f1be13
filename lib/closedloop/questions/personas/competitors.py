"""Where each competitor is met, why buyers turn to it, and how often we win against it."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from closedloop.claims.comparisons import LOOK_COLUMNS, typed
from closedloop.market.warehouse import fetched
from closedloop.period.counting import LEAST_SHOWN, rates, shares
from closedloop.period.records import won
from closedloop.period.situation import Situation
from closedloop.personas.notes import about
from closedloop.presentation.blocks import Note, Piece, Sentence
from closedloop.presentation.findings import Column, table_of, where
from closedloop.questions.personas.topics import of_kind
from closedloop.statistics.recording import recorded_shares
from closedloop.terms import NO_COMPETITOR, NO_DECISION
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import no_deals, recording
from closedloop.workbench.period import opened

_KINDS_OF_DEALS = ("persona", "product", "channel")
_FEWEST_DEALS = 10


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
    answer = now.ask("competitors", "met", deals, "deals", _show, among=among, others={"notes": notes},
                     by=list(by), least=least)  # fmt: skip
    names = competitor_names(now.situation, least)
    answer.results["competitors"] = names
    if no_deals(answer):
        return answer
    if not names:
        answer.missing["competitors"] = (
            f"No competitor was met in {least} known deals: collect deals.competitor, the alternative of every deal."
        )
        return answer
    rows, said = answer.rows, answer.others["notes"]
    if "competitor" in rows:
        _how_recorded(answer, rows)
    for name in names:
        is_met = met(rows, name).dropna().astype(bool)
        theirs = rows.loc[is_met.index[is_met]]
        _where_met(answer, name, rows.loc[is_met.index], is_met, by)
        _why(answer, name, theirs, about(said, theirs))
        if name != NO_DECISION:
            found = [row for field in ("", *by) for row in _won(theirs, field)]
            answer.estimate(found, answer.origin(theirs["closed_on"], "strong"), "win_rate", subject=name)
    _texts(answer, names)
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


def met(deals: pd.DataFrame, name: str) -> pd.Series:
    """Was the competitor met in the deal, or did it end undecided? Missing where no alternative is recorded."""
    if name == NO_DECISION:
        return (deals["outcome"] == NO_DECISION).astype("boolean")
    if "competitor" not in deals:
        return pd.Series(pd.NA, index=deals.index, dtype="boolean")
    is_recorded = deals["competitor"].notna() & (deals["competitor"] != "unknown")
    return (deals["competitor"] == name).where(is_recorded).astype("boolean")


def _how_recorded(answer: Answer, deals: pd.DataFrame) -> None:
    """Is an alternative recorded as often for won as for lost deals? And how often are those won that record one?"""
    known = deals["competitor"].where(deals["competitor"] != "unknown")
    origin = answer.origin(deals["closed_on"], "strong")
    recorded = recorded_shares(known.to_frame(), won(deals), answer.now.situation.names_of(deals["closed_on"]))
    meta = {**origin._asdict(), "measure": "recorded_share", "unit": "rate", "kind": "descriptive"}
    answer.compare(typed(recorded.assign(**meta, subject="market", level="", within=""), LOOK_COLUMNS))
    answer.estimate(_won(deals[known.notna()], ""), origin, "win_rate")


def _where_met(answer: Answer, name: str, deals: pd.DataFrame, is_met: pd.Series, by: Sequence[str]) -> None:
    """How often it is met, in all deals and by kind of deal; the last period is that of the last deal."""
    n = int(is_met.sum())
    if n < LEAST_SHOWN:
        return
    total, last = [{"estimate": n, "n": len(deals)}], answer.origin(deals.loc[is_met, "closed_on"])
    answer.count(total, last, "n_met", subject=name)
    rows = [row for field in ("", *by) for row in _rates(deals, field, is_met)]
    answer.estimate(rows, answer.origin(deals["closed_on"]), "met_share", subject=name)


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
    if "loss_reason" in deals:
        origin = answer.origin(deals["closed_on"], "why")
        answer.estimate(shares(deals["loss_reason"], "loss_reason"), origin, "loss_reason_share", subject=name)


def _texts(answer: Answer, names: Sequence[str]) -> None:
    """How many of the team's dated questions and answers are about each competitor, up to the latest."""
    view = answer.now.situation.view
    if not view.has("materials"):
        return
    texts = fetched(view.known("materials")).reindex(columns=["kind", "competitor", "added_on", "retired_on"])
    texts = texts[texts["kind"].isin(["question", "answer"]) & texts["retired_on"].isna() & texts["added_on"].notna()]
    for name in names:
        mine = texts[texts["competitor"] == (NO_COMPETITOR[0] if name == NO_DECISION else name)]
        if len(mine):
            origin = answer.origin(pd.to_datetime(mine["added_on"]), "verified", "materials")
            answer.count([{"estimate": len(mine)}], origin, "n_texts", subject=name)


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = where(shown.of("n_met", "met_share", "win_rate"), field="")
    columns: dict[str, str | tuple[str, Column]] = {
        "n_met": "deals",
        "met_share": ("of those that record an alternative", "backed"),
        "win_rate": ("decided deals won", "backed"),
    }
    if claims.empty:
        return (Sentence("No competitor was met in ten of the deals that ended."),)
    words = replace(shown.words, names={"market": "all that record one", **shown.words.names})
    listed = table_of(
        claims, words, "competitor", columns, label=lambda claim: words.name(claim["subject"]), caption=title
    )
    note = Note("Counted, not tested: read the intervals; overlapping ones say no difference.")
    return listed, note, *recording(shown)
