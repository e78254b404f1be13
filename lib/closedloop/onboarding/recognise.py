"""Which table a file holds, which system wrote it, which of its columns is which, and what codes of answers mean."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from closedloop.market.reading.values import ORDERS, Style, read
from closedloop.onboarding.look import Look

_ENTERED = re.compile(
    r"^date entered [\"'“]?(?P<stage>.+?)(?: \((?P<pipeline>[^()]+)\))?[\"'”]?(?: stage)?$", re.IGNORECASE
)
_LABEL = re.compile(r"(?<![\w.])(\d{1,3})\s*(?:[=:]\s*|\s[-–]\s+)([^,;|()\n]+)")
_SPECIFIC, _FILE = 3, 2  # what a name that only one table has, and the file's name, count for
_FEWEST = 3  # columns known by name, of which a table is recognised
_FORMS = ("timestamp", "zeitstempel", "horodateur", "marcatemporal")  # the first column of a form's answers
_EITHER = ("won", "lost", "closed")  # whether it was, or on which day
_PLAIN_IDS = ("id", "recordid", "datensatzid")

Labels = dict[str, str]  # of an answer, by its code


@cache
def systems() -> dict[str, Any]:
    """What is known of the exports of CRM systems, surveys and advertising (systems.toml)."""
    with Path(__file__).with_name("systems.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def meanings(part: str) -> dict[str, str]:
    """What each text that people write means, of one part of it."""
    return {text: meant for meant, texts in systems()[part].items() for text in texts}


def plain(name: str) -> str:
    """A column's name without what the systems add to it: letters and digits, small."""
    found = name.casefold().strip()
    for prefix in systems()["prefixes"]:
        found = found.removeprefix(prefix)
    return re.sub(r"[\W_]+", "", re.sub(r"\((?!primary|converted)[^()]*\)$", "", found))


@dataclass
class Export:
    """A file that is recognised: of which ``table`` and ``system``, and its ``columns`` by what they are.

    ``entered``: columns that say when a deal entered a stage, by stage and pipeline, in the file's order.
    """

    look: Look
    table: str
    system: str
    columns: dict[str, str]
    entered: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def days_entered(self) -> list[str]:
        """The columns that say when a deal entered a stage."""
        return [column for columns in self.entered.values() for column in columns.values()]

    def others(self) -> list[str]:
        """The columns that are nothing that the contract knows by name."""
        known = {*self.columns.values(), *self.days_entered}
        return [name for name in self.look.texts if name not in known]


def recognise(found: Look) -> Export | None:
    """The table that a file holds, by the names of its columns, then by the file's; None where nothing fits."""
    names = {plain(name): name for name in reversed(list(found.texts))}
    entered: dict[str, dict[str, str]] = {}
    for name in found.texts:
        if (parts := _ENTERED.match(name.strip())) and parts["stage"].casefold() != "current stage":
            entered.setdefault(parts["stage"], {})[parts["pipeline"] or ""] = name
    best: tuple[int, Export] | None = None
    for table, known in systems()["tables"].items():
        columns = _columns(known["columns"], names, found)
        if any(role not in columns for role in known["requires"]):
            continue
        key = next(iter(known["columns"]))
        called = f"{found.path.stem} {found.settings.get('sheet', '')}".casefold()
        is_named = any(hint in called for hint in known["files"])
        if known["needs"] and not any(need in columns for need in known["needs"]):
            continue
        is_form = table == "respondents" and plain(next(iter(found.texts), "")) in _FORMS
        fewest = 1 if is_form else _FEWEST - is_named
        if len(columns) < fewest or (table == "respondents" and not (is_named or is_form or key in columns)):
            continue
        specific = plain(columns.get(key, "id")) not in _PLAIN_IDS
        score = len(columns) + _SPECIFIC * specific + _FILE * is_named
        if best is None or score > best[0]:
            best = score, Export(found, table, _system(names), columns, entered if table == "deals" else {})
    return best[1] if best else None


def _columns(known: Mapping[str, Sequence[str]], names: Mapping[str, str], look: Look) -> dict[str, str]:
    """The columns by what they are: the first that is called so, is nothing else yet, and holds what its name says."""
    found: dict[str, str] = {}
    for role, called in known.items():
        for name in called:
            own, is_open = names.get(name), role.startswith("is_") or name in _EITHER
            is_told = role == "rep" and _are_yes_or_no(look.known(own) if own else ())  # "Consultant": was there one?
            if own and own not in found.values() and not is_told and (not is_open or _holds(look.known(own), role)):
                found[role] = own
                break
    return found


def _are_yes_or_no(texts: Sequence[str]) -> bool:
    """Are all texts flags in words? Digits may be of people."""
    met = set(texts)
    return bool(met) and all(not text.strip().isdigit() and read("flag", text, Style("")) is not None for text in met)


def _holds(texts: Sequence[str], role: str) -> bool:
    """Are most of the texts flags, or days, as the role wants them? Where there are none nothing speaks against it."""
    kind = "date" if role.endswith("_on") else "flag"
    styles = [Style("", None, order) for order in ORDERS]
    counts = Counter(texts)
    n = sum(n for text, n in counts.items() if any(read(kind, text, style) is not None for style in styles))
    return 2 * n >= counts.total()


def _system(names: Mapping[str, str]) -> str:
    counts = {name: sum(mark in names for mark in marks) for name, marks in systems()["systems"].items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= 2 else ""


def settle(export: Export) -> None:
    """Declare what the recognised columns hold: identifiers are text, days are days, amounts are amounts."""
    kinds = export.look.kinds
    for role, column in export.columns.items():
        if role.endswith("_on"):  # money may be of a month; a deal is created on a day
            able = ("time", "month") if export.table == "spend" else ("time",)
            kinds[column] = kinds[column] if kinds[column] in able else "date"
        elif role.startswith("amount"):
            kinds[column] = "amount"
        elif role.startswith("is_"):
            kinds[column] = "flag"
        else:
            kinds[column] = "number" if role == "weight" else "text"
    for column in export.days_entered:
        kinds[column] = "time" if kinds[column] == "time" else "date"
    export.look.settings["columns"] = {name: kind for name, kind in kinds.items() if kind != "text"}


def labels_in(text: str) -> Labels:
    """The labels by code that a text tells: "1 = small, 2 = large"."""
    return {code: label.strip() for code, label in _LABEL.findall(text)}


def labels_told(labels: Labels) -> str:
    """Labels as a text that tells them."""
    return ", ".join(f"{code} = {re.sub('[,;|()]', ' ', label)}" for code, label in labels.items())


def labels_of(looks: Iterable[Look]) -> dict[str, Labels]:
    """The labels by question (its plain letters) of files that have a line for each question, code and label."""
    found: dict[str, Labels] = {}
    for look in looks:
        called = [systems()["labels"][name] for name in ("question", "code", "label")]
        columns = [next((name for name in look.texts if plain(name) in names), "") for names in called]
        if all(columns):
            for question, code, label in zip(*(look.texts[column] for column in columns), strict=True):
                if question and code and label:
                    found.setdefault(plain(question), {})[code.strip()] = label.strip()
    return found
