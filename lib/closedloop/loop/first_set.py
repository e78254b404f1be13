"""The first persona set: what market research alone suggests, before any deal has ended."""

from collections import Counter
from typing import NamedTuple

import pandas as pd

from closedloop.evidence.indicators import level_text
from closedloop.evidence.profiles import field_and_level
from closedloop.evidence.rules import Rule, RuleError, assignment_rule, cross_validated_error
from closedloop.evidence.segments import Segmentation
from closedloop.loop.persona import EVERYONE, Persona, PersonaSet
from closedloop.loop.persona_ids import persona_id
from closedloop.loop.records import Sample
from closedloop.loop.situation import Situation

_VOLATILE = ("campaign", "experiment", "arm", "first_touch")


def shared_fields(situation: Situation, sample: Sample) -> list[str]:
    """Fields that the sample shares with the records that a rule has to assign."""
    records = next((table for table in ("leads", "deals") if situation.view.has(table)), None)
    if records is None or sample.rows.empty:
        return []
    known = situation.fields(records)
    return [name for name in known if name in sample.rows and name not in _VOLATILE and sample.rows[name].nunique() > 1]


class Trait(NamedTuple):
    """What sets a segment most apart from the others, and the id made of it; without a level, more of a number."""

    id: str
    field: str
    level: str


def segment_traits(profile: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Trait]:
    """The trait of each segment; ``profile`` was made of ``rows``. Without one that is free, a segment has its number.

    What two columns would both be called is neither's id, so that an id stays the same whatever else was cut.
    """
    segments = profile.drop(index="market")
    scale = profile.loc["market"].abs().clip(lower=1.0)
    plain = Counter(persona_id(str(column)) for column in segments.columns)
    shared = [id_ for id_, times in plain.items() if times > 1]
    taken: set[str] = set()
    traits = {}
    for segment in segments.index:
        others = segments.drop(index=segment)
        apart = ((segments.loc[segment] - others.mean()) / scale).sort_values(ascending=False, kind="stable")
        column = next((str(name) for name in apart.index if name not in taken), None)
        if column is None:
            traits[str(segment)] = Trait(f"segment-{segment}", "", "")
            continue
        taken.add(column)
        traits[str(segment)] = Trait(persona_id(column, shared), *field_and_level(column, rows))
    return traits


def research_set(situation: Situation, sample: Sample, found: Segmentation | None) -> PersonaSet:
    """The persona set, without rates, that market research alone suggests: a persona a segment, or one for everyone."""
    fields = shared_fields(situation, sample)
    error: RuleError | None = None
    if found is None or found.recommended_k == 1 or not fields:
        rule = Rule((), EVERYONE, ())
        found_personas: tuple[Persona, ...] = (Persona(EVERYONE, "Everyone", rule=("every customer",)),)
    else:
        traits = segment_traits(found.profile, sample.rows)
        labels = found.labels.astype(str).map(lambda segment: traits[segment].id)
        rule = assignment_rule(sample.rows[fields], labels, rng=situation.rng("rule"))
        error = cross_validated_error(sample.rows[fields], labels, rng=situation.rng("rule-error"))
        found_personas = _from_segments(traits, rule, sample.rows)
    return PersonaSet(
        market=situation.market,
        period=situation.period.name,
        origin="research",
        rule=rule,
        personas=found_personas,
        fields=tuple(fields),
        rule_error=error.error if error else None,
        guess_error=error.guessing if error else None,
        rule_n=error.n if error else None,
    )


def _from_segments(traits: dict[str, Trait], rule: Rule, rows: pd.DataFrame) -> tuple[Persona, ...]:
    sentences, assigned = rule.sentences(), rule.assign(rows)
    found = []
    for segment, (name, field, level) in traits.items():
        if name not in sentences:
            continue  # a segment that the rule never assigns cannot be recognised, so it is no persona
        has_level = level_text(rows.loc[assigned == name, field]).dropna() == level if level else pd.Series()
        share = float(has_level.mean()) if len(has_level) else None
        found.append(Persona(name, segment=segment, rule=tuple(sentences[name]), field=field, level=level, share=share))
    return tuple(found)
