"""Choice of target segments: bars, both axes, and what is not known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closedloop import offer, profile, segments, targets
from closedloop.errors import ParameterError
from closedloop.personas.persona_set import SPLIT, Change, Persona
from closedloop.questions.research import criteria
from closedloop.questions.research.criteria import Criteria, of_deals
from closedloop.questions.research.targets import choice, side
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.validation.procedures import Targets
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import silence

from tests.questions.researched import Researched, researched


@pytest.fixture(scope="module")
def planned(out: Path) -> Researched:
    """A period with two waves of answers and two years of deals, planned with what research alone suggests."""
    return researched("harbor", "2025-q3", out / "targets")


def chosen(planned: Researched, **asked: Any) -> Answer:
    """The targets of the period, by the market's criteria or these."""
    return targets(planned.found, planned.now.deals(), targets(**asked)) if asked else planned.choice


def criteria_of(planned: Researched) -> Criteria:
    sample, found = planned.found.fitted
    now = planned.now
    return Criteria(now.situation, sample, found, now.personas, now.situation.closed_deals)


def test_every_segment_has_a_choice_with_its_reason(planned: Researched) -> None:
    table, results = planned.choice.tables["targets"], planned.choice.results
    assert table["segment"].tolist() == ["0", "1", "2", "3"]
    assert set(table["choice"]) <= {"target", "not now", "cannot tell", "left out"}
    assert table["reason"].str.len().min() > 10
    assert results["targets"] == table.loc[table["choice"] == "target", "segment"].tolist()
    assert results["criteria_unavailable"] == []


def test_values_are_those_that_the_records_hold(planned: Researched) -> None:
    stated = planned.choice.stated
    sample, found = planned.found.fitted
    size = stated[stated["measure"] == "criterion_size"]
    assert size["estimate"].tolist() == pytest.approx(
        (found.labels.value_counts().sort_index() / len(sample.rows)).tolist()
    )
    deals = planned.now.situation.closed_deals
    mine = deals[planned.now.personas.assign(deals).map(criteria_of(planned).segment_of) == "1"]
    decided = mine[mine["outcome"].isin(["won", "lost"])]
    rate = stated[(stated["measure"] == "criterion_win_rate") & (stated["level"] == "1")].iloc[0]
    assert rate["n"] == len(decided)
    assert rate["low"] < (decided["outcome"] == "won").mean() < rate["high"]
    assert stated.loc[stated["measure"] == "criterion_won_amount", "n"].min() >= 10
    brought = stated[(stated["measure"] == "criterion_won_amount_per_decided") & (stated["level"] == "1")].iloc[0]
    assert brought["n"] == len(decided)
    assert brought["low"] < decided["won_amount"].astype(float).sum() / len(decided) < brought["high"]


def test_nothing_that_is_stated_covers_the_period_that_is_planned(planned: Researched) -> None:
    stated = pd.concat([planned.choice.stated, *planned.choice.closed, targets().stated])
    assert set(stated["cell"]) == {"ideal", "targets"}
    assert stated["last_period"].max() == "2025-q2"
    scores = stated[stated["measure"] == "strength_score"]  # answers of 2023 on, deals until yesterday
    assert (scores["first_period"].min(), scores["last_period"].max()) == ("2023-q4", "2025-q2")


def test_a_segment_that_is_too_small_is_left_out(planned: Researched) -> None:
    table = chosen(planned, smallest_share=0.25).tables["targets"].set_index("segment")
    assert table.loc[["2", "3"], "choice"].tolist() == ["left out", "left out"]
    assert table.loc["3", "reason"] == "too small a share of the market"
    assert table.loc["0", "choice"] != "left out"


def test_a_size_whose_interval_holds_the_limit_cannot_be_told(planned: Researched) -> None:
    limit = float(planned.found.fitted.segments.sizes["share"].iloc[0])
    answer = chosen(planned, smallest_share=limit, weights={"size": 1, "win_rate": 1})
    row = answer.tables["targets"].iloc[0]
    assert (row["choice"], row["reason"]) == ("cannot tell", "perhaps too small a share of the market")


def test_the_weights_decide(planned: Researched) -> None:
    def score(**weights: float) -> pd.Series:
        judged = chosen(planned, weights=weights).closed[0]
        return judged[judged["measure"] == "attractiveness_score"].set_index("level")["estimate"]

    assert score(size=1).idxmax() == "0"
    assert score(won_amount=1).idxmax() != "0"
    stated = planned.choice.stated
    brought = stated[stated["measure"] == "criterion_won_amount_per_decided"].set_index("level")["estimate"]
    assert score(won_amount_per_decided=1).idxmax() == brought.idxmax()


