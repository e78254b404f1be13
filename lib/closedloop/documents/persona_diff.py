"""What differs between two persona sets, and why, as text that people read."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import where
from closedloop.documents.persona_names import default_name
from closedloop.documents.rule_words import rule_sentences
from closedloop.documents.tables import Table, table
from closedloop.documents.wording import Words, capital, records
from closedloop.loop.changelog import COMMIT, MERGE, RETIRE, SPLIT, Change
from closedloop.loop.persona import EVERYONE, Persona, PersonaSet
from closedloop.loop.persona_changes import Difference, compare
from closedloop.loop.step import read_frame

NO_DIFFERENCE = "no difference"
_SIGNS = {"new": "+", "split": "+", "merged": "-", "retired": "-", "adjusted": "~"}
Sizes = Mapping[str, float]


def known_sizes(folder: Path) -> Sizes:
    """The share of each persona in the market, where 02 personas left its claims in ``folder``; else none."""
    path = folder / "claims" / "02_personas.parquet"
    if not path.exists():
        return {}
    claims = where(read_frame(path), measure="persona_share")
    return dict(zip(claims["level"], claims["estimate"], strict=True))


def change_table(changes: pd.DataFrame, words: Words, caption: str = "") -> Table:
    """What becomes of each persona between two sets; ``changes``: as of ``persona_changes.changes``."""
    rows = records(changes)
    named = changes.assign(persona=[_name_of(row, words) for row in rows], detail=[detail(row, words) for row in rows])
    headings = {"persona": "persona", "change": "change", "detail": "detail"}
    return table(named, headings, words, caption=caption)


def _name_of(row: Mapping[str, Any], words: Words) -> str:
    """The name of a persona that may be in force no longer."""
    return words.names.get(row["persona"]) or default_name(row, words) or words.name(row["persona"])


def detail(row: Mapping[str, Any], words: Words) -> str:
    """One difference in words, without figures; ``row``: one of ``persona_changes.changes``."""
    other = _told(row["other"], words) if row["other"] else ""
    told = {
        "new": "recognised by a rule of its own" if row["is_rule_changed"] else "found by research",
        "split": f"was part of {other}",
        "merged": f"now part of {other or 'others'}",
        "retired": f"its people now count as {other}" if other else "no longer a persona",
        "kept": "as before",
    }.get(row["change"])
    return told or "; ".join(_adjusted(row, words))


def _told(whole: str, words: Words) -> str:
    """Whom a part was cut out of: the persona that was once everyone may be called all others now."""
    return EVERYONE if whole == EVERYONE else words.told(whole)


def _adjusted(row: Mapping[str, Any], words: Words) -> Iterator[str]:
    if row["parts"]:
        yield f"part of it is now {' and '.join(map(words.told, row['parts'].split()))}"
    elif row["is_rule_changed"]:
        yield "recognised differently"
    if row["is_first_promise"]:
        yield "its win rate rests on deals of its own now"


def edit_told(entry: Change, words: Words) -> str:
    """What an edit did, in a few words."""
    who, into = _told(entry.persona, words), words.told(entry.into)
    told = {
        SPLIT: f"{into} is split from {who}",
        MERGE: f"{who} is now part of {into}",
        RETIRE: f"{who} is retired; its people count as {into}" if into else f"{who} is retired",
        COMMIT: "people put another set into force",
    }
    return capital(told.get(entry.edit, f"{who}: {entry.edit.replace('_', ' ')}"))


def edit_evidence(entry: Change) -> str:
    """The figures of the claim behind an edit; a decision of people has none."""
    if entry.estimate is None:
        return "a decision, not a finding"
    found = f"{numbers.rate(entry.estimate)} won"
    interval = "" if entry.low is None else f"{numbers.interval(entry.low, entry.high, 'rate', '')}, "
    against = "" if entry.baseline is None else f" against {numbers.rate(entry.baseline)}"
    q = "" if entry.q is None else f", q = {numbers.plain(entry.q)}"
    return f"{found} ({interval}n = {numbers.count(entry.n)}){against}{q}, deals to {entry.last_period}"


def diff(before: PersonaSet, after: PersonaSet, words: Words, sizes: Sequence[Sizes] = ({}, {})) -> str:
    """The differences of two sets: personas, rules, promised win rates, sizes, and the claims behind the edits.

    ``words`` name the personas of both; ``sizes``: the share of each persona in the market then and now, if known.
    """
    found = [block for d in compare(before, after) for block in _block(d, before, after, words, sizes)]
    rates = _moved(before.base_rate, after.base_rate)
    head = [f"{before.market}: personas of {before.period} ({before.origin}) and of {after.period} ({after.origin})"]
    if not found and not rates:
        return f"{head[0]}: {NO_DIFFERENCE}"
    if rates:
        head.append(f"Win rate of all deals when the promises were made: {rates}")
    if len(before.personas) != len(after.personas):
        head.append(f"Personas: {len(before.personas)} -> {len(after.personas)}")
    return "\n".join([*head, *found, *_why(before, after, words)])


def _block(d: Difference, old: PersonaSet, new: PersonaSet, words: Words, sizes: Sequence[Sizes]) -> Iterator[str]:
    """One persona: what happened to it, and below how it is recognised and what is promised."""
    known = [size.get(d.persona.id) for size in sizes]
    size = "" if None in known else _moved(*known)
    promises = list(dict.fromkeys(_promise(persona) for persona in (d.before, d.after) if persona))
    if d.change == "kept" and not size and len(promises) < 2:
        return
    yield f"\n{_SIGNS.get(d.change, '~')} {words.name(d.persona.id)}: {detail(d.row, words)}"
    ways = [rule_sentences(of.rule, words).get(d.persona.id, []) for of in (old, new)]
    yield from (f"    no longer: {way}" for way in ways[0] if way not in ways[1])
    yield from (f"    recognised by: {way}" for way in ways[1] if way not in ways[0])
    if len(promises) > 1 or None in (d.before, d.after):
        yield f"    promised win rate: {' -> '.join(promises)}"
    if size:
        yield f"    share of those known: {size}"


def _promise(persona: Persona) -> str:
    if persona.win_rate is None or persona.is_assumed:
        return "assumed, without deals of its own"
    return f"{numbers.interval(persona.low, persona.high, 'rate', '')} (n = {numbers.count(persona.n)})"


def _moved(old: float | None, new: float | None) -> str:
    """ "36 % -> 40 %"; nothing where both read the same or neither is known."""
    told = [numbers.rate(old), numbers.rate(new)]
    return "" if told[0] == told[1] else " -> ".join(told)


def _why(before: PersonaSet, after: PersonaSet, words: Words) -> Iterator[str]:
    """The edits since, each with its claim."""
    entries = [entry for entry in after.changelog if entry not in before.changelog]
    if entries:
        yield "\nWhy"
    for entry in entries:
        claim = f"; claim {entry.claim_id}" if entry.claim_id else ""
        yield f"  {entry.period}  {edit_told(entry, words)}: {edit_evidence(entry)}{claim}"
