"""The words of a market, its columns, levels and personas, and what each figure is called."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from closedloop.market.definition import Definition

_LONGEST, _MARK = 60, 4
_CODE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
_UNSEEN = re.compile(r"^\s+|\s+$|\s{2,}|[\n\r\t\xa0]")
_SEEN: Mapping[str, str] = {" ": "␣", "\xa0": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"}
_OWN_LABELS: Mapping[str, str] = {
    "age_days": "days since the deal was opened",
    "k": "number of segments",
    "is_quarter_end": "closed in the last month of a quarter",
    "rep_id": "representative",
    "rep_team": "sales team",
    "arm": "arm",
    "no_decision": "no decision",
}
NAMED = ("persona", "segment")  # columns whose levels have names of their own
_YES_NO: Mapping[str, str] = {"True": "yes", "False": "no", "true": "yes", "false": "no"}


def as_written(level: str) -> str:
    """A level's own text: a code with blanks, blanks that nobody would see made visible, and a long text cut.

    A cut text bears a mark of its whole, so that two that begin alike stay two.
    """
    text = level.replace("_", " ") if _CODE.fullmatch(level) else level
    text = _UNSEEN.sub(lambda found: "".join(_SEEN.get(sign, sign) for sign in found[0]), text)
    if len(text) <= _LONGEST:
        return text
    mark = hashlib.sha256(level.encode()).hexdigest()[:_MARK]
    return f"{text[: _LONGEST - _MARK - 4].rstrip()}… [{mark}]"


@dataclass(frozen=True)
class Words:
    """The words of one market: labels of columns and levels, names of personas, the currency."""

    definition: Definition
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def currency(self) -> str:
        """The currency of every amount."""
        return self.definition.currency

    def column(self, name: str) -> str:
        """How people read a column."""
        told = name in self.definition.labels or name in self.definition.items
        return self.definition.label(name) if told else _OWN_LABELS.get(name, self.definition.label(name))

    def level(self, column: str, value: Any) -> str:
        """How people read one of a column's values; flags read yes and no, personas by their name."""
        if column in NAMED:
            return self.name(str(value))
        label = self.definition.label(column, value)
        return _YES_NO.get(label, as_written(label))

    def name(self, subject: str) -> str:
        """The display name of a persona or competitor; numbered segments are called so."""
        plain = f"segment {subject}" if subject.isdecimal() else subject.replace("_", " ")
        return self.names.get(subject, plain)

    def told(self, subject: str) -> str:
        """The name as it stands beside fields and levels: a persona is called one, for it may bear a level's name."""
        return f"persona {self.name(subject)}" if subject in self.names else self.name(subject)

    def reasons(self, moved: Iterable[Iterable[str]]) -> str:
        """What gives points, from field, level and points of each: "kind of site: depot (+14); role: IT (+3)"."""
        said = [(f"{self.column(field)}: {self.level(field, level)}", points) for field, level, points in moved]
        return "; ".join(f"{condition} ({points.replace('-', '−')})" for condition, points in said)

    def is_item(self, column: str) -> bool:
        """Is this a question of the survey?"""
        return column in self.definition.items

    def item(self, column: str, value: Any = "yes") -> str:
        """A survey question in a few words, for labels: "wants low price", "does not want low price"."""
        name, _, named = column.partition("=")
        if named:  # the item is one level of a field
            return self.condition(name, named)
        text, level = column.replace("_", " "), self.level(column, value)
        if level == "no" and text.startswith("wants "):
            return text.replace("wants ", "does not want ", 1)
        return text if level == "yes" else f"{text}: {level}"

    def short(self, column: str, value: Any) -> str:
        """A level in a few words: a survey answer without its whole question, else its condition."""
        return self.item(column, value) if self.is_item(column) else self.condition(column, value)

    def condition(self, column: str, value: Any) -> str:
        """What a level says of a case: "number of sites: over 20", "yes to “...?”"; without a level the column."""
        if self.is_item(column):
            return f"{self.level(column, value)} to “{self.column(column)}”"
        if column in NAMED and str(value):
            return self.told(str(value))
        return f"{self.column(column)}: {self.level(column, value)}" if str(value) else self.column(column)


class Measure(NamedTuple):
    """The words of one measure: what more and less of it is, what all cases are, and what it is called."""

    more: str
    less: str
    everyone: str
    name: str


@cache
def measure_of(name: str) -> Measure:
    """The words of a measure, as ``measures.toml`` has them; one that is not listed is named by its column."""
    listed = _measures()
    if name in listed["compared"]:
        return Measure(*listed["compared"][name])
    words = listed["names"].get(name, name.removeprefix("n_").replace("_", " "))
    return Measure(f"higher {words}", f"lower {words}", listed["baselines"].get(name, "over all"), words)


def everyone_of(claim: Mapping[str, Any]) -> str:
    """What all cases of a claim's measure are; a market without periods has no like ones."""
    text = measure_of(str(claim["measure"])).everyone
    return re.sub(" (in|of) like periods", "", text) if claim["first_period"] == "all" else text


@cache
def _measures() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("closedloop.presentation").joinpath("measures.toml").read_text("utf-8"))


def capital(text: str) -> str:
    """The text with a capital letter first."""
    return text[:1].upper() + text[1:]
