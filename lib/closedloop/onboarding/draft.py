"""What a new market will be: proposals drawn from its files, as five tables that people confirm or change."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from closedloop.errors import ParameterError, allowed
from closedloop.market.reading.values import read
from closedloop.market.staging.meanings import Meaning, key, of_list
from closedloop.market.staging.raw import long_id
from closedloop.onboarding.moments import Moment, is_young, moments, tells_of_a_person
from closedloop.onboarding.recognise import Export, systems
from closedloop.terms import OUTCOMES

Row = dict[str, Any]
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


@dataclass(frozen=True)
class Question:
    """One table to confirm: ``rows`` with the proposed ``answer`` column filled in; ``safe``: which are sure."""

    key: str
    title: str
    answer: str
    rows: tuple[Row, ...]
    safe: tuple[bool, ...]
    may: str

    def answered(self, given: Sequence[Mapping[str, Any]]) -> "Question":
        """With the answers of another table, row by row by what stands beside the answer. Errors: ParameterError."""
        names = [name for name in self.rows[0] if name not in (self.answer, "n", "why")] if self.rows else []
        found = {tuple(str(row.get(name, "")) for name in names): row for row in given}
        wrong = [row for row in given if self.answer not in row]
        if wrong:
            raise ParameterError(f"answers: a row of [[{self.key}]] has no {self.answer!r}; found {allowed(wrong[0])}")
        rows = []
        for row in self.rows:
            own = found.get(tuple(str(row.get(name, "")) for name in names))
            rows.append({**row, self.answer: own[self.answer]} if own else row)
        safe = [
            tuple(str(row.get(name, "")) for name in names) in found or s
            for row, s in zip(rows, self.safe, strict=True)
        ]
        return replace(self, rows=tuple(rows), safe=tuple(safe))


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

    @property
    def said_by(self) -> str:
        """The role of the column that says how a deal stands: its status where there is one, else its stage."""
        statuses = {key(text) for text in self.exports["deals"].look.known(self.column("deals", "status") or "")} if (
            self.column("deals", "status")
        ) else set()  # fmt: skip
        known = {text for texts in systems()["outcomes"].values() for text in texts}
        return "status" if len(statuses & known) >= 2 or not self.column("deals", "stage") else "stage"

    @cached_property
    def outcomes(self) -> dict[str, tuple[str, bool]]:
        """What each stage or status says of a deal's outcome, and whether that is sure."""
        words = {text: meant for meant, texts in systems()["outcomes"].items() for text in texts}
        flags = [self._flags("is_won"), self._flags("is_closed")]
        found: dict[str, tuple[str, bool]] = {}
        texts = self.texts("deals", self.said_by)
        for text in dict.fromkeys(text for text in texts if text):
            rows = [place for place, own in enumerate(texts) if own == text]
            share = [sum(bool(flag[place]) for place in rows) / len(rows) if flag else None for flag in flags]
            named = words.get(key(text))
            if named:
                found[text] = named, True
            elif share[0] is not None and share[0] > 0.5:
                found[text] = "won", share[0] == 1
            elif share[1] is not None:
                found[text] = ("lost" if share[1] > 0.5 else "open"), share[1] in (0, 1)
            else:
                short = [meant for word, meant in words.items() if len(word) > 3 and word in key(text)]
                found[text] = (short[0], False) if short else ("open", self.said_by == "stage")
        return found

    def _flags(self, role: str) -> list[bool | None]:
        column = self.column("deals", role)
        if not column:
            return []
        style = self.exports["deals"].look.style(self.currency)
        return [read("flag", text, style) if text else None for text in self.exports["deals"].look.texts[column]]

    @cached_property
    def deals(self) -> pd.DataFrame:
        """A row a deal: outcome, created_on, is_young."""
        meant = {row["written"]: row["meaning"] for row in self.answers["values"].rows if row["column"] == "outcome"}
        outcome = pd.Series([meant.get(text or "", "open") for text in self.texts("deals", self.said_by)])
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
            if n == 0 or kind in ("date", "time") or (not is_ticked and tells_of_a_person(column, texts)):
                continue
            role = "ticked" if is_ticked else "rated" if kind == "count" and n <= _MOST_RATINGS else "field"
            if role == "field" and not (1 < n <= _MOST_LEVELS):
                continue
            name = slug(column)[:_LONGEST].strip("_")
            while name in taken:
                name = f"{name[: _LONGEST - 3]}_{len(taken)}"
            taken.add(name)
            found.append((column, name, role))
        return found

    @property
    def meant(self) -> dict[str, list[str]]:
        """The texts of each outcome, as they were confirmed."""
        found: dict[str, list[str]] = {name: [] for name in OUTCOMES}
        for row in self.answers["values"].rows:
            if (row["table"], row["column"]) == ("deals", "outcome") and row["meaning"] in found:
                found[row["meaning"]].append(row["written"])
        return found

    def is_open(self, stage: str) -> bool:
        """Is a deal in this stage still open?"""
        return not any(stage in texts for meant, texts in self.meant.items() if meant != "open")


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
    if "deals" in draft.exports:
        counts = Counter(text for text in draft.texts("deals", draft.said_by) if text)
        for text, (meant, is_safe) in draft.outcomes.items():
            found.append((Meaning("deals", "outcome", text, meant, counts[text]), is_safe))
    for (table, role), part in _LISTS.items():
        column = draft.column(table, role)
        words = {text: meant for meant, texts in systems()[part].items() for text in texts}
        for text, n in Counter(draft.exports[table].look.known(column)).most_common(60) if column else ():
            if len(text) > _LONGEST_PHRASE or tells_of_a_person("", pd.Series([text])):
                continue  # it becomes other, and its words stay in the source
            own = key(text).replace(" ", "_")
            near = next((meant for word, meant in words.items() if len(word) > 4 and word in key(text)), "")
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
    """In which currencies amounts are, and what becomes of the others."""
    rows, safe = list[Row](), list[bool]()
    column = draft.column("deals", "currency")
    counts = Counter(draft.exports["deals"].look.known(column)) if column else Counter[str]()
    for code, n in counts.most_common():
        is_ours = code.strip().upper() == draft.currency
        rows.append({"currency": code, "n": n, "amounts": "as they are" if is_ours else "rates.csv"})
        safe.append(is_ours)
    if not any(not s for s in safe):
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
        if "time" in export.look.kinds.values():
            rows.append({"source": export.look.name, "setting": "timezone", "value": draft.timezone})
            safe.append(True)
    rows.append({"source": "market", "setting": "year_starts", "value": 1})
    safe.append(True)
    return Question("dates", "How are days and times written, and in which month does the fiscal year start?", "value",
                    tuple(rows), tuple(safe), "YMD, DMY, MDY; a time zone; a month")  # fmt: skip


QUESTIONS = {"deals": pipelines, "values": values, "known": known, "currency": currencies, "dates": dates}
