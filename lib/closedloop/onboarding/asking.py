"""The five questions on a terminal: each is one table with filled-in answers, to be confirmed or changed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.prompt import Prompt
from rich.table import Table

from closedloop.errors import ParameterError
from closedloop.market.reading.values import Style, read
from closedloop.onboarding.onboard import Ask, Onboarded
from closedloop.onboarding.question import Question
from closedloop.onboarding.recognise import Export

_HOW = "Enter takes the table; 3=lost changes row 3"
_ENDS = ("won_on", "lost_on", "closed_on", "close_on")  # any of them says when a deal ended
_MISSED: Mapping[str, Mapping[str, str]] = {  # what pages lose most by
    "deals": {
        "amount": "its amount",
        "loss_reason": "why it was lost",
        "rep": "its owner",
        "account_id": "its company",
    },
    "leads": {"created_on": "the day a lead came", "channel": "its channel"},
}


def asking(console: Console, given: Mapping[str, Sequence[Mapping[str, Any]]], *, is_silent: bool) -> Ask:
    """How questions are answered: from ``given``, else by the person at the console; silent: as they are proposed."""

    def ask(question: Question) -> Question:
        filled = question.answered(given.get(question.key, ()))
        console.print(_table(filled))
        return filled if is_silent else _changed(console, filled)

    return ask


def _table(question: Question) -> Table:
    table = Table(
        title=question.title, title_justify="left", caption=f"allowed: {question.may}", caption_justify="left"
    )
    for name in ("", *question.rows[0], "sure"):
        table.add_column(name)
    for number, (row, is_safe) in enumerate(zip(question.rows, question.safe, strict=True), 1):
        table.add_row(str(number), *(str(value) for value in row.values()), "yes" if is_safe else "please check")
    return table


def _changed(console: Console, question: Question) -> Question:
    while text := Prompt.ask(_HOW, console=console, default="", show_default=False).strip():
        number, _, answer = text.partition("=")
        if not number.strip().isdigit() or not 1 <= int(number) <= len(question.rows):
            console.print(f"no row {number!r}; there are {len(question.rows)}")
            continue
        row = dict(question.rows[int(number) - 1])
        is_flag = isinstance(row[question.answer], bool)
        row[question.answer] = read("flag", answer, Style("")) if is_flag else answer.strip()
        try:
            question = question.answered([row])
        except ParameterError as error:
            console.print(f"row {number.strip()} stays as it is: {error}")
            continue
        console.print(_table(question))
    return replace(question, safe=(True,) * len(question.rows))


def _deleted(export: Export) -> str:
    """How many of the records are marked deleted, and are left out."""
    flags = export.look.known(export.columns["is_deleted"]) if "is_deleted" in export.columns else []
    n = sum(bool(read("flag", text, Style(""))) for text in flags)
    return f", {'all' if n == export.look.n_rows else f'{n:,}'} of them marked deleted and left out" if n else ""


def _columns_missed(export: Export) -> list[str]:
    return [what for role, what in _MISSED.get(export.table, {}).items() if role not in export.columns]


def _days_missed(deals: Export, exports: Sequence[Export]) -> list[str]:
    """Which of a deal's two days nothing tells, and what is lost by it."""
    if deals.table != "deals":
        return []
    is_begun, has_history = "created_on" in deals.columns, any(one.table == "stage_history" for one in exports)
    is_ended = has_history or bool(deals.days_entered) or any(role in deals.columns for role in _ENDS)
    lost = "how long deals take is not told" if is_ended else "no period can be told"
    return [
        *([] if is_begun else [f"the day a deal was created ({lost})"]),
        *([] if is_ended else ["the day a deal was closed (without it every deal counts as open)"]),
    ]


def summary(market: str, found: Onboarded) -> str:
    """What was recognised and written, and what a person does next."""
    lines = []
    for one in found.exports:
        by = f", from {one.system}" if one.system else ""
        lines.append(f"{one.look.title}: {one.table}, {one.look.n_rows:,} records{_deleted(one)}{by}")
        if missed := [*_days_missed(one, found.exports), *_columns_missed(one)]:
            lines.append(f"  no column of it was recognised as {', '.join(missed)}; a select can name it")
    lines += [f"{one.title}: not used; its columns are {', '.join(list(one.texts)[:8])}" for one in found.unknown]
    lines += [f"wrote {path}" for path in found.files]
    return "\n".join([*lines, f"next: closedloop check {market}, then closedloop run {market}"])
