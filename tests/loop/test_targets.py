"""Choice of target segments: knock-outs, both axes, what is not known, and waves of answers."""

from copy import copy
from dataclasses import replace

import pandas as pd
import pytest
from closedloop.evidence.rules import Among, Branch
from closedloop.loop import research, targets, waves
from closedloop.loop.changelog import SPLIT, Change
from closedloop.loop.criteria import Criteria
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.personas import research_set
from closedloop.loop.records import Sample
from closedloop.loop.research import Research
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step, merged
from closedloop.market.definition import Attractiveness, Strength
from closedloop.market.definition import Criteria as Asked
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse


def situation(period: str) -> Situation:
    warehouse = open_warehouse("harbor")
    return Situation.planning(warehouse, find_period(warehouse.periods, period))


Planned = tuple[Situation, Research, PersonaSet]


@pytest.fixture(scope="module")
def planned() -> Planned:
    """A period with two waves of answers and two years of deals, planned with what research alone suggests."""
    then = situation("2025-q3")
    found = research.research(then)
    return then, found, research_set(then, found.sample, found.segments)


def chosen(planned: Planned, asked: Asked | None = None) -> Step:
    """The targets of the period, by the market's criteria or these."""
    then, found, personas = planned
    if asked is not None:
        definition = then.definition.model_copy(update={"criteria": asked})
        warehouse = copy(then.warehouse)
        warehouse.definition = definition
        then = replace(then, warehouse=warehouse)
    return targets.targets(then, found.sample, found.segments, personas)


def test_every_segment_has_a_choice_with_its_reason(planned: Planned) -> None:
    step = chosen(planned)
    table = step.tables["targets"]
    assert table["segment"].tolist() == ["0", "1", "2", "3"]
    assert set(table["choice"]) <= {"target", "not now", "cannot tell", "left out"}
    assert table["reason"].str.len().min() > 10
    assert step.results["targets"] == table.loc[table["choice"] == "target", "segment"].tolist()
    assert step.results["criteria_unavailable"] == []


def test_values_are_those_that_the_records_hold(planned: Planned) -> None:
    told = chosen(planned).statements
    then, found, personas = planned
    assert found.segments is not None
    size = told[told["measure"] == "criterion_size"]
    assert size["estimate"].tolist() == pytest.approx(found.segments.sizes["share"].tolist())
    criteria = Criteria(then, found.sample, found.segments, personas)
    deals = then.closed_deals
    mine = deals[personas.assign(deals).map(criteria.segment_of) == "1"]
    decided = mine[mine["outcome"].isin(["won", "lost"])]
    rate = told[(told["measure"] == "criterion_win_rate") & (told["level"] == "1")].iloc[0]
    assert rate["n"] == len(decided)
    assert rate["low"] < (decided["outcome"] == "won").mean() < rate["high"]
    assert told.loc[told["measure"] == "criterion_won_amount", "n"].min() >= 10
    worth = told[(told["measure"] == "criterion_won_amount_per_decided") & (told["level"] == "1")].iloc[0]
    assert worth["n"] == len(decided)
    assert worth["low"] < decided["won_amount"].astype(float).sum() / len(decided) < worth["high"]


def test_nothing_that_is_stated_covers_the_period_that_is_planned(planned: Planned) -> None:
    step = chosen(planned)
    told = pd.concat([step.statements, step.closed])
    assert set(told["cell"]) == {"ideal", "targets"}
    assert told["last_period"].max() == "2025-q2"
    scores = told[told["measure"] == "strength_score"]  # answers of 2023 on, deals until yesterday
    assert (scores["first_period"].min(), scores["last_period"].max()) == ("2023-q4", "2025-q2")


def test_a_segment_that_is_too_small_is_left_out(planned: Planned) -> None:
    table = chosen(planned, Asked(smallest_share=0.25)).tables["targets"].set_index("segment")
    assert table.loc[["2", "3"], "choice"].tolist() == ["left out", "left out"]
    assert table.loc["3", "reason"] == "too small a share of the market"
    assert table.loc["0", "choice"] != "left out"


def test_a_size_whose_interval_holds_the_limit_cannot_be_told(planned: Planned) -> None:
    _, found, _ = planned
    assert found.segments is not None
    limit = float(found.segments.sizes["share"].iloc[0])
    asked = Asked(smallest_share=limit, attractiveness=Attractiveness(size=1), strength=Strength(win_rate=1))
    row = chosen(planned, asked).tables["targets"].iloc[0]
    assert (row["choice"], row["reason"]) == ("cannot tell", "perhaps too small a share of the market")


def test_the_weights_of_the_market_decide(planned: Planned) -> None:
    def score(**weights: float) -> pd.Series:
        told = chosen(planned, Asked(attractiveness=Attractiveness(**weights))).closed
        mine = told[told["measure"] == "attractiveness_score"]
        return mine.set_index("level")["estimate"]

    assert score(size=1).idxmax() == "0"
    assert score(won_amount=1).idxmax() != "0"
    worth = chosen(planned).statements.query("measure == 'criterion_won_amount_per_decided'").set_index("level")
    assert score(won_amount_per_decided=1).idxmax() == worth["estimate"].idxmax()


