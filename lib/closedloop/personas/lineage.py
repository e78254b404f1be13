"""Where personas come from: the first set, which market research alone suggests, and how later ones follow from it."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from closedloop.period.situation import Situation
from closedloop.personas.persona_set import COMMIT, EVERYONE, SPLIT, Persona, PersonaSet, persona_id
from closedloop.personas.research import Sample
from closedloop.statistics.rule_tree import RuleError, assignment_rule, cross_fitted, cross_validated_error
from closedloop.statistics.rules import Rule
from closedloop.statistics.segmentation.indicators import field_and_level, level_text
from closedloop.statistics.segmentation.segments import Segmentation

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
        rule_periods=situation.span(sample.days) if error else (),
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


@dataclass(frozen=True)
class Lineage:
    """The personas in force beside the sample of market research and its segments (None: too little to cut)."""

    situation: Situation
    sample: Sample
    segments: Segmentation | None
    in_force: PersonaSet

    @property
    def asked(self) -> tuple[str, str]:
        """The first and last period that the sample is of."""
        return self.situation.span(self.sample.days)

    @cached_property
    def segment_of(self) -> dict[str, str]:
        """Segment of today's research behind each persona; a part of a split persona has its parent's.

        A segment is found again by what sets it most apart, which is the persona's id. Empty when a persona comes
        from no segment, or research no longer finds the one that it came from.
        """
        if self.segments is None or self.segments.recommended_k == 1:
            return {}
        traits = segment_traits(self.segments.profile, self.sample.rows)
        known = {trait.id: segment for segment, trait in traits.items()}
        found = {persona: known.get(root, "") for persona, root in roots(self.in_force).items()}
        return found if all(found.values()) else {}

    @cached_property
    def _cross_fitted(self) -> pd.Series | None:
        """Of every row the persona, by rules that did not see the row, with the set's edits; None: not to be made."""
        fields = shared_fields(self.situation, self.sample)
        is_ours = all(entry.edit != COMMIT for entry in self.in_force.changelog)
        if not self.segment_of or not is_ours or not fields:
            return None
        rows = self.sample.rows
        out = cross_fitted(rows[fields], self._labels, rng=self.situation.rng("cross-fit", each_period=False))
        return self._edited(out)

    @property
    def _labels(self) -> pd.Series:
        """The persona that research makes of each row's segment."""
        assert self.segments is not None
        traits = segment_traits(self.segments.profile, self.sample.rows)
        return self.segments.labels.astype(str).map(lambda segment: traits[segment].id)

    def _edited(self, labels: pd.Series, *, with_splits: bool = True) -> pd.Series:
        """Labels that research's rule gave, after the edits of the set."""
        found = labels.copy()
        for entry in self.in_force.changelog:
            is_meant = found == entry.persona
            if entry.edit == SPLIT:
                has_level = entry.field in self.sample.rows and level_text(self.sample.rows[entry.field]) == entry.level
                found[is_meant & has_level & with_splits] = entry.into
            elif entry.into:
                found[is_meant] = entry.into
        return found

    @cached_property
    def assigned(self) -> pd.Series:
        """The persona of each row of the sample, for counting who the personas are.

        The segments were cut from the very answers that then describe the personas; a rule learned on a row's own
        answers would find differences in pure noise (METHODS, 2: never test differences on the clustering variables).
        So each row is assigned by rules learned on the other rows. A set that people committed, or that is not made
        of today's segments, is assigned by its own rule: it was not learned from these answers.
        """
        out = self._cross_fitted
        return self.in_force.assign(self.sample.rows) if out is None else out

    @property
    def is_cross_fitted(self) -> bool:
        """Is no row assigned by a rule that knew its answers?"""
        return self._cross_fitted is not None

    @cached_property
    def rule_error(self) -> RuleError | None:
        """How often the rule in force errs about the segment of a respondent; None when that cannot be measured.

        Parts of a split persona count as their parent's segment, merged ones as one. Cross-validated; a committed
        rule is applied as it is.
        """
        stored = self.in_force
        if stored.rule_error is not None and stored.guess_error is not None and stored.rule_n:
            return RuleError(stored.rule_error, stored.guess_error, stored.rule_n)
        if len(set(self.segment_of.values())) < 2:
            return None
        labels = self._edited(self._labels, with_splits=False)
        truth = labels.map(self.segment_of)
        if truth.isna().any():
            return None
        wrong = self.assigned.map(self.segment_of) != truth
        return RuleError(float(wrong.mean()), float((truth != truth.mode().iloc[0]).mean()), len(truth))

    @property
    def why_untraced(self) -> str:
        """What keeps the personas from being held against segments of today's research."""
        if len(self.in_force.personas) < 2:
            return "There is one persona for everyone, so there is nothing to tell apart."
        if self.segments is None or self.segments.recommended_k == 1:
            return "Research finds no segments that could be trusted now, so the personas cannot be held against any."
        again = " Ask the survey again." if self.sample.source == "respondents" else ""
        return (
            "Not every persona comes from a segment that research finds today, so the personas cannot be held against "
            f"segments.{again}"
        )


def roots(in_force: PersonaSet) -> dict[str, str]:
    """Of every persona in force the one that it was split from, maybe more than once; itself where it never was."""
    parent = {entry.into: entry.persona for entry in in_force.changelog if entry.edit == SPLIT}
    found = {}
    for persona in in_force.ids:
        root = persona
        while root in parent:
            root = parent[root]
        found[persona] = root
    return found
