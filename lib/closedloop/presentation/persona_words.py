"""Assignment rules in the market's words, each line true by itself, in whatever order it is read."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.errors import DefinitionError
from closedloop.market.definition import Definition
from closedloop.period.store import read_frame
from closedloop.personas.changes import Difference, compare
from closedloop.personas.persona_set import (
    COMMIT,
    EVERYONE,
    MERGE,
    RETIRE,
    SIGNAL,
    SPLIT,
    WITHDRAW,
    Change,
    Persona,
    PersonaSet,
)
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, Table, span, stating
from closedloop.presentation.numbers import is_missing
from closedloop.presentation.sentences import Claim, records, where
from closedloop.presentation.signal_words import for_whom, level_named
from closedloop.presentation.tables import table
from closedloop.presentation.words import Words, capital
from closedloop.statistics.rules import Among, Between, Branch, Condition, Rule

NOT_LED_BY = "What differs is less common here, our own doing, recorded of few, or follows from the rule"
THE_REST = "everyone whom no other rule takes"


def rule_sentences(rule: Rule, words: Words) -> dict[str, list[str]]:
    """Persona -> the ways to recognise it, in the market's words; the default persona also takes the rest."""
    ways: dict[str, list[str]] = {}
    for i, branch in enumerate(rule.branches):
        conditions, but = _alone(branch, rule.branches[:i])
        parts = [_condition(condition, words) for condition in conditions] or ["everyone"]
        ways.setdefault(branch.label, []).append("; ".join([*parts, *(f"but not {_condition(c, words)}" for c in but)]))
    ways.setdefault(rule.default, []).append(THE_REST if rule.branches else "everyone")
    return ways


