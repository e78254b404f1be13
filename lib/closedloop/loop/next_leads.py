"""Whom to call next, and whom to wake up: open records in the order of the score, with what speaks for and against."""

from dataclasses import replace

import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.scores import Score
from closedloop.loop.call_list import RANDOM, listed
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import PersonaSet
from closedloop.loop.prospects import Prospects
from closedloop.loop.records import column
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.periods import EPOCH, FOREVER
from closedloop.market.warehouse import fetched
from closedloop.terms import Moment

_DAYS = ("created_on", "last_touch_on")
_MOST_FOR, _MOST_AGAINST = 2, 1
_KEPT = ("account_id", "rep_id", "status", "stage", "channel", "created_on", "age_days", "last_touch_on")


def next_leads(
    draft: Draft, situation: Situation, prospects: Prospects, score: Score | None, in_force: PersonaSet
) -> None:
    """The list to call, with drawn places, and apart from it those who are known for too long to be called unprepared.

    What was not handed off yet is marketing's and on neither list. Where nobody waits, the leads that come in during
    the period are listed, by what is known of them before they are handed over.
    """
    waiting, is_arriving = _waiting(situation, prospects), False
    if waiting.empty and prospects.table == "leads" and situation.is_dated:
        waiting, is_arriving = _arriving(situation), True
    if waiting.empty:
        draft.missing |= dict.fromkeys(("next_leads", "wake_up"), _why_nobody(situation, prospects))
        return
    waiting = _with_contact(situation, prospects, waiting).sort_values(prospects.key, kind="stable")
    waiting = waiting.assign(persona=in_force.assign(waiting))
    unknown = _known_when_called(situation, prospects) if is_arriving else []
    if score is not None:
        waiting = score.as_usual(waiting, unknown)
    ranked = _ranked(waiting, prospects, score, in_force)
    is_old = ranked["age_days"] > situation.definition.call_list.oldest_days
    to_call = listed(ranked[~is_old], situation.definition.call_list.random_share, situation.rng("slots"))
    to_wake = ranked[is_old].assign(rank=range(1, int(is_old.sum()) + 1))
    if unknown and score is not None:
        score = replace(score, shown_as="rank")  # a chance is for records of which everything is known
    for name, rows in (("next_leads", to_call), ("wake_up", to_wake)):
        if len(rows):
            draft.tables[name] = _told(situation, prospects, score, rows)
    _state(draft, situation, prospects, to_call, to_wake)


def _why_nobody(situation: Situation, prospects: Prospects) -> str:
    """Why the list is empty: nobody is known, everybody is decided, or nobody was handed to sales."""
    n_open = int(_is_open(situation, prospects).sum()) if len(prospects.rows) else 0
    if n_open:
        return f"{n_open:,} {prospects.table} were open when this period was planned; none of them was handed off."
    if len(prospects.rows):
        return (
            f"All {len(prospects.rows):,} {prospects.table} that were known when this period was planned are decided."
        )
    return f"No {prospects.table} were known when this period was planned."


def _state(
    draft: Draft, situation: Situation, prospects: Prospects, to_call: pd.DataFrame, to_wake: pd.DataFrame
) -> None:
    """How long both lists are, how many places were drawn, how old the records are, and how many are marketing's."""
    origin = Origin("03_leads", "next_leads", prospects.table, *situation.span(column(to_call, "created_on")))
    draft.count([{"estimate": len(to_call)}], origin, "n_listed")
    draft.count([{"estimate": (to_call["slot"] == RANDOM).sum(), "n": len(to_call)}], origin, "n_drawn")
    ages = to_call["age_days"].dropna()
    if len(ages) >= LEAST_SHOWN:
        rows = [{"estimate": ages.median(), "n": len(ages)}]
        draft.count(rows, origin, "median_age_days", unit="days")
    if to_call.empty:
        draft.missing["next_leads"] = (
            f"Every open {prospects.table.removesuffix('s')} is known for too long to be called."
        )
    if "handed_off_on" in prospects.rows and "marketing_qualified_on" in prospects.rows:
        is_qualified = prospects.rows["marketing_qualified_on"].notna() & prospects.rows["handed_off_on"].isna()
        draft.count([{"estimate": (_is_open(situation, prospects) & is_qualified).sum()}], origin, "n_to_hand_off")
    if not situation.definition.has_calendar:
        draft.missing["wake_up"] = "The source records no days, so nobody can say who is known for too long."
    else:
        origin = Origin("03_leads", "wake_up", prospects.table, *situation.span(column(to_wake, "created_on")))
        draft.count([{"estimate": len(to_wake)}], origin, "n_wake_up")
        oldest = {"estimate": situation.definition.call_list.oldest_days}
        draft.count([oldest], origin, "oldest_days", unit="days")


