"""The value of another order of calling: the bundled market's leads, called from a list whose draw is logged."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market.files import data_folder
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.period.lead_records import lead_frame
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.questions.leads.call_list import listed
from closedloop.questions.refinement.other_orders import AS_CALLED, AT_RANDOM, BY_PERSONAS, other_orders
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.workbench.answer import Answer

from tests.market.conftest import project_at
from tests.questions.conftest import Opening

PERIOD = "2025-q2"
SITES = ("6-20", "over 20")
LARGE = Rule((Branch((Among("sites", SITES),), "large", 100, 1.0),), "small", ("sites",))


def personas(large: float | None, small: float | None) -> PersonaSet:
    told = [Persona(name, name.title(), win_rate=rate) for name, rate in (("large", large), ("small", small))]
    return PersonaSet("harbor", PERIOD, "research", LARGE, tuple(told), base_rate=0.3, fields=("sites",))


def situation(looking_back: bool = True) -> Situation:
    warehouse = open_warehouse("harbor")
    period = find_period(warehouse.periods, PERIOD)
    return Situation.looking_back(warehouse, period) if looking_back else Situation.planning(warehouse, period)


Judge = Callable[..., Answer]


@pytest.fixture
def judged(opening: Opening) -> Judge:
    """The answer under a set in force; ``changed``: what becomes of the leads in a cell."""

    def judge(in_force: PersonaSet, changed: Callable[[pd.DataFrame], pd.DataFrame] = lambda leads: leads) -> Answer:
        now = opening("harbor", PERIOD, "06_refinement", in_force)
        return other_orders(changed(now.leads(window=False)))

    return judge


def stated(answer: Answer, measure: str) -> pd.DataFrame:
    """Statements and comparisons on a measure: orders are compared with what was called."""
    every = pd.concat([answer.stated, answer.compared])
    return every[every["measure"] == measure].set_index("level")


@dataclass
class Called:
    """A project whose leads log a list: who waited, with their outcomes of the period; and the list itself."""

    root: Path
    waiting: pd.DataFrame
    calls: pd.DataFrame


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Called:
    source, root = data_folder() / "harbor", tmp_path_factory.mktemp("project")
    before, after = lead_frame(situation(looking_back=False)), lead_frame(situation())
    waiting = before[before["is_won"].isna() & before["marketing_qualified_on"].notna()]
    waiting = waiting.drop(columns="is_won").merge(after[["lead_id", "is_won"]], on="lead_id").sort_values("lead_id")
    calls = listed(waiting.sort_values("created_on", kind="stable"), 0.9, np.random.default_rng(3), length=500)
    shutil.copytree(source, root / "data" / "harbor")
    path = root / "data" / "harbor" / "raw" / "leads.csv"
    raw = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("Lead ID", drop=False)
    raw.loc[calls["lead_id"], ["Test", "Test Arm", "Test Share"]] = [
        ("call-list", slot, f"{rate:.6f}") for slot, rate in calls[["slot", "arm_rate"]].to_numpy()
    ]
    raw.to_csv(path, index=False, lineterminator="\n")
    return Called(root, waiting, calls)


@pytest.fixture
def called(logged: Called) -> Iterator[Called]:
    with project_at(logged.root):
        yield logged


def test_calling_at_random_is_worth_what_all_who_waited_were_worth(called: Called, judged: Judge) -> None:
    rate, size = (stated(judged(personas(0.4, 0.2)), name) for name in ("order_won_rate", "effective_sample"))
    decided = called.calls[called.calls["is_won"].notna()]
    assert rate.loc[AS_CALLED, ["estimate", "n"]].tolist() == [decided["is_won"].mean(), len(decided)]
    weight = 1 / decided["arm_rate"].round(6)
    assert rate.loc[AT_RANDOM, "estimate"] == pytest.approx(np.average(decided["is_won"].astype(float), weights=weight))
    assert size.loc[AT_RANDOM, "estimate"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    truth = called.waiting["is_won"].dropna().mean()
    assert rate.loc[AT_RANDOM, "low"] < truth < rate.loc[AT_RANDOM, "high"]
    assert set(rate["cell"]) == {"off_policy"}
    assert set(rate["notebook"]) == {"06_refinement"}


def test_the_personas_promise_calls_the_best_persona_first(called: Called, judged: Judge) -> None:
    rate = stated(judged(personas(0.4, 0.2)), "order_won_rate").loc[BY_PERSONAS]
    decided = called.waiting[called.waiting["is_won"].notna()]
    is_large = decided["sites"].isin(SITES)
    n_called = called.calls["is_won"].notna().sum()
    rest = decided.loc[~is_large, "is_won"].mean()
    truth = (is_large.sum() * decided.loc[is_large, "is_won"].mean() + (n_called - is_large.sum()) * rest) / n_called
    assert is_large.sum() < n_called < len(decided)
    assert rate["low"] < truth < rate["high"]


def test_personas_that_promise_alike_give_no_order(called: Called, judged: Judge) -> None:
    for alike in (personas(0.3, 0.3), personas(None, None)):
        found = judged(alike)
        assert BY_PERSONAS not in set(found.stated["level"])
        assert "promise alike" in found.missing["off_policy"]


def test_outcomes_that_were_known_before_the_period_are_left_out(called: Called, judged: Judge) -> None:
    known = lead_frame(situation(looking_back=False))
    assert not known.loc[known["lead_id"].isin(called.calls["lead_id"]), "is_won"].notna().any()
    n = stated(judged(personas(0.4, 0.2)), "order_won_rate").loc[AS_CALLED, "n"]
    assert n < len(called.calls), "open ones are left out"


def test_a_small_draw_is_refused_without_a_rate(called: Called, judged: Judge) -> None:
    def few(leads: pd.DataFrame) -> pd.DataFrame:
        is_drawn = leads["arm"].eq("random").fillna(False).astype(bool) & leads["is_won"].notna()
        return leads.assign(experiment=leads["experiment"].where(~is_drawn | is_drawn.cumsum().le(30)))

    found = judged(personas(0.4, 0.2), few)
    assert set(stated(found, "order_won_rate").index) == {AS_CALLED}
    size = stated(found, "effective_sample")
    assert (size["estimate"] < size["baseline"]).all()
    assert set(size.index) == {AT_RANDOM, BY_PERSONAS}


def test_without_a_drawn_lead_nothing_is_identified(judged: Judge) -> None:
    found = judged(personas(0.4, 0.2))
    assert found.stated.empty
    assert "not identified" in found.missing["off_policy"]
    assert "leads.experiment, arm, arm_rate" in found.missing["off_policy"]


def test_leads_called_by_rank_alone_identify_nothing(called: Called, judged: Judge) -> None:
    found = judged(personas(0.4, 0.2), lambda leads: leads[leads["arm"].ne("random").fillna(True)])
    assert found.stated.empty
    assert "not identified" in found.missing["off_policy"]


def test_what_the_self_test_needs_is_kept(called: Called, judged: Judge) -> None:
    (redraw,) = judged(personas(0.4, 0.2)).redraws
    decided = called.calls[called.calls["is_won"].notna()]
    assert set(redraw.ids) == set(decided["lead_id"])
    assert redraw.logged.round(4).value_counts().to_dict() == decided["arm_rate"].round(4).value_counts().to_dict()
    assert redraw.promise.nunique() == 2
