"""Leads that had time to be won, and the money of the same days: what costs are counted on."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from closedloop.evidence.curves import days_to_most
from closedloop.evidence.rates import wilson
from closedloop.loop.comparisons import MESSAGES, handed_off
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.records import ALL_DAYS, column, deal_records, has_days, uncovered
from closedloop.loop.situation import Situation


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
        rows = self.of(persona)
        by = rows.groupby(rows[field].astype("str"))
        sums = {name: by[of].sum(min_count=1).astype("float64") for name, of in _SUMMED.items()}
        totals = pd.DataFrame({"n": by.size(), **sums, "spent": by[f"{field}_amount"].sum(min_count=1)})
        return totals.rename_axis("level").sort_values("n", ascending=False, kind="stable")

    def of(self, persona: str) -> pd.DataFrame:
        """The leads of one persona; of all without a name."""
        return self.leads[self.leads["persona"] == persona] if persona else self.leads

    @property
    def personas(self) -> list[str]:
        """The personas whose costs are told; one for everyone is the whole market."""
        sizes = self.leads["persona"].value_counts()
        return sorted(map(str, sizes[sizes >= LEAST_SHOWN].index)) if len(sizes) > 1 else []


_SUMMED = {"n_accepted": "is_accepted", "n_won": "is_won"}


def matured(situation: Situation, leads: pd.DataFrame, spend: pd.DataFrame) -> Matured:
    """The ``leads`` (of ``records.lead_frame``, with persona) that had time to be won, and their part of ``spend``."""
    born = column(leads, "created_on").fillna(handed_off(leads))
    wait = _days_to_win(situation, leads, born)
    shift = timedelta(days=wait or 0)
    first, until = situation.window_start - shift, pd.Timestamp(situation.on) - shift if wait is not None else None
    is_in = ~(born < first) & (True if until is None else ~(born >= until))
    left_out: list[dict[str, object]] = []
    for table, (begins, ends) in (("deals", deal_records(situation)), ("spend", _recorded(situation, spend))):
        left_out += uncovered(born[is_in], begins, ends, table)
        is_in &= ~(born < begins) & ~(born > ends)
        first, until = max(first, begins), until if until is None else min(until, ends + timedelta(days=1))
    part = leads[is_in]
    for field in (name for name in MESSAGES if name in part):
        price = _spent(situation, spend, field, first, until) / part[field].value_counts()
        part = part.assign(**{f"{field}_amount": part[field].map(price).astype("float64")})
    return Matured(part, wait, situation.span(born[is_in]), tuple(left_out))


def _days_to_win(situation: Situation, leads: pd.DataFrame, born: pd.Series) -> float | None:
    """Days from a lead's coming within which nine of ten won ones were won, of the channel that takes longest."""
    if not situation.is_dated or not situation.view.has("deals") or "lead_id" not in situation.deals:
        return None
    deals = situation.deals
    ended = deals[deals["outcome"] == "won"].groupby("lead_id")["closed_on"].min()
    won_on = ended.reindex(leads["lead_id"]).set_axis(leads.index)
    days = (won_on.fillna(pd.Timestamp(situation.on)) - born).dt.days
    known = days[(days >= 0) & leads["is_followed"]]
    outcome = pd.Series(np.where(won_on.notna(), "won", "open"), index=leads.index)[known.index]
    channel = column(leads, "channel").astype("str")[known.index]
    n_won = channel[outcome == "won"].value_counts()
    names = n_won[n_won >= LEAST_SHOWN].index
    waits = [days_to_most(known[channel == name], outcome[channel == name]) for name in names]
    longest = max(waits, default=days_to_most(known, outcome))
    return longest if np.isfinite(longest) else None


def _recorded(situation: Situation, spend: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day that spend is recorded for, of any channel; the ends of time where no days are known."""
    if spend.empty or not has_days(situation):
        return ALL_DAYS
    starts, ends = pd.to_datetime(spend["starts_on"]), pd.to_datetime(column(spend, "ends_on"))
    return starts.min(), ends.fillna(starts).clip(lower=starts).max()


def _spent(
    situation: Situation, spend: pd.DataFrame, field: str, first: pd.Timestamp, until: pd.Timestamp | None
) -> pd.Series:
    """What every level of a field cost from the day ``first`` to the day before ``until``, day by day.

    Empty where spend is not recorded by that field; without ``until`` all that is known.
    """
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


def stated(totals: pd.DataFrame, field: str, **figures: pd.Series) -> pd.DataFrame:
    """A statement's rows, one a level of ten leads or more; what is not known is not stated."""
    rows = totals[["n"]].assign(**figures).reset_index().assign(field=field)
    return rows[rows["estimate"].notna() & (rows["n"] >= LEAST_SHOWN)]


def costs(totals: pd.DataFrame, field: str, hit: str) -> pd.DataFrame:
    """Spend over successes; its interval is that of the rate of success among the leads (Wilson), the spend given."""
    k, n, spent = totals[hit].fillna(0), totals["n"], totals["spent"].where(totals[hit] > 0)
    low, high = wilson(k, n)
    return stated(totals, field, estimate=spent / k, low=spent / (n * high), high=spent / (n * low))
