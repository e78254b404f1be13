"""The five questions about a new market, each filled in with what its files tell; and which period runs first."""

import re
from collections import Counter
from dataclasses import replace
from datetime import date

import pandas as pd

from closedloop.market.definition import Periods, zone
from closedloop.market.periods import period_of
from closedloop.market.reading.values import read
from closedloop.market.staging.meanings import Meaning, key, of_list
from closedloop.market.staging.raw import long_id
from closedloop.onboarding.draft import Draft
from closedloop.onboarding.moments import Moment, moments, tells_of_a_person
from closedloop.onboarding.question import Question, Row
from closedloop.onboarding.recognise import Export, labels_told, meanings
from closedloop.onboarding.stages import asked_as, in_order, pipelines_kept
from closedloop.onboarding.survey import coded

_RENEWALS = (
    "renew",
    "existing",
    "verlänger",
    "bestand",
    "renouvel",
    "renova",
    "verleng",
    "upsell",
    "expansion",
    "test",
)
_HISTORY, _FEWEST_CLOSED = 4, 20  # periods before the first one that runs; deals of a period that teaches anything
_FIRST_OF = 3  # of the periods, where there are few
_ENDS = {
    "deals": ("won_on", "lost_on", "closed_on", "close_on", "created_on"),
    "leads": ("created_on",),
    "respondents": ("answered_on",),
}
_LISTS = {("deals", "loss_reason"): "loss_reasons", ("leads", "status"): "statuses"}
_FEWEST_OF_A_WORD, _MOST_WORDS = 3, 15  # rows of a text that is a word of a list, where it has many texts
_LONGEST_PHRASE = 60  # letters of what a list may hold
_SEEN = 1000  # times that tell whether they name their zone


def pipelines(draft: Draft) -> Question:
    """Which deals are of this market: pipelines, record types, new business against renewals."""
    rows, safe = list[Row](), list[bool]()
    for role in ("pipeline", "type", "is_deleted"):
        column = draft.column("deals", role)
        counts = Counter(draft.exports["deals"].look.known(column)) if column else Counter[str]()
        is_flag = role == "is_deleted"
        if len(counts) < 2 and not is_flag:
            continue
        for value, n in counts.most_common(20):
            gone = read("flag", value, draft.exports["deals"].look.style(draft.currency)) if is_flag else None
            is_renewal = any(word in value.casefold() for word in _RENEWALS) and not is_flag
            rows.append({"column": column, "value": value, "n": n, "keep": not gone and not is_renewal})
            safe.append(is_flag)
    return Question(
        "deals", "Which of these are deals of this market?", "keep", tuple(rows), tuple(safe), "true, false"
    )


def values(draft: Draft) -> Question:
    """What people wrote, and what it means in the contract's lists; free texts are no words of a list."""
    found = list[tuple[Meaning, bool]]()
    if "deals" in draft.exports and draft.said_by:
        counts = Counter(text for text in draft.texts("deals", draft.said_by) if text)
        for text, (meant, is_safe) in draft.outcomes.items():
            found.append((Meaning("deals", "outcome", text, meant, counts[text]), is_safe))
    if "deals" in draft.exports and not draft.said_by:
        counts = Counter(draft.deals["outcome"])
        found += [(Meaning("deals", "outcome", text, text, n), True) for text, n in counts.items()]
    for (table, role), part in _LISTS.items():
        column = draft.column(table, role)
        words = meanings(part)
        longest = sorted(words, key=len, reverse=True)
        known = Counter(draft.exports[table].look.known(column)) if column else Counter[str]()
        for text, n in known.most_common(60):
            is_free = n < _FEWEST_OF_A_WORD and key(text) not in words and len(known) > _MOST_WORDS
            if is_free or len(text) > _LONGEST_PHRASE or tells_of_a_person("", pd.Series([text])):
                continue  # it becomes other, and its words stay in the source
            own = key(text).replace(" ", "_")
            near = next((words[word] for word in longest if re.search(rf"\b{re.escape(word)}\b", key(text))), "")
            sure = own if own in of_list(table, role) else words.get(key(text), "")
            last = "other" if "other" in of_list(table, role) else ""
            found.append((Meaning(table, role, text, sure or near or last, n), bool(sure)))
    found += [(meaning, False) for meaning in _orders(draft)]
    for column, codes, labels in coded(draft):
        n = len(draft.exports["respondents"].look.known(column))
        found.append((Meaning("respondents", column, ", ".join(codes), labels_told(labels), n), bool(labels)))
    rows = [{"table": one.table, "column": one.column, "written": one.written, "n": one.n, "meaning": one.meaning}
            for one, _ in found]  # fmt: skip
    may = (
        "of deals.outcome won, lost, no_decision, open; of an order 1, 2, 3; of codes their labels like "
        "1 = small, 2 = large; of others a word of their list; or nothing"
    )
    title = "What do these words mean, and in which order do deals pass their stages?"
    return Question("values", title, "meaning", tuple(rows), tuple(s for _, s in found), may)


