"""What a document says of signals and points: what to look for, what to try and measure, what a deal gets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from closedloop.documents.document import Dossier, Line, Part
from closedloop.period.counting import LEAST_SHOWN
from closedloop.personas.persona_set import SIGNAL, WITHDRAW
from closedloop.personas.signals import CONFIRMED, Signal
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, claim_ids, span
from closedloop.presentation.persona_words import edit_told
from closedloop.presentation.sentences import LEAST_COVERED, Claim, backed, first, where
from closedloop.presentation.signal_words import (
    CAME,
    HAD_COME,
    PERSONA_DEALS,
    PROMISED,
    card_tables,
    deals_told,
    in_short,
    level_named,
    moved_of,
    of_signal,
    signal_told,
    trial_told,
)
from closedloop.presentation.tables import Column, Columns, table_of
from closedloop.presentation.words import capital

PER_DECIDED = "won_amount_per_decided"

NOT_SHOWN = (
    "No level was shown to move the chance over all personas yet; that is not to say that nothing matters. "
    "Record the outcome of more deals, and the day of each."
)


def of_buyers(dossier: Dossier) -> list[Signal]:
    """The signals in force on what is known of a buyer, those that speak for a deal first, the confirmed ones on top.

    What went the other way since comes last of its kind, before it what hardly any deal of the persona has.
    """
    fields = _buyer_fields(dossier)
    found = [one for one in _in_force(dossier) if one.field in fields]

    def order(one: Signal) -> tuple[bool, bool, bool, bool]:
        is_rare = _is_shared(dossier, one) and _own_count(dossier, one) is None
        return one.points < 0, _went_other_way(one), is_rare, one.state != CONFIRMED

    return sorted(found, key=order)


def _went_other_way(one: Signal) -> bool:
    return (one.since_points or 0.0) * one.points < 0


def to_try(dossier: Dossier) -> list[Signal]:
    """The signals in force on what is not known of a buyer: channel, product, first touch."""
    fields = _buyer_fields(dossier)
    return [one for one in _in_force(dossier) if one.field not in fields]


def _in_force(dossier: Dossier) -> list[Signal]:
    """Those of all personas and of the page's persona alone; none that tells none of its members from another."""
    found = [one for one in dossier.personas.signals_in_force if one.persona in ("", dossier.chosen)]
    return [one for one in found if tells_apart(dossier, one.field, one.level) and not _has_everybody(dossier, one)]


def _has_everybody(dossier: Dossier, signal: Signal) -> bool:
    """Have hardly any of the persona's deals another level, so that the signal tells none of them from the others?"""
    own = _own_count(dossier, signal)
    return own is not None and not _leaves_others(own["estimate"], own["n"])


def _own_count(dossier: Dossier, signal: Signal) -> Claim | None:
    """How many deals of the page's persona have the level; None where fewer than ten."""
    about = {"subject": dossier.chosen, "field": signal.field, "level": signal.level}
    return first(dossier.plan, measure=PERSONA_DEALS, **about)


def tells_apart(dossier: Dossier, field: str, level: str) -> bool:
    """Does the level tell members of the persona from each other: have ten of them it, and enough others not?

    True where the field is not recorded of them.
    """
    held = dossier.table("personas", "held")
    own = held[(held["persona"] == dossier.chosen) & (held["field"] == field)] if len(held) else held
    n, of = (0, 0) if own.empty else (own.loc[own["level"] == level, "n"].sum(), own["n"].sum())
    return own.empty or bool(n >= LEAST_SHOWN and _leaves_others(n, of))


def _leaves_others(n: float, of: float) -> bool:
    """Are enough of them left that have another level: ten, and one in twenty?"""
    return of - n >= max(LEAST_SHOWN, LEAST_COVERED * of)


def _buyer_fields(dossier: Dossier) -> set[str]:
    return set(dossier.table("personas", "whom").get("field", ()))


def look_for(dossier: Dossier, most: int) -> list[Part]:
    """The glance's card: what of a buyer speaks for a deal or against it, and how sure that is; none without any.

    What went the other way since is no advice.
    """
    found, lines = [one for one in of_buyers(dossier) if not _went_other_way(one)], list[Line]()
    for one in found[:most]:
        named = level_named(one.field, one.level, dossier.words)
        text = f"Against it: {named}" if one.points < 0 and not one.persona else capital(named)
        said = [in_short(one, dossier.plan, dossier.words), *_own_deals(dossier, one)]
        known = "; ".join(part.text for part in said)
        lines.append(Line(f"{text},", known, claims=tuple(name for part in said for name in part.claims)))
    lines += [Line("And others: see “What moves the chance?”")] if len(found) > most else []
    return [Part("Look for", lines, name="look")] if lines else []


