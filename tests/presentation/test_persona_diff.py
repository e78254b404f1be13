"""The readable difference of two persona sets."""

from dataclasses import replace
from pathlib import Path

from closedloop.personas.persona_set import Change, Persona, PersonaSet
from closedloop.presentation.persona_words import diff, edit_evidence, edit_told, known_sizes
from closedloop.statistics.rules import Among, Branch, Rule

from tests.documents.ledger import claims, words

YARD, LARGE = Among("product", ("plan",)), Among("sites", ("over 20",))
SPLIT = Change(
    "2025-q1", "split", "fast", "fast-sites", "sites", "over 20",
    estimate=0.7, low=0.6, high=0.79, baseline=0.5, q=0.000625, n=68,
    first_period="2024-q1", last_period="2024-q4", claim_id="win-rate-7",
)  # fmt: skip
NAMES = words(**{"fast": "Fast start", "slow": "Slow", "fast-sites": "Fast start, large"})


def _persona(name: str, low: float | None, high: float | None, n: int) -> Persona:
    rate = None if low is None or high is None else (low + high) / 2
    return Persona(name, NAMES.names[name], win_rate=rate, low=low, high=high, n=n, is_assumed=rate is None)


BEFORE = PersonaSet(
    "yard", "2024-q4", "research",
    Rule((Branch((YARD,), "fast", 10, 0.9),), "slow", ("product",)),
    (_persona("fast", 0.40, 0.52, 80), _persona("slow", None, None, 4)), base_rate=0.4,
)  # fmt: skip
AFTER = PersonaSet(
    "yard", "2025-q1", "refined",
    Rule((Branch((YARD, LARGE), "fast-sites", 10, 0.9), Branch((YARD,), "fast", 10, 0.9)), "slow",
         ("product", "sites")),
    (_persona("fast", 0.36, 0.44, 120), _persona("slow", 0.2, 0.3, 60), _persona("fast-sites", 0.6, 0.79, 68)),
    base_rate=0.36, changelog=(SPLIT,),
)  # fmt: skip


def told(*arguments: object) -> str:
    return diff(*arguments).replace("\N{NO-BREAK SPACE}", " ")  # type: ignore[arg-type]


def test_everything_that_differs_is_told_with_the_claim_behind_it() -> None:
    assert (
        told(BEFORE, AFTER, NAMES, [{"fast": 0.6, "slow": 0.4}, {"fast": 0.5, "slow": 0.4}])
        == """\
yard: personas of 2024-q4 (research) and of 2025-q1 (refined)
Win rate of all deals when the promises were made: 40 % -> 36 %
Personas: 2 -> 3

~ Fast start: part of it is now persona Fast start, large
    no longer: product: Yard Plan
    recognised by: product: Yard Plan; but not number of sites: over 20
    promised win rate: 40–52 % (n = 80) -> 36–44 % (n = 120)
    share of those known: 60 % -> 50 %

~ Slow: its win rate rests on deals of its own now
    promised win rate: assumed, without deals of its own -> 20–30 % (n = 60)

+ Fast start, large: was part of persona Fast start
    recognised by: product: Yard Plan; number of sites: over 20
    promised win rate: 60–79 % (n = 68)

Why
  2025-q1  Persona Fast start, large is split from persona Fast start: 70 % won, were periods alike (60–79 %, n = 68) \
against 50 %, q = 0.000625, deals 2024-q1 to 2024-q4; claim win-rate-7"""
    )


def test_the_way_back_retires_what_was_split() -> None:
    back = told(AFTER, BEFORE, NAMES)
    assert "- Fast start, large: its people now count as persona Fast start" in back
    assert "Why" not in back


def test_equal_sets_have_no_difference_even_when_carried_over() -> None:
    later = BEFORE.carried_to("2025-q1")
    assert told(BEFORE, later, NAMES).endswith("2025-q1 (carried over): no difference")
    grown = told(BEFORE, later, NAMES, [{"fast": 0.6}, {"fast": 0.7}])
    assert "~ Fast start: as before\n    share of those known: 60 % -> 70 %" in grown
    assert "share" not in told(BEFORE, later, NAMES, [{}, {"fast": 0.7}]), "a share that was not known is no change"


def test_each_kind_of_edit_is_told() -> None:
    assert (
        edit_told(replace(SPLIT, edit="merge", into="slow"), NAMES) == "Persona Fast start is now part of persona Slow"
    )
    assert edit_told(replace(SPLIT, edit="retire", into="slow"), NAMES).endswith("its people count as persona Slow")
    assert edit_evidence(Change("2025-q1", "commit")) == "a decision, not a finding"


def test_a_retirement_is_told_by_a_share_and_a_merge_by_a_rate() -> None:
    figures = {"estimate": 0.015, "low": 0.013, "high": 0.017, "baseline": 0.02, "n": 11_440}
    figures |= {"first_period": "2024-q1", "last_period": "2024-q4"}
    said = edit_evidence(Change("2025-q1", "retire", "slow", **figures)).replace("\N{NO-BREAK SPACE}", " ")
    assert said == "1.5 % of all deals (1–2 %, n = 11,440) against 2.0 % that a persona needs, deals 2024-q1 to 2024-q4"
    merged = edit_evidence(Change("2025-q1", "merge", "slow", **figures)).replace("\N{NO-BREAK SPACE}", " ")
    assert merged.startswith("1.5 % won (1–2 %, n = 11,440)")


def test_sizes_come_from_the_plan_that_was_written(tmp_path: Path) -> None:
    assert known_sizes(tmp_path) == {}
    ledger = claims({"measure": "persona_share", "field": "persona", "level": "fast", "estimate": 0.6}, {})
    (tmp_path / "claims").mkdir()
    ledger.to_parquet(tmp_path / "claims" / "02_personas.parquet")
    assert known_sizes(tmp_path) == {"fast": 0.6}


ENTERED = Change("2025-q1", "signal", "", "", "sites", "over 20", estimate=0.09, low=0.04, high=0.14, q=0.004, n=227,
                 first_period="2024-q1", last_period="2024-q4")  # fmt: skip
LEFT = replace(ENTERED, edit="withdraw", estimate=0.01, low=-0.04, high=0.06, baseline=0.09, q=None, n=96)
FLAG = replace(ENTERED, field="is_large", level="true", persona="fast")


def test_a_signal_that_enters_or_leaves_says_by_how_much_and_for_whom() -> None:
    texts = [edit_told(entry, NAMES).replace("\N{NO-BREAK SPACE}", " ") for entry in (ENTERED, LEFT, FLAG)]
    assert texts == [
        "Number of sites: over 20: +9 points (4 to 14), in all personas together, from now on",
        "Number of sites: over 20 is in force no longer: promised +9 points, came +1 point (−4 to 6) in its last "
        "periods to 2024-q4",
        "Is large: +9 points (4 to 14), in persona Fast start, beside the other personas, from now on",
    ]
    assert edit_evidence(ENTERED) == "n = 227, q = 0.004, deals 2024-q1 to 2024-q4"
    assert edit_evidence(LEFT) == "n = 96, deals 2024-q1 to 2024-q4"


def test_sets_that_differ_by_a_signal_alone_differ() -> None:
    signalled = replace(BEFORE, changelog=(ENTERED,))
    assert told(BEFORE, signalled, NAMES).endswith(
        "\n\nWhy\n  2025-q1  Number of sites: over 20: +9 points (4 to 14), in all personas together, from now on: "
        "n = 227, q = 0.004, deals 2024-q1 to 2024-q4"
    )
