"""Lineage: the segment behind each persona, rows assigned by rules that did not see them, and the rule's error."""

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.ledger import Origin, close_family, share_looks
from closedloop.period.counting import levels, share_counts
from closedloop.personas.lineage import Lineage, segment_traits
from closedloop.personas.persona_set import COMMIT, MERGE, SPLIT, Change, Persona, PersonaSet
from closedloop.personas.research import Sample
from closedloop.statistics.rule_tree import assignment_rule
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.statistics.segmentation.indicators import profile_of
from closedloop.statistics.segmentation.partitions import k_means

FULL = bool(os.environ.get("CLOSEDLOOP_FULL"))
ITEMS = [f"wants_{name}" for name in "abcdefghijkl"]
FIELDS = ["site", "size", "region", "role", "growth", "systems"]
ABOUT = Origin("02_personas", "attributes", "respondents", "1", "1")


class _Situation:
    """A market whose leads know the fields of the survey's respondents."""

    view = SimpleNamespace(has=lambda table: table == "leads")

    def fields(self, table: str) -> list[str]:
        return FIELDS

    def rng(self, step: str, *, each_period: bool = True) -> np.random.Generator:
        return np.random.default_rng(len(step))


def _survey(rng: np.random.Generator, n: int, wish: float) -> pd.DataFrame:
    """Answers to twelve questions beside six fields; ``wish``: how far the site moves the first six answers."""
    fields = {name: rng.choice(list("pqrs"), n) for name in FIELDS}
    chance = np.full((n, len(ITEMS)), 0.5)
    chance[:, :6] += wish * np.where(np.isin(fields["site"], ["p", "q"]), 1, -1)[:, None]
    answers = np.where(rng.random(chance.shape) < chance, "yes", "no")
    return pd.DataFrame(fields | dict(zip(ITEMS, answers.T, strict=True)))


def _lineage(rows: pd.DataFrame, rng: np.random.Generator, k: int = 3, **changes: Any) -> Lineage:
    """Segments cut from the answers, and the personas that research makes of them."""
    answers = (rows[ITEMS] == "yes").to_numpy(float)
    distance = ((answers[:, None, :] - k_means(answers, k, rng)) ** 2).sum(axis=2)
    labels = pd.Series(distance.argmin(axis=1), index=rows.index)
    segments: Any = SimpleNamespace(recommended_k=k, labels=labels, profile=profile_of(rows[ITEMS], labels))
    situation: Any = _Situation()
    traits = segment_traits(segments.profile, rows)
    slugs = labels.astype(str).map(lambda segment: traits[segment].id)
    rule = assignment_rule(rows[FIELDS], slugs, rng=rng)
    personas = tuple(Persona(trait.id, segment=segment) for segment, trait in traits.items())
    values: dict[str, Any] = {"rule": rule, "personas": personas, "fields": tuple(FIELDS)} | changes
    in_force = PersonaSet("m", "1", "research", **values)
    return Lineage(situation, Sample("respondents", rows, ITEMS, FIELDS), segments, in_force)


def _supported(rows: pd.DataFrame, assigned: pd.Series) -> pd.DataFrame:
    looks = share_looks(share_counts(levels(rows, ITEMS), assigned), ABOUT)
    claims = close_family(looks, family="who they are", market="m", period="1")
    return claims[claims["verdict"] == "supported"]


def test_noise_cut_into_segments_gives_no_persona_an_attribute(validity) -> None:
    """Answers and fields are unrelated, yet segments are forced upon them and a rule is learned to tell them apart.

    For information: how often the rule's own respondents would show an attribute, were they counted by it.
    """
    rng = np.random.default_rng(31)
    none, none_by_own_rule = [], []
    for _ in range(150 if FULL else 15):
        rows = _survey(rng, 400, wish=0.0)
        lineage = _lineage(rows, rng)
        assert lineage.is_cross_fitted
        none.append(_supported(rows, lineage.assigned).empty)
        none_by_own_rule.append(_supported(rows, lineage.in_force.assign(rows)).empty)
    validity("null-cross-fit", none)
    validity("null-own-rule", none_by_own_rule)


