"""The answer of a document, wholly in sight when it is opened: one card for each thing to know."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from closedloop.documents import numbers
from closedloop.documents.cases import cases
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import backed, first
from closedloop.documents.heard import heard, market_topics, own_topics, so_far
from closedloop.documents.part import Glance, Line, Part, plainly, spoken
from closedloop.documents.persona_diff import detail
from closedloop.documents.pieces import Sentence, claim_ids, stating
from closedloop.documents.promises import promise_history, promise_of
from closedloop.documents.wording import capital, records

MOST = 3
_MEDIANS = {"median_amount": "A won deal brings", "median_cycle_days": "Winning takes"}


def page(dossier: Dossier, facts: Sequence[Sentence], cards: Sequence[Part]) -> Glance:
    """A glance under the name of whom it is about; it ends with the last day on which it is valid."""
    until = dossier.valid_until
    valid = "valid until the next run" if until is None else f"valid until {numbers.day(until)}"
    kicker = f"{dossier.words.definition.title} · {dossier.period.name}"
    return Glance(kicker, dossier.name, [*facts, Sentence(valid)], cards)


def size_of(dossier: Dossier) -> Sentence:
    """How large the persona is among known records."""
    claim = first(dossier.plan, measure="persona_share", level=dossier.chosen)
    if claim is None:
        return Sentence("size unknown")
    return stating(f"{backed(claim, dossier.words)} of known customers and leads", claim)


def choice(dossier: Dossier) -> Sentence:
    """What 01 research chose for the persona, without why."""
    whole = dossier.choice
    return replace(whole, text=whole.text.partition(":")[0])


def who(dossier: Dossier) -> Part:
    """How to recognise the persona, and what most sets it apart."""
    rules = [Line(f"In the CRM: {said.text}", claims=said.claims) for said in dossier.makeup[:2]]
    traits = [attribute_line(row, dossier) for row in records(dossier.facts.head(MOST))]
    return Part("Who they are", rules + traits, empty="Collect outcomes or survey answers.", name="who")


def attribute_line(claim: Mapping[str, Any], dossier: Dossier) -> Line:
    """One attribute in a few words: its share here and in the market."""
    name = dossier.words.short(str(claim["field"]), claim["level"])
    sizes = f"{numbers.rate(claim['estimate'])} against {numbers.rate(claim['baseline'])} of the market"
    watch = "" if claim["verdict"] == "supported" else "watch"
    return Line(f"{name[:1].upper()}{name[1:]}", f"{sizes}, {cases(claim)}", watch, claim_ids(claim))


def written(dossier: Dossier, title: str, kind: str, name: str, most: int = MOST) -> Part:
    """What the team wrote of one kind, the most fitting first; what begins like the title goes on without it."""
    said = plainly(dossier.texts(kind), most)
    lines = [replace(line, text=capital(line.text.removeprefix(title).strip())) for line in said]
    return Part(title, lines, empty=f"Write a text of kind {kind} (materials).", name=name)


def objection(dossier: Dossier) -> Part:
    """The objection raised most often here, else in all deals, with the team's answer."""
    own = own_topics(dossier, "objection")
    found = own if len(own) else market_topics(dossier, "objection")
    lines = [] if len(own) else so_far(dossier, "objection")
    if len(found):
        told = heard(dossier, "objection", 1)[0]
        answers = plainly(dossier.texts("answer", topics=[str(found["level"].iloc[0])]), 1)
        answers = answers or [Line("No answer is written yet: write one (materials, kind answer).")]
        lines = [replace(told, text=f"“{told.text.capitalize()}”"), *answers, *lines]
    return Part("Answer", lines, empty="Log objections as notes, with a topic.", name="objection")


def prospects(dossier: Dossier) -> Part:
    """The win rate to expect, what a won deal brings, and how long winning takes."""
    promise = promise_of(dossier)
    lines = [Line(f"Win rate: {promise.text}", claims=promise.claims)]
    is_everyone = len(dossier.personas.ids) == 1
    whose = {"field": ""} if is_everyone else {"field": "persona", "level": dossier.chosen}
    for measure, told in _MEDIANS.items():
        claim = first(dossier.outcome, measure=measure, subject="market", **whose)
        if claim is not None and not numbers.is_missing(claim["estimate"]):
            lines.append(Line(told, f"{backed(claim, dossier.words)} (median)", claims=claim_ids(claim)))
    return Part("What to expect", lines, name="expect")


def changed(dossier: Dossier) -> Part:
    """What changed in who they are since last period, and what became of the last promise."""
    frame = dossier.table("personas", "changes")
    mine = frame[frame["persona"] == dossier.chosen] if len(frame) else frame
    moved = [row for row in records(mine) if row["change"] != "kept"]
    told = [Line(capital(f"{spoken(row['change'])}: {detail(row, dossier.words)}")) for row in moved[:MOST]]
    told = told or [Line("Nothing in who they are")]
    return Part("What changed", [*told, *promise_history(dossier)], name="changed")
