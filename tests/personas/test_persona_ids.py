"""Ids of personas: kept where they were given, safe in paths, never empty, never two alike."""

import re
from itertools import product

import duckdb
import pandas as pd
import pytest
from closedloop.market.definition import check_slug
from closedloop.personas.lineage import segment_traits
from closedloop.personas.persona_set import Persona, PersonaSet, persona_id, read_set, write_set
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.statistics.segmentation.indicators import profile_of

LONG = "a very long answer " * 15
ODD = [
    "製造業", "卸売業", "Производство", "Торговля", "تجارة", "🚀", "🚀🚀", "C", "C++", "C#", "c", "<5", ">5", "5", "+",
    "50%", "50", " 50", "a  b", "a b", "a_b", "a-b", "a/b", "..", "../..", "/", "'", '"', "\n", "a\nb", "*a*",
    "<b>a</b>", "$a$", "missing", "other", "all", "Everyone", "everyone", "(rare)", "rare", LONG + "1", LONG + "2",
    "x" * 40 + "1", "x" * 40 + "2",
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("wants_fast_start", "fast-start"),
        ("is_integrated", "integrated"),
        ("sites=over 20", "sites-over-20"),
        ("job=blue-collar", "job-blue-collar"),
        ("job=admin.", "job-admin"),
        ("education=basic.4y", "education-basic-4y"),
        ("Seller=Seller 5", "seller-seller-5"),
        ("sector=GTX Plus Basic", "sector-gtx-plus-basic"),
    ],
)
def test_an_id_that_was_given_stays(said: str, given: str) -> None:
    assert persona_id(said) == given
    assert persona_id(said, whole="multi-site") == f"multi-site-{given}"


def test_ids_of_all_kinds_of_levels_are_safe_and_one_each() -> None:
    for whole in ("", "everyone", "w" * 64):
        said = [f"業種={level}" for level in ODD] + [f"field={level}" for level in ODD]
        plain = [persona_id(text, whole=whole) for text in said]
        shared = [id_ for id_ in plain if plain.count(id_) > 1]
        found = [persona_id(text, shared, whole) for text in said]
        assert len(set(found)) == len(said)
        assert all(check_slug("persona", id_) == id_ and re.fullmatch(r"[a-z0-9-]+", id_) for id_ in found)


def test_an_id_does_not_depend_on_the_order_in_which_segments_come() -> None:
    rows = pd.DataFrame({"language": ["C", "c", "C++"] * 40})
    labels = pd.Series([0, 1, 2] * 40)
    ids = {trait.level: trait.id for trait in segment_traits(profile_of(rows, labels), rows).values()}
    turned = segment_traits(profile_of(rows, 2 - labels), rows)
    assert {trait.level: trait.id for trait in turned.values()} == ids
    assert len(set(ids.values())) == 3
    assert all(id_.startswith("language-c-") for id_ in ids.values()), "neither of two that read alike has the plain id"


def test_a_segment_is_called_by_its_own_level_in_any_script() -> None:
    rows = pd.DataFrame({"業種": ["卸売業", "製造業", "物流業"] * 30, "所在地": ["大阪", "東京", "大阪"] * 30})
    traits = segment_traits(profile_of(rows, pd.Series([0, 1, 2] * 30)), rows)
    assert [(trait.field, trait.level) for trait in traits.values()] == [
        ("業種", "卸売業"), ("業種", "製造業"), ("業種", "物流業")
    ]  # fmt: skip


def test_without_a_free_trait_a_segment_has_its_number_and_no_field() -> None:
    rows = pd.DataFrame({"wants_speed": ["yes", "no"] * 30})
    traits = list(segment_traits(profile_of(rows, pd.Series([0, 1] * 30)), rows).values())
    assert traits == [("speed", "wants_speed", "yes"), ("segment-1", "", "")]


def test_a_set_of_odd_levels_is_written_read_and_run_as_sql(tmp_path) -> None:
    pairs = list(product(["業種", 'it\'s "it"'], ODD))
    branches = tuple(Branch((Among(f, (v,)),), persona_id(f"{f}={v}", ["it-s-it-c"]), 1, 1.0) for f, v in pairs)
    rule = Rule(branches, "everyone", ("業種", 'it\'s "it"'))
    personas = tuple(Persona(branch.label, field=f, level=v) for branch, (f, v) in zip(branches, pairs, strict=True))
    found = PersonaSet("m", "2024-q1", "research", rule, (*personas, Persona("everyone")), fields=rule.fields)
    write_set(tmp_path / "personas.yml", found)
    read = read_set(tmp_path / "personas.yml")
    assert read == found
    rows = pd.DataFrame([{f: v} for f, v in pairs], columns=list(rule.fields))
    told = duckdb.sql(f"select {read.rule.to_sql()} as persona from rows").df()["persona"]
    assert told.tolist() == read.assign(rows).tolist()
    assert told.nunique() == len({branch.label for branch in branches})
