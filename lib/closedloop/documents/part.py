"""The building blocks of documents: lines that say where they come from, parts of lines and tables, the glance page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, claim_ids
from closedloop.presentation.findings import backed
from closedloop.presentation.page import templates
from closedloop.presentation.sentences import Words, records
from closedloop.presentation.tables import Table

ASSUMED = "assumed"
NO_NOTES = "Let sales log remarks (notes) with a kind and a topic; ten are enough to begin."
NO_TEXTS = "Write them in the team's materials file."
GOOD_ANSWER = " Good answer: "  # in a question, what follows is what to listen for
LEGEND = "“assumed”: written by the team, not yet supported by outcomes. Intervals are 90 %; figures are associations."


@dataclass(frozen=True)
class Line:
    """One line: its text, what backs it, whether people only assume it, and the claims its numbers come from."""

    text: str
    detail: str = ""
    mark: str = ""
    claims: tuple[str, ...] = ()

    @classmethod
    def of(cls, said: Sentence, detail: str = "", mark: str = "") -> "Line":
        """A sentence as a line of a document."""
        return cls(said.text, detail, mark, said.claims)


@dataclass(frozen=True, repr=False)
class Part:
    """One part of a document; without lines and tables it says what to collect."""

    title: str
    lines: Sequence[Line] = ()
    tables: Sequence[Table] = ()
    empty: str = ""
    intro: str = ""
    is_internal: bool = False
    name: str = "plain"

    @property
    def has_evidence(self) -> bool:
        """Is there anything to show?"""
        return bool(self.lines or self.tables)

    @property
    def mark(self) -> str:
        """The mark that all of its lines bear: it is said once, at the heading of a card."""
        marks = {line.mark for line in self.lines}
        return marks.pop() if len(marks) == 1 else ""

    def _repr_html_(self) -> str:
        shown = [Markup(table._repr_html_()) for table in self.tables]  # a table escapes its own cells
        return _template("part.html", {**vars(self), "tables": shown})

    def __repr__(self) -> str:
        if not self.has_evidence:
            return f"{self.title}\nNo evidence yet. {self.empty}"
        rows = [
            f"- {line.text} {line.detail}".rstrip() + (f" [{line.mark}]" if line.mark else "") for line in self.lines
        ]
        return "\n".join([self.title, *rows, *map(repr, self.tables)])


@dataclass(frozen=True, repr=False)
class Glance:
    """The answer of a document: in sight when the page is opened, and printed on one A4."""

    kicker: str
    title: str
    facts: Sequence[Sentence]
    cards: Sequence[Part]
    legend: str = LEGEND

    def _repr_html_(self) -> str:
        return _template("glance.html", vars(self))

    def __repr__(self) -> str:
        return "\n\n".join([self.title, " · ".join(map(repr, self.facts)), *map(repr, self.cards)])


def _template(name: str, values: Mapping[str, Any]) -> str:
    return templates("closedloop.documents").get_template(name).render(**values)


def assumed(texts: Sequence[Mapping[str, Any]], limit: int, *, with_title: bool = False) -> list[Line]:
    """The team's texts as lines, marked as assumed."""
    return [Line(_told(row, with_title), _source(row), ASSUMED) for row in texts[:limit]]


def plainly(texts: Sequence[Mapping[str, Any]], limit: int) -> list[Line]:
    """``assumed`` for the glance page: no source, and what a good answer sounds like apart."""
    split = [str(row["text"]).partition(GOOD_ANSWER) for row in texts[:limit]]
    return [Line(text, f"Good: {good}" if good else "", ASSUMED) for text, _, good in split]


def _told(row: Mapping[str, Any], with_title: bool) -> str:
    return f"{row['title']}: {row['text']}" if with_title and not numbers.is_missing(row["title"]) else str(row["text"])


def _source(row: Mapping[str, Any]) -> str:
    return f"({row['material_id']})"


def share_lines(shares: pd.DataFrame, words: Words, whole: str) -> list[Line]:
    """Claims of shares as lines: what was named, and which share of the ``whole`` it is."""
    return [
        Line(words.level(row["field"], row["level"]), f"{backed(row, words)} of {whole}", claims=claim_ids(row))
        for row in records(shares)
    ]


def cited(pieces: Iterable[object]) -> tuple[str, ...]:
    """The ids of all claims that lines, tables, sentences and figures cite, each once, in their order."""
    found: list[str] = []
    for piece in pieces:
        inner = [part for name in ("facts", "cards", "lines", "tables", "items") for part in getattr(piece, name, ())]
        own = getattr(piece, "claims", ())
        found += [name for ids in own for name in ids] if isinstance(piece, Table) else own
        found += cited(inner)
    return tuple(dict.fromkeys(found))


def spoken(value: object) -> str:
    """A value of a closed list as people say it."""
    return str(value).replace("_", " ")
