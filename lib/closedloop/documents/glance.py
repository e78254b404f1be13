"""What a persona promises, what it promised last, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from closedloop.documents import signals
from closedloop.documents.document import Dossier, Glance, Line, Part, plainly, share_lines, spoken
from closedloop.period.lead_records import CONVERSION, USUAL_DAYS
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, claim_ids, span, stating
from closedloop.presentation.persona_words import NOT_LED_BY, detail, unrecognised
from closedloop.presentation.sentences import (
    Claim,
    backed,
    cases,
    ends,
    first,
    records,
    sentences,
    value,
    where,
)
from closedloop.presentation.words import capital
from closedloop.terms import NO_DECISION, Verdict

IN_ALL_DEALS = "in all deals"
_REMARKS: Mapping[str, tuple[str, str]] = {  # what they are called, and whose the market's are
    "pain": ("pains", IN_ALL_DEALS),
    "trigger": ("triggers", IN_ALL_DEALS),
    "question": ("questions", IN_ALL_DEALS),
    "loss_topic": ("buyers' reasons", IN_ALL_DEALS),
    "objection": ("objections", IN_ALL_DEALS),
    "sales_feedback": ("general remarks of sales", "in all"),
    "sales_rejection": ("remarks on rejected leads", "on all leads"),
}


def heard(dossier: Dossier, kind: str, limit: int) -> list[Line]:
    """The topics of one kind of remark, most frequent first; nothing where no such remark was logged at all."""
    own = own_topics(dossier, kind)
    if len(own):
        return share_lines(own.head(limit), dossier.words, _REMARKS[kind][0])
    whole, place = _REMARKS[kind]
    is_of_losses = kind == "loss_topic" and dossier.chosen == NO_DECISION  # who lost us has other reasons
    told = [
        Line(
            dossier.words.level("topic", claim["level"]),
            f"{share_of(claim)} {whole}",
            f"{place}, {span(claim)}",
            claim_ids(claim),
        )
        for claim in records(market_topics(dossier, kind).head(0 if is_of_losses else limit))
    ]
    return [*told, *logged(dossier, kind)]


def own_topics(dossier: Dossier, kind: str) -> pd.DataFrame:
    """The claims on the topics that were named ten times about the page's subject."""
    return dossier.stated(f"{kind}_share", field="topic")


def market_topics(dossier: Dossier, kind: str) -> pd.DataFrame:
    """The claims on the topics that were named ten times in the whole market."""
    return where(dossier.plan, measure=f"n_{kind}", subject="market", field="topic")


def share_of(claim: Claim) -> str:
    """How many of how many."""
    return f"{numbers.count(claim['estimate'])} of {numbers.count(claim['n'])}"


def logged(dossier: Dossier, kind: str) -> list[Line]:
    """How much was logged where no topic was named ten times: here, and in the market where it has none either."""
    if f"n_{kind}" not in (dossier.result("personas", "logged") or ()):
        return []
    whole, place = _REMARKS[kind]
    met = "without a decision" if dossier.chosen == NO_DECISION else f"against {dossier.name}"
    here = "here" if dossier.kind == "persona" else f"with ended deals {met}"
    subjects = [] if len(market_topics(dossier, kind)) else [("market", place)]
    if f"n_{kind}" not in (dossier.result("personas", "of_no_persona") or ()):  # else none could be logged here
        subjects = [(dossier.chosen, here), *subjects]
    every, lines = first(dossier.plan, measure=f"n_{kind}", subject="market", field=""), []
    for subject, told in subjects:
        n = first(dossier.plan, measure=f"n_{kind}", subject=subject, field="")
        if n is None:
            within = "the periods looked at" if every is None else span(every)
            cited = () if every is None else claim_ids(every)
            lines.append(Line(f"Fewer than ten {whole} were logged {told} in {within}", claims=cited))
        else:
            text = f"{numbers.count(n['estimate'])} {whole} were logged {told} in {span(n)}, no topic ten times"
            lines.append(Line.of(stating(text, n)))
    return lines


