"""What a new market will be: proposals drawn from its files, as five tables that people confirm or change."""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from closedloop.market.contract import TABLES, kind_of
from closedloop.market.reading.values import read
from closedloop.market.reading.words import words
from closedloop.market.staging.meanings import Meaning, key, of_list
from closedloop.market.staging.raw import long_id
from closedloop.onboarding.moments import Moment, is_young, moments, tells_of_a_person
from closedloop.onboarding.question import Question, Row
from closedloop.onboarding.recognise import Export, meanings, systems
from closedloop.terms import OUTCOMES

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
_LISTS = {("deals", "loss_reason"): "loss_reasons", ("leads", "status"): "statuses"}
_FEWEST_OF_A_WORD, _MOST_WORDS = 3, 15  # rows of a text that is a word of a list, where it has many texts
_LONGEST_PHRASE = 60  # letters of what a list may hold
_MOST_RATINGS, _MOST_LEVELS, _LONGEST = 11, 12, 40  # of a scale, of a choice; letters of a question's name
_WORD = re.compile(r"[\W_]+")


def slug(column: str) -> str:
    """A column's name as the contract writes names, without what a system puts before it."""
    found = column.casefold().strip()
    for prefix in systems()["prefixes"]:
        found = found.removeprefix(prefix)
    found = _WORD.sub("_", found).strip("_") or "column"
    return f"c_{found}" if found[0].isdigit() else found


def field_name(column: str, kind: str, taken: set[str]) -> str:
    """A name of its own for a column: none of the contract's, and none that says another type than its values have."""
    found = slug(column)
    known = {own.name for table in TABLES.values() for own in table.columns} | {"is_deleted"}
    told = kind if kind in ("flag", "amount", "count") else "any"
    if found in known or kind_of(found) not in (told, "any"):
        found = f"{re.sub('^(is|n)_', '', found)}_value"
    own, number = found, 1
    while own in taken:
        number += 1
        own = f"{found}_{number}"
    taken.add(own)
    return own


