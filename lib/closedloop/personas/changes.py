"""What differs between two persona sets, which persona came from which, and which claims stand behind each edit."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from closedloop.errors import ParameterError
from closedloop.market.definition import Definition, check_slug
from closedloop.personas.persona_set import COMMIT, EDITS, MERGE, RETIRE, SPLIT, Change, Persona, PersonaSet, change_of
from closedloop.statistics.rules import Condition, Rule, implies
from closedloop.terms import Verdict


@dataclass(frozen=True)
class Difference:
    """One persona before and after (None: not there).

    ``change``: new, split, merged, retired, adjusted or kept. ``other``: the persona that it was split from, or that
    took its people; ``parts``: the personas that were split from it.
    """

    change: str
    before: Persona | None
    after: Persona | None
    other: str = ""
    parts: tuple[str, ...] = ()
    is_rule_changed: bool = False

    @property
    def persona(self) -> Persona:
        """The persona as it is, or was last."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def row(self) -> dict[str, Any]:
        """The difference as a row of a table, with what a persona that is lost was called by."""
        who = {name: getattr(self.persona, name) for name in ("name", "field", "level", "share")}
        told = {name: getattr(self, name) for name in ("change", "other", "is_rule_changed", "is_first_promise")}
        return {"persona": self.persona.id, **who, **told, "parts": " ".join(self.parts)}

    @property
    def is_first_promise(self) -> bool:
        """Was the win rate assumed before, and rests on deals of the persona now?"""
        return self.before is not None and self.after is not None and self.before.is_assumed > self.after.is_assumed


def compare(before: PersonaSet, after: PersonaSet) -> list[Difference]:
    """What became of every persona: those of ``after`` in their order, then those that are no longer there."""
    old = {persona.id: persona for persona in before.personas}
    origin = {new: _origin(before.rule, after.rule, new) for new in after.ids if new not in old}
    found = []
    for persona in after.personas:
        if persona.id in origin:
            change = "split" if origin[persona.id] else "new"
            found.append(Difference(change, None, persona, origin[persona.id], is_rule_changed=True))
            continue
        parts = tuple(new for new, parent in origin.items() if parent == persona.id)
        is_other = bool(parts) or _ways(before.rule, persona.id) != _ways(after.rule, persona.id)
        same = Difference("kept", old[persona.id], persona, parts=parts, is_rule_changed=is_other)
        found.append(replace(same, change="adjusted") if is_other or same.is_first_promise else same)
    ended = {entry.persona: entry.edit for entry in after.changelog if entry.edit in (MERGE, RETIRE)}
    for persona in before.personas:
        if persona.id not in after.ids:
            change = "merged" if ended.get(persona.id) == MERGE else "retired"
            found.append(Difference(change, persona, None, _successor(before.rule, after.rule, persona.id)))
    return found


def _ways(rule: Rule, label: str) -> list[frozenset[Condition]]:
    """The conditions of every branch that leads to a label; an empty one for the default."""
    ways = [frozenset(branch.conditions) for branch in rule.branches if branch.label == label]
    return [*ways, frozenset()] if rule.default == label else ways


def _covers(wide: frozenset[Condition], narrow: frozenset[Condition]) -> bool:
    """Does whoever meets the ``narrow`` conditions meet the ``wide`` ones, as far as their words tell?"""
    return all(asked in narrow or any(implies(met, asked) for met in narrow) for asked in wide)


def _origin(old: Rule, new: Rule, label: str) -> str:
    """The persona whose cases ``label`` takes since the rule changed; empty when the rule was made anew."""
    known = [(frozenset(branch.conditions), branch.label) for branch in old.branches]  # the first that holds decides
    if not {asked for asked, _ in known} <= {frozenset(branch.conditions) for branch in new.branches}:
        return ""
    found = {next((to for asked, to in known if _covers(asked, way)), old.default) for way in _ways(new, label)}
    return found.pop() if len(found) == 1 else ""


def _successor(old: Rule, new: Rule, label: str) -> str:
    """The persona to which the ways of a retired one lead now; empty when they lead to several."""
    now = [(frozenset(branch.conditions), branch.label) for branch in new.branches]
    found = {next((to for asked, to in now if _covers(asked, way)), new.default) for way in _ways(old, label)}
    return found.pop() if len(found) == 1 else ""


def changes(before: PersonaSet | None, after: PersonaSet) -> pd.DataFrame:
    """What differs between two sets, one row a persona (``Difference.row``); without a set before, all are found."""
    found = compare(before, after) if before else [Difference("new", None, persona) for persona in after.personas]
    return pd.DataFrame([difference.row for difference in found])


def changed_by(edits: pd.DataFrame, before: PersonaSet, after: PersonaSet, period: str) -> tuple[Change, ...]:
    """The changelog of ``after``, in force from ``period``: that of ``before``, and the edits that were made since.

    ``edits``: claims of the family ``edit``; those that hold and that the new set shows are entered.
    """
    held = edits[edits["verdict"] == Verdict.SUPPORTED].sort_values(["subject", "q", "claim_id"], kind="stable")
    found = []
    for claim in held.to_dict("records"):
        edit, persona = EDITS[str(claim["measure"])], str(claim["subject"])
        into = _into(edit, persona, (str(claim["field"]), str(claim["level"])), before, after)
        if into is not None:
            found.append(change_of({str(k): v for k, v in claim.items()}, period=period, edit=edit, into=into))
    return (*before.changelog, *found)


def _into(edit: str, persona: str, cut: tuple[str, str], before: PersonaSet, after: PersonaSet) -> str | None:
    """The persona that an edit made or gave people to; None when the new set does not show the edit."""
    if edit == SPLIT:
        return next((new for new in after.ids if new not in before.ids and _is_cut(after, new, persona, cut)), None)
    if edit in (MERGE, RETIRE):
        return None if persona in after.ids else _successor(before.rule, after.rule, persona)
    return ""


def _is_cut(personas: PersonaSet, new: str, parent: str, cut: tuple[str, str]) -> bool:
    """Was ``new`` cut out of ``parent`` by this field and level?"""
    by = (cut[0], (cut[1],))
    ways = [branch for branch in personas.rule.branches if branch.label == new]
    is_by = any((c.field, getattr(c, "levels", None)) == by for branch in ways for c in branch.conditions[-1:])
    return is_by and new.startswith(parent)


def committed(personas: PersonaSet, period: str) -> PersonaSet:
    """The set as people put it into force in ``period``, whatever refinement said."""
    entry = Change(period, COMMIT)
    return replace(personas, period=period, origin="committed", changelog=(*personas.changelog, entry))


def proposed_period(path: Path) -> str:
    """The period for which the proposal at ``path`` was made; ParameterError when there is none to accept."""
    if not path.exists():
        raise ParameterError(f"{path} does not exist; run the period first: closedloop run")
    stored = yaml.safe_load(path.read_text("utf-8")) or {}
    if "personas" not in stored:
        reason = stored.get("reason") or stored.get("verdict") or "none was made"
        raise ParameterError(f"{path} holds no persona set to accept: {reason}")
    return check_slug("period", str(stored["period"]))


def waiting(definition: Definition, folder: Path) -> list[str]:
    """Periods under ``folder`` (a market's) whose proposal waits to be accepted."""
    if definition.accept != "manual":
        return []
    found = []
    for path in sorted(folder.glob("*/proposal.yml")):
        try:
            target = definition.folder / "personas" / f"{proposed_period(path)}.yml"
        except ParameterError:
            continue
        found += [] if target.exists() else [path.parent.name]
    return found
