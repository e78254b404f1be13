"""What became of the leads that experiments drew: every outcome that the market records, alike for all arms."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd

from closedloop.evidence.amounts import MOST_OF_ALL
from closedloop.evidence.curves import days_to_most
from closedloop.loop.comparisons import handed_off
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.records import as_numbers, column, first_won
from closedloop.loop.situation import Situation
from closedloop.market.periods import FOREVER
from closedloop.questions.call_list import CALL_LIST

AMOUNT = "won_amount_per_lead"
_DAYS = {"accepted_rate": "sales_accepted_on", "qualified_rate": "sales_qualified_on"}
_STATUSES = {"accepted_rate": ("sales_accepted", "sales_qualified"), "qualified_rate": ("sales_qualified",)}


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment's leads in one respect; the series have the leads' index.

    ``hit``: 1, 0, or missing while nobody can tell. ``days``: what every counted lead had to get there; None where
    leads count as they were decided, or as far as they have come. ``amount``: money won, 0 where nothing is; None
    where no amounts are recorded.
    """

    measure: str
    hit: pd.Series
    days: float | None = None
    amount: pd.Series | None = None

    def by_arm(self, leads: pd.DataFrame) -> pd.DataFrame:
        """Level, k and n of every arm of which ten leads or more are told."""
        known = pd.DataFrame({"level": leads["arm"].astype("str"), "hit": self.hit}).dropna()
        table = known.groupby("level")["hit"].agg(k="sum", n="count").reset_index().astype({"k": float})
        return table[table["n"] >= LEAST_SHOWN].reset_index(drop=True)

    def brought(self, leads: pd.DataFrame) -> pd.DataFrame:
        """Level and amount of each told lead of such an arm; empty where means of amounts would say nothing.

        That is so with fewer than ten paying leads in an arm, or where one brought more than a third of all.
        """
        amount = self.hit * (0.0 if self.amount is None else self.amount)
        rows = pd.DataFrame({"level": leads["arm"].astype("str"), "amount": amount}).dropna()
        rows = rows[rows["level"].isin(self.by_arm(leads)["level"])]
        n_paying = (rows["amount"] > 0).groupby(rows["level"]).sum().min()
        is_fit = n_paying >= LEAST_SHOWN and rows["amount"].max() <= MOST_OF_ALL * rows["amount"].sum()
        return rows if is_fit else rows.head(0)


def experiments(leads: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The leads of every experiment whose arms were drawn; the list to call has places that were ranked."""
    if {"experiment", "arm"} <= set(leads):
        drawn = leads.dropna(subset=["experiment", "arm"])
        for name, part in drawn[drawn["experiment"] != CALL_LIST].groupby("experiment"):
            yield str(name), part


def outcomes(situation: Situation, leads: pd.DataFrame) -> list[Outcome]:
    """Every outcome that is known of an experiment's ``leads`` (as of ``lead_frame``) and that any of them had.

    Accepted: of the leads that sales decided on, where it gave some back. Else within the days that nine of ten needed
    who got there, of all leads that are at least as old: who is too young counts in no arm. Where no day is recorded,
    as far as all leads have come; who has an open deal is left out.
    """
    found = {measure: Outcome(measure, hit) for measure, hit in _so_far(situation, leads).items()}
    if situation.is_dated:
        born = column(leads, "created_on").fillna(handed_off(leads))
        timed = {measure: _in_time(situation, measure, born, day) for measure, day in _days(situation, leads).items()}
        found |= {measure: outcome for measure, outcome in timed.items() if outcome is not None}
    if leads["is_accepted"].nunique() > 1:
        found["accepted_rate"] = Outcome("accepted_rate", as_numbers(leads["is_accepted"]))
    if "won_rate" in found:
        found["won_rate"] = replace(found["won_rate"], amount=_amounts(situation, leads))
    return [outcome for outcome in found.values() if (outcome.hit > 0).any()]


def _deals(situation: Situation) -> pd.DataFrame:
    """Deals that lead back to a lead."""
    known = situation.deals if situation.view.has("deals") else pd.DataFrame()
    return known.dropna(subset=["lead_id"]) if "lead_id" in known else pd.DataFrame()


def _so_far(situation: Situation, leads: pd.DataFrame) -> dict[str, pd.Series]:
    """For every outcome that is recorded who has come so far, as 1, 0 or missing."""
    found: dict[str, pd.Series] = {}
    if "status" in leads and not any(day in leads for day in _DAYS.values()):
        told = leads["status"].notna()
        found |= {name: as_numbers(leads["status"].isin(there).where(told)) for name, there in _STATUSES.items()}
    found |= {name: leads[day].notna().astype(float) for name, day in _DAYS.items() if day in leads}
    deals = _deals(situation)
    if len(deals):
        is_won, is_open = (
            leads["lead_id"].isin(deals.loc[deals["outcome"] == outcome, "lead_id"]) for outcome in ("won", "open")
        )
        found["won_rate"] = as_numbers(is_won.where(is_won | ~is_open))
    return found


def _days(situation: Situation, leads: pd.DataFrame) -> dict[str, pd.Series]:
    """For every outcome with recorded days the one on which each lead got there."""
    found = {name: leads[day] for name, day in _DAYS.items() if day in leads}
    deals = _deals(situation)
    if len(deals) and deals["closed_on"].notna().any():
        found["won_rate"] = first_won(deals, leads)
    return found


def _in_time(situation: Situation, measure: str, born: pd.Series, reached: pd.Series) -> Outcome | None:
    """Who got there in time, of those who had it; None where no lead has both days."""
    today = pd.Timestamp(situation.on) if situation.on < FOREVER else max(born.max(), reached.max())
    age = (reached.fillna(today) - born).dt.days
    known = age >= 0
    days = days_to_most(age[known], np.where(reached[known].notna(), "won", "open"))
    if not np.isfinite(days):
        return None
    is_old = known & (born + timedelta(days=days) <= today)
    return Outcome(measure, (reached.notna() & (age <= days)).astype(float).where(is_old), days)


def _amounts(situation: Situation, leads: pd.DataFrame) -> pd.Series | None:
    """What the won deals of each lead brought; None where no amount is recorded."""
    deals = _deals(situation)
    if "won_amount" not in deals or deals["won_amount"].isna().all():
        return None
    paid = deals[deals["outcome"] == "won"].groupby("lead_id")["won_amount"].sum().astype(float)
    return paid.reindex(leads["lead_id"]).fillna(0.0).set_axis(leads.index)
