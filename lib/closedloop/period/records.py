"""Records that several notebooks read: decided deals, leads with their fate, the sample that is cut into segments."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from closedloop.period.situation import Situation
from closedloop.statistics.recording import recorded_days

ALL_DAYS = (pd.Timestamp(1900, 1, 1), pd.Timestamp(2200, 1, 1))  # more than any that a source may hold
ONLY_WON = (
    "Only won deals are recorded, so no win rate can be told. Record lost deals as well, with outcome `lost` and the "
    "day on which they ended (deals.outcome, deals.closed_on)."
)


@dataclass(frozen=True)
class Sample:
    """The rows that are cut into segments: from which table, and the columns that are cut by.

    ``n_without_weight``: answers of a weighted survey that are left out, as nobody knows how many people they are of.
    """

    source: str
    rows: pd.DataFrame
    items: list[str]
    held_apart: list[str]
    n_without_weight: int = 0

    @property
    def weights(self) -> pd.Series | None:
        """What each respondent counts, of which only the ratios matter; None where all rows count the same."""
        if self.source != "respondents" or "weight" not in self.rows:
            return None
        found = self.rows["weight"].astype(float)
        return found if found.nunique() > 1 else None


def won(deals: pd.DataFrame) -> pd.Series:
    """True for won, False for lost, missing for no decision and open: what the narrow win rate counts.

    Missing for all where lost deals are not recorded (``tells_lost``, as of ``Situation.deals``; taken to be recorded
    where that column is not there).
    """
    is_decided = deals["outcome"].isin(["won", "lost"]) & deals.get("tells_lost", True)
    return (deals["outcome"] == "won").where(is_decided).astype("boolean")


def as_numbers(flags: pd.Series) -> pd.Series:
    """A flag as 1, 0 or missing."""
    return flags.astype("Float64").astype("float64")


def first_won(deals: pd.DataFrame, leads: pd.DataFrame) -> pd.Series:
    """The day on which the first deal of each lead was won; missing where none was."""
    won_on = deals[deals["outcome"] == "won"].groupby("lead_id")["closed_on"].min()
    return won_on.reindex(leads["lead_id"]).set_axis(leads.index)


@lru_cache(maxsize=4)  # several verbs read the same leads
def lead_frame(situation: Situation) -> pd.DataFrame:
    """Leads as known on the day, with inherited fields, ``is_accepted`` and ``is_won`` (missing while undecided).

    ``is_followed``: did it come while deals were recorded? If not, ``is_won`` is missing.
    """
    frame = _known_leads(situation)
    begins, ends = deal_records(situation)
    is_followed = ~(came(frame) < begins) & ~(came(frame) > ends)
    is_won = _won(situation, frame).where(is_followed)
    return frame.assign(is_accepted=_accepted(frame), is_won=is_won, is_followed=is_followed)


@lru_cache(maxsize=4)
def _known_leads(situation: Situation) -> pd.DataFrame:
    return situation.with_fields("leads", "lead_id")


@lru_cache(maxsize=4)
def deal_records(situation: Situation) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day on which it is recorded how leads end as deals; the ends of time where that is all along."""
    if not has_days(situation) or not situation.view.has("leads", "deals") or "lead_id" not in situation.deals:
        return ALL_DAYS
    leads, deals = _known_leads(situation), situation.deals
    ended = deals[deals["outcome"] != "open"].groupby("lead_id")["closed_on"].min()
    return recorded_between(situation, came(leads), ended.reindex(leads["lead_id"]).set_axis(leads.index))


def has_days(situation: Situation) -> bool:
    """Does the source record days that lie as far apart as they say?"""
    return situation.definition.clock in ("day", "month")


def recorded_between(situation: Situation, start: pd.Series, event: pd.Series) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day on which it is recorded what happens to cases that ``start`` (``evidence.coverage``)."""
    zero, day = pd.Timestamp(situation.last_day), pd.Timedelta(days=1)
    first, last = recorded_days((start - zero) / day, (event - zero) / day, 0)
    begins = zero + first * day if np.isfinite(first) else ALL_DAYS[0]
    return begins, zero + last * day if np.isfinite(last) else ALL_DAYS[1]


def uncovered(days: pd.Series, begins: pd.Timestamp, ends: pd.Timestamp, table: str) -> list[dict[str, object]]:
    """Statements of how many cases fall on days before or after those on which ``table`` was recorded."""
    outside = {"recorded_from": (begins, days < begins), "recorded_until": (ends, days > ends)}
    return [
        {"field": name, "level": f"{day:%Y-%m-%d}", "subject": table, "table": table, "estimate": int(is_out.sum())}
        for name, (day, is_out) in outside.items()
        if is_out.any()
    ]


def came(leads: pd.DataFrame) -> pd.Series:
    """The day on which each lead came: its creation, else its hand-off."""
    return column(leads, "created_on").fillna(column(leads, "handed_off_on"))


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """A column of dates; all missing where the source does not record it."""
    return frame[name] if name in frame else pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us]")


def _accepted(frame: pd.DataFrame) -> pd.Series:
    """True once sales accepted a handed-off lead, False once it was given back before that; else missing."""
    handed = column(frame, "handed_off_on").notna()
    if "sales_accepted_on" not in frame:
        return pd.Series(pd.NA, index=frame.index, dtype="boolean")
    accepted = frame["sales_accepted_on"].notna()
    refused = column(frame, "recycled_on").notna() | column(frame, "disqualified_on").notna()
    return accepted.where((accepted | refused) & handed).astype("boolean")


def _won(situation: Situation, frame: pd.DataFrame) -> pd.Series:
    """True once a deal of the lead was won, False once its last deal ended otherwise or the lead was given up."""
    given_up = column(frame, "disqualified_on").notna() | column(frame, "recycled_on").notna()
    if not situation.view.has("deals") or "lead_id" not in situation.deals:
        return pd.Series(pd.NA, index=frame.index, dtype="boolean")
    deals = situation.deals.dropna(subset=["lead_id"])
    of_won = frame["lead_id"].isin(deals.loc[deals["outcome"] == "won", "lead_id"])
    is_won = of_won.where(frame["lead_id"].isin(deals["lead_id"]))
    is_open = frame["lead_id"].isin(deals.loc[deals["outcome"] == "open", "lead_id"])
    decided = (is_won.notna() & (~is_open | is_won.eq(True))) | (is_won.isna() & given_up)
    return is_won.eq(True).where(decided).astype("boolean")


def decided(situation: Situation) -> pd.DataFrame:
    """Every deal known to be won or lost, by the day it closed."""
    return by_close(situation.deals)


def by_close(deals: pd.DataFrame) -> pd.DataFrame:
    """Those of the deals that were won or lost, by the day they closed, with ``is_won``."""
    decided_ones = deals[won(deals).notna()]
    return decided_ones.sort_values(["closed_on", "deal_id"], kind="stable", ignore_index=True).assign(
        is_won=lambda d: d["outcome"] == "won"
    )
