"""What channels and campaigns cost and brought, over all and for every persona."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from closedloop.evidence.claims import COST, Origin
from closedloop.evidence.curves import days_to_most
from closedloop.evidence.money_looks import cost_looks
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
from closedloop.loop.records import ALL_DAYS, column, deal_records, has_days, uncovered
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.warehouse import fetched

COST_PER_WON = COST


@dataclass(frozen=True)
class Matured:
    """Leads that had time to be won, and the money of the same days.

    As many days as the window has, ended early enough that nine of ten won leads of the slowest channel had been won:
    so money without an outcome yet makes no channel look dear. ``leads`` bear the money of their channel and campaign
    evenly (``<field>_amount``): a lead of a channel is taken to cost the same whoever it is.
    """

    leads: pd.DataFrame
    days_to_win: float | None  # None where no dates tell; positions where they only give an order
    span: tuple[str, str]
    left_out: tuple[dict[str, object], ...] = ()  # leads that came when deals or spend were not recorded, as statements

    def totals(self, field: str, persona: str = "") -> pd.DataFrame:
        """Leads, accepted and won ones and money of every level, of all or of one persona; index: the level."""
        rows = self.leads[self.leads["persona"] == persona] if persona else self.leads
        by = rows.groupby(rows[field].astype("str"))
        sums = {name: by[of].sum(min_count=1).astype("float64") for name, of in _SUMMED.items()}
        totals = pd.DataFrame({"n": by.size(), **sums, "spent": by[f"{field}_amount"].sum(min_count=1)})
        return totals.rename_axis("level").sort_values("n", ascending=False, kind="stable")


_SUMMED = {"n_accepted": "is_accepted", "n_won": "is_won"}


def matured(situation: Situation, frame: pd.DataFrame) -> Matured:
    """The leads of ``frame`` (as of ``lead_frame``) that had time to be won, with their part of the spend."""
    born = column(frame, "created_on").fillna(handed_off(frame))
    wait = _days_to_win(situation, frame, born)
    shift = timedelta(days=wait or 0)
    first, until = situation.window_start - shift, pd.Timestamp(situation.on) - shift if wait is not None else None
    is_in = ~(born < first) & (True if until is None else ~(born >= until))
    left_out: list[dict[str, object]] = []
    for table, (begins, ends) in (("deals", deal_records(situation)), ("spend", _spend_records(situation))):
        left_out += uncovered(born[is_in], begins, ends, table)
        is_in &= ~(born < begins) & ~(born > ends)
        first, until = max(first, begins), until if until is None else min(until, ends + timedelta(days=1))
    part = frame[is_in]
    for field in (name for name in MESSAGES if name in part):
        price = _spent(situation, field, first, until) / part[field].value_counts()
        part = part.assign(**{f"{field}_amount": part[field].map(price).astype("float64")})
    return Matured(part, wait, situation.span(born[is_in]), tuple(left_out))


def _days_to_win(situation: Situation, frame: pd.DataFrame, born: pd.Series) -> float | None:
    """Days from a lead's coming within which nine of ten won ones were won, of the channel that takes longest."""
    if not situation.is_dated or not situation.view.has("deals") or "lead_id" not in situation.deals:
        return None
    deals = situation.deals
    ended = deals[deals["outcome"] == "won"].groupby("lead_id")["closed_on"].min()
    won_on = ended.reindex(frame["lead_id"]).set_axis(frame.index)
    days = (won_on.fillna(pd.Timestamp(situation.on)) - born).dt.days
    known = days[(days >= 0) & frame["is_followed"]]
    outcome = pd.Series(np.where(won_on.notna(), "won", "open"), index=frame.index)[known.index]
    channel = column(frame, "channel").astype("str")[known.index]
    n_won = channel[outcome == "won"].value_counts()
    names = n_won[n_won >= LEAST_SHOWN].index
    waits = [days_to_most(known[channel == name], outcome[channel == name]) for name in names]
    longest = max(waits, default=days_to_most(known, outcome))
    return longest if np.isfinite(longest) else None


