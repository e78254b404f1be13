"""Of each period's deals that a set ranked first: counted by hand, told with their intervals, never by a later set."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market.warehouse import open_warehouse
from closedloop.period.counting import decided
from closedloop.period.situation import Situation
from closedloop.period.store import no_claims
from closedloop.personas.persona_set import PersonaSet, points_of, renewed
from closedloop.questions.refinement import first_third
from closedloop.questions.refinement.first_third import ALL, IN_FORCE, RESEARCH, won_of_first
from closedloop.questions.refinement.review import Review
from closedloop.statistics.proportions import wilson
from closedloop.workbench.answer import Answer
from closedloop.workbench.cells import set_in_force

from tests.questions.conftest import Opening

PERIOD = "2024-q4"


def test_the_first_third_by_hand() -> None:
    won, order = [1, 0, 1, 1, 0, 0], [9, 8, 7, 3, 2, 1]
    assert won_of_first(won, order) == (1, 2)
    assert won_of_first(won, order[::-1]) == (0, 2)
    assert won_of_first([1] * 7, range(7)) == (2, 2), "a third is rounded to whole deals"


def test_deals_that_are_equal_at_the_border_count_in_part() -> None:
    won, order = [1, 1, 0, 0, 0, 1], [5, 4, 4, 4, 1, 1]
    assert won_of_first(won, order) == (pytest.approx(1 + 1 / 3), 2)
    assert won_of_first(won, [1] * 6) == (pytest.approx(2 * 3 / 6), 2)


def test_a_third_is_what_the_lift_is_of() -> None:
    from closedloop.validation.backtest import lift

    rng = np.random.default_rng(5)
    won, order = rng.integers(0, 2, 90), rng.integers(0, 6, 90)
    n_won, n = won_of_first(won, order)
    assert n_won / n - won.mean() == pytest.approx(lift(won, order, np.zeros(90)))


@pytest.fixture(scope="module")
def research(out: Path) -> PersonaSet:
    return set_in_force("harbor", "2024-q1", out)


@pytest.fixture(scope="module")
def sets(research: PersonaSet) -> dict[str, PersonaSet]:
    """The first research's rule with the card of each period's start."""
    warehouse = open_warehouse("harbor")
    found = {one.name: renewed(research, Situation.planning(warehouse, one)) for one in warehouse.periods[:4]}
    return found | {"2024-q1": research}


@pytest.fixture
def asked(sets: dict[str, PersonaSet], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The periods whose sets were asked for."""
    names: list[str] = []

    def given(market: str, period: str, out: Path) -> PersonaSet:
        names.append(period)
        return sets[period]

    monkeypatch.setattr(first_third, "set_in_force", given)
    return names


@pytest.fixture
def thirds(opening: Opening, asked: list[str]) -> Callable[[str], Answer]:
    def of(period: str) -> Answer:
        opening("harbor", period, "07_review")
        return Review(no_claims()).first_third()

    return of


def test_each_period_is_ranked_by_the_set_of_its_start(
    thirds: Callable[[str], Answer], asked: list[str], sets: dict[str, PersonaSet]
) -> None:
    answer = thirds(PERIOD)
    assert sorted(set(asked)) == ["2024-q1", "2024-q2", "2024-q3", "2024-q4"]
    stated = answer.stated.set_index(["measure", "level"])
    deals = decided(answer.now.situation)
    assert deals["closed_on"].max() < pd.Timestamp("2025-01-01")
    own = deals[(deals["closed_on"] >= "2024-07-01") & (deals["closed_on"] < "2024-10-01")]
    won, n = won_of_first(own["is_won"], points_of(sets["2024-q3"], own))
    row = stated.loc[(IN_FORCE, "2024-q3")]
    assert (row["estimate"], row["n"]) == (pytest.approx(won / n), n)
    assert (row["low"], row["high"]) == pytest.approx(tuple(map(float, wilson(won, n))))
    assert (row["first_period"], row["last_period"]) == ("2024-q3", "2024-q3")
    rates = sets["2024-q1"].assign(own).map(sets["2024-q1"].deviations())
    assert stated.loc[(RESEARCH, "2024-q3"), "estimate"] * n == pytest.approx(won_of_first(own["is_won"], rates)[0])
    assert stated.loc[(ALL, "2024-q3"), "n"] == len(own) == 225
    assert set(answer.stated["verdict"]) == {"estimated"}