def makeup(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """What most of a persona are by each field of its rule, what sets it most apart first.

    ``claims``: its own on ``member_share``. Where most have no level in common, the levels that are more common than
    among all are told: "mostly job: blue-collar (69 % of them)", "often education: 4 years (35 %) or 6 years (21 %)".
    """
    apart = claims.assign(apart=claims["estimate"] - claims["baseline"])
    found: list[tuple[float, Sentence]] = []
    for name, part in apart.sort_values("estimate", ascending=False, kind="stable").groupby("field", sort=False):
        top = records(part.head(1))[0]
        if is_most(top["estimate"]):
            extent = "" if top["estimate"] >= SURELY else "mostly "
            text = f"{extent}{words.condition(str(name), top['level'])} ({numbers.rate(top['estimate'])} of them)"
            found.append((top["apart"], stating(text, top)))
            continue
        common = part[part["apart"] > 0].head(2)
        listed = [f"{words.level(str(name), c['level'])} ({numbers.rate(c['estimate'])})" for c in records(common)]
        if listed:
            text = f"often {words.column(str(name))}: {' or '.join(listed)}"
            found.append((common["apart"].max(), stating(text, common)))
    return [said for _, said in sorted(found, key=lambda one: -one[0])]


def _alone(branch: Branch, earlier: Sequence[Branch]) -> tuple[list[Condition], list[Condition]]:
    """What a branch asks when it is read without those before it: its conditions, and what it leaves to others.

    Of several conditions on the levels of one field the common levels stay. A branch before it that asks the same
    and one thing more has taken those cases.
    """
    held = _joined(branch.conditions)
    but: list[Condition] = []
    for other in earlier:
        taken = _more(_joined(other.conditions), _joined(branch.conditions))
        if other.label == branch.label or taken is None:
            continue
        same = next((c for c in held if isinstance(c, Among) and c.field == taken.field), None)
        if isinstance(taken, Among) and same is not None:
            held[held.index(same)] = same.both(taken.opposite())
        else:
            but.append(taken)
    return held, but


def _more(conditions: Sequence[Condition], than: Sequence[Condition]) -> Condition | None:
    """The one condition by which a branch asks more ``than`` another: one added, or fewer levels of one field."""
    added, lacking = ([c for c in one if c not in other] for one, other in ((conditions, than), (than, conditions)))
    if len(added) != 1 or len(lacking) > 1:
        return None
    narrow = added[0]
    is_narrower = all(
        isinstance(wide, Among) and isinstance(narrow, Among) and wide.field == narrow.field and narrow.is_within(wide)
        for wide in lacking
    )
    return narrow if is_narrower else None


def _joined(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions with one for the levels of each field."""
    found: list[Condition] = []
    for condition in conditions:
        same = next((c for c in found if isinstance(c, Among) and c.field == condition.field), None)
        if isinstance(condition, Among) and same is not None:
            found[found.index(same)] = same.both(condition)
        else:
            found.append(condition)
    return found


def _condition(condition: Condition, words: Words) -> str:
    label = words.column(condition.field)
    if isinstance(condition, Between):
        return condition.sentence().replace(condition.field, label, 1)
    levels, gaps = [words.level(condition.field, level) for level in condition.levels], ["not recorded"]
    if condition.others:
        levels = [f"none of {', '.join(levels)}" if levels else "any recorded"]
    return f"{label}: {' or '.join([*levels, *(gaps if condition.missing else [])])}"


SURELY = 0.9  # the share of a persona's members from which on it bears the name of a level
ALL_OTHERS = "All others"
_LONGEST = 60


def words_for(definition: Definition, *sets: PersonaSet) -> Words:
    """The market's words with the name of every persona of these sets, and of those that the team names.

    Of a persona that is in several sets the last one says what it is called.
    """
    team, plain = team_names(definition.folder), Words(definition)
    names: dict[str, str] = {}
    for of in sets:
        names |= _names_of(of, plain, team)
    names = {id_: name or capital(id_.replace("-", " ")) for id_, name in names.items()} | team
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    return Words(definition, {id_: f"{name} ({id_})" if name in shared else name for id_, name in names.items()})


def _names_of(of: PersonaSet, words: Words, team: Mapping[str, str]) -> dict[str, str]:
    """The names of a set's personas and of the parts that were ever split off: a part by its whole and its level."""
    names = {p.id: default_name(vars(p), words) for p in of.personas}
    rest = next((p for p in of.personas if p.id == of.rule.default), None)
    has_rule = rest is None or any(branch.label == rest.id for branch in of.rule.branches)
    if rest is not None and not has_rule and len(of.personas) > 1 and names[rest.id] in ("", EVERYONE.capitalize()):
        names[rest.id] = ALL_OTHERS
    traits = {p.id: (p.field, p.level) for p in of.personas if not p.name}
    for entry in (entry for entry in of.changelog if entry.edit == SPLIT):
        part = words.short(entry.field, entry.level)
        is_own = traits.get(entry.persona) == (entry.field, entry.level)  # the very level that its whole is called by
        whole = names.get(entry.persona) or words.name(entry.persona)
        is_whole_market = entry.persona == EVERYONE or whole == ALL_OTHERS
        whole = team.get(entry.persona, "" if is_own or is_whole_market else whole)
        names[entry.into] = names.get(entry.into) or (f"{whole}, {part}" if whole else capital(part))
        if is_own and entry.into in of.ids:
            names[entry.persona] = f"Other than {part}"
    return names


def default_name(persona: Mapping[str, Any], words: Words) -> str:
    """The name that people wrote, else its field and level as far as its members have it; else nothing."""
    field, level, share = (persona[key] for key in ("field", "level", "share"))
    if persona["name"] or not field:
        return str(persona["name"])
    if not level:
        return f"Higher {words.column(field)}"
    told = words.short(field, level).removeprefix("wants ")
    extent = "more often " if is_missing(share) or not is_most(share) else "mostly " if share < SURELY else ""
    return capital(f"{extent}{told}")


def is_most(share: float) -> bool:
    """Is it more than half, also as it is written?"""
    return round(share, 2) > 0.5


def team_names(folder: Path) -> dict[str, str]:
    """The names that the team keeps in ``personas/names.toml`` of the market's folder, by persona id; none without it.

    Errors: DefinitionError for a file that is no TOML, a name that is no short text, or one that two personas share.
    """
    path = folder / "personas" / "names.toml"
    try:
        names = tomllib.loads(path.read_text("utf-8-sig")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read as TOML: {error}") from error
    for id_, name in names.items():
        if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST:
            raise DefinitionError(f"{path}: {id_} = {name!r} is no name; allowed: text of 1 to {_LONGEST} characters")
        twin = next((other for other in names if other != id_ and names[other] == name), None)
        if twin:
            raise DefinitionError(f"{path}: {twin} and {id_} are both called {name!r}; give each a name of its own")
    return {id_: name.strip() for id_, name in names.items()}


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
    # a persona may be in force no longer
    names = [words.names.get(row["persona"]) or default_name(row, words) or words.name(row["persona"]) for row in rows]
    named = changes.assign(persona=names, detail=[detail(row, words) for row in rows])
    headings = {"persona": "persona", "change": "change", "detail": "detail"}
    return table(named, headings, words, caption=caption)


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
    if told:
        return told
    parts = [words.told(part) for part in row["parts"].split()]
    moved = [f"part of it is now {' and '.join(parts)}"] if parts else []
    moved += ["recognised differently"] if row["is_rule_changed"] and not parts else []
    moved += ["its win rate rests on deals of its own now"] if row["is_first_promise"] else []
    return "; ".join(moved)


def _told(whole: str, words: Words) -> str:
    """Whom a part was cut out of: the persona that was once everyone may be called all others now."""
    return EVERYONE if whole == EVERYONE else words.told(whole)


def edit_told(entry: Change, words: Words) -> str:
    """What an edit did, in a few words."""
    if entry.edit in (SIGNAL, WITHDRAW):
        return capital(_signal_edit(entry, words))
    who, into = _told(entry.persona, words), words.told(entry.into)
    told = {
        SPLIT: f"{into} is split from {who}",
        MERGE: f"{who} is now part of {into}",
        RETIRE: f"{who} is retired; its people count as {into}" if into else f"{who} is retired",
        COMMIT: "people put another set into force",
    }
    return capital(told.get(entry.edit, f"{who}: {entry.edit.replace('_', ' ')}"))


def _signal_edit(entry: Change, words: Words) -> str:
    """What a signal promises from now on; or that it is in force no longer, what it promised, and what came."""
    named, moved = level_named(entry.field, entry.level, words), numbers.moved(entry.estimate, entry.low, entry.high)
    if entry.edit == SIGNAL:
        return f"{named}: {moved}, {for_whom(entry.persona, words)}, from now on"
    named += f", {for_whom(entry.persona, words)}," if entry.persona else ""
    if entry.by_duel:
        return f"{named} is in force no longer: the sets of all periods predicted worse than renewed rates alone"
    came = f"came {moved} in its last periods to {entry.last_period}"
    return f"{named} is in force no longer: promised {numbers.moved(entry.baseline)}, {came}"


def edit_evidence(entry: Change) -> str:
    """The figures of the claim behind an edit; a decision of people has none. What a signal moves is told already."""
    if entry.by_duel:
        return "the duel"
    if entry.estimate is None:
        return "a decision, not a finding"
    q = "" if entry.q is None else f", q = {numbers.plain(entry.q)}"
    if entry.edit in (SIGNAL, WITHDRAW):
        return f"n = {numbers.count(entry.n)}{q}{_when(entry)}"
    of = {RETIRE: "of all deals", SPLIT: "won, were periods alike"}.get(entry.edit, "won")
    found, base = numbers.rates_apart(entry.estimate, entry.baseline)
    found = f"{found} {of}"
    interval = "" if entry.low is None else f"{numbers.interval(entry.low, entry.high, 'rate', '')}, "
    against = "" if entry.baseline is None else f" against {base}"
    against += " that a persona needs" * (entry.edit == RETIRE)
    return f"{found} ({interval}n = {numbers.count(entry.n)}){against}{q}{_when(entry)}"


def _when(entry: Change) -> str:
    """The periods of the deals behind an entry, as far as it has them."""
    return f", deals {span(vars(entry))}" if entry.first_period else ""


def diff(before: PersonaSet, after: PersonaSet, words: Words, sizes: Sequence[Sizes] = ({}, {})) -> str:
    """The differences of two sets: personas, rules, promised win rates, sizes, and the claims behind the edits.

    ``words`` name the personas of both; ``sizes``: the share of each persona in the market then and now, if known.
    """
    found = [block for d in compare(before, after) for block in _block(d, before, after, words, sizes)]
    rates = _moved(before.base_rate, after.base_rate)
    head = [f"{before.market}: personas of {before.period} ({before.origin}) and of {after.period} ({after.origin})"]
    entries = [entry for entry in after.changelog if entry not in before.changelog]
    if not (found or rates or entries):
        return f"{head[0]}: {NO_DIFFERENCE}"
    if rates:
        head.append(f"Win rate of all deals when the promises were made: {rates}")
    if len(before.personas) != len(after.personas):
        head.append(f"Personas: {len(before.personas)} -> {len(after.personas)}")
    why = ["\nWhy"] if entries else []
    for entry in entries:
        claim = f"; claim {entry.claim_id}" if entry.claim_id else ""
        why.append(f"  {entry.period}  {edit_told(entry, words)}: {edit_evidence(entry)}{claim}")
    return "\n".join([*head, *found, *why])


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


def unrecognised(claim: Claim) -> str:
    """How many of a persona's records the rule gives to it though it knows nothing of them."""
    n, of = numbers.count(claim["estimate"]), numbers.count(claim["n"])
    return f"{n} of these {of} are given to it though nothing that the rule asks for is known of them"
