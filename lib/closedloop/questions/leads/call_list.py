"""Who waits for a call: open records with their age and last touch, best first, and how they are listed."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from closedloop.errors import ParameterError
from closedloop.market.files import write_atomic
from closedloop.market.periods import EPOCH, FOREVER
from closedloop.market.where import meeting
from closedloop.period.counting import LEAST_SHOWN, column
from closedloop.period.lead_records import first_day, is_given_up
from closedloop.period.situation import Situation
from closedloop.period.store import as_csv
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, span, stating
from closedloop.presentation.sentences import Claim, cases, first, value
from closedloop.presentation.tables import has_reasons, record_table
from closedloop.questions.leads.lead_card import CARD, PROMISE, Carded
from closedloop.questions.leads.scores import Prospects, score_verdict
from closedloop.statistics.cumulative_incidence import days_to_most
from closedloop.terms import Moment
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened

_DAYS = ("created_on", "last_touch_on")
_MOST_FOR, _MOST_AGAINST = 2, 1
_KEPT = ("account_id", "rep_id", "status", "stage", "channel", "created_on", "age_days", "last_touch_on")


class Waiting:
    """Open records for sales to call, best first (``ranked``), as known on the day.

    What was not handed off yet is marketing's. Where nobody waits, they are the leads that come in during the period,
    by what is known of them before they are handed over (``is_arriving``).
    """

    def __init__(self, situation: Situation, found: Carded, personas: PersonaSet) -> None:
        self.situation, self.personas = situation, personas
        self.prospects, self.score, self.card, self.order = found.prospects, found.model, found.card, found.order
        prospects = found.prospects
        rows, is_leads, self.is_arriving = prospects.rows, prospects.table == "leads", False
        if len(rows):
            is_in_hand = rows["handed_off_on"].notna() if is_leads and "handed_off_on" in rows else True
            rows = rows[self.is_open & is_in_hand]
        if rows.empty and is_leads and situation.is_dated:
            rows, self.is_arriving = self._arriving(), True
        self.ranked = rows if rows.empty else self._ranked(self._with_contact(rows))

    @property
    def is_open(self) -> "pd.Series[bool]":
        """Which records nobody has decided on: open deals, or leads without an outcome and without a deal."""
        rows = self.prospects.rows
        if self.prospects.table == "deals":
            return rows["outcome"] == "open"
        is_open = rows["is_won"].isna() & ~is_given_up(rows)
        if self.situation.view.has("deals") and "lead_id" in self.situation.deals:
            is_open &= ~rows["lead_id"].isin(self.situation.deals["lead_id"].dropna())
        return is_open

    @property
    def why_nobody(self) -> str:
        """Why the list is empty: nobody is known, everybody is decided, or nobody was handed to sales."""
        table, n = self.prospects.table, len(self.prospects.rows)
        n_open = int(self.is_open.sum()) if n else 0
        if n_open:
            return f"{n_open:,} {table} were open when this period was planned; none of them was handed off."
        if n:
            return f"All {n:,} {table} that were known when this period was planned are decided."
        return f"No {table} were known when this period was planned."

    @property
    def unknown(self) -> list[str]:
        """The score's fields that are not known of who is to come, such as the day of the hand-off."""
        if not self.is_arriving:
            return []
        before = {*self.situation.view.inherited(self.prospects.table, Moment.CREATION), "persona"}
        return [name for name in self.prospects.fields if name not in before]

    def _arriving(self) -> pd.DataFrame:
        """Leads that came in during the period, each with the fields known at its hand-off and nothing later."""
        period = self.situation.period
        later = self.situation.warehouse.view(period.end if period.end < FOREVER else FOREVER)
        rows = meeting(self.situation.where, later.with_fields("leads", Moment.HANDOFF), later)
        rows = rows[rows["created_on"] >= pd.Timestamp(period.start)].sort_values("lead_id", ignore_index=True)
        return rows.assign(persona=self.personas.assign(rows)) if len(rows) else rows

    def _with_contact(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the days since they are known (missing for who is to come), and either team's last touch."""
        situation, key = self.situation, self.prospects.key
        on = pd.Series(pd.Timestamp(situation.on) if situation.definition.has_calendar else pd.NaT, index=rows.index)
        age = (on - column(rows, "created_on")).dt.days
        last = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")
        touches = situation.known("touches")
        if len(touches) and {key, "touched_on"} <= set(touches):
            last = rows[key].map(touches["touched_on"].groupby(touches[key]).max())
        return rows.assign(age_days=age.where(age > 0), last_touch_on=last).sort_values(key, kind="stable")

    def _ranked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """By the card or the score; without any, or where neither ranks, by the personas' promises, then newest.

        Of equal points the score's order decides.
        """
        if self.score is not None:
            rows = self.score.as_usual(rows, self.unknown)
        newest = rows.sort_values("created_on", ascending=False, kind="stable") if "created_on" in rows else rows
        if self.score is not None and self.order != PROMISE:
            by_score = newest.iloc[self.score.order(newest[self.prospects.fields])]
            if self.card is None or self.order != CARD:
                return by_score
            points = self.card.total(self.card.levels_of(by_score, by_score["persona"]))
            return by_score.iloc[np.argsort(-points, kind="stable")]
        promise = newest["persona"].map(self.personas.deviations())
        return newest.loc[promise.sort_values(ascending=False, kind="stable").index]

    def listed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """A list as it is written: record, persona, chance where it is one, points, reasons and caution, what is known.

        A chance is shown for records of which all is known; reasons and caution are field, level and points by which
        the card sets the record apart from the usual one.
        """
        table = pd.DataFrame({"rank": rows["rank"].to_numpy(), "record_id": rows[self.prospects.key].to_numpy()})
        table["persona"], table["score"] = rows["persona"].to_numpy(), float("nan")
        favour: list[list[list[str]]] = [[]] * len(rows)
        against = favour
        is_usable = self.score is not None and self.score.verdict == "usable"
        if self.score is not None and is_usable and self.score.shown_as == "probability" and not self.unknown:
            on = pd.Timestamp(self.situation.on)
            when = pd.Series(on, index=rows.index) if self.situation.is_dated else None
            table["score"] = self.score.predict(rows[self.prospects.fields], when)
        if self.card is not None:
            texts = self.card.levels_of(rows, rows["persona"])
            table["points"] = self.card.total(texts).astype(int)
            if is_usable:
                moves = self.card.moves(texts.drop(columns=self.unknown, errors="ignore"))
                favour = [[_told(move) for move in row if move[2] > 0][:_MOST_FOR] for row in moves]
                against = [[_told(move) for move in reversed(row) if move[2] < 0][:_MOST_AGAINST] for row in moves]
        table["reasons"], table["caution"] = pd.Series(favour, dtype=object), pd.Series(against, dtype=object)
        kept = [name for name in (*_KEPT, *(("slot", "arm_rate") if "slot" in rows else ())) if name in rows]
        written = table.assign(**{name: rows[name].to_numpy() for name in kept})
        if self.situation.definition.has_calendar:
            return written
        # a market that only has an order knows positions, and one without dates neither
        days = [name for name in _DAYS if name in written]
        for name in days:
            positions = (pd.to_datetime(written[name]) - pd.Timestamp(EPOCH)).dt.days.astype("Int64")
            if positions.notna().any():
                written = written.assign(**{name.replace("_on", "_position"): positions})
        return written.drop(columns=[*days, "age_days"], errors="ignore")


def _told(move: tuple[str, str, int]) -> list[str]:
    field, level, points = move
    return [field, level, f"{points:+d}"]


CALL_LIST = "call-list"  # how the list is called in leads.experiment, where a CRM logs it
RANKED, RANDOM = "ranked", "random"
LIST_LENGTH = 200
_MOST_WENT_ON = 0.95  # of the leads that ever do: who waits for longer is hardly heard of again
_SHORTEST, _UNTOLD = 30, 365  # days: a list is used for weeks; where too few went on to tell
_FILES = {"next_leads": "call-list.csv", "wake_up": "wake-up-list.csv"}
_MOST_TO_WAKE = 5


def call_list(
    card: Answer,
    *,
    capacity: int | None = None,
    drawn_share: float | None = None,
    oldest_days: int | None = None,
) -> Answer:
    """The open records that sales has in hand, in order: ``capacity`` (200) places; and whom to wake up.

    ``drawn_share`` of the places go to records drawn by lot from all that are not ranked onto the list, so that another
    order can be judged later (Horvitz & Thompson, 1952). Who is known for more than ``oldest_days`` is not called but
    woken up first: a list of its own, in the same order, of which nobody is drawn. Both are market.toml's unless given;
    without any age it is that by which nineteen of twenty leads that went on had done so (``usual_wait``).
    ``card``: the answer of ``lead_card``. The closing writes call-list.csv and wake-up-list.csv for the CRM.
    """
    if not isinstance(card.fitted, Carded):
        raise ParameterError("call_list takes the answer of lead_card: call_list(lead_card(score(prospects)))")
    now, places = opened(), LIST_LENGTH if capacity is None else capacity
    share = now.definition.call_list.random_share if drawn_share is None else drawn_share
    declared = now.definition.call_list.oldest_days if oldest_days is None else oldest_days
    if not 0 <= share <= 0.5 or places < 1:
        raise ParameterError(
            f"drawn_share = {share}, capacity = {places}; allowed: a share from 0 to 0.5, a capacity of 1 or more"
        )
    if declared is not None and declared < 1:
        raise ParameterError(f"oldest_days = {declared}; allowed: 1 or more")
    answer = now.ask("call_list", "next_leads", card.rows, card.table_name, _show, among=card.among,
                     **card.arguments, capacity=places, drawn_share=share, oldest_days=declared)  # fmt: skip
    answer.headline = partial(_headline, card.fitted.scored)
    answer.leave = partial(_write, answer)
    waiting = Waiting(now.situation, card.fitted, now.personas)
    if waiting.ranked.empty:
        answer.missing |= dict.fromkeys(_FILES, waiting.why_nobody)
        return answer
    answer.results |= {"is_arriving": waiting.is_arriving, "unknown": waiting.unknown if waiting.card else []}
    oldest, n_gone = usual_wait(now.situation, card.fitted.prospects) if declared is None else (declared, 0)
    is_old = waiting.ranked["age_days"] > oldest
    fresh = waiting.ranked[~is_old]
    _call(answer, waiting, listed(fresh, share, now.situation.rng("slots"), places), len(fresh))
    if not now.definition.has_calendar:
        answer.missing["wake_up"] = "The source records no days, so nobody can say who is known for too long."
        return answer
    old = waiting.ranked[is_old]
    answer.count([{"estimate": len(old)}], answer.origin(column(old, "created_on"), "wake_up"), "n_wake_up")
    origin = answer.origin(column(waiting.prospects.rows, "created_on"), "wake_up")
    answer.count([{"estimate": oldest, "n": n_gone or None}], origin, "oldest_days", unit="days")
    if len(old):
        woken = waiting.listed(old.assign(rank=range(1, len(old) + 1)))
        answer.tables["wake_up"] = woken.assign(score=np.nan)  # a chance is that of a lead that just came
    return answer


def usual_wait(situation: Situation, prospects: Prospects) -> tuple[int, int]:
    """Days after which hardly any open lead goes on, and of how many that went on this is learned.

    A lead goes on when it is qualified or its first deal is opened: nineteen of twenty that ever do had done so by then
    (``days_to_most``, open ones censored, those given up ended otherwise), a month at least. A year where fewer than
    ten went on, and for deals: sellers have those in hand, and 02 says when one is late.
    """
    rows = prospects.rows
    if prospects.table == "deals":
        return _UNTOLD, 0
    went_on, has_deal = column(rows, "sales_qualified_on"), pd.Series(False, index=rows.index)
    if situation.view.has("deals") and "lead_id" in situation.deals:
        has_deal = rows["lead_id"].isin(situation.deals["lead_id"].dropna())
        went_on = pd.concat([went_on, first_day(situation.deals, "created_on", rows)], axis=1).min(axis=1)
    is_gone, is_lost = went_on.notna(), is_given_up(rows)
    given_up = column(rows, "recycled_on").where(is_lost).fillna(column(rows, "disqualified_on"))
    until = went_on.fillna(given_up).fillna(pd.Timestamp(situation.on))
    days = (until - column(rows, "created_on")).dt.days
    is_told = (days >= 0) & (is_gone | ~has_deal)  # the day of a deal may be unknown
    n_gone = int((is_gone & is_told).sum())
    if n_gone < LEAST_SHOWN:
        return _UNTOLD, 0
    ended = np.where(is_gone, "won", np.where(is_lost, "lost", "open"))
    return max(_SHORTEST, math.ceil(days_to_most(days.where(is_told), ended, _MOST_WENT_ON))), n_gone


def _call(answer: Answer, waiting: Waiting, called: pd.DataFrame, n_waiting: int) -> None:
    """The list to call, how long it is, and of how many that wait."""
    origin = answer.origin(column(called, "created_on"))
    answer.count([{"estimate": len(called), "n": n_waiting}], origin, "n_listed")
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


def _write(answer: Answer, folder: Path) -> None:
    """The lists as a CRM imports them, reasons and caution as text, by the names of columns and levels in the data.

    The one to call has experiment, arm and arm_rate, the columns of ``leads`` that log the draw. An earlier list must
    not be called when nobody is on it any more.
    """
    for name, file in _FILES.items():
        path, table = folder / file, answer.tables.get(name)
        if table is None:
            path.unlink(missing_ok=True)
            continue
        for why in ("reasons", "caution"):
            said = ["; ".join(f"{field}: {level} ({points})" for field, level, points in row) for row in table[why]]
            table = table.assign(**{why: said})
        if name == "next_leads":
            table = table.assign(experiment=CALL_LIST, arm=table["slot"]).drop(columns="slot")
        write_atomic(path, as_csv(table).encode())


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


def _headline(scored: Answer, shown: Evidence) -> list[Sentence]:
    """How many leads came, how many wait, and whether the score can be relied on."""
    whole = shown.ledger[shown.ledger["among"].fillna("") == ""]
    came, waits = first(whole, measure="n_reached", level="inquiry"), shown.first("n_listed")
    known = "No leads are known" if scored.table_name == "deals" else "Fewer than ten leads are known"
    known = known if came is None else f"{value(came, shown.words)} leads came or were handed off{_of_periods(came)}"
    waiting = "nobody waits to be called"
    if waits is not None:
        who = "that come in this period" if shown.result("is_arriving") else f"that wait{_of_periods(waits)}"
        waiting = f"{_of_all(waits)} records {who} are on the list to call"
    cited = [claim for claim in (came, waits) if claim is not None]
    return [stating(f"{known}; {waiting}. Lead score: {score_verdict(scored.evidence)}.", *cited)]


def _of_periods(claim: Claim) -> str:
    """The periods that a claim is of; nothing where the source has none."""
    return "" if claim["first_period"] == "all" else f" in {span(claim)}"


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    return *_show_list(shown, title), *_show_old(shown, title)


def _show_list(shown: Evidence, title: str) -> Sequence[Piece]:
    frame = shown.table("next_leads")
    found = {name: shown.first(name) for name in ("n_listed", "median_age_days", "n_drawn", "n_to_hand_off")}
    age, drawn, others = found["median_age_days"], found["n_drawn"], found["n_to_hand_off"]
    table = found["n_listed"]["source_table"] if found["n_listed"] else "leads"
    n = _of_all(found["n_listed"]) if found["n_listed"] else numbers.count(len(frame))
    who = f"{table} that come in this period" if shown.result("is_arriving") else f"open {table}"
    text = f"{n} {who} in order; internal: record ids lead back to the CRM."
    text += " Points in brackets are beside the average record." if has_reasons(frame) else ""
    if unknown := [shown.words.column(name) for name in shown.result("unknown") or ()]:
        text += f" What is not known of them yet counts as usual: {', '.join(unknown)}."
    if age is not None:
        text += f" The median one on the list ({cases(age)}) is known for {value(age, shown.words)}."
    if drawn is not None and drawn["estimate"] > 0:
        text += f" {numbers.count(drawn['estimate'])} of them are drawn, whatever their rank."
    if others is not None and others["estimate"] > 0:
        text += (
            f" {numbers.count(others['estimate'])} more are qualified but not handed off: they are marketing's to hand "
            "over, not sales' to call."
        )
    listed_ = () if frame.empty else (record_table(frame, shown.words),)
    return *listed_, stating(text, *(claim for claim in found.values() if claim is not None))


def _of_all(listed_: Claim) -> str:
    """How many are on the list, and of how many that could be called where those are more: "200 of 247"."""
    n, of = numbers.count(listed_["estimate"]), numbers.count(listed_["n"])
    return n if n == of else f"{n} of {of}"


def _show_old(shown: Evidence, title: str) -> Sequence[Piece]:
    n, oldest = shown.first("n_wake_up"), shown.first("oldest_days")
    if n is None or oldest is None:
        return ()
    if n["estimate"] == 0:
        return (stating(f"No open one is known for more than {value(oldest, shown.words)}.", n, oldest),)
    learned = ""
    if not numbers.is_missing(oldest["n"]):
        gone = f"{numbers.count(oldest['n'])} {oldest['source_table']}"
        learned = f" By then at least 19 of 20 of the {gone} that went on had done so."
    text = (
        f"{value(n, shown.words)} open ones are known for more than {value(oldest, shown.words)}: warm them up first, "
        f"or give them back.{learned} The file wake-up-list.csv holds them all."
    )
    return record_table(shown.table("wake_up"), shown.words, limit=_MOST_TO_WAKE), stating(text, n, oldest)