def test_wishes_that_go_with_the_fields_are_found(validity) -> None:
    """Two kinds of sites that want different things: six of twelve wishes differ by 40 points."""
    rng = np.random.default_rng(32)
    found, wrong = [], []
    for _ in range(50 if FULL else 5):
        rows = _survey(rng, 400, wish=0.2)
        held = _supported(rows, _lineage(rows, rng, k=2).assigned)
        found += [(held["field"] == item).any() for item in ITEMS[:6]]
        wrong += [(held["field"] == item).any() for item in ITEMS[6:]]
    validity("cross-fit-power", found)
    assert np.mean(wrong) <= 0.10


@pytest.fixture
def survey() -> pd.DataFrame:
    return _survey(np.random.default_rng(33), 600, wish=0.3)


def _split(lineage: Lineage) -> Change:
    parent = lineage.in_force.ids[0]
    return Change("2", SPLIT, persona=parent, into=f"{parent}-north", field="region", level="p")


def _with(lineage: Lineage, *entries: Change, **changes: Any) -> Lineage:
    values = {field: getattr(lineage.in_force, field) for field in ("rule", "personas", "fields")} | changes
    in_force = PersonaSet("m", "2", "refined", changelog=entries, **values)
    return Lineage(lineage.situation, lineage.sample, lineage.segments, in_force)


def test_a_part_of_a_split_persona_has_its_parents_segment_and_the_same_error(survey: pd.DataFrame) -> None:
    first = _lineage(survey, np.random.default_rng(1), k=2)
    assert sorted(first.segment_of.values()) == ["0", "1"]
    entry = _split(first)
    after = _with(first, entry, personas=(*first.in_force.personas, Persona(entry.into, "North")))
    assert after.segment_of[entry.into] == after.segment_of[entry.persona]
    part = after.assigned[after.assigned == entry.into].index
    assert set(survey.loc[part, "region"]) == {"p"}
    assert set(first.assigned[part]) == {entry.persona}
    assert first.rule_error is not None
    assert after.rule_error == first.rule_error
    assert first.rule_error.error < 0.3 < first.rule_error.guessing


def test_what_is_merged_counts_as_one(survey: pd.DataFrame) -> None:
    first = _lineage(survey, np.random.default_rng(1), k=3)
    gone, into = first.in_force.ids[2], first.in_force.ids[0]
    after = _with(first, Change("2", MERGE, persona=gone, into=into), personas=first.in_force.personas[:2])
    assert gone not in set(after.assigned)
    assert first.rule_error is not None
    assert after.rule_error is not None
    assert after.rule_error.guessing < first.rule_error.guessing


def test_a_set_that_people_committed_is_assigned_by_its_own_rule(survey: pd.DataFrame) -> None:
    first = _lineage(survey, np.random.default_rng(1), k=2)
    one, two = first.in_force.ids
    rule = Rule((Branch((Among("site", ("p", "q")),), one, 1, 1.0),), two, ("site",))
    after = _with(first, Change("2", COMMIT), rule=rule)
    assert not after.is_cross_fitted
    assert after.assigned.tolist() == rule.assign(survey).tolist()
    truth = after.segments.labels.astype(str)  # type: ignore[union-attr]
    wrong = after.assigned.map({p.id: p.segment for p in after.in_force.personas}) != truth
    assert after.rule_error is not None
    assert after.rule_error.error == pytest.approx(wrong.mean())


def test_without_a_segment_behind_each_persona_it_says_why_nothing_is_measured(survey: pd.DataFrame) -> None:
    first = _lineage(survey, np.random.default_rng(1), k=2)
    stranger = _with(first, personas=(*first.in_force.personas, Persona("stranger", "Stranger")))
    assert stranger.segment_of == {}
    assert stranger.rule_error is None
    assert "Not every persona comes from a segment" in stranger.why_untraced
    alone = Lineage(first.situation, first.sample, None, PersonaSet("m", "1", "research", Rule((), "x", ()),
                                                                    (Persona("x", "X"),)))  # fmt: skip
    assert alone.assigned.eq("x").all()
    assert alone.why_untraced == "There is one persona for everyone, so there is nothing to tell apart."
