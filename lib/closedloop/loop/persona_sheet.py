"""The rest of a persona's sheet: how surely it would be found again, how far its leads get, and what was promised."""

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.loop.changelog import SPLIT, Change
from closedloop.loop.comparisons import handed_off, lead_window
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.lineage import Lineage
from closedloop.loop.persona import GATE, PersonaSet, promises
from closedloop.loop.records import decided, lead_frame, won
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

_RESAMPLED = 2_000
_OF_PEOPLE = ("campaign", "experiment", "arm", "arm_rate", "channel", "product", "first_touch")


def sheet(draft: Draft, lineage: Lineage, before: PersonaSet | None) -> None:
    """State stability, funnel and promises of the personas in force; ``before`` is the set of the last period."""
    situation, in_force = lineage.situation, lineage.in_force
    _stability(draft, lineage)
    _splits(draft, situation, in_force)
    _funnel(draft, situation, in_force)
    _promises(draft, situation, in_force, before)
    draft.tables["whom"] = pd.DataFrame({"field": _whom_fields(situation)}, dtype="str")
    review = situation.period.end if situation.definition.has_calendar else None
    told = {"sql": in_force.rule.to_sql(), "is_cross_fitted": lineage.is_cross_fitted, "review_on": review}
    draft.tables["set"] = pd.DataFrame([told]).assign(review_on=lambda d: pd.to_datetime(d["review_on"]))


def _stability(draft: Draft, lineage: Lineage) -> None:
    """How surely the segment behind each persona is found again in bootstrap samples (SLSW; METHODS, 2)."""
    found = lineage.segments
    if found is None or not lineage.segment_of:
        draft.missing["stability"] = lineage.why_untraced
        return
    chosen = found.slsw[found.slsw["k"] == found.recommended_k]
    by_segment = chosen.set_index(chosen["segment"].astype(str))
    rows = [
        {"field": "persona", "level": persona, "estimate": by_segment.loc[segment, "slsw"],
         "n": by_segment.loc[segment, "size"]}
        for persona, segment in lineage.segment_of.items()
    ]  # fmt: skip
    origin = Origin("02_personas", "stability", lineage.sample.source, *lineage.asked)
    draft.estimate(rows, origin, "slsw", unit="ratio")