def _orders(draft: Draft) -> list[Meaning]:
    """The places of open stages, of each pipeline, where no history shows in which order deals pass them."""
    found = list[Meaning]()
    counts = Counter(draft.texts("deals", "stage")) if "deals" in draft.exports else {}
    for pipeline in (pipelines_kept(draft) or [""]) if counts else ():
        stages, is_shown = in_order(draft, pipeline)
        if len(stages) > 1 and not is_shown:
            found += [Meaning("deals", asked_as(pipeline), stage, str(place), counts[stage])
                      for place, stage in enumerate(stages, 1)]  # fmt: skip
    return found


def known(draft: Draft) -> Question:
    """When each of the other columns is known."""
    found, (_, first_on) = list[Moment](), first_period(draft)
    deals = draft.deals.assign(is_early=draft.deals["created_on"] < pd.Timestamp(first_on))
    for table in ("deals", "leads", "accounts"):
        if table not in draft.exports or "deals" not in draft.exports:
            continue
        export = draft.exports[table]
        cells = pd.DataFrame({name: export.look.texts[name] for name in export.others()}, dtype=object)
        rows = _rows_of_deals(draft, table)
        if cells.empty or rows is None:
            continue
        aligned = cells.reindex(rows).reset_index(drop=True)
        seen = deals[rows.notna().to_numpy()].reset_index(drop=True)
        aligned = aligned[rows.notna().to_numpy()].reset_index(drop=True)
        found += moments(table, aligned, export.look.kinds, seen, on_deals=table == "deals")
    shown = [one for one in found if one.known or not one.is_safe]
    rows_ = [{"table": one.table, "column": one.column, "known": one.known, "why": one.why} for one in shown]
    left = [one for one in found if not one.known and one.is_safe]
    draft.left_out = left
    title = "When is each column known? Empty: not shown, so it reaches no page"
    return Question("known", title, "known", tuple(rows_), tuple(one.is_safe for one in shown),
                    "research, creation, handoff, stage, close, or nothing")  # fmt: skip


def _rows_of_deals(draft: Draft, table: str) -> pd.Series | None:
    """For each deal the row of its record in another table, by its own link or by the lead's."""
    n = draft.exports["deals"].look.n_rows
    if table == "deals":
        return pd.Series(range(n), dtype="float64")
    role = {"accounts": "account_id", "leads": "lead_id"}[table]
    if draft.column("deals", role) and draft.column(table, role):
        ours, theirs = draft.texts("deals", role), draft.texts(table, role)
    elif table == "leads" and draft.column("leads", "deal_id") and draft.column("deals", "deal_id"):
        ours, theirs = draft.texts("deals", "deal_id"), draft.texts("leads", "deal_id")
    else:
        return None
    place = {_first_id(text): i for i, text in reversed(list(enumerate(theirs))) if text}
    return pd.Series([place.get(_first_id(text)) if text else None for text in ours], dtype="float64")


def _first_id(text: str) -> str:
    """The first of several identifiers, in its long form."""
    return long_id(text.partition(";")[0])