def test_without_outcomes_what_is_known_is_counted_and_the_rest_is_named() -> None:
    then = situation("2024-q1")
    found = research.research(then)
    step = targets.targets(then, found.sample, found.segments, research_set(then, found.sample, found.segments))
    assert {"win_rate", "sales_cycle", "won_amount"} <= set(step.results["criteria_unavailable"])
    assert "win rate (record outcomes of deals)" in step.missing["uncounted"]
    assert not (step.statements["measure"] == "criterion_win_rate").any()
    assert (step.closed["measure"] == "attractiveness_score").any()


def test_one_persona_for_everyone_recognises_no_segment(planned: Planned) -> None:
    then, found, personas = planned
    alone = replace(personas, personas=personas.personas[:1])
    table = targets.targets(then, found.sample, found.segments, alone).tables["targets"]
    assert table["reason"].str.contains("the rule does not recognise its members").all()
    assert set(table["personas"]) == {""}


def test_the_part_of_a_split_persona_stands_for_its_wholes_segment(planned: Planned) -> None:
    """Whatever segment its own rows resemble most: here the part takes just those of another segment."""
    then, found, personas = planned
    assert found.segments is not None
    whole = personas.ids[0]
    cut = Branch((Among("role", ("operations",)),), "part", 0, 0.0)
    rule = replace(personas.rule, branches=(cut, *personas.rule.branches))
    change = Change("2025-q2", SPLIT, persona=whole, into="part", field="role", level="operations")
    after = replace(personas, rule=rule, personas=(*personas.personas, Persona("part")), changelog=(change,))
    of = Criteria(then, found.sample, found.segments, after).segment_of
    assert of["part"] == of[whole] == Criteria(then, found.sample, found.segments, personas).segment_of[whole]
    table = targets.targets(then, found.sample, found.segments, after).tables["targets"].set_index("segment")
    assert {whole, "part"} <= set(table.loc[of[whole], "personas"].split(", "))


def test_one_market_has_nothing_to_choose_between(planned: Planned) -> None:
    then, found, personas = planned
    step = targets.targets(then, found.sample, None, personas)
    assert step.results["n_targets"] == 0
    assert "nothing to choose between" in step.missing["targets"]
    assert (step.statements["measure"] == "smallest_share").any()  # what was set before is shown all the same


@pytest.mark.parametrize(
    ("tests", "attractive", "strong", "choice"),
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
def test_only_intervals_make_a_target(tests: dict[str, str], attractive: str, strong: str, choice: str) -> None:
    assert targets._choice(tests, attractive, strong)[0] == choice


def test_the_side_of_a_score_is_that_of_its_claim() -> None:
    judged = pd.DataFrame({"measure": "strength_score", "level": ["0", "1", "2"], "effect": [1.0, 1.0, -1.0]})
    judged = judged.assign(verdict=["supported", "leaning", "supported"])
    assert [targets._side(judged, "strength", level) for level in "0123"] == ["above", "around", "below", "unknown"]
    assert targets._side(judged, "attractiveness", "0") == "unknown"


# waves


def sample_of(*days: tuple[str, int]) -> Sample:
    """Rows answered on these days, so many each."""
    answered = [day for day, n in days for _ in range(n)]
    return Sample("respondents", pd.DataFrame({"answered_on": pd.to_datetime(answered)}), [], [])


def test_the_last_wave_is_the_latest_run_of_periods() -> None:
    then = situation("2025-q3")
    gap = waves.waves_of(then, sample_of(("2023-11-01", 80), ("2024-12-10", 30), ("2025-01-10", 40)))
    assert gap is not None
    assert (int(gap.is_last.sum()), gap.first, gap.last) == (70, "2024-q4", "2025-q1")
    steady = waves.waves_of(then, sample_of(*[(f"2024-{month:02d}-10", 60) for month in (2, 5, 8, 11)]))
    assert steady is not None
    assert (int(steady.is_last.sum()), steady.first) == (60, "2024-q4")


def test_one_wave_or_a_small_one_cannot_be_compared() -> None:
    then = situation("2025-q3")
    assert waves.waves_of(then, sample_of(("2023-11-01", 200))) is None
    assert waves.waves_of(then, sample_of(("2023-11-01", 200), ("2025-01-10", 49))) is None
    assert waves.waves_of(then, replace(sample_of(), rows=pd.DataFrame({"x": [1] * 200}))) is None
    assert (
        "Cannot tell: there is one wave of answers only" in research.research(situation("2024-q1")).step.missing["held"]
    )


def test_the_simulated_segments_have_held(planned: Planned) -> None:
    """The simulated needs are the same in both waves: the older cut agrees, and no segment changes size."""
    step = planned[1].step
    told = step.statements.set_index("measure")
    assert told.loc["wave_agreement", "estimate"] > 0.9
    assert told.loc["wave_agreement", "n"] == told.loc["n_last_wave", "estimate"] == 300
    assert sorted(step.tables["matched"]["earlier"]) == ["0", "1", "2", "3"]
    changes = told.loc["wave_share_change"]
    assert (changes["low"] < 0).all()
    assert (changes["high"] > 0).all()
    assert (step.looks["measure"] == "wave_share").sum() == 4


def test_two_parts_of_a_step_become_one() -> None:
    first = Step("research", {"a": pd.DataFrame()}, results={"k": 1, "n": 2}, missing={"held": "x"})
    both = merged(first, Step("research", {"b": pd.DataFrame()}, results={"k": 4}))
    assert (set(both.tables), both.results, both.missing) == ({"a", "b"}, {"k": 4, "n": 2}, {"held": "x"})