def test_weights_replace_their_own_axis_alone(planned: Researched) -> None:
    own = planned.now.definition.criteria
    given = targets(weights={"win_rate": 2}, least_stability=0.9).fitted
    assert given.strength.counted == {"win_rate": 2.0}
    assert given.attractiveness == own.attractiveness
    assert (given.least_stability, given.smallest_share) == (0.9, own.smallest_share)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"weights": {"sise": 1}}, r"weights names \['sise'\]; allowed: size, growth"),
        ({"weights": {"size": -1}}, "attractiveness.size = -1"),
        ({"weights": {"size": 0}}, "one weight above 0 is needed"),
        ({"smallest_share": 1.5}, "smallest_share = 1.5"),
    ],
)
def test_criteria_that_cannot_be_are_refused(planned: Researched, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        targets(**asked)


def test_segments_are_judged_by_deals_and_by_criteria_that_were_set_before(planned: Researched) -> None:
    for given in ({}, {"deals": planned.now.deals()}, {"ideal": targets()}):
        with pytest.raises(
            ParameterError, match=r"takes deals and criteria that were set before; allowed: targets\(fou"
        ):
            targets(planned.found, **given)
    with pytest.raises(ParameterError, match="criteria that were set before"):
        targets(planned.found, planned.now.deals(), targets(), smallest_share=0.3)


def test_without_outcomes_what_is_known_is_counted_and_the_rest_is_named(out: Path) -> None:
    with silence():
        first = researched("harbor", "2024-q1", out / "first").choice
        assert {"win_rate", "sales_cycle", "won_amount"} <= set(first.results["criteria_unavailable"])
        assert "win rate (recorded, in some segment too few yet)" in first.missing["uncounted"]
        assert "record the day" not in first.missing["uncounted"], "it is recorded"
        judged = first.tables["targets"].query("choice in ['target', 'not now']")["reason"]
        assert len(judged) and judged.str.contains("own strength counts only materials ready").all()
        assert not (first.stated["measure"] == "criterion_win_rate").any()
        assert (first.closed[0]["measure"] == "attractiveness_score").any()


def test_one_persona_for_everyone_recognises_no_segment(planned: Researched, monkeypatch: pytest.MonkeyPatch) -> None:
    personas = planned.now.personas
    monkeypatch.setattr(planned.now, "personas", replace(personas, personas=personas.personas[:1]))
    table = targets(planned.found, planned.now.deals(), targets()).tables["targets"]
    assert table["reason"].str.contains("the rule does not recognise its members").all()
    assert set(table["personas"]) == {""}


def test_the_part_of_a_split_persona_stands_for_the_segment_of_its_own_rows(
    planned: Researched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the part takes just those of another segment; one of fewer than ten rows would stay with its whole."""
    personas, before = planned.now.personas, criteria_of(planned).segment_of
    whole = next(name for name in personas.ids if before[name] != "0")
    cut = Branch((Among("role", ("operations",)),), "part", 0, 0.0)
    rule = replace(personas.rule, branches=(cut, *personas.rule.branches))
    change = Change("2025-q2", SPLIT, persona=whole, into="part", field="role", level="operations")
    after = replace(personas, rule=rule, personas=(*personas.personas, Persona("part")), changelog=(change,))
    monkeypatch.setattr(planned.now, "personas", after)
    found = criteria_of(planned)
    labels, is_part = found.found.labels.astype(str), found.sample.rows["role"] == "operations"
    of = found.segment_of
    assert of["part"] == labels[is_part].value_counts().idxmax() != before[whole] and is_part.sum() >= 10
    table = targets(planned.found, planned.now.deals(), targets()).tables["targets"].set_index("segment")
    assert "part" in table.loc[of["part"], "personas"].split(", ")
    monkeypatch.setattr(criteria, "LEAST_SHOWN", is_part.sum() + 1)
    assert criteria_of(planned).segment_of["part"] == before[whole]


def test_personas_of_one_segment_stand_for_none(planned: Researched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the records tell no segment from the others, none is told from another by its records."""
    one = planned.now.personas.ids[0]
    rule = Rule((Branch((Among("role", ("nobody",)),), "part", 0, 0.0),), one, ("role",))
    two = (planned.now.personas.persona(one), Persona("part"))
    monkeypatch.setattr(planned.now, "personas", replace(planned.now.personas, rule=rule, personas=two))
    assert criteria_of(planned).assigned.unique().tolist() == [one]
    assert criteria_of(planned).segment_of == {}
    table = targets(planned.found, planned.now.deals(), targets()).tables["targets"]
    assert "target" not in set(table["choice"]) and not table["reason"].str.contains("counts only nothing").any()


def test_one_market_has_nothing_to_choose_between_or_to_offer(planned: Researched) -> None:
    one = segments(planned.sample, planned.now.items, number=1)
    answer = targets(one, planned.now.deals(), targets())
    assert answer.results["n_targets"] == 0
    assert "nothing to choose between" in answer.missing["targets"]
    assert offer(answer, profile(one)).missing["offer"] == answer.missing["targets"]


def test_deals_that_a_cell_chose_are_named_in_the_scores_and_decide(planned: Researched) -> None:
    deals = planned.now.deals()
    some = deals.iloc[::2]
    answer = targets(planned.found, some, targets())
    n = answer.stated.query("measure == 'criterion_win_rate'")["n"]
    assert n.sum() == some["outcome"].isin(["won", "lost"]).sum()
    assert set(answer.closed[0]["among"]) == {f"{len(some)} of {len(deals):,} deals chosen in a cell"}
    assert planned.choice.among == ""


def test_who_was_met_in_a_good_period_is_not_stronger_for_it() -> None:
    met = [("0", "q1", 300, 60), ("1", "q1", 100, 20), ("0", "q2", 100, 60), ("1", "q2", 300, 180)]
    parts = [
        pd.DataFrame({"segment": segment, "period": period, "outcome": ["won"] * k + ["lost"] * (n - k)})
        for segment, period, n, k in met
    ]
    deals = pd.concat(parts, ignore_index=True).assign(closed_on=pd.Timestamp(2025, 1, 1), age_days=1.0)
    assert deals.groupby("segment")["outcome"].apply(lambda of: (of == "won").mean()).tolist() == [0.3, 0.5]
    found = of_deals("win_rate", deals, ["0", "1"])
    assert found is not None
    assert found.estimate.tolist() == pytest.approx([0.4, 0.4], abs=0.01)
    assert found.n.tolist() == [400, 400]
    others = deals.head(60).assign(segment=np.nan, outcome="won", period="q1")
    with_others = of_deals("win_rate", pd.concat([deals, others], ignore_index=True), ["0", "1"])
    assert with_others is not None
    assert with_others.estimate.tolist() == pytest.approx(found.estimate.tolist()), "nobody's deals move no segment"


def test_scores_are_made_again_of_other_outcomes(planned: Researched) -> None:
    """The same outcomes give the same scores, and swapped ones others, but for what rests on no outcome."""
    (redraw,) = planned.choice.redraws
    ended = planned.now.situation.closed_deals
    assert redraw.ids.tolist() == ended["deal_id"].tolist()
    judged = planned.choice.closed[0]
    hit = ended["outcome"].map({"won": 1.0, "lost": 0.0}).to_numpy(dtype=float)
    n_errors = len(redraw.others) * len(redraw.segments)
    world = {
        "deals": hit,
        "deals age_days": ended["age_days"].to_numpy(dtype=float, na_value=np.nan),
        "deals won_amount": ended["won_amount"].to_numpy(dtype=float, na_value=np.nan),
        "errors": np.full(n_errors, np.nan),
    }
    again = Targets("deals", np.arange(len(ended)), redraw, "errors")
    assert again.tested(world).effect.tolist() == pytest.approx(judged["effect"].tolist())
    swapped = pd.Series(again.tested(world | {"deals": 1 - hit}).effect, index=judged.index)
    is_strength = judged["measure"] == "strength_score"
    assert swapped[is_strength].tolist() != pytest.approx(judged.loc[is_strength, "effect"].tolist())


@pytest.mark.parametrize(
    ("tests", "attractive", "strong", "expected"),
    [
        ({"size": "passes"}, "above", "above", "target"),
        ({"size": "passes"}, "above", "around", "target"),
        ({"size": "passes"}, "above", "unknown", "target"),
        ({"size": "passes"}, "around", "above", "cannot tell"),
        ({"size": "passes"}, "above", "below", "not now"),
        ({"size": "passes"}, "below", "above", "not now"),
        ({"size": "fails"}, "above", "above", "left out"),
        ({"size": "cannot tell"}, "above", "above", "cannot tell"),
        ({"size": "passes"}, "unknown", "above", "cannot tell"),
    ],
)
def test_only_intervals_make_a_target(tests: dict[str, str], attractive: str, strong: str, expected: str) -> None:
    assert choice(tests, attractive, strong)[0] == expected


def test_the_side_of_a_score_is_that_of_its_claim() -> None:
    judged = pd.DataFrame({"measure": "strength_score", "level": ["0", "1", "2"], "effect": [1.0, 1.0, -1.0]})
    judged = judged.assign(verdict=["supported", "leaning", "supported"])
    assert [side(judged, "strength", level) for level in "0123"] == ["above", "around", "below", "unknown"]
    assert side(judged, "attractiveness", "0") == "unknown"
