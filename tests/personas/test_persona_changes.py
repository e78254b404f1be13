"""Differences of persona sets: which persona came from which, what is promised, and the claims behind the edits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from closedloop.personas.changes import changed_by, changes, committed, compare
from closedloop.personas.persona_set import COMMIT, MERGE, Change, Persona, PersonaSet, read_set, write_set
from closedloop.presentation.persona_words import detail
from closedloop.presentation.sentences import records
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.terms import Verdict

from tests.documents.ledger import words

PORT, STORE, LARGE = Among("site", ("port",)), Among("site", ("store",)), Among("size", ("large",))


def persona(name: str, rate: float = 0.4, **more: object) -> Persona:
    values: dict[str, object] = {"win_rate": rate, "low": rate - 0.05, "high": rate + 0.05, "n": 90} | more
    return Persona(name, name.capitalize(), is_assumed=False, **values)  # type: ignore[arg-type]


def rule(*branches: tuple[tuple[Among, ...], str], default: str = "rest") -> Rule:
    fields = tuple(dict.fromkeys(c.field for conditions, _ in branches for c in conditions))
    return Rule(tuple(Branch(conditions, label, 10, 0.9) for conditions, label in branches), default, fields)


def personas(made: Rule, *names: str, period: str = "2024-q1", **rates: float) -> PersonaSet:
    return PersonaSet("m", period, "research", made, tuple(persona(n, rates.get(n, 0.4)) for n in names))


BEFORE = personas(rule(((PORT,), "port"), ((STORE,), "store")), "port", "store", "rest")
SPLIT_RULE = rule(((PORT, LARGE), "port-size-large"), ((PORT,), "port"), ((STORE,), "store"))
SPLIT = personas(SPLIT_RULE, "port", "store", "rest", "port-size-large", port=0.3)


def found(before: PersonaSet, after: PersonaSet) -> dict[str, tuple[str, str]]:
    return {d.persona.id: (d.change, d.other) for d in compare(before, after)}


def worded(before: PersonaSet | None, after: PersonaSet) -> dict[str, str]:
    """What differs in words, by persona."""
    names = words(**{p.id: p.name for of in (before, after) if of for p in of.personas})
    return {row["persona"]: detail(row, names) for row in records(changes(before, after))}


def test_the_same_set_has_no_difference() -> None:
    assert {change for change, _ in found(BEFORE, BEFORE).values()} == {"kept"}
    renewed = personas(BEFORE.rule, "port", "store", "rest", port=0.6)
    assert found(BEFORE, renewed)["port"] == ("kept", ""), "rates are renewed every period"


def test_a_split_says_from_whom_and_a_return_to_whom() -> None:
    there = found(BEFORE, SPLIT)
    assert there == {
        "port": ("adjusted", ""), "store": ("kept", ""), "rest": ("kept", ""), "port-size-large": ("split", "port"),
    }  # fmt: skip
    assert found(SPLIT, BEFORE)["port-size-large"] == ("retired", "port")
    told = worded(BEFORE, SPLIT)
    assert told["port"] == "part of it is now persona Port-size-large"
    assert told["port-size-large"] == "was part of persona Port"


def test_a_part_of_the_rest_was_split_from_the_rest() -> None:
    cut = rule(((PORT,), "port"), ((STORE,), "store"), ((LARGE,), "rest-large"))
    assert found(BEFORE, personas(cut, "port", "store", "rest", "rest-large"))["rest-large"] == ("split", "rest")


def test_a_part_of_one_persona_is_no_part_of_another_that_was_split_by_the_same_level() -> None:
    others = ((STORE, LARGE), "store-size-large"), ((STORE,), "store"), ((LARGE,), "rest-size-large")
    named = "port", "store", "rest", "store-size-large", "rest-size-large"
    before = personas(rule(((PORT,), "port"), *others), *named)
    after = personas(rule(((PORT, LARGE), "port-size-large"), ((PORT,), "port"), *others), *named, "port-size-large")
    assert found(before, after)["port-size-large"] == ("split", "port"), "the first branch that holds decides"


def test_what_ended_last_says_what_became_of_a_persona() -> None:
    log = (Change("2024-q2", MERGE, "port-size-large", "port"), Change("2024-q4", "retire", "port-size-large", "port"))
    assert found(SPLIT, replace(BEFORE, changelog=log))["port-size-large"] == ("retired", "port")


def test_a_merged_persona_says_into_whom() -> None:
    after = personas(rule(((PORT,), "port"), ((STORE,), "port")), "port", "rest")
    merged = replace(after, changelog=(Change("2024-q2", MERGE, persona="store", into="port"),))
    assert found(BEFORE, merged)["store"] == ("merged", "port")
    assert found(BEFORE, after)["store"] == ("retired", "port")
    told = worded(BEFORE, merged)
    assert told["store"] == "now part of persona Port"
    assert told["port"] == "recognised differently"


def test_a_rule_made_anew_gives_new_personas() -> None:
    other = personas(rule(((LARGE,), "big"), default="small"), "big", "small")
    assert found(BEFORE, other)["big"] == ("new", "")
    assert found(BEFORE, other)["port"] == ("retired", "small")
    assert changes(None, other)["change"].tolist() == ["new", "new"]
    assert set(worded(None, other).values()) == {"found by research"}
    assert worded(BEFORE, other)["big"] == "recognised by a rule of its own"


def test_a_first_promise_is_no_move_from_what_was_only_assumed() -> None:
    guessed = replace(BEFORE, personas=(replace(BEFORE.persona("port"), win_rate=0.2, is_assumed=True),
                                        *BEFORE.personas[1:]))  # fmt: skip
    assert worded(guessed, BEFORE)["port"] == "its win rate rests on deals of its own now"


def edit(measure: str, subject: str, verdict: str = Verdict.SUPPORTED, **more: object) -> dict[str, object]:
    return {
        "claim_id": f"{measure}-{subject}", "measure": measure, "subject": subject, "field": "", "level": "",
        "estimate": 0.7, "low": 0.6, "high": 0.8, "baseline": 0.4, "n": 68, "q": 0.000612345678,
        "verdict": str(verdict), "first_period": "2024-q1", "last_period": "2024-q1",
    } | more  # fmt: skip


def test_every_edit_that_was_made_keeps_its_claim(tmp_path: Path) -> None:
    edits = pd.DataFrame(
        [
            edit("win_rate", "port", field="size", level="large"),
            edit("win_rate", "port", field="size", level="small", q=0.005, claim_id="not made"),
            edit("win_rate", "store", Verdict.LEANING, field="size", level="large"),
        ]
    )
    log = changed_by(edits, BEFORE, SPLIT, "2024-q2")
    assert [(entry.edit, entry.persona, entry.into) for entry in log] == [("split", "port", "port-size-large")]
    assert (log[0].claim_id, log[0].n, log[0].q, log[0].period) == ("win_rate-port", 68, 0.000612346, "2024-q2")
    back = pd.DataFrame([edit("merge_gap", "port-size-large", low=np.nan, high=np.nan)])
    later = changed_by(back, replace(SPLIT, changelog=log), BEFORE, "2024-q3")
    assert [(entry.period, entry.edit, entry.low) for entry in later[1:]] == [("2024-q3", "merge", None)]
    path = tmp_path / "personas.yml"
    write_set(path, replace(SPLIT, changelog=later))
    assert read_set(path).changelog == later


def test_a_merge_and_a_retirement_are_kept_only_when_the_persona_is_gone() -> None:
    after = personas(rule(((PORT,), "port"), ((STORE,), "port")), "port", "rest")
    edits = pd.DataFrame([edit("merge_gap", "store"), edit("remaining_share", "rest")])
    assert [(e.edit, e.persona, e.into) for e in changed_by(edits, BEFORE, after, "2024-q2")] == [
        ("merge", "store", "port")
    ]


def test_a_set_that_people_put_into_force_says_so() -> None:
    found = committed(BEFORE, "2024-q3")
    assert (found.period, found.origin) == ("2024-q3", "committed")
    assert found.changelog == (Change("2024-q3", COMMIT),)
