"""Identifiers and free text: noticed by their values, told in the audit, and no fields to anybody."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market.contract import likeness
from closedloop.market.staging.audit import held_back
from closedloop.market.warehouse import open_warehouse
from closedloop.terms import Moment

from tests.market.conftest import project_at, write_market

RNG = np.random.default_rng(4)
HASHES = [f"{value:016x}" for value in RNG.integers(0, 2**62, 495)]
FEW_TWICE = [*HASHES, *HASHES[:17]]  # 495 values among 512 records


def test_hashes_are_an_identifier_though_some_come_twice() -> None:
    found = likeness(pd.Series(FEW_TWICE))
    assert str(found) == "looks like an identifier: 495 values among 512 records"


def test_gaps_are_no_values() -> None:
    found = likeness(pd.Series([*FEW_TWICE, *[None] * 1000]))
    assert (found.n_values, found.n) == (495, 512)


def test_values_that_hardly_repeat_are_an_identifier() -> None:
    """Three deals of each of 200 accounts."""
    assert likeness(pd.Series(HASHES[:200] * 3)).kind == "an identifier"


def test_sentences_are_free_text_though_some_come_again() -> None:
    texts = [f"Asked for an offer on day {day}, will call back" for day in range(300)]
    assert likeness(pd.Series(texts + texts[:150])).kind == "free text"


@pytest.mark.parametrize(
    "values",
    [
        [f"{code:04d}" for code in RNG.integers(1000, 1300, 5000)],  # 300 postcodes, 17 records each
        [f"SKU-{min(int(code), 400)}" for code in RNG.zipf(1.5, 3000)],
        list("abcdefgh") * 10,
        HASHES[:12] * 40,  # keyed hashes of a few levels
        ["Up to 50 people, on one site", "More people, on one site", "More sites than one"] * 50,
        HASHES[:19],  # too few to tell
    ],
    ids=["postcodes", "products", "letters", "coded levels", "long levels", "few"],
)
def test_levels_that_repeat_are_a_field(values: list[str]) -> None:
    assert likeness(pd.Series(values)) is None


@pytest.mark.parametrize(
    ("values", "is_identifier"),
    [
        (RNG.permutation(np.arange(100_001, 100_513)), True),  # running numbers
        (10_000_000 + RNG.choice(89_999_999, 400, replace=False), True),  # eight digits each
        (RNG.lognormal(6, 1.5, 85).round(0) + np.arange(85) / 1000, False),  # no whole numbers
        (np.unique(RNG.lognormal(7, 1.5, 85).round(0)), False),  # employees, all different
        (RNG.uniform(1_000, 90_000, 400).round(0), False),  # budgets
        (RNG.integers(1950, 2020, 400), False),  # years, that come again
        (np.ones(400, dtype=bool), False),
    ],
    ids=["running", "long", "fractions", "employees", "budgets", "years", "flags"],
)
def test_numbers_are_no_identifiers_unless_they_count_the_records(values: np.ndarray, is_identifier: bool) -> None:
    assert (likeness(pd.Series(values)) is not None) is is_identifier


FIELDS = '[fields.deals]\ncreation = ["account_hash", "size"]\n'


def deals() -> pd.DataFrame:
    n = len(FEW_TWICE)
    return pd.DataFrame(
        {
            "deal_id": [f"D{i}" for i in range(n)],
            "created_on": "2024-01-02",
            "closed_on": "2024-02-01",
            "outcome": np.where(np.arange(n) % 2, "won", "lost"),
            "account_hash": FEW_TWICE,
            "size": np.where(np.arange(n) % 3, "large", "small"),
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with project_at(tmp_path) as place:
        yield place


def test_an_identifier_is_no_field_but_stays_in_the_records(root: Path) -> None:
    write_market(root, {"deals": deals().to_csv(index=False)}, more=FIELDS)
    view = open_warehouse("tiny").view(open_warehouse("tiny").periods[-1].end)
    assert view.fields("deals") == view.inherited("deals") == ["size"]
    assert "account_hash" in view.with_fields("deals", Moment.CREATION).columns
    assert str(view.held_back["deals"]["account_hash"]).endswith("495 values among 512 records")


def test_the_audit_tells_it_and_how_to_vouch_for_it(root: Path) -> None:
    write_market(root, {"deals": deals().to_csv(index=False)}, more=FIELDS)
    assert held_back(open_warehouse("tiny").audit) == [
        "held back: deals.account_hash looks like an identifier: 495 values among 512 records; it is kept out of "
        "rules, segments, comparisons and scores. List it under [checked] of market.toml if it is a field: deals = "
        '["account_hash"].'
    ]


def test_what_people_vouch_for_is_a_field(root: Path) -> None:
    checked = f'{FIELDS}[checked]\ndeals = ["account_hash"]\n'
    write_market(root, {"deals": deals().to_csv(index=False)}, more=checked)
    warehouse = open_warehouse("tiny")
    assert warehouse.view(warehouse.periods[-1].end).fields("deals") == ["account_hash", "size"]
    assert held_back(warehouse.audit) == []


def test_no_field_of_the_example_market_is_held_back() -> None:
    warehouse = open_warehouse("harbor")
    assert held_back(warehouse.audit) == []
    assert not any(warehouse.view(warehouse.periods[-1].end).held_back.values())