def _spend_records(situation: Situation) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day that spend is recorded for, of any channel; the ends of time where no days are known."""
    spend = fetched(situation.view.known("spend")) if situation.view.has("spend") else pd.DataFrame()
    if spend.empty or not has_days(situation):
        return ALL_DAYS
    starts, ends = pd.to_datetime(spend["starts_on"]), pd.to_datetime(column(spend, "ends_on"))
    return starts.min(), ends.fillna(starts).clip(lower=starts).max()


def _spent(situation: Situation, field: str, first: pd.Timestamp, until: pd.Timestamp | None) -> pd.Series:
    """What every level of a field cost from the day ``first`` to the day before ``until``, day by day.

    Empty where spend is not recorded by that field; without ``until`` all that is known.
    """
    spend = fetched(situation.view.known("spend")) if situation.view.has("spend") else pd.DataFrame()
    if field not in spend:
        return pd.Series(np.nan, index=[], dtype="float64")
    amount = spend["spent_amount"].astype("float64")
    if until is not None:
        starts = pd.to_datetime(spend["starts_on"])
        ends = pd.to_datetime(column(spend, "ends_on")).fillna(starts).clip(lower=starts) + timedelta(days=1)
        known, left = starts.to_numpy(), np.minimum(ends.to_numpy(), np.datetime64(situation.on))  # no later money
        inside = np.minimum(left, np.datetime64(until)) - np.maximum(known, np.datetime64(first))
        amount = amount * np.clip(inside / (left - known), 0.0, None)
    total: pd.Series = amount.groupby(spend[field]).sum()
    return total[total > 0]


def channels(draft: Draft, situation: Situation, grown: Matured) -> None:
    """What each channel cost and brought, and whether a won deal costs less there than in the others."""
    if not situation.holds("spend"):
        draft.missing["cost"] = (
            "No spend is recorded, so the cost of an accepted lead or a won deal is unknown. "
            "Collect `spend` per channel and month."
        )
    if "channel" not in grown.leads or (grown.leads["channel"].value_counts() >= LEAST_SHOWN).sum() < 2:
        several = "channel" in grown.leads and grown.leads["channel"].nunique() > 1
        draft.missing["channels"] = _TOO_FEW if several else _NO_CHANNEL
        return
    origin = Origin("03_leads", "channels", "leads", *grown.span)
    has_days = grown.days_to_win is not None and situation.definition.has_calendar
    if has_days and grown.leads["is_won"].sum() >= LEAST_SHOWN:
        draft.count([{"estimate": grown.days_to_win, "n": len(grown.leads)}], origin, "days_to_win", unit="days")
    for row in grown.left_out:
        draft.count([row], origin._replace(source_table=str(row["table"])), "n_uncounted")
    totals = grown.totals("channel")
    _state(draft, totals, "channel", origin)
    spent = _rows(totals, "channel", estimate=totals["spent"])
    draft.count(spent, origin._replace(source_table="spend"), "spent_amount", unit="amount")
    draft.looks.append(_looks(totals, origin))


_NO_CHANNEL = "The leads that had time to be won record fewer than two channels: collect `leads.channel`."
_TOO_FEW = "Fewer than two channels had ten leads that had time to be won: collect leads of earlier periods as well."


def within_personas(draft: Draft, situation: Situation, frame: pd.DataFrame, grown: Matured) -> None:
    """For every persona, which channels and campaigns bring leads that sales accepts, and what a won deal costs."""
    part = lead_window(situation, frame)
    by, first_last = lead_levels(situation, part), situation.span(handed_off(part))
    origin = Origin("03_leads", "persona_channels", "leads", *first_last)
    strata, threshold = situation.names_of(handed_off(part)), situation.claims.practical_threshold
    for persona, told in persona_levels(by[part["is_accepted"].notna()]):
        mine = part.loc[told.index]
        before = decided_before(situation, mine, "is_accepted")
        table = counts(told, list(told.columns), mine["is_accepted"], strata[told.index], is_before=before)
        draft.looks.append(shown_rates(table, origin, "persona_accepted_rate", threshold, persona=persona))
    origin = Origin("03_leads", "persona_channels", "leads", *grown.span)
    for persona in _compared_personas(grown):
        for field in (name for name in MESSAGES if name in grown.leads):
            totals = grown.totals(field, persona)
            _state(draft, totals, field, origin, persona)
            if field == "channel":
                draft.looks.append(_looks(totals, origin, persona))
            else:
                draft.estimate(_costs(totals, field, "n_won"), origin, COST_PER_WON, unit="amount", subject=persona)
    if not (by.columns.isin(MESSAGES).any() and by["persona"].nunique() > 1):
        draft.missing["persona_channels"] = (
            "Channels cannot be compared by persona: collect `leads.channel` and `leads.campaign`, and fields by which "
            "leads are told apart."
        )


def _compared_personas(grown: Matured) -> list[str]:
    """The personas whose costs are told; one for everyone is the whole market."""
    sizes = grown.leads["persona"].value_counts()
    return sorted(map(str, sizes[sizes >= LEAST_SHOWN].index)) if len(sizes) > 1 else []


def spending(grown: Matured) -> dict[str, pd.DataFrame]:
    """All that is compared by cost: the channels of the whole market, and those of each persona."""
    if "channel" not in grown.leads:
        return {}
    personas = {name: grown.totals("channel", name) for name in _compared_personas(grown)}
    return {"market": grown.totals("channel"), **personas}


def _looks(totals: pd.DataFrame, origin: Origin, subject: str = "market") -> pd.DataFrame:
    """The cost of a won deal of every channel against the others."""
    rows = totals.rename(columns={"n_won": "k"}).fillna({"k": 0.0}).reset_index().assign(field="channel")
    return cost_looks(rows, origin, measure=COST_PER_WON, subject=subject, least=LEAST_SHOWN)


def _state(draft: Draft, totals: pd.DataFrame, field: str, origin: Origin, subject: str = "market") -> None:
    """Leads, accepted and won ones, and the cost of an accepted lead."""
    for measure in ("n_leads", "n_accepted", "n_won"):
        told = totals["n" if measure == "n_leads" else measure]
        draft.count(_rows(totals, field, estimate=told), origin, measure, subject=subject)
    costs = _costs(totals, field, "n_accepted")
    draft.estimate(costs, origin, "cost_per_accepted_amount", unit="amount", subject=subject)


def _rows(totals: pd.DataFrame, field: str, **figures: pd.Series) -> pd.DataFrame:
    """A statement's rows, one a level of ten leads or more; what is not known is not stated."""
    rows = totals[["n"]].assign(**figures).reset_index().assign(field=field)
    return rows[rows["estimate"].notna() & (rows["n"] >= LEAST_SHOWN)]


def _costs(totals: pd.DataFrame, field: str, hit: str) -> pd.DataFrame:
    """Spend over successes; its interval is that of the rate of success among the leads (Wilson), the spend given."""
    k, n, spent = totals[hit].fillna(0), totals["n"], totals["spent"].where(totals[hit] > 0)
    low, high = wilson(k, n)
    return _rows(totals, field, estimate=spent / k, low=spent / (n * high), high=spent / (n * low))