@dataclass
class Draft:
    """A market in the making: its exports by table, and what is proposed for it."""

    market: str
    exports: dict[str, Export]
    currency: str
    timezone: str
    answers: dict[str, Question] = field(default_factory=dict)
    left_out: list[Moment] = field(default_factory=list)

    def column(self, table: str, role: str) -> str | None:
        """The column of a table's file that plays a role."""
        return self.exports[table].columns.get(role) if table in self.exports else None

    def texts(self, table: str, role: str) -> list[str | None]:
        """The texts of that column; nothing where there is none."""
        column = self.column(table, role)
        export = self.exports[table]
        return export.look.texts[column] if column else [None] * export.look.n_rows

    @cached_property
    def said_by(self) -> str:
        """The role of the column that says how a deal stands: its status, where its words are outcomes; else its stage.

        Empty where only flags say it.
        """
        known = meanings("outcomes").keys()
        told = {role: {key(text) for text in self.texts("deals", role) if text} for role in ("status", "stage")}
        ends = {text for meant in ("won", "lost") for text in systems()["outcomes"][meant]}
        if told["status"] and told["status"] <= {*known, "deleted"} and not told["stage"] & ends:
            return "status"
        if len(told["status"] & known) >= 2 and len(told["status"] & ends) >= len(told["stage"] & ends):
            return "status"
        return "stage" if told["stage"] else "status" if told["status"] else ""

    @cached_property
    def outcomes(self) -> dict[str, tuple[str, bool]]:
        """What each stage or status says of a deal's outcome, and whether that is sure.

        A word that nobody knows is open for sure only beside words that are known to end deals, both ways.
        """
        words = meanings("outcomes")
        flags = [self._flags("is_won"), self._flags("is_closed")]
        found: dict[str, tuple[str, bool]] = {}
        texts = self.texts("deals", self.said_by) if self.said_by else []
        for text in dict.fromkeys(text for text in texts if text):
            rows = [place for place, own in enumerate(texts) if own == text]
            share = [sum(bool(flag[place]) for place in rows) / len(rows) if flag else None for flag in flags]
            plain = " ".join(re.sub(r"[\W\d_]+", " ", text.casefold()).split())
            named = words.get(key(text)) or words.get(plain)
            if named:
                found[text] = named, True
            elif share[0] is not None and share[0] > 0.5:
                found[text] = "won", share[0] == 1
            elif share[1] is not None:
                found[text] = ("lost" if share[1] > 0.5 else "open"), share[1] in (0, 1)
            else:
                near = [meant for word, meant in words.items() if re.search(rf"\b{re.escape(word)}\b", plain)]
                found[text] = (near[0], False) if near else ("open", True)
        ends = {meant for meant, _ in found.values()}
        is_told = "won" in ends and ("lost" in ends or "no_decision" in ends)
        return {text: (meant, is_sure and (is_told or meant != "open")) for text, (meant, is_sure) in found.items()}

    def _flags(self, role: str) -> list[bool | None]:
        column = self.column("deals", role)
        if not column:
            return []
        style = self.exports["deals"].look.style(self.currency)
        return [read("flag", text, style) if text else None for text in self.exports["deals"].look.texts[column]]

    @cached_property
    def deals(self) -> pd.DataFrame:
        """A row a deal: outcome, created_on, is_young."""
        rows = self.answers["values"].rows if "values" in self.answers else ()
        meant = {row["written"]: row["meaning"] for row in rows if row["column"] == "outcome"}
        if self.said_by:
            outcome = pd.Series([meant.get(text or "", "open") for text in self.texts("deals", self.said_by)])
        else:
            ends = zip(self._flags("is_won"), self._flags("is_closed") or self._flags("is_won"), strict=True)
            outcome = pd.Series(["won" if won else "lost" if closed else "open" for won, closed in ends])
        created = pd.Series(self.days("deals", "created_on"))
        return pd.DataFrame(
            {"outcome": outcome, "created_on": created, "is_young": is_young(created, outcome == "open")}
        )

    def days(self, table: str, role: str) -> list[Any]:
        """The days of a role's column."""
        style = self.exports[table].look.style(self.currency)
        return [
            pd.Timestamp(day) if text and (day := read("date", text, style)) else pd.NaT
            for text in self.texts(table, role)
        ]

    @cached_property
    def fields(self) -> dict[tuple[str, str], str]:
        """The name of each column that is declared known, by table and column."""
        taken: dict[str, set[str]] = {}
        return {
            (row["table"], row["column"]): field_name(
                row["column"],
                self.exports[row["table"]].look.kinds[row["column"]],
                taken.setdefault(row["table"], set()),
            )
            for row in self.answers["known"].rows
            if row["known"]
        }

    @cached_property
    def questions(self) -> list[tuple[str, str, str]]:
        """Column, name and role of each question of a survey: ``ticked`` and ``rated`` are items, ``field`` is one.

        A ticked option is a column that holds one text or nothing; free answers and what tells of a person are left.
        """
        found, taken = list[tuple[str, str, str]](), set[str]()
        export = self.exports.get("respondents")
        for column in export.others() if export else ():
            texts = pd.Series(export.look.texts[column], dtype=object) if export else pd.Series()
            n, kind = texts.nunique(), export.look.kinds[column] if export else "text"
            is_ticked = kind == "flag" or (n == 1 and texts.isna().any())
            if n == 0 or kind in ("date", "month", "time") or (not is_ticked and tells_of_a_person(column, texts)):
                continue
            role = "ticked" if is_ticked else "rated" if kind == "count" and n <= _MOST_RATINGS else "field"
            if role == "field" and not (1 < n <= _MOST_LEVELS):
                continue
            kind = "flag" if role == "ticked" else kind
            found.append((column, field_name(column[:_LONGEST], kind, taken), role))
        return found

    @property
    def meant(self) -> dict[str, list[str]]:
        """The texts of each outcome, as they were confirmed."""
        found: dict[str, list[str]] = {name: [] for name in OUTCOMES}
        for row in self.answers["values"].rows:
            if (row["table"], row["column"]) == ("deals", "outcome") and row["meaning"] in found:
                found[row["meaning"]].append(row["written"])
        return found

    def is_ours(self, currency: str) -> bool:
        """Is it the market's currency, by its code or its sign?"""
        plain = currency.strip()
        return plain.upper() == self.currency or words("currencies").get(plain.casefold()) == [self.currency]

    def is_open(self, stage: str) -> bool:
        """Is a deal in this stage still open?"""
        own = key(stage)
        return not any(own in map(key, texts) for meant, texts in self.meant.items() if meant != "open")


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
    rows = [{"table": one.table, "column": one.column, "written": one.written, "n": one.n, "meaning": one.meaning}
            for one, _ in found]  # fmt: skip
    may = "of deals.outcome won, lost, no_decision, open; of others a word of their list, or nothing"
    return Question("values", "What do these words mean?", "meaning", tuple(rows), tuple(s for _, s in found), may)


def known(draft: Draft) -> Question:
    """When each of the other columns is known."""
    found = list[Moment]()
    for table in ("deals", "leads", "accounts"):
        if table not in draft.exports or "deals" not in draft.exports:
            continue
        export = draft.exports[table]
        cells = pd.DataFrame({name: export.look.texts[name] for name in export.others()}, dtype=object)
        rows = _rows_of_deals(draft, table)
        if cells.empty or rows is None:
            continue
        aligned = cells.reindex(rows).reset_index(drop=True)
        seen = draft.deals[rows.notna().to_numpy()].reset_index(drop=True)
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
    """How dates are written where the files do not settle it, where times were written, when the fiscal year starts."""
    rows, safe = list[Row](), list[bool]()
    for export in draft.exports.values():
        if len(export.look.dates) > 1:
            rows.append({"source": export.look.name, "setting": "dates", "value": export.look.dates[0]})
            safe.append(False)
        if export.look.asks_decimal:
            rows.append({"source": export.look.name, "setting": "decimal", "value": "."})
            safe.append(False)
        if "time" in export.look.kinds.values():
            rows.append({"source": export.look.name, "setting": "timezone", "value": draft.timezone})
            safe.append(True)
    rows.append({"source": "market", "setting": "year_starts", "value": 1})
    safe.append(True)
    return Question("dates", "How are days and times written, and in which month does the fiscal year start?", "value",
                    tuple(rows), tuple(safe), "YMD, DMY, MDY; a time zone; a month; . or , before cents")  # fmt: skip


# how days are written comes first: the other questions are answered out of what is read
QUESTIONS = {"dates": dates, "deals": pipelines, "values": values, "known": known, "currency": currencies}
