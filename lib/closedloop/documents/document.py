"""Everything that one document is made of: plan of t, outcomes of t-1, and what people wrote before t began."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from markupsafe import Markup

from closedloop.claims.ledger import CLAIM_COLUMNS, typed
from closedloop.market.files import slug, write_atomic
from closedloop.market.periods import Period
from closedloop.period.counting import LEAST_SHOWN
from closedloop.period.store import Step, as_csv, plain
from closedloop.personas.lineage import roots
from closedloop.personas.notes import HEARD
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.presentation import numbers
from closedloop.presentation.blocks import RESULTS, Note, Piece, Query, Sentence, Shown, Table, claim_ids, stating
from closedloop.presentation.numbers import is_missing
from closedloop.presentation.page import templates
from closedloop.presentation.persona_words import makeup, rule_sentences
from closedloop.presentation.sentences import (
    LEAST_COVERED,
    backed,
    first,
    held_back_told,
    one_of_each_pair,
    records,
    sentence,
    sentences,
    telling,
    where,
)
from closedloop.presentation.tables import Columns, Label, table_of
from closedloop.presentation.words import Words
from closedloop.terms import NO_DECISION, OWN_DOING

ASSUMED = "assumed"
DRAWN = "A rate that was compared is drawn toward that of all, the more the fewer its cases: an estimate, no count."
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
    def mark(self) -> str:
        """The mark that all of its lines bear: it is said once, at the heading of a card."""
        marks = {line.mark for line in self.lines}
        return marks.pop() if len(marks) == 1 else ""

    def _repr_html_(self) -> str:
        shown = [Markup(table._repr_html_()) for table in self.tables]  # a table escapes its own cells
        return _template("part.html", {**vars(self), "tables": shown})

    def __repr__(self) -> str:
        if not (self.lines or self.tables):
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
    lines = []
    for row in texts[:limit]:
        title = f"{row['title']}: " if with_title and not numbers.is_missing(row["title"]) else ""
        lines.append(Line(f"{title}{row['text']}", f"({row['material_id']})", ASSUMED))
    return lines


def plainly(texts: Sequence[Mapping[str, Any]], limit: int) -> list[Line]:
    """``assumed`` for the glance page: no source, and what a good answer sounds like apart."""
    split = [str(row["text"]).partition(GOOD_ANSWER) for row in texts[:limit]]
    return [Line(text, f"Good: {good}" if good else "", ASSUMED) for text, _, good in split]


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


_EARLY = ("research", "creation")  # moments up to which a field is known before anybody sells
_SCORES = ("attractiveness_score", "strength_score")


@dataclass(frozen=True)
class Dossier:
    """One market and period, and the persona or competitor that a page is about.

    ``plan`` and ``outcome``: claims on all records, none of them among chosen ones. ``sources``: the notebooks that
    left them, with their period, how many claims, and what they were made of.
    """

    words: Words
    period: Period
    personas: PersonaSet
    steps: dict[str, Step]
    plan: pd.DataFrame
    outcome: pd.DataFrame
    materials: pd.DataFrame
    kind: str = ""
    chosen: str = ""
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)

    def choices(self, kind: str) -> list[str]:
        """The personas in force, or the competitors that the plan names; doing nothing is always one."""
        if kind == "persona":
            return self.personas.ids
        return [str(name) for name in self.steps["personas"].results.get("competitors") or [NO_DECISION]]

    @property
    def name(self) -> str:
        """The display name of whom the page is about."""
        return self.words.name(self.chosen)

    @property
    def persona(self) -> Persona:
        """The persona that the page is about."""
        return self.personas.persona(self.chosen)

    @property
    def ways(self) -> list[str]:
        """How to recognise the persona, in the market's words."""
        return rule_sentences(self.personas.rule, self.words).get(self.chosen, list(self.persona.rule))

    @cached_property
    def makeup(self) -> list[Sentence]:
        """What most of the persona are, what sets it most apart first; its rule where too few are known."""
        shares = where(self.plan, measure="member_share", subject=self.chosen)
        return makeup(shares, self.words) or [Sentence(way) for way in self.ways]

    @property
    def whole_rule(self) -> tuple[Query, ...]:
        """The rule in full, folded away; one persona for everyone needs none."""
        has_rule = bool(self.personas.rule.branches)
        return (Query("The whole rule in words", "\n".join(self.ways)),) if has_rule else ()

    @property
    def choice(self) -> Sentence:
        """What 01 research chose for the segment that the persona stands for, and why."""
        if (whole := roots(self.personas)[self.chosen]) != self.chosen:  # research chose among segments
            return Sentence(f"our choice – none of its own: it was split from {self.words.told(whole)} by outcomes")
        mine = [row for row in records(self.table("research", "targets")) if self.chosen in row["personas"].split(", ")]
        if not mine:
            missing = self.steps["research"].missing if "research" in self.steps else {}
            lacking = missing.get("targets", "it stands for no segment of the market").rstrip(".")
            return Sentence(f"our choice – cannot tell: {lacking[:1].lower()}{lacking[1:]}")
        scores = where(self.plan, cell="targets", field="segment", level=mine[0]["segment"])
        text = f"our choice – {mine[0]['choice']}: {mine[0]['reason']}"
        return stating(text, scores[scores["measure"].isin(_SCORES)])

    def is_known_at_creation(self, field: str) -> bool:
        """Does a table of the market hold the field when a lead or deal is made?"""
        tables = ("accounts", "leads", "deals")
        return any(self.words.definition.moment(table, field) in _EARLY for table in tables)

    @property
    def valid_until(self) -> date | None:
        """The period's last day; none in a market without a calendar."""
        return self.period.end - timedelta(days=1) if self.words.definition.has_calendar else None

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """Every claim that a page may cite: the plan of the period, and the outcomes of the one before."""
        return typed(pd.concat([self.plan, self.outcome], ignore_index=True), CLAIM_COLUMNS)

    def stated(self, *measures: str, **wanted: str) -> pd.DataFrame:
        """The plan's claims about the page's subject on these measures, in the order in which they were stated."""
        mine = where(self.plan, subject=self.chosen, **wanted)
        return mine[mine["measure"].isin(measures)]

    @cached_property
    def attributes(self) -> pd.DataFrame:
        """Attributes that one in twenty members records: those that hold, then those to watch; the largest first."""
        mine = where(self.plan, measure="share", subject=self.chosen, notebook="02_personas")
        members = first(self.plan, measure="n_members", subject=self.chosen)
        fewest = max(LEAST_SHOWN, LEAST_COVERED * (0 if members is None else members["estimate"]))
        mine = one_of_each_pair(mine[mine["n"] >= fewest], self.words)
        kept: pd.DataFrame = mine[mine["verdict"].isin(["supported", "leaning"])]
        ranks = kept["verdict"].map({"supported": 0, "leaning": 1})
        return kept.assign(_rank=ranks).sort_values(["_rank", "effect"], ascending=[True, False]).drop(columns="_rank")

    @cached_property
    def facts(self) -> pd.DataFrame:
        """What to say of the persona in a few words: attributes that it has more of, and that enough of it have.

        Nothing that is known after hand-off only, or that we did ourselves: a glance says what to look for.
        """
        late = self.attributes["is_retrospective"].fillna(False).astype(bool) | self.attributes["field"].isin(OWN_DOING)
        more = self.attributes[(self.attributes["effect"] > 0) & ~late]
        return telling(more, self.plan, self.table("personas", "implied"))

    @cached_property
    def topics(self) -> list[str]:
        """Topics in the order of the page: the persona's attributes first, then what was heard most often."""
        more = self.attributes[self.attributes["effect"] > 0]
        known = set(self.materials["topic"].dropna())
        wanted = [topic_of(str(row["field"]), str(row["level"]), known) for _, row in more.iterrows()]
        spoken = [topic for kind in HEARD for topic in self.heard(kind)]
        return list(dict.fromkeys([topic for topic in [*wanted, *spoken] if topic]))

    def heard(self, kind: str) -> list[str]:
        """Topics of remarks of one kind, most frequent first."""
        return self.stated(f"{kind}_share", field="topic")["level"].astype(str).tolist()

    def texts(self, kind: str, *, topics: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The team's texts of one kind for this page, best topics first, then the general ones.

        Texts written for another persona or competitor are left out; ``topics`` limits them to these.
        """
        order: dict[Any, int] = {topic: place for place, topic in enumerate(self.topics)}
        n = len(order)  # general texts follow the page's topics; texts on other topics come last
        fit = [text for text in self._own_texts if text["kind"] == kind and (topics is None or text["topic"] in topics)]
        return sorted(fit, key=lambda text: n if is_missing(text["topic"]) else order.get(text["topic"], n + 1))

    @cached_property
    def _own_texts(self) -> list[dict[str, Any]]:
        rows = self.materials
        fits = pd.Series(True, index=rows.index)
        for kind in ("persona", "competitor"):
            fits &= rows[kind].isna() | (rows[kind] == self.chosen if self.kind == kind else False)
        return records(rows[fits])

    def lacking(self, column: str, collect: str) -> str:
        """What to collect of deals; where 02 found ``column`` recorded, that too few of them are known yet."""
        is_recorded = column in (self.result("personas", "recorded") or ())
        return "It is recorded; fewer than ten deals of a kind are known yet." if is_recorded else collect

    def result(self, step: str, name: str) -> Any:
        """A key figure of a step; None when there is none."""
        return self.steps[step].results.get(name) if step in self.steps else None

    def table(self, step: str, name: str) -> pd.DataFrame:
        """A step's table; an empty frame when there is none."""
        return self.steps[step].tables.get(name, pd.DataFrame()) if step in self.steps else pd.DataFrame()


def topic_of(field: str, level: str, topics: set[str]) -> str | None:
    """The topic that an attribute speaks about: a survey wish for it, or a field or level of that name."""
    wish = field.partition("_")[2] if level in ("yes", "True", "true") else ""
    return next((name for name in (wish, field, level) if name in topics), None)


class Document:
    """A page for people on one persona or competitor.

    ``dossier``: all that it may say; ``folder``: of the period, where the claims that it cites are written.
    Its sections are methods; each gives what it shows. ``pieces``: all that they have shown, in their order.
    """

    notebook: ClassVar[str] = ""
    kind: ClassVar[str] = "persona"

    def __init__(self, dossier: Dossier, folder: Path) -> None:
        self.dossier, self.folder = dossier, folder
        self.pieces: list[Piece] = []

    def _shown(self, *pieces: Piece) -> Shown:
        self.pieces += pieces
        return Shown(pieces, "document")

    def _said(self, claims: pd.DataFrame, most: int | None = None) -> list[Line]:
        return [Line.of(said) for said in sentences(claims.head(most or len(claims)), self.dossier.words)]

    def _listed(
        self, claims: pd.DataFrame, heading: str, columns: Columns, *, label: Label | None = None
    ) -> list[Table]:
        """Claims as a table, or nothing where there are none."""
        words = self.dossier.words
        named = label or (lambda claim: words.level(str(claim["field"]), claim["level"]))
        return [table_of(claims, words, heading, columns, label=named)] if len(claims) else []

    @property
    def claims(self) -> pd.DataFrame:
        """The claims that the sections shown so far cite, each once, in their order."""
        ledger = self.dossier.ledger.set_index("claim_id", drop=False)
        return ledger.loc[[name for name in cited(self.pieces) if name in ledger.index]].reset_index(drop=True)

    @property
    def results(self) -> dict[str, Any]:
        """Key figures of the page, for the run's index and for tests."""
        return {}

    def evidence(self) -> Shown:
        """Every claim that the page cites above, with its verdict; internal."""
        told = [
            (claim["claim_id"], sentence(claim, self.dossier.words).text, claim["verdict"], claim["kind"])
            for claim in records(self.claims)
        ]
        heads, is_number = ("claim", "what it says", "verdict", "kind"), (False,) * 4
        shown = [Table(heads, tuple(told), is_number, claims=tuple((row[0],) for row in told))] if told else []
        return Shown((Part("Evidence", tables=shown, empty="Nothing was cited yet.", is_internal=True),), "document")

    def sources(self) -> Shown:
        """The notebooks that the page reads, what they were made of, and the rule as SQL."""
        read = self.dossier.sources
        rows = tuple((row["notebook"], row["period"], str(row["n_claims"]), row["digest"]) for row in records(read))
        table = Table(("reads", "of period", "claims", "made of"), rows, (False, False, True, False))
        rule = self.dossier.personas.rule
        sql = (Query("The whole rule as SQL", rule.to_sql()),) if self.kind == "persona" and rule.branches else ()
        note = Note("“made of” is a digest of code, settings and rows: as long as it stays, so does what was read.")
        held = held_back_told(where(self.dossier.ledger, measure="n_values")["field"], self.dossier.words)
        return Shown((table, note, *held, *sql), "document")

    def close(self) -> "Written":
        """Write the claims that the page cites, as a CSV file that is safe to open in a spreadsheet."""
        words = self.dossier.words
        path = self.folder / "documents" / f"{self.notebook}-{slug(self.dossier.chosen)}.csv"
        write_atomic(path, as_csv(self.claims).encode())
        scope = {"market": words.definition.name, "period": self.dossier.period.name, self.kind: self.dossier.chosen}
        return Written({**scope, **plain(self.results), "n_cited": len(self.claims)}, path.name)


class Written:
    """What the closing of a document says: its key figures, and where the claims are."""

    def __init__(self, results: dict[str, Any], file: str) -> None:
        self.results, self.file = results, file

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {RESULTS: self.results, "text/plain": repr(self)}

    def __repr__(self) -> str:
        told = [f"{key}: {value}" for key, value in self.results.items()]
        return "\n".join([*told, f"claims: documents/{self.file} of this period"])
