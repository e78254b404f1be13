"""The sales playbook of one persona: the glance page that prints on one A4, and the detail behind it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from closedloop.documents import numbers, observed, selling
from closedloop.documents.dossier import Dossier
from closedloop.documents.part import Glance, Line, Part, plainly, spoken
from closedloop.documents.pieces import Piece, Shown, claim_ids
from closedloop.documents.wording import records
from closedloop.errors import ParameterError, allowed

MOST = 3


def bottom_line(dossier: Dossier) -> list[str]:
    """Who it is about, what to expect, and how much of the page rests on outcomes."""
    return [
        f"{dossier.name}: {share_text(dossier)}.",
        f"Win rate to expect: {promise_text(dossier)}.",
        changes_text(dossier),
    ]


def share_text(dossier: Dossier) -> str:
    """How large the persona is among known records."""
    sizes = dossier.table("personas", "personas")
    mine = sizes[sizes["persona"] == dossier.chosen] if len(sizes) else sizes
    if mine.empty or numbers.is_missing(mine["share"].iloc[0]):
        return "size unknown"
    row = mine.iloc[0]
    ends = numbers.interval(row["low"], row["high"], "rate", "")
    return f"{numbers.rate(row['share'])} of known customers and leads ({ends}, n = {numbers.count(row['n'])})"


def promise_text(dossier: Dossier) -> str:
    """The win rate that the persona set promises, or that it is not known."""
    persona = dossier.persona
    if persona.win_rate is None:
        return "no evidence yet, collect outcomes of its deals"
    ends = numbers.interval(persona.low, persona.high, "rate", "")
    return f"{numbers.rate(persona.win_rate)} of decided deals ({ends}, n = {numbers.count(persona.n)})"


def changes_text(dossier: Dossier) -> str:
    """What changed in the persona since the last period."""
    told = [line.text for line in _changed(dossier)]
    return f"Since last period: {'; '.join(told)}"


def glance(dossier: Dossier) -> Glance:
    """Who, the one sentence, questions, proofs, objection, when to walk away, what changed, valid until."""
    until = dossier.valid_until
    valid = "valid until the next run" if until is None else f"valid until {numbers.day(until)}"
    facts = [share_text(dossier), f"win rate {promise_text(dossier)}", valid]
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
    heard = Part("Top objection", _objection(dossier), empty="Log objections as notes, with a topic.", name="objection")
    sentence, ask, prove, walk = (_written(dossier, *card) for card in _WRITTEN)
    return [who, sentence, ask, prove, heard, walk, Part("What changed", _changed(dossier), name="changed")]


def _written(dossier: Dossier, title: str, kind: str, limit: int, name: str) -> Part:
    lines = plainly(dossier.texts(kind), limit)
    return Part(title, lines, empty=f"Write a text of kind {kind} (materials).", name=name)


def _who(dossier: Dossier) -> list[Line]:
    ways = dossier.ways
    rules = [Line(f"In the CRM: {way}") for way in ways[:2]]
    rules += [Line(f"{len(ways) - 2} more ways to recognise them are in the detail")] if len(ways) > 2 else []
    more = dossier.attributes[dossier.attributes["effect"] > 0].head(MOST)
    return rules + [attribute_line(row, dossier) for row in records(more)]


def attribute_line(claim: Mapping[str, Any], dossier: Dossier) -> Line:
    """One attribute in a few words: its share here and in the market."""
    name = dossier.words.short(str(claim["field"]), claim["level"])
    sizes = f"{numbers.rate(claim['estimate'])} against {numbers.rate(claim['baseline'])} of the market"
    watch = "" if claim["verdict"] == "supported" else "watch"
    return Line(f"{name[:1].upper()}{name[1:]}", f"{sizes}, n = {numbers.count(claim['n'])}", watch, claim_ids(claim))


def _objection(dossier: Dossier) -> list[Line]:
    found = observed.heard(dossier.remarks, "objection")
    if found.empty:
        return []
    top = found.iloc[0]
    heard = f"heard {numbers.count(top['n'])} times, {numbers.rate(top['share'])} of objections"
    answers = plainly(dossier.texts("answer", topics=[str(top["topic"])]), 1)
    told = answers or [Line("No answer is written yet: write one (materials, kind answer).")]
    return [Line(f"“{spoken(top['topic']).capitalize()}”", heard), *told]


def _changed(dossier: Dossier) -> list[Line]:
    frame = dossier.table("personas", "changes")
    mine = frame[frame["persona"] == dossier.chosen] if len(frame) else frame
    moved = [row for row in records(mine) if row["change"] != "kept"]
    told = [Line(f"{spoken(row['change'])}: {row['detail']}".rstrip(": ")) for row in moved]
    return told[:MOST] or [Line("nothing; the persona stays as it was")]


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
        "evidence": selling.annex,
    }
)


def render(dossier: Dossier, section: str) -> Shown:
    """One section of the playbook; a ParameterError lists what there is."""
    if section not in SECTIONS:
        raise ParameterError(f"show({section!r}): the playbook has no such section; allowed: {allowed(SECTIONS)}")
    return Shown(SECTIONS[section](dossier), "document")


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
