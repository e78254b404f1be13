"""The challenger: the persona set as the deals decided so far would have it, with the claims behind each edit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from closedloop.evidence.indicators import level_text
from closedloop.loop.persona import PersonaSet, estimate
from closedloop.loop.situation import Situation
from closedloop.questions import splits
from closedloop.questions.merges import simplified
from closedloop.terms import Verdict


@dataclass(frozen=True)
class Challenger:
    """A persona set as the deals known so far would have it, and the claims of every edit that was tested."""

    personas: PersonaSet
    edits: pd.DataFrame


def challenger_of(
    situation: Situation,
    closed: pd.DataFrame,
    in_force: PersonaSet,
    fields: Sequence[str] | None = None,
    notebook: str = "06_refinement",
) -> Challenger:
    """The challenger learned from ``closed`` deals, with its permanent edits made; and claims of all edits tested.

    Claims (``CLAIM_COLUMNS``, family ``edit``): subject the persona; measure ``win_rate`` a split, and those of
    ``merges``; supported is permanent, leaning on watch. Only rules are edited: rates are renewed every period.
    ``fields``: tried as splits; all of the people known at creation unless given.
    """
    tried = splits.split_fields(situation, closed) if fields is None else [name for name in fields if name in closed]
    claims = splits.split_claims(situation, closed, in_force, tried, notebook)
    changed, undone = simplified(situation, closed, in_force, notebook)
    made = claims[(claims["verdict"] == Verdict.SUPPORTED) & claims["subject"].isin(changed.ids)]
    for edit in made.sort_values(["q", "subject", "field", "level"]).drop_duplicates("subject").itertuples():
        changed = splits.with_split(changed, str(edit.subject), str(edit.field), str(edit.level))
    changed = replace(changed, fields=tuple(dict.fromkeys([*in_force.fields, *changed.rule.fields])))
    if changed.rule != in_force.rule:
        changed = replace(changed, rule_error=None, guess_error=None, rule_n=None)
    wholes = {*made["subject"], *undone.loc[undone["verdict"] == Verdict.SUPPORTED, "level"]}
    changed, recent = _with_shares(changed, closed, wholes), situation.in_window(closed, closed["closed_on"])
    with_rates = estimate(changed, recent, situation.names_of(recent["closed_on"]))
    return Challenger(with_rates, pd.concat([claims, undone], ignore_index=True))


def _with_shares(changed: PersonaSet, closed: pd.DataFrame, wholes: set[str]) -> PersonaSet:
    """The set with the share of the ``wholes``' deals that have the level they are called by, as far as deals hold it.

    What was cut out of a persona or went back to it may have had that level more often, or less often, than the rest.
    """
    assigned = changed.assign(closed)
    personas = []
    for persona in changed.personas:
        if persona.id in wholes and persona.level and persona.field in closed:
            has_level = level_text(closed.loc[assigned == persona.id, persona.field]).dropna() == persona.level
            persona = replace(persona, share=float(has_level.mean()) if len(has_level) else None)
        personas.append(persona)
    return replace(changed, personas=tuple(personas))
