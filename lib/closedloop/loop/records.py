"""Records that several steps read: decided deals, leads with their fate, and the sample that is cut into segments."""

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from closedloop.loop.situation import Situation
from closedloop.market.warehouse import fetched
from closedloop.terms import Moment


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
    """True for won, False for lost, missing for no decision and open: what the narrow win rate counts."""
    return (deals["outcome"] == "won").where(deals["outcome"].isin(["won", "lost"])).astype("boolean")


@lru_cache(maxsize=4)  # several steps of a moment read the same leads
def lead_frame(situation: Situation) -> pd.DataFrame:
    """Leads as known on the day, with inherited fields, ``is_accepted`` and ``is_won`` (missing while undecided)."""
    frame = fetched(situation.view.with_fields("leads", Moment.CLOSE), "lead_id")
    dates = [c for c in frame.columns if c.endswith("_on")]
    frame = frame.assign(**{c: pd.to_datetime(frame[c]) for c in dates})
    return frame.assign(is_accepted=_accepted(frame), is_won=_won(situation, frame))


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
    deals = situation.deals[won(situation.deals).notna()]
    return deals.sort_values(["closed_on", "deal_id"], kind="stable", ignore_index=True).assign(
        is_won=lambda d: d["outcome"] == "won"
    )
