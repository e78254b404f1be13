"""One table to confirm: what is proposed, what is sure of it, and what somebody answered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from closedloop.errors import ParameterError, allowed
from closedloop.market.definition import zone
from closedloop.market.reading.values import ORDERS
from closedloop.onboarding.recognise import labels_in
from closedloop.terms import LEAD_STATUSES, LOSS_REASONS, OUTCOMES

Row = dict[str, Any]
ORDER = "order of stages"  # what rows are called that tell a stage's place


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
        wrong = [row for row in given if self.answer not in row]
        if wrong:
            raise ParameterError(f"answers: a row of [[{self.key}]] has no {self.answer!r}; found {allowed(wrong[0])}")
        names = [name for name in self.rows[0] if name not in (self.answer, "n", "why")] if self.rows else []
        found = {tuple(str(row.get(name, "")) for name in names): row for row in given}
        keys = {tuple(str(row.get(name, "")) for name in names) for row in self.rows}
        if strange := [place for place in found if place not in keys]:
            raise ParameterError(f"answers: [[{self.key}]] has no row {', '.join(strange[0])!r}; the questions changed")
        for row in given:
            self.check(row)
        rows = []
        for row in self.rows:
            own = found.get(tuple(str(row.get(name, "")) for name in names))
            rows.append({**row, self.answer: own[self.answer]} if own else row)
        safe = [
            tuple(str(row.get(name, "")) for name in names) in found or s
            for row, s in zip(rows, self.safe, strict=True)
        ]
        return replace(self, rows=tuple(rows), safe=tuple(safe))

    def check(self, row: Mapping[str, Any]) -> None:
        """Refuse an answer that means nothing. Errors: ParameterError with what is allowed."""
        answer = row[self.answer]
        if self.key == "dates" and not _is_setting(str(row.get("setting")), str(answer).strip()):
            raise ParameterError(f"answers: [[dates]] {row.get('setting')} = {answer!r}; allowed: {self.may}")
        lists = {"deals": (True, False), "known": ("", "research", "creation", "handoff", "stage", "close"),
                 "currency": ("as they are", "rates.csv", "empty")}  # fmt: skip
        if self.key in lists and answer not in lists[self.key]:
            raise ParameterError(f"answers: [[{self.key}]] {self.answer} = {answer!r}; allowed: {self.may}")
        words = {*OUTCOMES, *LEAD_STATUSES, *LOSS_REASONS, ""}
        is_place = str(row.get("column")).startswith(ORDER)
        if self.key == "values" and is_place and not str(answer).isdigit():
            raise ParameterError(f"answers: [[values]] {row['column']} = {answer!r}; allowed: 1, 2, 3 and so on")
        is_coded = row.get("table") == "respondents"
        if self.key == "values" and is_coded and answer and not labels_in(answer):
            raise ParameterError(f"answers: [[values]] {row['column']} = {answer!r}; allowed: 1 = small, 2 = large")
        if self.key == "values" and not is_place and not is_coded and answer not in words:
            raise ParameterError(f"answers: [[values]] meaning = {answer!r}; allowed: {allowed(sorted(words), 40)}")


def _is_setting(name: str, text: str) -> bool:
    """Does a text say how days, times or decimals are written, a month or a currency?"""
    if name == "timezone":
        try:
            return bool(zone(text))
        except ValueError:
            return False
    if name == "year_starts":
        return text.isdigit() and 1 <= int(text) <= 12
    if name == "currency":
        return bool(re.fullmatch("[A-Z]{3}", text))
    return text in {"dates": ORDERS, "decimal": (".", ",")}.get(name, (text,))
