"""The score: how it is judged, which classifiers it takes, and what it may not read."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from closedloop import call_list, lead_card, score
from closedloop.errors import ParameterError
from closedloop.period.counting import LEAST_SHOWN
from closedloop.terms import Moment
from closedloop.workbench.period import OpenPeriod
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from tests.questions.periods import by_size, everyone, planning


def stated(claims: pd.DataFrame, measure: str) -> pd.DataFrame:
    return claims[claims["measure"] == measure].set_index("level")


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    """A market of one year: quick to fit."""
    return planning("harbor", "2024-q3", everyone(), tmp_path_factory.mktemp("scores"))


def test_the_score_is_stated_by_model_and_by_group(planned: SimpleNamespace) -> None:
    claims, results = planned.score.claims, planned.score.results
    within, whole = stated(claims, "auc_within").loc["logistic"], stated(claims, "auc").loc["logistic"]
    assert within["low"] < results["auc_within"] < within["high"]
    assert whole["low"] < whole["estimate"] == results["auc"] < whole["high"]
    model = planned.score.fitted.model
    assert whole["estimate"] == pytest.approx(roc_auc_score(model.held_out_y, model.held_out_p))
    groups, inside = stated(claims, "observed_rate"), stated(claims, "n_groups_inside").iloc[0]
    assert inside["estimate"] == groups["baseline"].between(groups["low"], groups["high"]).sum()
    assert inside["n"] == len(groups) == 10
    assert groups["n"].min() >= LEAST_SHOWN


def test_its_advantage_over_chance_is_a_claim_that_is_no_look_back(planned: SimpleNamespace) -> None:
    claim = planned.score.claims.query("measure == 'score_auc'").iloc[0]
    assert (claim["family"], claim["level"], claim["baseline"]) == ("how they end", "logistic", 0.5)
    assert not claim["is_retrospective"]
    (redraw,) = planned.score.redraws
    rows = planned.now.records["leads"].set_index("lead_id")["is_won"]
    assert len(redraw.ids) == planned.score.results["n_scored"] > 2_000
    assert redraw.is_won.tolist() == rows[redraw.ids].astype(int).tolist()
    assert redraw.rows.index.equals(redraw.is_won.index) and redraw.when.is_monotonic_increasing


def test_the_score_stands_beside_the_stage_of_open_deals(planned: SimpleNamespace) -> None:
    areas = stated(planned.stage.claims, "auc_open")["estimate"]
    gain = planned.stage.claims.query("measure == 'gain_over_stage'").iloc[0]
    assert areas["stage"] > 0.6, "late stages are won more often"
    assert gain["estimate"] == pytest.approx(areas["score"] - areas["stage"])
    assert gain["low"] < gain["estimate"] < gain["high"]
    (redraw,) = planned.stage.redraws
    assert gain["n"] == len(redraw.asked) >= 40
    assert areas["stage"] == pytest.approx(roc_auc_score(redraw.asked_is_won, redraw.asked_stage))


def test_any_classifier_is_cloned_seeded_and_left_out_of_the_self_test(now: OpenPeriod) -> None:
    forest = RandomForestClassifier(n_estimators=20, min_samples_leaf=20)
    first, again = (score(now.prospects(), learner=forest) for _ in range(2))
    assert not hasattr(forest, "estimators_"), "what was handed in is not fitted"
    assert set(stated(first.stated, "auc").index) == {"base rate", "lagged base rate", "own learner"}
    assert first.results["auc_within"] == again.results["auc_within"]
    assert first.redraws == [] and len(first.compared) == 1
    assert first.compared["level"].tolist() == ["own learner"]
    card = lead_card(first)
    card.fitted = replace(card.fitted, order="score")
    listed = call_list(card).tables["next_leads"]
    assert len(listed) > 50
    order = first.fitted.model.ranking.predict(first.rows, first.fitted.model.history.at(len(first.rows), None))
    place = pd.Series(order, index=first.rows["lead_id"])[listed.loc[listed["slot"] == "ranked", "record_id"]]
    assert (np.diff(place) <= 1e-12).all(), "the list follows the classifier"


def test_one_of_the_usual_learners_can_be_named(now: OpenPeriod) -> None:
    found = score(now.prospects(), learner="boosting")
    assert set(stated(found.stated, "brier").index) == {"base rate", "lagged base rate", "boosting"}
    assert [redraw.learner for redraw in found.redraws] == ["boosting"]


@pytest.mark.parametrize("learner", [LinearSVC(), "forest", RandomForestClassifier, 3])
def test_what_gives_no_probabilities_is_refused(now: OpenPeriod, learner: object) -> None:
    with pytest.raises(ParameterError, match="allowed: logistic, boosting, or a classifier of scikit-learn"):
        score(now.prospects(), learner=learner)


def test_no_score_reads_what_is_known_after_the_hand_off(now: OpenPeriod) -> None:
    made = now.prospects().assign(is_qualified=lambda rows: rows["sales_qualified_on"].notna())
    with pytest.raises(ParameterError, match="'is_qualified' is known only after the hand-off"):
        score(made, fields=["channel", "is_qualified"])
    now.declare("came_in_spring", "creation")
    spring = now.prospects().assign(came_in_spring=lambda rows: rows["created_on"].dt.month.between(3, 5))
    found = score(spring, fields=["channel", "role", "came_in_spring"], learner="logistic")
    assert found.fitted.prospects.fields == ["channel", "role", "came_in_spring"]
    assert len(call_list(lead_card(found)).tables["next_leads"]) > 50
    fields = found.fitted.prospects.fields
    beside = score(spring, fields, learner="logistic", beside="stage").missing["over_stage"]
    assert "came_in_spring, made in a cell" in beside
    with pytest.raises(ParameterError, match="beside = 'channel'; allowed: stage"):
        score(spring, beside="channel")


def test_the_persona_is_a_field_where_there_are_several(tmp_path: Path) -> None:
    now = planning("harbor", "2024-q3", by_size(), tmp_path)
    found = score(now.prospects(), learner="logistic")
    assert found.fitted.prospects.fields[-1] == "persona"
    assert "campaign" not in found.fitted.prospects.fields and "arm" not in found.fitted.prospects.fields


def test_only_records_stay_tables_and_small_groups_stay_unsaid(planned: SimpleNamespace) -> None:
    assert set(planned.now.step.tables) == {"next_leads", "wake_up"}
    grouped = planned.now.claims.query("family == 'none' and field != ''").dropna(subset=["n"])
    assert len(grouped) > 50
    assert (grouped["n"] >= LEAST_SHOWN).all()


@pytest.mark.real
def test_bank_is_scored_without_the_calls_length(tmp_path: Path) -> None:
    now = planning("bank", "2010-q3", everyone("bank"), tmp_path)
    found = score(now.prospects())
    assert found.results["score_verdict"] == "usable"
    assert found.results["auc"] < 0.85  # with the call's length it would be .95
    listed = call_list(lead_card(found)).tables["next_leads"]
    said = {field for name in ("reasons", "caution") for row in listed[name] for field, *_ in row}
    before = set(now.situation.view.inherited("leads", Moment.CREATION))
    assert said and said <= before, "the length of the call, its day and the market's rates are known when calling"