def _is_open(situation: Situation, prospects: Prospects) -> "pd.Series[bool]":
    """Which records nobody has decided on: open deals, or leads without an outcome and without a deal."""
    rows = prospects.rows
    if prospects.table == "deals":
        return rows["outcome"] == "open"
    is_open = rows["is_won"].isna() & column(rows, "recycled_on").isna() & column(rows, "disqualified_on").isna()
    if situation.view.has("deals") and "lead_id" in situation.deals:
        is_open &= ~rows["lead_id"].isin(situation.deals["lead_id"].dropna())
    return is_open


def _waiting(situation: Situation, prospects: Prospects) -> pd.DataFrame:
    """Who is with sales on the day: open deals, or open leads that were handed off where that is recorded."""
    rows = prospects.rows
    if rows.empty:
        return rows
    is_open = _is_open(situation, prospects)
    if prospects.table == "leads" and "handed_off_on" in rows:
        is_open &= rows["handed_off_on"].notna()
    return rows[is_open]


def _arriving(situation: Situation) -> pd.DataFrame:
    """Leads that came in during the period, each with the fields known at its hand-off and nothing later."""
    later = situation.warehouse.view(situation.period.end if situation.period.end < FOREVER else FOREVER)
    rows = fetched(later.with_fields("leads", Moment.HANDOFF), "lead_id")
    return rows[rows["created_on"] >= pd.Timestamp(situation.period.start)]


def _known_when_called(situation: Situation, prospects: Prospects) -> list[str]:
    """The score's fields that are not known before a lead is handed over, such as the day on which that happens."""
    before = {*situation.view.inherited(prospects.table, Moment.CREATION), "persona"}
    return [name for name in prospects.fields if name not in before]


def _with_contact(situation: Situation, prospects: Prospects, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the days since they are known (missing for those to come), and the last touch of either team."""
    on = pd.Series(pd.Timestamp(situation.on) if situation.definition.has_calendar else pd.NaT, index=rows.index)
    age = (on - column(rows, "created_on")).dt.days
    last = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")
    touches = fetched(situation.view.known("touches")) if situation.view.has("touches") else pd.DataFrame()
    if len(touches) and {prospects.key, "touched_on"} <= set(touches):
        last = rows[prospects.key].map(touches["touched_on"].groupby(touches[prospects.key]).max())
    return rows.assign(age_days=age.where(age > 0), last_touch_on=last)


def _ranked(waiting: pd.DataFrame, prospects: Prospects, score: Score | None, in_force: PersonaSet) -> pd.DataFrame:
    """Best first: by the score, shrunk but never gated; before there is any by the personas' promises, then newest."""
    newest = waiting.sort_values("created_on", ascending=False, kind="stable") if "created_on" in waiting else waiting
    if score is not None:
        return newest.iloc[score.order(newest[prospects.fields])]
    promise = newest["persona"].map(in_force.deviations())
    return newest.loc[promise.sort_values(ascending=False, kind="stable").index]


def _told(situation: Situation, prospects: Prospects, score: Score | None, rows: pd.DataFrame) -> pd.DataFrame:
    """A list as it is written: record, persona, chance where it is one, reasons and caution, and whatever is known."""
    table = pd.DataFrame({"rank": rows["rank"].to_numpy(), "record_id": rows[prospects.key].to_numpy()})
    table["persona"], table["score"] = rows["persona"].to_numpy(), float("nan")
    is_usable = score is not None and score.verdict == "usable"
    favour, against = _reasons(score, rows[prospects.fields]) if score is not None and is_usable else ([], [])
    table["reasons"] = pd.Series(favour or [[]] * len(rows), dtype=object)
    table["caution"] = pd.Series(against or [[]] * len(rows), dtype=object)
    if score is not None and is_usable and score.shown_as == "probability":
        when = pd.Series(pd.Timestamp(situation.on), index=rows.index) if situation.is_dated else None
        table["score"] = score.predict(rows[prospects.fields], when)
    kept = [name for name in (*_KEPT, *(("slot", "arm_rate") if "slot" in rows else ())) if name in rows]
    told = table.assign(**{name: rows[name].to_numpy() for name in kept})
    return told if situation.definition.has_calendar else _by_position(told)


def _by_position(told: pd.DataFrame) -> pd.DataFrame:
    """The list without days: a market that only has an order knows positions, and one without dates neither."""
    days = [name for name in _DAYS if name in told]
    for name in days:
        positions = (pd.to_datetime(told[name]) - pd.Timestamp(EPOCH)).dt.days.astype("Int64")
        if positions.notna().any():
            told = told.assign(**{name.replace("_on", "_position"): positions})
    return told.drop(columns=[*days, "age_days"], errors="ignore")


def _reasons(score: Score, rows: pd.DataFrame) -> tuple[list[list[list[str]]], list[list[list[str]]]]:
    """What speaks most for each row, its persona apart, and the one thing that speaks most against it.

    As field and level: the market's words for them are for who shows it.
    """
    parts = [[part for part in row if part[0] != "persona"] for row in score.reasons(rows, most=rows.shape[1])]
    favour = [[[field, level] for field, level, points in row if points > 0][:_MOST_FOR] for row in parts]
    against = [[[field, level] for field, level, points in row if points < 0][:_MOST_AGAINST] for row in parts]
    return favour, against
