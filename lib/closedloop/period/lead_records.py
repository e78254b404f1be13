"""Leads as known on the day: how each ended, from when that is recorded, and those that are followed until won."""

from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, meta_of, stacked, typed
from closedloop.market.definition import Definition
from closedloop.period.counting import LEAST_SHOWN, ONLY_WON, column, levels
from closedloop.period.situation import Situation
from closedloop.statistics.recording import Followed, compare_conversions, recorded_days, usual_days
from closedloop.terms import RARE

ALL_DAYS = (pd.Timestamp(1900, 1, 1), pd.Timestamp(2200, 1, 1))  # more than any that a source may hold
OF_ALL_DRAWN = ("qualified_rate", "won_rate")  # of an arm's leads that have had the time, decided on or not
LEAD_HITS = {"accepted_rate": "is_accepted", "won_rate": "is_won"}
CONVERSION, USUAL_DAYS = "usual_conversion_rate", "usual_days"  # of leads, where only won deals are recorded
MESSAGES = ("channel", "campaign")  # what a team chooses for a lead before anybody talks
_DRAWN = ("experiment", "arm")
NOT_FOLLOWED = (
    f"{ONLY_WON} Until then leads can be followed until they are won, where it is recorded when they came "
    "(leads.created_on), and which deal is of which lead (deals.lead_id)."
)
TOO_FEW = f"{ONLY_WON} Until then leads are followed until they are won; fewer than ten were so far."


def first_won(deals: pd.DataFrame, leads: pd.DataFrame) -> pd.Series:
    """The day on which the first deal of each lead was won; missing where none was."""
    return first_day(deals[deals["outcome"] == "won"], "closed_on", leads)


def first_day(deals: pd.DataFrame, name: str, leads: pd.DataFrame) -> pd.Series:
    """The first of the days ``name`` among the deals of each lead; missing where none has one."""
    days = column(deals, name).groupby(deals["lead_id"]).min()
    return pd.to_datetime(days.reindex(leads["lead_id"]).set_axis(leads.index))


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
    ended = first_day(deals[deals["outcome"] != "open"], "closed_on", leads)
    return recorded_between(situation, came(leads), ended)


def has_days(situation: Situation) -> bool:
    """Does the source record days that lie as far apart as they say?"""
    return situation.definition.clock in ("day", "month")


def recorded_between(situation: Situation, start: pd.Series, event: pd.Series) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day on which it is recorded what happens to cases that ``start`` (``recording.recorded_days``)."""
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


def _accepted(frame: pd.DataFrame) -> pd.Series:
    """True once sales accepted a handed-off lead, False once it was given back before that; else missing."""
    handed = column(frame, "handed_off_on").notna()
    if "sales_accepted_on" not in frame:
        return pd.Series(pd.NA, index=frame.index, dtype="boolean")
    accepted = frame["sales_accepted_on"].notna()
    refused = column(frame, "recycled_on").notna() | column(frame, "disqualified_on").notna()
    return accepted.where((accepted | refused) & handed).astype("boolean")


def is_given_up(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Which leads were disqualified, or recycled and not accepted since."""
    recycled_on, accepted_on = column(frame, "recycled_on"), column(frame, "sales_accepted_on")
    return column(frame, "disqualified_on").notna() | (recycled_on.notna() & ~(accepted_on > recycled_on))


def _won(situation: Situation, frame: pd.DataFrame) -> pd.Series:
    """True once a deal of the lead was won, False once its last deal ended otherwise or the lead was given up."""
    given_up = is_given_up(frame)
    if not situation.view.has("deals") or "lead_id" not in situation.deals:
        return pd.Series(pd.NA, index=frame.index, dtype="boolean")
    deals = situation.deals.dropna(subset=["lead_id"])
    of_won = frame["lead_id"].isin(deals.loc[deals["outcome"] == "won", "lead_id"])
    is_won = of_won.where(frame["lead_id"].isin(deals["lead_id"]))
    is_open = frame["lead_id"].isin(deals.loc[deals["outcome"] == "open", "lead_id"])
    decided = (is_won.notna() & (~is_open | is_won.eq(True))) | (is_won.isna() & given_up)
    return is_won.eq(True).where(decided).astype("boolean")