def promise_of(dossier: Dossier) -> Sentence:
    """The win rate that the persona set promises and the deals behind it; or why there is none."""
    claim = first(dossier.plan, measure="promised_win_rate", level=dossier.chosen)
    won = first(dossier.plan, measure="n_promised_won", level=dossier.chosen)
    if dossier.result("personas", "only_won"):
        return _of_leads(dossier)
    if claim is None or won is None:
        nothing = "no evidence yet, fewer than ten of its deals are decided"
        return Sentence(dossier.steps["personas"].missing.get("promises", nothing))
    deals = f"{value(won, dossier.words)} won of {numbers.count(claim['n'])} decided in {span(claim)}"
    expected = f"{value(claim, dossier.words)} of decided deals ({ends(claim, dossier.words)}; {deals}"
    drawn = ", drawn toward the rate of all personas" if len(dossier.personas.ids) > 1 else ""
    return stating(f"{expected}{drawn})", claim, won)


def _of_leads(dossier: Dossier) -> Sentence:
    """That there is no win rate where only won deals are recorded, and how many of the persona's leads are won."""
    nothing = "not known, because only won deals are recorded"
    wanted = {"notebook": "02_personas", "field": "persona", "level": dossier.chosen}
    rate, days = first(dossier.plan, measure=CONVERSION, **wanted), first(dossier.plan, measure=USUAL_DAYS)
    if rate is None or days is None or numbers.is_missing(rate["estimate"]):
        return Sentence(f"{nothing}; record lost ones as well")
    told = f"{backed(rate, dossier.words)} of its leads are won within {value(days, dossier.words)}"
    return stating(f"{nothing}; {told}", rate, days)


def promise_history(dossier: Dossier) -> list[Line]:
    """The last promise, what came of it, and the promise now; nothing before there were two."""
    told = {
        "promised_before": "win rate promised last",
        "came_win_rate": "it was",
        "promised_win_rate": "promised now",
    }
    found = {name: first(dossier.plan, measure=name, level=dossier.chosen) for name in told}
    if found["promised_before"] is None:
        return []
    known = [claim for claim in found.values() if claim is not None]
    parts = [
        f"{told[name]} {'too few to tell' if claim is None else f'{backed(claim, dossier.words)} in {span(claim)}'}"
        for name, claim in found.items()
    ]
    return [Line.of(stating("; ".join(parts), *known))]


MOST = 3
_MOST_SIGNALS = 2  # that changed; more are counted, and told in the detail
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
    blank = first(dossier.plan, measure="n_unrecognised", level=dossier.chosen)
    text = f"{backed(claim, dossier.words)} of known {claim['source_table']}"
    return stating(f"{text}; {unrecognised(blank)}", claim, blank) if blank else stating(text, claim)


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
    lines = [] if len(own) else logged(dossier, "objection")
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
            text = f"{backed(claim, dossier.words)}, median, {span(claim)}"
            lines.append(Line(told, text, claims=claim_ids(claim)))
    return Part("What to expect", lines, name="expect")


def moved(dossier: Dossier, *verdicts: str) -> list[Line]:
    """How the persona's win rate and its share of deals moved in the period before, as 06 compared them."""
    mine = where(dossier.outcome, subject=dossier.chosen)
    told = mine[mine["measure"].isin(["drift_win_rate", "drift_share"]) & mine["verdict"].isin(verdicts)]
    return [Line.of(said) for said in sentences(told, dossier.words)]


def changed(dossier: Dossier) -> Part:
    """What changed in who they are since last period, what moved, and what became of the last promise."""
    frame = dossier.table("personas", "changes")
    mine = frame[frame["persona"] == dossier.chosen] if len(frame) else frame
    other = [row for row in records(mine) if row["change"] != "kept"]
    told = [Line(capital(f"{spoken(row['change'])}: {detail(row, dossier.words)}")) for row in other[:MOST]]
    told = told or [Line("Nothing in who they are")]
    entered = signals.changed(dossier)
    if len(entered) > _MOST_SIGNALS:
        every = tuple(name for line in entered for name in line.claims)
        entered = [Line(f"{len(entered)} signals entered or left: see “What moves the chance?”", claims=every)]
    lines = [*told, *entered, *moved(dossier, Verdict.SUPPORTED), *promise_history(dossier)]
    return Part("What changed", lines, name="changed")


def no_traits(dossier: Dossier) -> str:
    """What is said where there is no attribute to list."""
    compared = where(dossier.plan, measure="share", subject=dossier.chosen)
    if compared.empty:
        return "Nothing could be compared: see 02."
    if compared["verdict"].isin([Verdict.SUPPORTED, Verdict.LEANING]).any():
        return f"Nothing makes it stand out. {NOT_LED_BY}: see 02."
    return "Nothing was shown to differ from the market."