def currencies(draft: Draft) -> Question:
    """In which currencies amounts are, and what becomes of the others; nothing is asked where a column is converted."""
    counts: Counter[str] = Counter()
    for table in ("deals", "spend"):
        column = draft.column(table, "currency")
        if column and not draft.column(table, "amount_converted"):
            counts.update(draft.exports[table].look.known(column))
    rows = [{"currency": code, "n": n, "amounts": "as they are" if draft.is_ours(code) else "rates.csv"}
            for code, n in counts.most_common()]  # fmt: skip
    safe = [draft.is_ours(str(row["currency"])) for row in rows]
    if all(safe):
        rows, safe = [], []
    return Question("currency", f"The market counts in {draft.currency}. What becomes of other amounts?", "amounts",
                    tuple(rows), tuple(safe), "as they are, rates.csv, empty")  # fmt: skip


def dates(draft: Draft) -> Question:
    """How days, times and amounts are written where the files do not settle it, and what hardly any file settles."""
    rows = list[Row]()
    for export in draft.exports.values():
        if len(export.look.dates) > 1:
            rows.append({"source": export.look.name, "setting": "dates", "value": export.look.dates[0]})
        if export.look.asks_decimal:
            rows.append({"source": export.look.name, "setting": "decimal", "value": "."})
        if any(_is_without_zone(draft, export, column) for column in (*export.columns.values(), *export.days_entered)):
            rows.append({"source": export.look.name, "setting": "timezone", "value": draft.timezone})
    has_amounts = any(role.startswith("amount") for export in draft.exports.values() for role in export.columns)
    if "currency" in draft.untold and has_amounts:
        rows.append({"source": "market", "setting": "currency", "value": draft.currency})
    if "timezone" in draft.untold and draft.is_dated:
        rows.append({"source": "market", "setting": "timezone", "value": draft.timezone})
    if draft.is_dated:
        rows.append({"source": "market", "setting": "year_starts", "value": 1})
    title = "How are days, times and amounts written, and in which month does the fiscal year start?"
    may = "YMD, DMY, MDY; a time zone; a month; . or , before cents; a currency"
    return Question("dates", title, "value", tuple(rows), (False,) * len(rows), may)


def _is_without_zone(draft: Draft, export: Export, column: str) -> bool:
    """Does a column hold times that do not name their zone? Then they are others, where another zone is declared."""
    if export.look.kinds[column] != "time" or "timezone" in export.look.settings:
        return False
    style, dates = export.look.style(draft.currency), next(iter(export.look.dates), None)
    here, there = (replace(style, dates=style.dates or dates, zone=zone(name)) for name in ("UTC", "Asia/Tokyo"))
    return any(read("time", text, here) != read("time", text, there) for text in export.look.known(column)[:_SEEN])


def first_period(draft: Draft) -> tuple[Periods, date]:
    """How long a market's periods are and which one runs first, and the day on which that one begins."""
    starts = next((int(row["value"]) for row in draft.answers["dates"].rows if row["setting"] == "year_starts"), 1)
    days = [day.date() for day in _closing_days(draft)]
    for length in ("quarter", "half", "year"):
        periods = Periods(first="-", length=length, year_starts=starts)
        counts = Counter(period_of(day, periods) for day in days)
        able = sorted(period for period, n in counts.items() if n >= _FEWEST_CLOSED)
        if len(able) >= _FIRST_OF:
            first = able[min(_HISTORY, len(able) // _FIRST_OF)]
            break
    else:
        first = period_of(max(days, default=date(2024, 1, 1)), periods)
    return periods.model_copy(update={"first": first.name}), first.start


def _closing_days(draft: Draft) -> list[pd.Timestamp]:
    """The days on which deals ended, else leads came or people answered; no forecasts."""
    for table, roles in _ENDS.items():
        found, known = list[pd.Timestamp](), [role for role in roles if draft.column(table, role)]
        last = max(filter(pd.notna, draft.days(table, "created_on")), default=None) if "created_on" in known else None
        for role in known:
            found += [day for day in draft.days(table, role) if pd.notna(day) and (last is None or day <= last)]
            if found and role != "won_on":  # what was won and what was lost stand in two columns
                return found
    return []


# how days are written comes first: the other questions are answered out of what is read
QUESTIONS = {"dates": dates, "deals": pipelines, "values": values, "known": known, "currency": currencies}
