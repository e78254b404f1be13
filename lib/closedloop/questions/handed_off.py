"""Leads that were handed off in a period, whether sales took them, and how soon sales touched them."""

from functools import lru_cache

import numpy as np
import pandas as pd

from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.records import ALL_DAYS, has_days, lead_frame, recorded_between
from closedloop.loop.situation import Situation
from closedloop.market.warehouse import fetched
from closedloop.questions.answer import Answer

_COLLECT = "Collect `leads` with their hand-off, acceptance and rejection, and `touches`."


def handed_off(answer: Answer) -> pd.DataFrame:
    """The leads among the answer's that were handed off in the period; none, and the answer says why, where too few.

    ``touch_days``: from hand-off to the first touch by sales, missing while there is none; ``is_covered``: did it lie
    within the days for which touches are recorded?
    """
    leads, situation = answer.rows, answer.now.situation
    if not situation.view.has("leads"):
        answer.missing[answer.section] = f"No leads are recorded. {_COLLECT}"
        return leads.head(0)
    if "handed_off_on" not in leads or "sales_accepted_on" not in leads:
        answer.missing[answer.section] = f"The source records no dates of hand-off and sales acceptance. {_COLLECT}"
        return leads.head(0)
    if not answer.is_recorded and len(leads):
        answer.missing[answer.section] = (
            "These rows are no leads of the open period, so nobody knows their touches: choose rows of now.leads() and "
            "keep their index."
        )
        return leads.head(0)
    cohort = leads[situation.in_period(leads["handed_off_on"])]
    if len(cohort) < LEAST_SHOWN:
        answer.missing[answer.section] = "Fewer than ten leads were handed off in this period so far: too few to show."
        return leads.head(0)
    days, begins, ends = touch_days(situation)
    handed = cohort["handed_off_on"]
    return cohort.assign(touch_days=days.reindex(cohort.index), is_covered=~(handed < begins) & ~(handed > ends))


def accepted_rate(cohort: pd.DataFrame) -> list[dict[str, object]]:
    """The share of the decided leads that sales accepted, as a statement; none of fewer than ten."""
    decided = cohort["is_accepted"].dropna()
    return rates([("", decided.sum(), len(decided))], "")


@lru_cache(maxsize=2)  # asked for by every question about the hand-off
def sales_touches(situation: Situation) -> pd.DataFrame:
    """The touches of sales with a lead: lead_id and touched_on; none where the source records no such touch."""
    touches = fetched(situation.view.known("touches")) if situation.view.has("touches") else pd.DataFrame()
    sales = touches.reindex(columns=["lead_id", "touched_on", "from_team"]).query("from_team == 'sales'")
    return sales.assign(touched_on=pd.to_datetime(sales["touched_on"])).dropna(subset=["lead_id"])


@lru_cache(maxsize=2)
def touch_days(situation: Situation) -> tuple[pd.Series, pd.Timestamp, pd.Timestamp]:
    """Days from hand-off to the first sales touch of every lead, and the first and last day of the records.

    Missing: never touched so far.
    """
    leads, sales = lead_frame(situation), sales_touches(situation)
    if sales.empty:
        return pd.Series(np.nan, index=leads.index), *ALL_DAYS
    joined = leads[["lead_id", "handed_off_on"]].reset_index().merge(sales[["lead_id", "touched_on"]], on="lead_id")
    after = joined[joined["touched_on"] >= joined["handed_off_on"]]
    first = after.groupby("index")["touched_on"].min().reindex(leads.index)
    recorded = recorded_between(situation, leads["handed_off_on"], first) if has_days(situation) else ALL_DAYS
    return (first - leads["handed_off_on"]).dt.days, *recorded
