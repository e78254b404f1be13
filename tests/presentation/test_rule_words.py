"""Rules in words: every line is true by itself, and it takes the cases that the rule takes."""

from closedloop.presentation.persona_words import rule_sentences
from closedloop.statistics.rules.rules import Among, Between, Branch, Rule

from tests.documents.ledger import words


def test_rules_are_told_in_the_markets_words() -> None:
    many = Branch((Among("sites", ("2-5", "over 20"), missing=True), Between("age", above=30.0)), "fast", 40, 0.9)
    told = rule_sentences(Rule((many,), "slow", ("sites", "age")), words())
    assert told == {
        "fast": ["number of sites: 2-5 or over 20 or not recorded; age is above 30"],
        "slow": ["everyone whom no other rule takes"],
    }


def test_all_other_levels_are_told_by_those_that_are_left_out() -> None:
    rest = _told(((Among("product", ("plan", "gate"), missing=True, others=True),), "rest"))
    assert rest["rest"][0] == "product: none of Yard Plan, gate or not recorded"


def _told(*branches: tuple[tuple[Among | Between, ...], str]) -> dict[str, list[str]]:
    made = tuple(Branch(conditions, label, 10, 0.9) for conditions, label in branches)
    return rule_sentences(Rule(made, "rest", ("product", "sites")), words())


def test_a_persona_and_its_part_share_no_level() -> None:
    yard, few, large = (
        Among("product", ("plan",)),
        Among("sites", ("1", "2-5", "over 20")),
        Among("sites", ("over 20",)),
    )
    told = _told(((yard, few, large), "part"), ((yard, few), "whole"))
    assert told["part"] == ["product: Yard Plan; number of sites: over 20"]
    assert told["whole"] == ["product: Yard Plan; number of sites: 1 or 2-5"]


def test_a_part_that_narrows_a_condition_takes_its_levels_from_the_whole() -> None:
    yard, few, large = (
        Among("product", ("plan",)),
        Among("sites", ("1", "2-5", "over 20")),
        Among("sites", ("over 20",)),
    )
    told = _told(((yard, large), "part"), ((yard, few), "whole"))
    assert told["part"] == ["product: Yard Plan; number of sites: over 20"]
    assert told["whole"] == ["product: Yard Plan; number of sites: 1 or 2-5"]
    other = Among("sites", ("over 20", "none of these"))  # asks for more levels, so it is no part
    assert _told(((yard, other), "part"), ((yard, few), "whole"))["whole"] == [
        "product: Yard Plan; number of sites: 1 or 2-5 or over 20"
    ]


def test_what_a_line_leaves_to_one_before_it_is_said() -> None:
    yard, large = Among("product", ("plan",)), Among("sites", ("over 20",))
    told = _told(((yard, large), "part"), ((yard,), "whole"), ((large,), "other"))
    assert told["whole"] == ["product: Yard Plan; but not number of sites: over 20"]
    assert told["other"] == ["number of sites: over 20; but not product: Yard Plan"]


def test_ways_to_the_same_persona_take_nothing_from_each_other() -> None:
    yard, large = Among("product", ("plan",)), Among("sites", ("over 20",))
    assert _told(((yard, large), "one"), ((yard,), "one"))["one"][1] == "product: Yard Plan"


def test_lines_on_other_fields_are_left_as_they_are() -> None:
    old, yard = Between("age", above=30.0), Among("product", ("plan",))
    assert _told(((old,), "one"), ((yard,), "two"))["two"] == ["product: Yard Plan"]
