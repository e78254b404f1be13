"""The sales playbook of one persona: the glance page that prints on one A4, and the detail behind it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from closedloop.documents import numbers, selling
from closedloop.documents.cases import cases
from closedloop.documents.dossier import Dossier
from closedloop.documents.findings import backed, first
from closedloop.documents.heard import heard, market_topics, own_topics, so_far
from closedloop.documents.part import Glance, Line, Part, cited, plainly, spoken
from closedloop.documents.persona_diff import detail
from closedloop.documents.pieces import Piece, Sentence, Shown, claim_ids, stating
from closedloop.documents.promises import promise_history, promise_of
from closedloop.documents.tables import Table
from closedloop.documents.wording import capital, records, sentence
from closedloop.errors import ParameterError, allowed

MOST = 3


def bottom_line(dossier: Dossier) -> list[Sentence]:
    """Who it is about, what to expect, and how much of the page rests on outcomes."""
    size, promise, changed = size_of(dossier), promise_of(dossier), _changed(dossier)
    return [
        Sentence(f"{capital(dossier.words.told(dossier.chosen))}: {size.text}.", size.claims),
        Sentence(f"Win rate to expect: {promise.text}.", promise.claims),
        Sentence(f"Since last period: {'; '.join(line.text for line in changed)}.", cited(changed)),
    ]


def size_of(dossier: Dossier) -> Sentence:
    """How large the persona is among known records."""
    claim = first(dossier.plan, measure="persona_share", level=dossier.chosen)
    if claim is None:
        return Sentence("size unknown")
    return stating(f"{backed(claim, dossier.words)} of known customers and leads", claim)


def glance(dossier: Dossier) -> Glance:
    """Who, the one sentence, questions, proofs, objection, when to walk away, what changed, valid until."""
    until = dossier.valid_until
    valid = "valid until the next run" if until is None else f"valid until {numbers.day(until)}"
    promise = promise_of(dossier)
    facts = [size_of(dossier), Sentence(f"win rate {promise.text}", promise.claims), dossier.choice, Sentence(valid)]
    kicker = f"Sales playbook · {dossier.words.definition.title} · {dossier.period.name}"
    return Glance(kicker, dossier.name, facts, _cards(dossier))


_WRITTEN = (
    ("The one sentence", "value_proposition", 1, "sentence"),
    ("Ask", "question", MOST, "ask"),
    ("Prove", "proof", MOST, "prove"),
    ("Walk away when", "disqualifier", MOST, "walk"),
)


def _cards(dossier: Dossier) -> list[Part]:
    """The cards in the order of a talk."""
    who = Part("Who they are", _who(dossier), empty="Collect outcomes or survey answers.", name="who")
    empty = "Log objections as notes, with a topic."
    objection = Part("Top objection", _objection(dossier), empty=empty, name="objection")
    sentence, ask, prove, walk = (_written(dossier, *card) for card in _WRITTEN)
    return [who, sentence, ask, prove, objection, walk, Part("What changed", _changed(dossier), name="changed")]


def _written(dossier: Dossier, title: str, kind: str, limit: int, name: str) -> Part:
    lines = plainly(dossier.texts(kind), limit)
    return Part(title, lines, empty=f"Write a text of kind {kind} (materials).", name=name)


def _who(dossier: Dossier) -> list[Line]:
    rules = [Line(f"In the CRM: {said.text}", claims=said.claims) for said in dossier.makeup[:2]]
    return rules + [attribute_line(row, dossier) for row in records(dossier.facts.head(MOST))]


def attribute_line(claim: Mapping[str, Any], dossier: Dossier) -> Line:
    """One attribute in a few words: its share here and in the market."""
    name = dossier.words.short(str(claim["field"]), claim["level"])
    sizes = f"{numbers.rate(claim['estimate'])} against {numbers.rate(claim['baseline'])} of the market"
    watch = "" if claim["verdict"] == "supported" else "watch"
    return Line(f"{name[:1].upper()}{name[1:]}", f"{sizes}, {cases(claim)}", watch, claim_ids(claim))


def _objection(dossier: Dossier) -> list[Line]:
    """The objection raised most often here, else in all deals, with the team's answer."""
    own = own_topics(dossier, "objection")
    found = own if len(own) else market_topics(dossier, "objection")
    lines = [] if len(own) else so_far(dossier, "objection")
    if found.empty:
        return lines
    top = records(found.head(1))[0]
    told = heard(dossier, "objection", 1)[0]
    answers = plainly(dossier.texts("answer", topics=[str(top["level"])]), 1)
    answers = answers or [Line("No answer is written yet: write one (materials, kind answer).")]
    return [replace(told, text=f"“{told.text.capitalize()}”"), *answers, *lines]


def _changed(dossier: Dossier) -> list[Line]:
    frame = dossier.table("personas", "changes")
    mine = frame[frame["persona"] == dossier.chosen] if len(frame) else frame
    moved = [row for row in records(mine) if row["change"] != "kept"]
    told = [Line(f"{spoken(row['change'])}: {detail(row, dossier.words)}") for row in moved]
    return [*(told[:MOST] or [Line("who they are: nothing")]), *promise_history(dossier)]


SECTIONS: Mapping[str, Callable[[Dossier], tuple[Piece, ...]]] = MappingProxyType(
    {
        "glance": lambda dossier: (glance(dossier),),
        "fit": selling.fit,
        "buying": selling.buying,
        "messages": selling.messages,
        "stages": selling.stages,
        "qualification": selling.qualification,
        "objections": selling.objections,
        "materials": selling.material_by_stage,
        "cadence": selling.cadence,
        "numbers": selling.expected,
        "next_leads": selling.next_leads,
        "evidence": lambda dossier: (_annex(dossier),),
    }
)


def _annex(dossier: Dossier) -> Part:
    """Every claim that the page cites, with its verdict."""
    pieces = (piece for name in SECTIONS if name != "evidence" for piece in _section(dossier, name))
    ledger = dossier.ledger.set_index("claim_id", drop=False)
    rows = records(ledger.loc[[name for name in cited(pieces) if name in ledger.index]])
    told = [(claim["claim_id"], sentence(claim, dossier.words).text, claim["verdict"], claim["kind"]) for claim in rows]
    heads, is_number = ("claim", "what it says", "verdict", "kind"), (False,) * 4
    shown = [Table(heads, tuple(told), is_number, claims=tuple((row[0],) for row in told))] if told else []
    return Part("Evidence", tables=shown, empty="No claim speaks about this persona yet.", is_internal=True)


def _section(dossier: Dossier, name: str) -> tuple[Piece, ...]:
    """A section, made once: the annex asks for all of them again."""
    if name not in dossier.made:
        dossier.made[name] = SECTIONS[name](dossier)
    return dossier.made[name]


def render(dossier: Dossier, section: str) -> Shown:
    """One section of the playbook; a ParameterError lists what there is."""
    if section not in SECTIONS:
        raise ParameterError(f"show({section!r}): the playbook has no such section; allowed: {allowed(SECTIONS)}")
    return Shown(_section(dossier, section), "document")


def results(dossier: Dossier) -> dict[str, Any]:
    """Key figures of the page: what it promises, and how many of its glance cards have something to say."""
    persona, cards = dossier.persona, glance(dossier).cards
    return {
        "win_rate": persona.win_rate,
        "win_rate_low": persona.low,
        "win_rate_high": persona.high,
        "n_deals": persona.n,
        "is_assumed": persona.is_assumed,
        "n_attributes": len(dossier.attributes),
        "n_cards": len(cards),
        "n_cards_empty": sum(not card.has_evidence for card in cards),
    }