def told(dossier: Dossier, signals: Sequence[Signal]) -> list[Line]:
    """Each signal in full; with the test that could tell what it does, where one is proposed."""
    fields, lines = _buyer_fields(dossier), []
    for one in signals:
        said = signal_told(one, dossier.plan, dossier.words, is_of_buyers=one.field in fields)
        own = [replace(part, text=f"{capital(part.text)}.") for part in _own_deals(dossier, one)]
        lines += [Line.of(part) for part in (said, *own, *trial_told(one, dossier.plan, dossier.words))]
    return lines


def _own_deals(dossier: Dossier, one: Signal) -> list[Sentence]:
    """How many deals with the level the page's persona has, where several were tested together."""
    if not _is_shared(dossier, one):
        return []
    return [deals_told(one, dossier.plan, dossier.chosen, dossier.words)]


def _is_shared(dossier: Dossier, one: Signal) -> bool:
    """Was it tested over several personas together?"""
    return not one.persona and len(dossier.personas.ids) > 1


def beside_amounts(dossier: Dossier, fields: Collection[str]) -> Part:
    """The signals on these fields beside what a decided deal brought, and how to test them."""
    found = [one for one in to_try(dossier) if one.field in fields]
    levels = {(one.field, one.level) for one in found}
    amounts = where(dossier.ledger, measure=PER_DECIDED, subject="market")
    is_asked = [pair in levels | {("", "")} for pair in zip(amounts["field"], amounts["level"], strict=True)]
    claims = pd.concat([*(of_signal(dossier.plan, one, PROMISED, CAME) for one in found), amounts[is_asked]])

    def moved(measure: str) -> Column:
        return lambda row: moved_of(row[measure]) if measure in row else numbers.MISSING

    def amount(row: Mapping[str, Claim]) -> str:
        claim = row.get(PER_DECIDED)
        return numbers.MISSING if claim is None else f"{backed(claim, dossier.words)}, {span(claim)}"

    columns: Columns = {
        PROMISED: ("win rate, promised", moved(PROMISED)),
        CAME: ("came since", moved(CAME)),
        PER_DECIDED: ("won per decided deal, estimated", amount),
    }
    return Part(
        "What to try and measure",
        told(dossier, found),
        [table_of(claims, dossier.words, "of deals", columns)] if found else [],
        empty="No channel or product was shown to move the chance over all personas; this does not say that none does.",
        intro="Given persona and all other fields: an association. Beside it what a decided deal brought, estimated: "
        "drawn toward that of all, the more the fewer its deals.",
    )


def changed(dossier: Dossier) -> list[Line]:
    """The signals that entered or were withdrawn when the period began."""
    found = []
    for entry in dossier.personas.changelog:
        is_mine = entry.edit in (SIGNAL, WITHDRAW) and entry.persona in ("", dossier.chosen)
        if is_mine and entry.period == dossier.period.name:
            about = {"subject": entry.persona or "market", "field": entry.field, "level": entry.level}
            own = where(dossier.plan, **about)
            cited = own[own["measure"].isin([PROMISED, HAD_COME])]
            found.append(Line(edit_told(entry, dossier.words), claims=claim_ids(cited)))
    return found


def points(dossier: Dossier) -> Part:
    """How many points a deal gets for what is known of it, and what chance they stand for."""
    in_force = [one.what for one in dossier.personas.signals_in_force if one.persona in ("", dossier.chosen)]
    of_deals = where(dossier.plan, notebook="02_personas")  # 03 has one of leads
    shown = card_tables(of_deals, dossier.words, in_force)
    intro = "Add up what is known of a deal; what is not listed counts as the others of its field. Points rank deals, "
    intro += "and are learned of all fields at once; only what is marked as a signal was tested and holds."
    lacking = dossier.steps["personas"].missing.get("card", "Record how deals ended; a hundred are enough.")
    return Part("Points of a deal", tables=shown, intro=intro, empty=lacking)
