"""Persona sets: reading, writing, assigning, and what a win rate moves."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop.errors import DefinitionError
from closedloop.personas.changes import changes
from closedloop.personas.persona_set import Persona, PersonaSet, estimate, read_set, write_set
from closedloop.statistics.rules import Among, Branch, Rule


def _set() -> PersonaSet:
    rule = Rule((Branch((Among("size", ("large",)),), "big", 10, 0.9),), "small", ("size",))
    personas = (Persona("big", "Big", rule=("size is large",)), Persona("small", "Small", rule=("everyone else",)))
    return PersonaSet("m", "2024-q1", "research", rule, personas, fields=("size",))


def _deals(n_won_big: int, n_won_small: int) -> pd.DataFrame:
    outcome = ["won"] * n_won_big + ["lost"] * (50 - n_won_big) + ["won"] * n_won_small + ["lost"] * (50 - n_won_small)
    return pd.DataFrame({"size": ["large"] * 50 + ["tiny"] * 50, "outcome": outcome})


def _in_one_period(deals: pd.DataFrame) -> PersonaSet:
    return estimate(_set(), deals, pd.Series("2024-q1", index=deals.index))


def test_a_set_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "personas.yml"
    write_set(path, _in_one_period(_deals(40, 10)))
    again = read_set(path)
    assert again.assign(pd.DataFrame({"size": ["large", "tiny", None]})).tolist() == ["big", "small", "small"]
    assert again.persona("big").rule == ("size is large",)
    assert (again.persona("big").n, again.persona("big").n_won) == (50, 40)


def test_a_broken_set_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "personas.yml"
    path.write_text("personas: [{name: x}]\nrule: {}\n")
    with pytest.raises(DefinitionError, match=r"personas\.yml.*is no persona set"):
        read_set(path)


def test_win_rates_are_pulled_together_and_no_decisions_do_not_count() -> None:
    deals = pd.concat([_deals(40, 10), pd.DataFrame({"size": ["large"] * 99, "outcome": ["no_decision"] * 99})])
    found = _in_one_period(deals.reset_index(drop=True))
    assert found.base_rate == 0.5
    assert 0.5 < found.persona("big").win_rate < 0.8
    assert 0.2 < found.persona("small").win_rate < 0.5
    assert not found.persona("big").is_assumed


def test_without_deals_a_set_is_assumed_and_moves_nothing() -> None:
    found = estimate(_set(), None)
    assert [p.win_rate for p in found.personas] == [None, None]
    assert found.deviations() == {"big": 0.0, "small": 0.0}


def test_a_field_that_the_records_lack_counts_as_missing() -> None:
    assert _set().assign(pd.DataFrame({"other": [1, 2]})).tolist() == ["small", "small"]


def test_a_renewed_rate_is_no_change_of_the_persona() -> None:
    before, after = _in_one_period(_deals(40, 10)), _in_one_period(_deals(20, 10))
    assert after.persona("big").win_rate < before.persona("big").win_rate - 0.2
    assert changes(before, after)["change"].tolist() == ["kept", "kept"]
    assert changes(None, after)["change"].tolist() == ["new", "new"]