def test_all_periods_together_are_those_in_which_both_could_be_told(thirds: Callable[[str], Answer]) -> None:
    answer = thirds(PERIOD)
    assert answer.results["n_periods_ranked"] == 3
    stated = answer.stated
    for measure in (IN_FORCE, RESEARCH, ALL):
        own = stated[(stated["measure"] == measure) & stated["level"].isin(["2024-q2", "2024-q3", "2024-q4"])]
        (whole,) = stated[(stated["measure"] == measure) & (stated["level"] == "")].to_dict("records")
        assert whole["n"] == own["n"].sum()
        assert whole["estimate"] * whole["n"] == pytest.approx((own["estimate"] * own["n"]).sum())
        assert (whole["first_period"], whole["last_period"]) == ("2024-q2", "2024-q4")


def test_the_sentence_counts_and_claims_no_cause(thirds: Callable[[str], Answer]) -> None:
    answer = thirds(PERIOD)
    text = repr(answer.sentence).replace("\N{NO-BREAK SPACE}", " ")
    whole = answer.stated[answer.stated["level"] == ""].set_index("measure")
    won = (whole["estimate"] * whole["n"]).round(1)
    assert text.startswith(f"From 2024-q2 to 2024-q4 {won[IN_FORCE]:g} of {whole.loc[IN_FORCE, 'n']} (")
    assert f"{won[ALL]:.0f} of {whole.loc[ALL, 'n']} (" in text
    assert text.endswith("in all: observed, not caused by the ranking, and not tested against each other.")


def test_the_page_shows_every_period_and_why_one_cannot_be_told(thirds: Callable[[str], Answer]) -> None:
    shown = repr(thirds(PERIOD).figure("Of the deals ranked first, how many were won?"))
    rows = {line.split()[0]: line for line in shown.splitlines() if line.lstrip().startswith("2024")}
    assert list(rows) == ["2024-q4", "2024-q3", "2024-q2", "2024-q1"]
    assert "cannot tell: no points card at its start" in rows["2024-q1"]
    counted = [float(re.search(r"([0-9.]+) of", rows[name])[1]) for name in list(rows)[:3]]
    said = re.search(r"From 2024-q2 to 2024-q4 ([0-9.]+) of", repr(thirds(PERIOD).sentence))
    assert sum(counted) == pytest.approx(float(said[1]), abs=0.15)  # each is rounded to a tenth
    assert "cannot tell" not in rows["2024-q2"]
    assert "third that the set in force ranked first, 2024-q4: " in shown


def test_where_the_first_research_expected_all_alike_the_set_in_force_is_told_alone(
    thirds: Callable[[str], Answer], sets: dict[str, PersonaSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = tuple(replace(persona, win_rate=0.3) for persona in sets["2024-q1"].personas)
    monkeypatch.setitem(sets, "2024-q1", replace(sets["2024-q1"], personas=alike))
    answer = thirds(PERIOD)
    assert (answer.results["n_periods_ranked"], answer.missing) == (3, {})
    whole = answer.stated[answer.stated["level"] == ""].set_index("measure")
    assert list(whole.index) == [IN_FORCE, ALL]
    (text,) = [repr(answer.sentence).replace("\N{NO-BREAK SPACE}", " ")]
    assert text.startswith("From 2024-q2 to 2024-q4 ") and "first research" not in text
    rows = [line for line in repr(answer.figure()).splitlines() if line.lstrip().startswith("2024-q4")]
    assert rows[0].count("cannot tell") == 1 and "it expected all alike" in rows[0]


def test_too_few_deals_are_not_ranked(thirds: Callable[[str], Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_third, "FEWEST_DEALS", 240)
    answer = thirds(PERIOD)
    assert answer.stated.loc[answer.stated["measure"] == IN_FORCE, "level"].tolist() == ["2024-q2", ""]
    rows = [line for line in repr(answer.figure()).splitlines() if line.lstrip().startswith("2024-q4")]
    assert rows[0].count("cannot tell: fewer than 240 deals") == 2


def test_before_any_card_nothing_is_told_and_the_page_says_what_it_takes(thirds: Callable[[str], Answer]) -> None:
    answer = thirds("2024-q1")
    assert "it takes a period with 60 decided deals, and a points card at its start" in answer.missing["first_third"]
    assert set(answer.stated["measure"]) == {ALL, RESEARCH}
    assert repr(answer.sentence).startswith("Not available: Whether deals ranked first")


def test_a_market_without_dates_cannot_tell(opening: Opening, asked: list[str]) -> None:
    opening("b2b", "latest", "07_review")
    answer = Review(no_claims()).first_third()
    assert answer.stated.empty
    assert asked == []
    assert "with their dates" in answer.missing["first_third"]
