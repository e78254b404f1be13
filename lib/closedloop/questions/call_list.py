"""Whom to call first, with places for records that are drawn, and whom to wake up before anybody calls."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from closedloop.documents import numbers
from closedloop.documents.findings import first, value
from closedloop.documents.pieces import Piece, Sentence, stating
from closedloop.documents.tables import record_table
from closedloop.errors import ParameterError
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.records import column
from closedloop.loop.step import as_csv, replace_file
from closedloop.questions.answer import Answer
from closedloop.questions.evidence import Evidence
from closedloop.questions.period import opened
from closedloop.questions.scores import Scored, score_verdict
from closedloop.questions.waiting import Waiting

CALL_LIST = "call-list"  # how the list is called in leads.experiment, where a CRM logs it
RANKED, RANDOM = "ranked", "random"
LIST_LENGTH = 200
_FILES = {"next_leads": "call-list.csv", "wake_up": "wake-up-list.csv"}
_MOST_TO_WAKE = 5
_NO_DAYS = "The source records no days, so nobody can say who is known for too long."


def call_list(
    scored: Answer,
    *,
    capacity: int | None = None,
    drawn_share: float | None = None,
    oldest_days: int | None = None,
) -> Answer:
    """The open records that sales has in hand, in the order of the score: ``capacity`` (200) places; whom to wake up.

    ``drawn_share`` of the places go to records drawn by lot from all that are not ranked onto the list, so that another
    order can be judged later (Horvitz & Thompson, 1952). Who is known for more than ``oldest_days`` is not called but
    woken up first: a list of its own, in the same order, of which nobody is drawn. Both are market.toml's unless given.
    ``scored``: the answer of ``score``. The closing writes call-list.csv and wake-up-list.csv for the CRM.
    """
    now, places = opened(), LIST_LENGTH if capacity is None else capacity
    share = now.definition.call_list.random_share if drawn_share is None else drawn_share
    oldest = now.definition.call_list.oldest_days if oldest_days is None else oldest_days
    if not 0 <= share <= 0.5 or places < 1:
        raise ParameterError(
            f"drawn_share = {share}, capacity = {places}; allowed: a share from 0 to 0.5, a capacity of 1 or more"
        )
    if oldest < 1:
        raise ParameterError(f"oldest_days = {oldest}; allowed: 1 or more")
    answer = now.ask("call_list", "next_leads", scored.rows, scored.table_name, _show, among=scored.among,
                     **scored.arguments, capacity=places, drawn_share=share, oldest_days=oldest)  # fmt: skip
    answer.headline = partial(_headline, scored)
    answer.leave = partial(_write, answer)
    found: Scored = scored.fitted
    waiting = Waiting(now.situation, found.prospects, found.model, now.personas)
    if waiting.ranked.empty:
        answer.missing |= dict.fromkeys(_FILES, waiting.why_nobody)
        return answer
    is_old = waiting.ranked["age_days"] > oldest
    _call(answer, waiting, listed(waiting.ranked[~is_old], share, now.situation.rng("slots"), places))
    _wake_up(answer, waiting, waiting.ranked[is_old], oldest)
    return answer


def _call(answer: Answer, waiting: Waiting, called: pd.DataFrame) -> None:
    """The list to call, and how long it is."""
    origin = answer.origin(column(called, "created_on"))
    answer.count([{"estimate": len(called)}], origin, "n_listed")
    answer.count([{"estimate": (called["slot"] == RANDOM).sum(), "n": len(called)}], origin, "n_drawn")
    ages = called["age_days"].dropna()
    if len(ages) >= LEAST_SHOWN:
        answer.count([{"estimate": ages.median(), "n": len(ages)}], origin, "median_age_days", unit="days")
    rows = waiting.prospects.rows
    if "handed_off_on" in rows and "marketing_qualified_on" in rows:
        is_qualified = rows["marketing_qualified_on"].notna() & rows["handed_off_on"].isna()
        answer.count([{"estimate": (waiting.is_open & is_qualified).sum()}], origin, "n_to_hand_off")
    if called.empty:
        record = waiting.prospects.table.removesuffix("s")
        answer.missing["next_leads"] = f"Every open {record} is known for too long to be called."
    else:
        answer.tables["next_leads"] = waiting.listed(called)


def _wake_up(answer: Answer, waiting: Waiting, old: pd.DataFrame, oldest: int) -> None:
    """The list of those who are known for too long: a call would come unprepared."""
    if not answer.now.definition.has_calendar:
        answer.missing["wake_up"] = _NO_DAYS
        return
    origin = answer.origin(column(old, "created_on"), section="wake_up")
    answer.count([{"estimate": len(old)}], origin, "n_wake_up")
    answer.count([{"estimate": oldest}], origin, "oldest_days", unit="days")
    if len(old):
        answer.tables["wake_up"] = waiting.listed(old.assign(rank=range(1, len(old) + 1)))


def _write(answer: Answer, folder: Path) -> None:
    """The lists for the CRM; an earlier one must not be called when nobody is on it any more."""
    for name, file in _FILES.items():
        path, table = folder / file, answer.tables.get(name)
        if table is None:
            path.unlink(missing_ok=True)
        else:
            written = to_log(table) if name == "next_leads" else plainly(table)
            replace_file(path, as_csv(written).encode())


def listed(ranked: pd.DataFrame, random_share: float, rng: Generator, length: int = LIST_LENGTH) -> pd.DataFrame:
    """The rows that get on the list, in the order to call, with ``rank``, ``slot`` and ``arm_rate``.

    ``ranked``: every waiting record, the best first. Of ``length`` places a ``random_share`` (a fraction) goes to
    records drawn with equal chances from all that are not ranked onto the list; these places are drawn as well, so
    that nobody is called last for being drawn. ``arm_rate`` is the probability with which a record got on the list by
    its slot: 1 by rank, places over candidates by the draw. A list that holds everybody draws nobody.
    """
    n = min(length, len(ranked))
    n_drawn = round(random_share * n) if len(ranked) > n else 0
    n_candidates = len(ranked) - (n - n_drawn)
    drawn = n - n_drawn + rng.permutation(n_candidates)[:n_drawn]
    is_drawn = rng.permutation(n) < n_drawn
    row = np.empty(n, dtype=int)
    row[~is_drawn], row[is_drawn] = np.arange(n - n_drawn), drawn
    slot = np.where(is_drawn, RANDOM, RANKED)
    rate = np.where(is_drawn, n_drawn / max(n_candidates, 1), 1.0)
    return ranked.iloc[row].assign(rank=range(1, n + 1), slot=slot, arm_rate=rate)


def to_log(table: pd.DataFrame) -> pd.DataFrame:
    """The list as a CRM imports it: with experiment, arm and arm_rate, the columns of ``leads`` that log the draw."""
    return plainly(table).assign(experiment=CALL_LIST, arm=table["slot"]).drop(columns="slot")


def plainly(table: pd.DataFrame) -> pd.DataFrame:
    """A list with reasons and caution as text, "role: planner", by the names of columns and levels in the data."""

    def in_text(parts: pd.Series) -> list[str]:
        return ["; ".join(f"{field}: {level}" for field, level in row) for row in parts]

    return table.assign(reasons=in_text(table["reasons"]), caution=in_text(table["caution"]))


def _headline(scored: Answer, shown: Evidence) -> list[Sentence]:
    """How many leads came, how many wait, and whether the score can be relied on."""
    whole = shown.ledger[shown.ledger["among"].fillna("") == ""]
    came, waits = first(whole, measure="n_reached", level="inquiry"), shown.first("n_listed")
    known = "No leads are known" if scored.table_name == "deals" else "Fewer than ten leads are known"
    if came is not None:
        known = f"{value(came, shown.words)} leads came in the periods looked at"
    waiting = (
        "nobody waits to be called"
        if waits is None
        else f"{value(waits, shown.words)} records wait on the list to call"
    )
    cited = [claim for claim in (came, waits) if claim is not None]
    return [stating(f"{known}; {waiting}. Lead score: {score_verdict(scored.evidence)}.", *cited)]


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    return *_show_list(shown, title), *_show_old(shown, title)


def _show_list(shown: Evidence, title: str) -> Sequence[Piece]:
    frame = shown.table("next_leads")
    found = {name: shown.first(name) for name in ("n_listed", "median_age_days", "n_drawn", "n_to_hand_off")}
    age, drawn, others = found["median_age_days"], found["n_drawn"], found["n_to_hand_off"]
    table = found["n_listed"]["source_table"] if found["n_listed"] else "leads"
    text = f"{numbers.count(len(frame))} open {table} in order; internal: record ids lead back to the CRM."
    if age is not None:
        text += f" The median one is known for {value(age, shown.words)}."
    if drawn is not None and drawn["estimate"] > 0:
        text += f" {numbers.count(drawn['estimate'])} of them are drawn, whatever their rank."
    if others is not None and others["estimate"] > 0:
        text += (
            f" {numbers.count(others['estimate'])} more are qualified but not handed off: they are marketing's to hand "
            "over, not sales' to call."
        )
    listed_ = () if frame.empty else (record_table(frame, shown.words),)
    return *listed_, stating(text, *(claim for claim in found.values() if claim is not None))


def _show_old(shown: Evidence, title: str) -> Sequence[Piece]:
    n, oldest = shown.first("n_wake_up"), shown.first("oldest_days")
    if n is None or oldest is None:
        return ()
    if n["estimate"] == 0:
        return (stating("Nobody waits for so long that a call would come unprepared.", shown.of("n_wake_up")),)
    text = (
        f"{value(n, shown.words)} open ones are known for more than {value(oldest, shown.words)}: warm them up first, "
        "or give them back. The file wake-up-list.csv holds them all."
    )
    return record_table(shown.table("wake_up"), shown.words, limit=_MOST_TO_WAKE), stating(text, n, oldest)
