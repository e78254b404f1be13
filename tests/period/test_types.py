"""Numbers stay numbers: the type of every canonical column, from the contract to what estimators are given."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from closedloop.market.contract import TABLES, kind_of
from closedloop.market.warehouse import fetched, open_warehouse
from closedloop.period.counting import levels
from closedloop.period.leaks import known_leaks
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import EVERYONE, Persona, PersonaSet
from closedloop.statistics.rule_tree import grown_leaves
from closedloop.statistics.rules import Between, Rule
from closedloop.statistics.scoring.learners import Design
from closedloop.statistics.segmentation.indicators import is_metric
from closedloop.terms import RARE

from tests import pages
from tests.market.conftest import project_at, write_market
from tests.notebook_steps import step_of

NUMBERS = {
    "tiny_score": "TINYINT",
    "small_score": "SMALLINT",
    "whole_score": "INTEGER",
    "big_score": "BIGINT",
    "huge_score": "HUGEINT",
    "plain_score": "UINTEGER",
    "single_score": "FLOAT",
    "double_score": "DOUBLE",
    "exact_score": "DECIMAL(12,3)",
    "budget_amount": "DECIMAL(18,2)",
    "n_seats": "BIGINT",
    "trial_days": "BIGINT",
    "open_rate": "DOUBLE",
}
IS_KIND = {
    "id": pd.api.types.is_string_dtype,
    "text": pd.api.types.is_string_dtype,
    "date": pd.api.types.is_datetime64_any_dtype,
    "amount": pd.api.types.is_numeric_dtype,
    "rate": pd.api.types.is_numeric_dtype,
    "count": pd.api.types.is_numeric_dtype,
    "flag": pd.api.types.is_bool_dtype,
    "number": pd.api.types.is_numeric_dtype,
}
ALL = PersonaSet("tiny", "2024-q2", "research", Rule((), EVERYONE, ()), (Persona(EVERYONE),))
VALUES = {"id": "X{i}", "date": "2024-0{m}-10", "amount": "{i}.50", "rate": "0.{m}", "count": "{i}", "number": "{m}"}


def cell(table: str, name: str, i: int) -> str:
    """A value that the contract allows in that column of the i-th row."""
    listed = getattr(TABLES[table].column(name), "values", ())
    if listed:
        return str(listed[0])
    if name == "change_no":
        return "1"
    return VALUES.get(kind_of(name), "word{m}").format(i=i, m=1 + i % 5)


def written(table: str, n: int) -> str:
    names = [column.name for column in TABLES[table].columns]
    lines = [",".join(cell(table, name, i) for name in names) for i in range(n)]
    return "\n".join([",".join(names), *lines])


def budgets(n: int = 1_500) -> str:
    """Deals with a budget in each type of number, of which those above 30,000 are won three times as often."""
    rng = np.random.default_rng(17)
    budget = rng.uniform(1_000, 90_000, n)
    is_won = rng.random(n) < np.where(budget < 30_000, 0.2, 0.6)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) * 180 // n, unit="D")
    frame = pd.DataFrame({"deal_id": [f"D{i}" for i in range(n)], "created_on": day, "closed_on": day})
    frame = frame.assign(outcome=np.where(is_won, "won", "lost"), budget_amount=budget.round(2))
    scaled = {
        name: (budget / 1_000).round().astype(int) for name in NUMBERS if name.endswith(("score", "seats", "days"))
    }
    return frame.assign(**scaled, open_rate=(budget / 90_000).round(4)).to_csv(index=False)


@pytest.fixture(scope="module")
def every_column(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Situation]:
    """A market that has every canonical column, all of it known."""
    with project_at(tmp_path_factory.mktemp("every")) as root:
        write_market(root, {name: written(name, 12) for name in TABLES})
        yield Situation.latest(open_warehouse("tiny"))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Situation]:
    """A market whose deals have a field of every type of number."""
    with project_at(tmp_path_factory.mktemp("numbers")) as root:
        text = budgets()
        dates = {"created_on": "DATE", "closed_on": "DATE"}
        cells = [
            f'"{name}"::{(NUMBERS | dates).get(name, "VARCHAR")} as "{name}"' for name in text.split("\n")[0].split(",")
        ]
        select = f"select {', '.join(cells)} from raw.deals"
        write_market(
            pages.with_notebooks(root),
            {"deals": text},
            {"deals": select},
            f"[fields.deals]\ncreation = {list(NUMBERS)}\n",
        )
        yield Situation.latest(open_warehouse("tiny"))


@pytest.mark.parametrize("table", TABLES)
def test_every_canonical_column_has_the_type_that_its_name_says(every_column: Situation, table: str) -> None:
    frame = fetched(every_column.view.known(table))
    assert len(frame) == 12
    assert set(frame.columns) == {column.name for column in TABLES[table].columns}
    wrong = {name: str(frame[name].dtype) for name in frame if not IS_KIND[kind_of(str(name))](frame[name])}
    assert not wrong
    empty = [name for name in frame if frame[name].isna().all()]
    assert set(empty) <= {"outcome", "loss_reason", "rejection_reason", "won_amount"}


def test_every_type_of_number_is_cut_into_bands_and_never_into_values(market: Situation) -> None:
    fields = market.deal_fields()
    assert set(NUMBERS) <= set(fields)
    assert [name for name in NUMBERS if not is_metric(market.deals[name])] == []
    by = levels(market.closed_deals, list(NUMBERS), RARE)
    assert {name: by[name].nunique() for name in NUMBERS} == dict.fromkeys(NUMBERS, 4)


def test_every_type_of_number_reaches_scores_rules_and_leaks_as_a_number(market: Situation) -> None:
    rows = market.closed_deals[list(NUMBERS)]
    assert Design.of(rows).matrix(rows).shape == (1_500, len(NUMBERS))
    outcome = market.closed_deals["outcome"].to_numpy(dtype=object)
    for name in NUMBERS:
        leaves = grown_leaves(rows[[name]], outcome, 2, np.random.default_rng(1))
        assert {type(leaf.bounds.get(name)) for leaf in leaves} == {Between}
    told = known_leaks(market, "deals", market.deals).set_index("column").loc[list(NUMBERS), "auc_within"]
    assert told.between(0.62, 0.75).all()  # won 20 % below 30,000, 60 % above: .69 or so, in bands


def test_an_effect_of_an_amount_is_found_whatever_its_type(market: Situation) -> None:
    looks = step_of("05_deals", market, ALL).looks
    found = looks[(looks["measure"] == "win_rate") & looks["field"].isin(NUMBERS)].sort_values(["field", "estimate"])
    lowest, highest = found.groupby("field").first(), found.groupby("field").last()
    assert len(lowest) == len(NUMBERS)
    deals = market.closed_deals
    band = pd.qcut(deals["budget_amount"], 4, labels=False)
    truth = (deals["outcome"] == "won").groupby(band).mean()
    np.testing.assert_allclose(lowest["estimate"], truth[0], atol=0.02)
    np.testing.assert_allclose(highest["estimate"], truth.max(), atol=0.03)
    assert (lowest["p"] < 1e-9).all()
