"""The questions of a survey: which are rated, ticked or fields, and which answers are codes."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from closedloop.onboarding.draft import Draft, field_name
from closedloop.onboarding.look import QUALTRICS
from closedloop.onboarding.moments import Moment, are_people, tells_of_a_person
from closedloop.onboarding.recognise import Export, Labels, labels_in, plain

_MOST_RATINGS, _MOST_LEVELS, _LONGEST = 11, 12, 40  # of a scale, of a choice; letters of a question's name
_MOST_OPTIONS, _FEWEST_TICKS, _LISTED = 20, 3, 0.9  # of a question; people who ticked one; of all that cells list
_RECORDED = {"status", "progress", "finished", "userlanguage", "distributionchannel", "duration"}  # by Qualtrics


@dataclass(frozen=True)
class Asked:
    """A question, or an option of one: its ``column``, its ``name`` in the market, its ``label`` for people.

    ``role``: ``ticked`` and ``rated`` are items, ``field`` is one. ``option``: what a cell lists, divided by ``mark``,
    where it is ticked. ``labels``: of its codes.
    """

    column: str
    name: str
    role: str
    label: str
    option: str = ""
    mark: str = ""
    labels: Labels = field(default_factory=dict)


def asked(draft: Draft) -> list[Asked]:
    """The questions of the survey; free answers and what tells of a person are left."""
    if "respondents" not in draft.exports:
        return []
    export, found, taken = draft.exports["respondents"], list[Asked](), set[str]()
    labels = _labels(draft)
    for column in _answers(export):
        texts, label = pd.Series(export.look.texts[column], dtype=object), export.look.said.get(column, column)
        kind = "text" if labels.get(column) else export.look.kinds[column]
        if _why_not(column, texts, kind):
            continue
        mark, options = listed(texts) if kind == "text" else ("", [])
        if options:
            found += [Asked(column, field_name(f"is {option}"[:_LONGEST], "flag", taken), "ticked",
                            f"{label}: {option}", option, mark) for option in options]  # fmt: skip
            continue
        role = _role(texts, kind)
        name = field_name(column[:_LONGEST], "flag" if role == "ticked" else kind, taken)
        found.append(Asked(column, name, role, label, labels=labels.get(column, {})))
    return found


def unasked(draft: Draft) -> list[Moment]:
    """The columns of the survey that are no question of the market, and why."""
    if "respondents" not in draft.exports:
        return []
    export, used = draft.exports["respondents"], {one.column for one in asked(draft)}
    texts = {column: pd.Series(export.look.texts[column], dtype=object) for column in _answers(export)}
    kinds = export.look.kinds | dict.fromkeys(_labels(draft), "text")
    return [
        Moment("respondents", column, "", _why_not(column, own, kinds[column]))
        for column, own in texts.items()
        if column not in used
    ]


def _labels(draft: Draft) -> dict[str, Labels]:
    """What the codes of the survey's columns mean, of those that have any."""
    rows = [row for row in draft.answers["values"].rows if row["table"] == "respondents"]
    found = {row["column"]: labels_in(row["meaning"]) for row in rows}
    return {column: labels for column, labels in found.items() if labels}


def _role(texts: pd.Series, kind: str) -> str:
    """What a question is: an option that was ticked or not, a rating, or a field."""
    n = texts.nunique()
    if kind == "flag" or (n == 1 and texts.isna().any()):  # an option holds one text or nothing
        return "ticked"
    return "rated" if kind == "count" and n <= _MOST_RATINGS else "field"


def _why_not(column: str, texts: pd.Series, kind: str) -> str:
    """Why a column is no question of the market; empty where it is one."""
    n, role = texts.nunique(), _role(texts, kind)
    if n == 0:
        return "empty"
    if kind in ("date", "month", "time"):
        return "a day"
    if role != "ticked" and (tells_of_a_person(column, texts) or are_people(texts)):
        return "may tell of a person"
    is_listed = kind == "text" and listed(texts)[1]
    if role != "field" or is_listed or 1 < n <= _MOST_LEVELS:
        return ""
    return "holds one value" if n == 1 else f"{n} values; {_MOST_LEVELS} at most are compared"


def _answers(export: Export) -> list[str]:
    """The columns that hold answers."""
    is_qualtrics = export.look.settings.get("header_lines") == QUALTRICS
    return [name for name in export.others() if not (is_qualtrics and plain(name) in _RECORDED)]


def listed(texts: "pd.Series[str]") -> tuple[str, list[str]]:
    """The mark and the options, where cells list which of a few people ticked; an empty list for any other column."""
    cells = Counter(texts.dropna())
    for mark in (";", ","):
        lists = {cell: [part.strip() for part in cell.split(mark) if part.strip()] for cell in cells}
        ticks, places = Counter[str](), Counter[str]()
        for cell, parts in lists.items():
            ticks.update(dict.fromkeys(parts, cells[cell]))
            places.update(dict.fromkeys(parts, 2 if len(parts) == 1 else 1))
        # a part that always stands beside the same ones is no option: "Berlin, Germany"
        options = [part for part, n in ticks.most_common() if n >= _FEWEST_TICKS and places[part] > 1]
        is_told = sum(ticks[part] for part in options) >= _LISTED * ticks.total()
        if len({len(parts) for parts in lists.values()}) > 1 and 1 < len(options) <= _MOST_OPTIONS and is_told:
            return mark, options
    return "", []


def coded(draft: Draft) -> list[tuple[str, list[str], Labels]]:
    """The columns whose answers are codes, these, and their labels, where all are told.

    Codes are whole numbers that labels are told of, and those of Qualtrics, which writes texts unless told otherwise.
    """
    if "respondents" not in draft.exports:
        return []
    export, found = draft.exports["respondents"], []
    for column in _answers(export):
        codes = sorted(set(export.look.known(column)), key=lambda text: (len(text), text))
        if export.look.kinds[column] != "count" or not 1 < len(codes) <= _MOST_RATINGS:
            continue
        said = export.look.said.get(column, "")
        told = labels_in(said) | draft.labels.get(plain(column), {}) | draft.labels.get(plain(said), {})
        labels = {code: told[code] for code in codes} if set(codes) <= set(told) else {}
        if labels or export.look.settings.get("header_lines") == QUALTRICS:
            found.append((column, codes, labels))
    return found
