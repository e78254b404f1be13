"""Claims as sentences, in the words of a market: its columns, levels and personas, and what each figure is called."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import pandas as pd

from closedloop.claims.ledger import COST, TURNS
from closedloop.market.definition import Definition
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, span, stating
from closedloop.statistics.amounts import ONE_DEAL, UNEVEN
from closedloop.statistics.recording import FEW_RECORDED, FILLED
from closedloop.terms import Verdict

_LONGEST, _MARK = 60, 4
_CODE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
_UNSEEN = re.compile(r"^\s+|\s+$|\s{2,}|[\n\r\t\xa0]")
_SEEN: Mapping[str, str] = {" ": "␣", "\xa0": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"}


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


def cases(claim: Mapping[str, Any]) -> str:
    """How many cases are behind a claim, and of a weighted survey how many that is worth."""
    return numbers.sample(claim["n"], claim["n_effective"] if is_weighted(claim) else None)


def is_weighted(claim: Mapping[str, Any]) -> bool:
    """Is it of answers that count by their weights? Only answers to a survey have any."""
    return claim["source_table"] == "respondents" and not numbers.is_missing(claim["n_effective"])


_WORTH_RATIO: Mapping[str, str] = {COST: "twice the cost"}  # what ``needed_n`` of amounts and days is worked out for
_OWN_LABELS: Mapping[str, str] = {
    "age_days": "days since the deal was opened",
    "k": "number of segments",
    "is_quarter_end": "closed in the last month of a quarter",
    "rep_id": "representative",
    "rep_team": "sales team",
    "arm": "arm",
    "no_decision": "no decision",
}
_NAMED = ("persona", "segment")  # columns whose levels have names of their own
_NEVER_MISSING = (*_NAMED, "is_quarter_end")  # what every compared case has
_YES_NO: Mapping[str, str] = {"True": "yes", "False": "no", "true": "yes", "false": "no"}


_REASONS: Mapping[str, str] = {
    FEW_RECORDED: "fewer than ten of either outcome record it",
    FILLED: "hardly any of them ended otherwise, so it may be recorded because of the outcome",
    ONE_DEAL: "one deal makes over a third of the amount, so the mean has no interval",
    UNEVEN: "the amounts are too uneven (not log-normal) for an interval of their mean",
}


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
        if column in _NAMED:
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
        """What moves a score, from field and level of each: "kind of site: depot; job function: IT"."""
        return "; ".join(f"{self.column(field)}: {self.level(field, level)}" for field, level in moved)

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
        if column in _NAMED and str(value):
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


@cache
def _measures() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("closedloop.presentation").joinpath("measures.toml").read_text("utf-8"))


def sentence(claim: Mapping[str, Any], words: Words) -> Sentence:
    """The one sentence that a claim allows, with its n, interval, baseline and period as far as it has them.

    ``claim``: a row of the claims frame. Only a supported claim is stated; only a causal one says because.
    """
    measure, who = measure_of(str(claim["measure"])), about(claim, words)
    verdict = Verdict(claim["verdict"])
    if verdict is Verdict.REFUSED:
        text = _refused(claim, words)
    elif verdict is Verdict.INDISTINGUISHABLE:
        difference = claim["visible_difference"]
        shown = numbers.points(difference) if claim["unit"] == "rate" else _value(claim, "visible_difference", words)
        everyone = f"{_value(claim, 'baseline', words)} {_everyone(claim, words)}"
        could = f"{cases(claim)} could show {shown} or more, {span(claim)}"
        text = f"{who}, {measure.name} – no detectable difference from {everyone} ({could})."
    elif verdict in (Verdict.ESTIMATED, Verdict.COUNTED):
        is_alone = numbers.is_missing(claim["baseline"])
        found = _value(claim, "estimate", words) if is_alone else _against(claim, words)
        backing = evidence_of(claim, words) if verdict is Verdict.ESTIMATED else span(claim)
        text = f"{who} – {measure.name}: {found} ({backing})."
    else:
        difference = measure.more if claim["effect"] >= 0 else measure.less
        cause = ", because of it" if claim["kind"] == "causal" else ""
        said, tail = (f"{difference}{cause}", "")
        if verdict is Verdict.LEANING:
            said, tail = f"may be {difference}", " Watch it, do not act on it yet."
        text = f"{who} – {said}: {_against(claim, words)} ({evidence_of(claim, words)}).{tail}"
    return stating(text, claim)


def recorded(claim: Mapping[str, Any], words: Words) -> Sentence:
    """That a field is recorded more often for one outcome, and what it is compared among therefore."""
    cases = str(claim["source_table"])
    won, others = ("won", "lost") if cases == "deals" else ("accepted", "given-back")
    shares = f"{_value(claim, 'estimate', words)} of {won} and {_value(claim, 'baseline', words)} of {others} {cases}"
    name = capital(words.column(str(claim["field"])))
    text = f"{name} is recorded in {shares} ({span(claim)}): it is compared among those that record it."
    return stating(text, claim)


def why_not(claim: Mapping[str, Any]) -> str:
    """What hinders a comparison, or an interval, beside the number of cases."""
    return _REASONS[str(claim["reason"])]


def not_compared(claims: pd.DataFrame, words: Words) -> Sentence:
    """Why the levels of a field cannot be compared; ``claims``: those on one measure that have one reason."""
    column, reason = str(claims["field"].iloc[0]), str(claims["reason"].iloc[0])
    named = ", ".join(words.level(column, level) for level in claims["level"])
    what = capital(words.column(column)) if reason == FEW_RECORDED else f"{capital(words.column(column))}: {named}"
    measure = "" if claims["unit"].iloc[0] == "rate" else f", {measure_of(str(claims['measure'].iloc[0])).name}"
    return stating(f"{what}{measure} – cannot be compared: {_REASONS[reason]}.", claims)


def sentences(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """``sentence`` of every row, in the frame's order."""
    return [sentence(claim, words) for claim in records(claims)]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts with text keys; column by column, which is quicker for the few rows that a sentence needs."""
    names, columns = [str(name) for name in frame.columns], (frame[name].tolist() for name in frame.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def about(claim: Mapping[str, Any], words: Words) -> str:
    """Whom or what a claim speaks about, as the beginning of a sentence."""
    column, subject = str(claim["field"] or ""), str(claim["subject"] or "market")
    parts = [] if subject == "market" else [words.told(subject)]
    parts += [words.condition(column, claim["level"])] if column else []
    is_within = not numbers.is_missing(claim["within"]) and bool(claim["within"])
    parts += [f"within {words.column(str(claim['within']))}"] if is_within else []
    chosen = claim.get("among")
    parts += [f"among {chosen}"] if not numbers.is_missing(chosen) and chosen else []
    return capital(", ".join(parts) or words.definition.title)


def evidence_of(claim: Mapping[str, Any], words: Words) -> str:
    """Interval, n and period of a claim, for brackets; and how many of its cases were known a period ago.

    Windows overlap, and what comes back is no new evidence.
    """
    level = "95 %" if claim["measure"] in TURNS.values() else "90 %"
    ends = numbers.interval(claim["low"], claim["high"], str(claim["unit"]), words.currency)
    is_of_arms = claim["kind"] == "causal" and claim["family"] != "none"
    parts = [] if numbers.is_missing(claim["low"]) else [f"{level} interval {ends}"]
    parts += [] if numbers.is_missing(claim["n"]) else [f"{cases(claim)}{' in the smaller arm' if is_of_arms else ''}"]
    parts += [f"no interval: {why_not(claim)}"] if not parts[:-1] and claim["reason"] else []
    told = ", ".join([*parts, span(claim)])
    if numbers.is_missing(claim["n_before"]):
        return told
    known = f"{numbers.count(claim['n_before'])} of {numbers.count(claim['n'])} {claim['source_table']}"
    return f"{told}; {known} were known a period ago"


def _value(claim: Mapping[str, Any], name: str, words: Words) -> str:
    return numbers.written(claim[name], str(claim["unit"]), words.currency)


def _everyone(claim: Mapping[str, Any], words: Words) -> str:
    """What the baseline is: all cases that record the field, or the arm that a drawn one is compared with."""
    if claim["kind"] == "causal":
        return f"with {other_arm(claim, words)}"
    everyone = measure_of(str(claim["measure"])).everyone
    if not numbers.is_missing(claim["against"]) and claim["against"]:
        return f"{everyone} {claim['against']}"
    is_compared = not numbers.is_missing(claim["n_effective"]) and not is_weighted(claim)
    return f"{everyone} that record it" if is_compared and claim["field"] not in _NEVER_MISSING else everyone


def other_arm(claim: Mapping[str, Any], words: Words) -> str:
    """The arm that a drawn one is compared with, by its name; else all the others."""
    named = claim["against"] if not numbers.is_missing(claim["against"]) else ""
    return f"“{words.level('arm', named)}”" if named else "all other arms"


def _against(claim: Mapping[str, Any], words: Words) -> str:
    everyone = _everyone(claim, words)
    found, base = (_value(claim, name, words) for name in ("estimate", "baseline"))
    if found == base and claim["unit"] == "rate":
        found, base = (numbers.fine_rate(claim[name]) for name in ("estimate", "baseline"))
    return f"{found} against {base} {everyone}"


def _refused(claim: Mapping[str, Any], words: Words) -> str:
    named = f"{about(claim, words)}, {measure_of(str(claim['measure'])).name}"
    if reason := _REASONS.get(claim["reason"]):
        return f"{named} – cannot be compared: {reason} ({span(claim)})."
    found = f"{named} – cannot tell: {cases(claim)}"
    if numbers.is_missing(claim["needed_n"]):
        return f"{found} ({span(claim)})."
    points = f"a difference of {numbers.points(words.definition.claims.smallest_worth)}"
    ratio = _WORTH_RATIO.get(str(claim["measure"]), "a difference of a quarter")
    worth = points if claim["unit"] == "rate" else ratio
    needed = numbers.count(claim["needed_n"])
    enough = (claim["n_effective"] if is_weighted(claim) else claim["n"]) >= claim["needed_n"]
    lack = "and the test could not be made" if enough else f"needs about {needed} for {worth}"
    return f"{found}, {lack} ({span(claim)})."


def one_of_each_pair(claims: pd.DataFrame, words: Words) -> pd.DataFrame:
    """Claims without the no of a survey question whose yes is there as well: it says the same twice."""
    answers = pd.Series([words.level(str(f), v) for f, v in zip(claims["field"], claims["level"], strict=True)])
    answers.index = claims.index
    keys = claims["subject"].astype(str) + "/" + claims["field"].astype(str)
    mirrored = (answers == "no") & keys.isin(keys[answers == "yes"])
    return claims[~mirrored]


def capital(text: str) -> str:
    """The text with a capital letter first."""
    return text[:1].upper() + text[1:]