def _splits(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """In which share of bootstrap samples of the deals each split would be worth as much, in its direction.

    All deals so far hold those that suggested the split and so speak for it; the deals since then do not.
    """
    made = [entry for entry in in_force.changelog if entry.edit == SPLIT and entry.into in in_force.ids]
    if not made or not situation.view.has("deals"):
        return
    deals = decided(situation)
    deals = deals.assign(persona=in_force.assign(deals), period=situation.names_of(deals["closed_on"]))
    rng = situation.rng("split-stability")
    origin = _origin(situation, "stability", "deals", deals["closed_on"])
    for measure, is_later in (("split_kept_share", False), ("split_kept_since_share", True)):
        parts = [(entry, deals[deals["period"] > entry.last_period] if is_later else deals) for entry in made]
        rows = [row for entry, part in parts for row in _kept(entry, part, rng)]
        draft.estimate(rows, origin, measure)


def _kept(entry: Change, deals: pd.DataFrame, rng: np.random.Generator) -> list[dict[str, object]]:
    """The share for one split; nothing when one of its sides has fewer than ten of the deals."""
    sides, table = [entry.into, entry.persona], deals.groupby("persona")["is_won"].agg(["sum", "size"])
    if not set(sides) <= set(table.index) or table.loc[sides, "size"].min() < LEAST_SHOWN:
        return []
    k, n = (table.loc[sides, name].to_numpy(dtype=float) for name in ("sum", "size"))
    drawn = rng.binomial(n.astype(int), k / n, (_RESAMPLED, 2)) / n  # resampling rows of a group of fixed size
    sign = np.sign((entry.estimate or 0.0) - (entry.baseline or 0.0))
    share = float((sign * (drawn[:, 0] - drawn[:, 1]) > GATE).mean())
    return [{"field": "persona", "level": entry.into, "estimate": share, "n": int(n.sum())}]


def _funnel(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """How far the leads of each persona came: accepted of those decided on, won so far, and still open."""
    leads = lead_window(situation, lead_frame(situation)) if situation.view.has("leads") else pd.DataFrame()
    if len(leads) < LEAST_SHOWN:
        found = f"{len(leads)} leads were known, fewer than {LEAST_SHOWN}"
        draft.missing["funnel"] = (
            f"{found if situation.view.has('leads') else 'No leads are recorded'}. "
            "Collect `leads` with hand-off and acceptance dates."
        )
        return
    parts = [(str(name), part) for name, part in leads.groupby(in_force.assign(leads)) if len(part) >= LEAST_SHOWN]
    origin = _origin(situation, "funnel", "leads", handed_off(leads))
    draft.count([{"field": "persona", "level": p, "estimate": len(part)} for p, part in parts], origin, "n_leads")
    judged = [(name, part["is_accepted"].dropna()) for name, part in parts]
    draft.estimate(rates([(p, hit.sum(), len(hit)) for p, hit in judged], "persona"), origin, "lead_accepted_rate")
    if leads["is_won"].notna().any():
        parts = [(name, part[part["is_followed"]]) for name, part in parts]
        came = [(name, part["is_won"].fillna(False).sum(), len(part)) for name, part in parts]
        still = [(name, part["is_won"].isna().sum(), len(part)) for name, part in parts]
        draft.estimate(rates(came, "persona"), origin, "lead_won_rate")
        draft.estimate(rates(still, "persona"), origin, "lead_open_rate")


def _promises(draft: Draft, situation: Situation, in_force: PersonaSet, before: PersonaSet | None) -> None:
    """The win rate that each persona is promised now; what the last set had promised, and what came of it.

    A promise is made of deals: without a deal that is new or gone since the last one, there is no other.
    """
    if before is not None:
        draft.estimate(promises(before), _of_promise(before, "changes"), "promised_before", kind="predictive")
        _what_came(draft, situation, before)
    if before is not None and in_force.deals and in_force.deals == before.deals:
        draft.missing["promises"] = (
            f"no deal was decided since the promise for {before.period}, which still stands: nothing new to promise"
        )
        return
    rows, origin = promises(in_force), _of_promise(in_force, "personas")
    draft.estimate(rows, origin, "promised_win_rate", kind="predictive")
    draft.count([{**row, "estimate": row["n_won"]} for row in rows], origin, "n_promised_won")


def _of_promise(stated: PersonaSet, cell: str) -> Origin:
    return Origin("02_personas", cell, "deals", stated.first_period, stated.last_period)


def _what_came(draft: Draft, situation: Situation, before: PersonaSet) -> None:
    """The win rates of the period of the last promise, by the rule that was in force."""
    deals = situation.closed_deals if situation.view.has("deals") else pd.DataFrame({"closed_on": []})
    is_then = situation.names_of(pd.to_datetime(deals["closed_on"])) == before.period
    if not is_then.any():
        return
    hit = won(deals[is_then]).dropna()
    ended = hit.groupby(before.assign(deals.loc[hit.index])).agg(["sum", "size"])
    rows = rates(ended.itertuples(name=None), "persona")
    draft.estimate(rows, Origin("02_personas", "changes", "deals", before.period, before.period), "came_win_rate")


def _whom_fields(situation: Situation) -> list[str]:
    """The fields that say who somebody is, not how the lead came about."""
    table = next((table for table in ("leads", "deals") if situation.view.has(table)), None)
    return [name for name in situation.fields(table) if name not in _OF_PEOPLE] if table else []


def _origin(situation: Situation, cell: str, table: str, days: pd.Series) -> Origin:
    return Origin("02_personas", cell, table, *situation.span(days))
