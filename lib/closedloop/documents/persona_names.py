"""What personas are called: as the team calls them, else by what sets them apart, said no further than it is true."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedloop.documents.numbers import is_missing
from closedloop.documents.wording import Words, capital
from closedloop.errors import DefinitionError
from closedloop.loop.changelog import SPLIT
from closedloop.loop.persona import EVERYONE, PersonaSet
from closedloop.market.definition import Definition

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
