"""Everything that one document is made of: plan of t, outcomes of t-1, and what people wrote before t began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from closedloop.documents.findings import telling, where
from closedloop.documents.numbers import is_missing
from closedloop.documents.pieces import Query, Sentence, stating
from closedloop.documents.rule_words import makeup, rule_sentences
from closedloop.documents.wording import Words, one_of_each_pair, records
from closedloop.evidence.claims import CLAIM_COLUMNS, typed
from closedloop.loop.notes import HEARD
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.step import Step
from closedloop.market.periods import Period
from closedloop.terms import NO_DECISION

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

    def about(self, kind: str, chosen: str) -> "Dossier":
        """The same material for one persona or competitor."""
        return replace(self, kind=kind, chosen=chosen)

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
        rows = self.table("research", "targets")
        mine = [row for row in records(rows) if self.chosen in row["personas"].split(", ")]
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
        """Attribute claims of the persona that hold, then those to watch; what it has more of first."""
        mine = self.plan[(self.plan["measure"] == "share") & (self.plan["subject"] == self.chosen)]
        mine = one_of_each_pair(mine, self.words)
        kept = mine[mine["verdict"].isin(["supported", "leaning"]) & (mine["notebook"] == "02_personas")]
        ranks = kept["verdict"].map({"supported": 0, "leaning": 1})
        return kept.assign(_rank=ranks).sort_values(["_rank", "effect"], ascending=[True, False]).drop(columns="_rank")

    @cached_property
    def facts(self) -> pd.DataFrame:
        """What to say of the persona in a few words: attributes that it has more of, and that enough of it have.

        None that is known only after a lead or deal was handed off: a glance says what to look for.
        """
        is_early = ~self.attributes["is_retrospective"].fillna(False).astype(bool)
        more = self.attributes[(self.attributes["effect"] > 0) & is_early]
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
        rows = self.materials
        fits = (rows["kind"] == kind) & self._is_mine(rows["persona"], "persona")
        fits &= self._is_mine(rows["competitor"], "competitor")
        order = {topic: place for place, topic in enumerate(self.topics)}
        if topics is not None:
            fits &= rows["topic"].isin(list(topics))
        kept = records(rows[fits])
        return sorted(kept, key=lambda text: _place(text["topic"], order))

    def _is_mine(self, values: "pd.Series[Any]", kind: str) -> "pd.Series[bool]":
        return values.isna() | (values == self.chosen) if self.kind == kind else values.isna()

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


def _place(topic: Any, order: Mapping[str, int]) -> int:
    """General texts follow the page's topics; texts on other topics come last."""
    return len(order) if is_missing(topic) else order.get(topic, len(order) + 1)
