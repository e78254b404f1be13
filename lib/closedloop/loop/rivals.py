"""What battlecards show: where each rival is met, why buyers turn to it, and how often we win against it."""

import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.loop.comparisons import recording
from closedloop.loop.counting import LEAST_SHOWN, rates, shares
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import won
from closedloop.loop.remarks import about, remarks, state_logged, topics
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.warehouse import fetched
from closedloop.terms import NO_RIVAL

NO_DECISION = "no_decision"
_FEWEST_DEALS = 10
_WHY = ("battlecard", "why")
_KINDS_OF_DEALS = ("persona", "product", "channel")


def competitors(situation: Situation) -> list[str]:
    """Rivals met in at least ten known deals, and ``no_decision`` where that outcome is recorded."""
    definition = situation.definition
    undecided: list[str] = [NO_DECISION] if definition.deals and NO_DECISION in definition.deals.outcomes else []
    if not situation.view.has("deals") or "competitor" not in situation.deals:
        return undecided
    met = situation.deals["competitor"].value_counts()
    named = [str(name) for name in met[met >= _FEWEST_DEALS].index if name not in (*NO_RIVAL, "unknown")]
    return sorted(named) + undecided


def rivals(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """State what was known of each rival, and of buyers who decide nothing, in the deals that ended in the window."""
    names = competitors(situation)
    if not names or not situation.view.has("deals"):
        return
    deals = situation.closed_deals.assign(persona=in_force.assign(situation.closed_deals))
    notes = remarks(situation, in_force)
    if "competitor" in deals:
        rivals_known = deals["competitor"].where(deals["competitor"] != "unknown").to_frame()
        origin = _origin(situation, "strong", deals)
        draft.looks.append(recording(situation, rivals_known, won(deals), deals["closed_on"], origin))
        draft.estimate(_won(deals[rivals_known["competitor"].notna()], ""), origin, "win_rate")
    losses = _of_buyers(notes)
    state_logged(draft, situation, losses[losses["kind"] == "loss"], _WHY, "n_loss_topic")
    for name in names:
        against = met(deals, name).dropna().astype(bool)
        theirs = deals.loc[against.index[against]]
        _met(draft, situation, name, deals.loc[against.index], against)
        _why(draft, situation, name, theirs, about(notes, theirs))
        if name != NO_DECISION:
            parts = [_won(theirs, field) for field in ("", *_KINDS_OF_DEALS)]
            rows = [row for part in parts for row in part]
            draft.estimate(rows, _origin(situation, "strong", theirs), "win_rate", subject=name)
    _texts(draft, situation, names)


def met(deals: pd.DataFrame, name: str) -> pd.Series:
    """Was the rival met in the deal, or did it end without a decision? Missing where no alternative is recorded."""
    if name == NO_DECISION:
        return (deals["outcome"] == NO_DECISION).astype("boolean")
    if "competitor" not in deals:
        return pd.Series(pd.NA, index=deals.index, dtype="boolean")
    is_recorded = deals["competitor"].notna() & (deals["competitor"] != "unknown")
    return (deals["competitor"] == name).where(is_recorded).astype("boolean")


def _origin(situation: Situation, cell: str, deals: pd.DataFrame) -> Origin:
    return Origin("battlecard", cell, "deals", *situation.span(deals["closed_on"]))


def _met(draft: Draft, situation: Situation, name: str, deals: pd.DataFrame, is_met: pd.Series) -> None:
    """How often the rival is met, in all deals and by kind of deal; the last period is that of the last deal."""
    n = int(is_met.sum())
    if n < LEAST_SHOWN:
        return
    total = [{"estimate": n, "n": len(deals)}]
    draft.count(total, _origin(situation, "met", deals[is_met]), "n_met", subject=name)
    rows = [row for field in ("", *_KINDS_OF_DEALS) for row in _rates(deals, field, is_met)]
    draft.estimate(rows, _origin(situation, "met", deals), "met_share", subject=name)


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


def _why(draft: Draft, situation: Situation, name: str, deals: pd.DataFrame, notes: pd.DataFrame) -> None:
    """What buyers gave as reasons, what was objected, and the reasons that sellers recorded."""
    for kind, part, stem in (("loss", _of_buyers(notes), "loss_topic"), ("objection", notes, "objection")):
        said = part[part["kind"] == kind]
        origin = Origin(*_WHY, "notes", *situation.span(said["written_on"]))
        draft.estimate(topics(said, kind), origin, f"{stem}_share", subject=name)
        state_logged(draft, situation, said, _WHY, f"n_{stem}", name)
    if "loss_reason" in deals:
        reasons = shares(deals["loss_reason"], "loss_reason")
        draft.estimate(reasons, _origin(situation, "why", deals), "loss_reason_share", subject=name)


def _of_buyers(notes: pd.DataFrame) -> pd.DataFrame:
    return notes[notes["from_team"] == "buyer"]


def _texts(draft: Draft, situation: Situation, names: list[str]) -> None:
    """How many of the team's dated questions and answers are about each rival, up to the latest."""
    if not situation.view.has("materials"):
        return
    texts = fetched(situation.view.known("materials")).reindex(columns=["kind", "competitor", "added_on", "retired_on"])
    texts = texts[texts["kind"].isin(["question", "answer"]) & texts["retired_on"].isna() & texts["added_on"].notna()]
    for name in names:
        mine = texts[texts["competitor"] == (NO_RIVAL[0] if name == NO_DECISION else name)]
        if len(mine):
            origin = Origin("battlecard", "verified", "materials", *situation.span(pd.to_datetime(mine["added_on"])))
            draft.count([{"estimate": len(mine)}], origin, "n_texts", subject=name)