def decided_before(situation: Situation, leads: pd.DataFrame, hit: str) -> pd.Series | None:
    """Which of the leads were decided on a period ago; None where nothing was looked at then."""
    before = situation.previous
    if before is None:
        return None
    known = lead_frame(before)
    return leads["lead_id"].isin(known.loc[known[hit].notna(), "lead_id"])


def handed_off(leads: pd.DataFrame) -> pd.Series:
    """The day that puts a lead into a period: its hand-off, else its creation."""
    return column(leads, "handed_off_on").fillna(column(leads, "created_on"))


def lead_window(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Leads handed off (else created) within the window."""
    return situation.in_window(leads, handed_off(leads))


def control_of(definition: Definition, experiment: str) -> str | None:
    """The arm that the others are compared with, where market.toml declares one."""
    declared = definition.experiments.get(experiment)
    return declared.control if declared else None


class Cohorts(NamedTuple):
    """Leads that were followed from their coming, one row each; ``until``: the days by which they are compared."""

    rows: pd.DataFrame
    leads: Followed
    until: float

    def by(self, situation: Situation) -> pd.DataFrame:
        """The levels that they are compared by: the fields known when they came, and the persona."""
        fields = [f for f in situation.fields("leads") if f in self.rows and f not in _DRAWN]
        return levels(self.rows, fields, RARE).assign(persona=self.rows["persona"])


def cohorts(situation: Situation, frame: pd.DataFrame) -> Cohorts | None:
    """The leads of ``frame`` (as of ``lead_frame``, with the persona) that came in the window or just before it.

    Left out are those that came when no deals were recorded. None where it is not recorded when leads came and were
    won, or fewer than ten were won.
    """
    if not situation.view.has("deals") or not has_days(situation):
        return None
    deals, (_, ends) = situation.deals, deal_records(situation)
    if "lead_id" not in deals:
        return None
    last = min(pd.Timestamp(situation.last_day), ends)
    won_on = first_won(deals, frame)
    is_won = won_on <= last
    seen, days = (last - came(frame)).dt.days, (won_on.where(is_won, last) - came(frame)).dt.days
    is_in = frame["is_followed"] & (seen >= 0) & (days >= 0)
    every = _followed(situation, frame, is_won, days, seen, is_in)
    if every.is_won.sum() < LEAST_SHOWN:
        return None
    until = usual_days(every)
    is_in &= ~(came(frame) < situation.window_start - timedelta(days=until))
    leads = _followed(situation, frame, is_won, days, seen, is_in)
    return Cohorts(frame[is_in], leads, until) if leads.is_won.sum() >= LEAST_SHOWN else None


def _followed(situation: Situation, frame: pd.DataFrame, *parts: pd.Series) -> Followed:
    is_won, days, seen, is_in = parts
    cohort = pd.factorize(situation.names_of(came(frame)[is_in]))[0].astype(np.int64)
    numbers = (part[is_in].to_numpy(dtype=float) for part in (days, seen))
    return Followed(next(numbers), is_won[is_in].to_numpy(dtype=bool), next(numbers), cohort)


def looks(situation: Situation, found: Cohorts, by: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Each level of the columns ``by`` against all leads that came in the same periods."""
    threshold = situation.claims.practical_threshold
    known = came(found.rows) < pd.Timestamp(situation.previous.on) if situation.previous else None
    parts = []
    for name in by:
        table = compare_conversions(
            found.leads, by[name], found.until, least=LEAST_SHOWN, rare=RARE, threshold=threshold
        )
        before = table["level"].map(known.groupby(by[name]).sum()) if known is not None else None
        parts.append(table.assign(field=str(name), n_before=before))
    meta = meta_of(origin, CONVERSION, "rate", "descriptive") | {"subject": "market"}
    return stacked(typed(part.assign(**meta), LOOK_COLUMNS) for part in parts)
