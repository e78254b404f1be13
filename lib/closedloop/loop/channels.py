"""What channels and campaigns cost and brought, over all and for every persona."""

from typing import Any

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.rates import wilson
from closedloop.loop.comparisons import (
    MESSAGES,
    decided_before,
    handed_off,
    lead_levels,
    lead_window,
    persona_levels,
    shown_rates,
)
from closedloop.loop.counting import LEAST_SHOWN, counts
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft

_COSTS = {"cost_per_accepted_amount": "n_accepted", "cost_per_won_amount": "n_won"}


def channels(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    """What each channel cost and brought."""
    part = lead_window(situation, frame)
    if not situation.view.has("spend"):
        draft.missing["cost"] = (
            "No spend is recorded, so the cost of an accepted lead or a won deal is unknown. "
            "Collect `spend` per channel and month."
        )
    if "channel" not in part or (part["channel"].value_counts() >= LEAST_SHOWN).sum() < 2:
        draft.missing["channels"] = "Fewer than two channels with ten leads are recorded: collect `leads.channel`."
        return
    totals = _totals(part, "channel", _spent(situation, "channel"))
    origin = Origin("03_leads", "channels", "leads", *situation.span(handed_off(part)))
    for measure in ("n_leads", "n_accepted", "n_won"):
        draft.count(_rows(totals, estimate=totals[measure]), origin, measure)
    spent = _rows(totals, estimate=totals["spent_amount"])
    draft.count(spent, origin._replace(source_table="spend"), "spent_amount", unit="amount")
    for measure, hit in _COSTS.items():
        draft.estimate(_costs(totals, totals[hit]), origin, measure, unit="amount")


def within_personas(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    """For every persona, which channels and campaigns bring leads that sales accepts, and what such a lead costs.

    A lead of a channel is taken to cost the same whoever it is, so a persona bears the share of the spend that it has
    of the channel's leads.
    """
    part = lead_window(situation, frame)
    by, first_last = lead_levels(situation, part), situation.span(handed_off(part))
    origin = Origin("03_leads", "persona_channels", "leads", *first_last)
    strata, threshold = situation.names_of(handed_off(part)), situation.definition.claims.practical_threshold
    for persona, told in persona_levels(by[part["is_accepted"].notna()]):
        rows = part[part["persona"] == persona]
        mine = part.loc[told.index]
        before = decided_before(situation, mine, "is_accepted")
        table = counts(told, list(told.columns), mine["is_accepted"], strata[told.index], is_before=before)
        draft.looks.append(shown_rates(table, origin, "persona_accepted_rate", threshold, persona=persona))
        for field in told.columns:
            totals = _totals(rows, field, _share_of_spend(situation, part, rows, field))
            draft.count(_rows(totals, estimate=totals["n_leads"]), origin, "n_leads", subject=persona)
            for measure, hit in _COSTS.items():
                costs = _costs(totals, totals[hit])
                draft.estimate(costs, origin, measure, unit="amount", subject=persona)
    if not (by.columns.isin(MESSAGES).any() and by["persona"].nunique() > 1):
        draft.missing["persona_channels"] = (
            "Channels cannot be compared by persona: collect `leads.channel` and `leads.campaign`, and fields by which "
            "leads are told apart."
        )


def _totals(leads: pd.DataFrame, field: str, spent: pd.Series) -> pd.DataFrame:
    """Leads, accepted and won ones and money of every level that ten leads have; index: the level."""
    by = leads.groupby(field)
    totals = pd.DataFrame({"n_leads": by.size(), "n_accepted": _sum(by["is_accepted"]), "n_won": _sum(by["is_won"])})
    totals["spent_amount"] = spent.reindex(totals.index)
    shown = totals[totals["n_leads"] >= LEAST_SHOWN].rename_axis(field)
    return shown.sort_values("n_leads", ascending=False, kind="stable")


def _sum(hits: Any) -> pd.Series:
    """How many are true in each group; missing where none is known."""
    total: pd.Series = hits.sum(min_count=1).astype("float64")
    return total


def _rows(totals: pd.DataFrame, **figures: Any) -> pd.DataFrame:
    """A statement's rows, one a level; what is not known is not stated."""
    rows = pd.DataFrame({"field": totals.index.name, "level": totals.index, "n": totals["n_leads"], **figures})
    return rows[rows["estimate"].notna()]


def _costs(totals: pd.DataFrame, n_hits: pd.Series) -> pd.DataFrame:
    """Spend over successes; its interval is that of the rate of success among the leads (Wilson), the spend given."""
    k, n, spent = n_hits.fillna(0), totals["n_leads"], totals["spent_amount"].where(n_hits > 0)
    low, high = wilson(k, n)
    return _rows(totals, estimate=spent / k, low=spent / (n * high), high=spent / (n * low))


def _spent(situation: Situation, field: str) -> pd.Series:
    """What every level of a field cost in the window; empty where spend is not recorded by it."""
    spend = fetched(situation.view.known("spend")) if situation.view.has("spend") else pd.DataFrame()
    if field not in spend:
        return pd.Series(np.nan, index=[], dtype="float64")
    spend = situation.in_window(spend, pd.to_datetime(spend["starts_on"]))
    total: pd.Series = spend.groupby(field)["spent_amount"].sum()
    return total


def _share_of_spend(situation: Situation, every: pd.DataFrame, own: pd.DataFrame, field: str) -> pd.Series:
    """The part of every level's spend that the ``own`` leads have of ``every`` lead's number."""
    n = every[field].value_counts()
    share: pd.Series = _spent(situation, field).reindex(n.index) * own[field].value_counts().reindex(n.index) / n
    return share
