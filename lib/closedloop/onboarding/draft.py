"""What a new market will be: its exports, and what people answered about them."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from closedloop.market.contract import TABLES, kind_of
from closedloop.market.reading.values import read
from closedloop.market.reading.words import words
from closedloop.market.staging.meanings import key
from closedloop.onboarding.moments import Moment, is_young
from closedloop.onboarding.question import Question
from closedloop.onboarding.recognise import Export, Labels, meanings, systems
from closedloop.terms import OUTCOMES

_WORD = re.compile(r"[\W_]+")


def plain_label(column: str) -> str:
    """A column's name as people read it, without what a system puts before it."""
    found = column.lower().strip()
    for prefix in systems()["prefixes"]:
        found = found.removeprefix(prefix)
    return found.strip() or column.lower()


def slug(column: str) -> str:
    """A column's name as the contract writes names."""
    found = _WORD.sub("_", plain_label(column).casefold()).strip("_") or "column"
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
    untold: frozenset[str] = frozenset()  # of currency and timezone: neither a file nor a person told
    labels: dict[str, Labels] = field(default_factory=dict)  # of a survey's codes, by question
    answers: dict[str, Question] = field(default_factory=dict)
    left_out: list[Moment] = field(default_factory=list)

    def column(self, table: str, role: str) -> str | None:
        """The column of a table's file that plays a role."""
        return self.exports[table].columns.get(role) if table in self.exports else None

    @property
    def is_dated(self) -> bool:
        """Does any file say when something happened?"""
        return any(role.endswith("_on") for export in self.exports.values() for role in export.columns)

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
        if self.said_by:
            outcome = pd.Series([self.meaning.get(text or "", "open") for text in self.texts("deals", self.said_by)])
        else:
            ends = zip(self._flags("is_won"), self._flags("is_closed") or self._flags("is_won"), strict=True)
            outcome = pd.Series(["won" if won else "lost" if closed else "open" for won, closed in ends])
        created = pd.Series(self.days("deals", "created_on"))
        return pd.DataFrame(
            {"outcome": outcome, "created_on": created, "is_young": is_young(created, outcome == "open")}
        )

    def days(self, table: str, role: str) -> list[Any]:
        """The days of a role's column."""
        return self._days(table, self.texts(table, role))

    def days_of(self, table: str, column: str) -> list[Any]:
        """The days of a column."""
        return self._days(table, self.exports[table].look.texts[column])

    def _days(self, table: str, texts: list[str | None]) -> list[Any]:
        style = self.exports[table].look.style(self.currency)
        days = {text: pd.Timestamp(day) for text in set(texts) if text and (day := read("date", text, style))}
        return [days.get(text or "", pd.NaT) for text in texts]

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

    @property
    def meaning(self) -> dict[str, str]:
        """The outcome of each text: as it was confirmed, until then as it is proposed."""
        if "values" not in self.answers:
            return {text: meant for text, (meant, _) in self.outcomes.items()}
        rows = [row for row in self.answers["values"].rows if (row["table"], row["column"]) == ("deals", "outcome")]
        return {row["written"]: row["meaning"] for row in rows}

    @property
    def meant(self) -> dict[str, list[str]]:
        """The texts of each outcome."""
        return {name: [text for text, meant in self.meaning.items() if meant == name] for name in OUTCOMES}

    def is_ours(self, currency: str) -> bool:
        """Is it the market's currency, by its code or its sign?"""
        plain = currency.strip()
        return plain.upper() == self.currency or words("currencies").get(plain.casefold()) == [self.currency]

    def is_open(self, stage: str) -> bool:
        """Is a deal in this stage still open?"""
        own = key(stage)
        return not any(own in map(key, texts) for meant, texts in self.meant.items() if meant != "open")
