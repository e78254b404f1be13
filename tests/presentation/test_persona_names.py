"""What personas are called: by the team, else by field and level, as far as their members have them."""

from dataclasses import replace
from pathlib import Path

import pytest
from closedloop.errors import DefinitionError
from closedloop.personas.persona_set import Change, Persona, PersonaSet
from closedloop.presentation.persona_words import words_for
from closedloop.statistics.rules.rules import Among, Branch, Rule

from tests.documents.ledger import definition


def _set(*personas: Persona, changelog: tuple[Change, ...] = ()) -> PersonaSet:
    return PersonaSet("yard", "2025-q1", "research", Rule((), "rest", ()), personas, changelog=changelog)


def _names(*personas: Persona, folder: Path = Path("nowhere"), changelog: tuple[Change, ...] = ()) -> dict[str, str]:
    return dict(words_for(definition(folder=folder), _set(*personas, changelog=changelog)).names)


def _persona(share: float | None, field: str = "product", level: str = "plan") -> Persona:
    return Persona("one", field=field, level=level, share=share)


@pytest.mark.parametrize(
    ("share", "name"),
    [
        (1.0, "Product: Yard Plan"),
        (0.9, "Product: Yard Plan"),
        (0.89, "Mostly product: Yard Plan"),
        (0.51, "Mostly product: Yard Plan"),
        (0.502, "More often product: Yard Plan"),
        (None, "More often product: Yard Plan"),
    ],
)
def test_a_level_is_borne_only_by_whose_members_have_it(share: float | None, name: str) -> None:
    assert _names(_persona(share)) == {"one": name}


def test_wishes_and_numbers_are_told_in_few_words() -> None:
    assert _names(_persona(0.8, "wants_price", "true")) == {"one": "Mostly price"}
    assert _names(_persona(0.95, "wants_price", "true")) == {"one": "Price"}
    assert _names(_persona(None, "sites", "")) == {"one": "Higher number of sites"}


def test_what_people_wrote_goes_before_and_the_teams_file_before_all(tmp_path: Path) -> None:
    written = replace(_persona(0.5), name="Planners")
    assert _names(written) == {"one": "Planners"}
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "names.toml").write_text('one = "Yard people"\ngone = "Long gone"\n')
    assert _names(written, folder=tmp_path) == {"one": "Yard people", "gone": "Long gone"}


def test_a_part_is_called_by_its_whole_and_its_cut(tmp_path: Path) -> None:
    cuts = (
        Change("2", "split", persona="one", into="one-large", field="sites", level="over 20"),
        Change("3", "split", persona="one-large", into="one-large-plan", field="product", level="plan"),
    )
    personas = (_persona(0.7), Persona("one-large"), Persona("one-large-plan"))
    found = _names(*personas, changelog=cuts)
    assert found["one-large"] == "Mostly product: Yard Plan, number of sites: over 20"
    assert found["one-large-plan"] == f"{found['one-large']}, product: Yard Plan"
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "names.toml").write_text('one = "Yard people"')
    assert _names(*personas, changelog=cuts, folder=tmp_path)["one-large"] == "Yard people, number of sites: over 20"


def _cut_from_everyone(*personas: Persona, level: str = "over 20") -> dict[str, str]:
    """The names after a part was cut out of everyone, who keep what the part's rule leaves."""
    rule = Rule((Branch((Among("sites", (level,)),), "part", 1, 1.0),), "everyone", ("sites",))
    cut = Change("2", "split", persona="everyone", into="part", field="sites", level=level)
    after = PersonaSet("yard", "2025-q1", "refined", rule, personas, changelog=(cut,))
    before = _set(Persona("everyone", "Everyone"))
    return dict(words_for(definition(folder=Path("nowhere")), before, after).names)


def test_everyone_beside_others_is_all_others_and_the_part_bears_its_level_alone() -> None:
    found = _cut_from_everyone(Persona("everyone", "Everyone"), Persona("part"))
    assert found == {"everyone": "All others", "part": "Number of sites: over 20"}
    assert _names(Persona("everyone", "Everyone")) == {"everyone": "Everyone"}
    written = _cut_from_everyone(Persona("everyone", "Small firms"), Persona("part"))
    assert written["everyone"] == "Small firms", "what people wrote stays"


def test_a_default_with_a_rule_of_its_own_is_not_all_others() -> None:
    rule = Rule((Branch((Among("product", ("plan",)),), "one", 1, 1.0),), "one", ("product",))
    found = PersonaSet("yard", "2025-q1", "research", rule, (_persona(0.95), Persona("two", field="sites")))
    assert dict(words_for(definition(folder=Path("nowhere")), found).names)["one"] == "Product: Yard Plan"


def test_a_persona_that_lost_the_level_it_was_called_by_is_other_than_that() -> None:
    cut = Change("2", "split", persona="one", into="one-product-plan", field="product", level="plan")
    found = _names(_persona(0.7), Persona("one-product-plan"), changelog=(cut,))
    assert found == {"one": "Other than product: Yard Plan", "one-product-plan": "Product: Yard Plan"}
    assert _names(_persona(0.7), changelog=(cut,))["one"] == "Mostly product: Yard Plan", "the part went back"


def test_a_name_is_field_and_level_as_written() -> None:
    for level in ("卸売業", "C++", "<5", ">5", "+", "50%", "Торговля", "تجارة", "🚀", "A_b", "*a*"):
        assert _names(_persona(1.0, "業種", level)) == {"one": f"業種: {level}"}


def test_long_levels_are_cut_for_display_and_stay_two() -> None:
    one, two = (_names(_persona(1.0, "sites", "the same beginning " * 16 + end))["one"] for end in "ab")
    assert one != two
    assert one.startswith("Number of sites: the same beginning the same beginning")
    assert max(len(one), len(two)) <= len("Number of sites: ") + 60


def test_two_of_one_name_are_told_apart() -> None:
    twins = (replace(_persona(0.95), id="a"), replace(_persona(0.95), id="b"), Persona("no-trait"))
    assert _names(*twins) == {"a": "Product: Yard Plan (a)", "b": "Product: Yard Plan (b)", "no-trait": "No trait"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("one = 3", r"names\.toml: one = 3 is no name; allowed: text of 1 to 60 characters"),
        ('one = " "', "is no name"),
        ('one = "Yard"\ntwo = "Yard"', "two and one are both called 'Yard'; give each a name of its own"),
        ("one = ", r"names\.toml: cannot be read as TOML"),
    ],
)
def test_a_broken_file_of_names_says_where_and_what(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "names.toml").write_text(text)
    with pytest.raises(DefinitionError, match=says):
        _names(_persona(0.5), folder=tmp_path)
