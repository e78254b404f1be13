"""01 on markets with little or nothing to segment: the notebook goes on, and says what to collect."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from closedloop.market.files import root as project
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

from tests import pages
from tests.market.conftest import project_at, write_market

NOTEBOOK = project() / "notebooks" / "01_research.ipynb"
ITEMS = '[items]\nwants_speed = "Speed?"\nwants_price = "Price?"\n'


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with project_at(tmp_path) as place:
        yield pages.with_notebooks(place)


def _select(answers: str) -> str:
    return f"select respondent_id, answered_on::date as answered_on, {answers} from raw.respondents"


def opened(root: Path, **parameters: object) -> OpenPeriod:
    return run_cells(NOTEBOOK, {"market": "tiny", "period": "latest", "out": str(root / "out"), **parameters})


def test_deals_without_fields_are_one_market(root: Path) -> None:
    text = "deal_id,created_on,closed_on,outcome\nD1,2024-01-02,2024-02-01,won\nD2,2024-01-03,,open\n"
    write_market(root, {"deals": text})
    now = opened(root)
    said = now.step.missing["criteria"]
    assert said.startswith("At the period's start no table held 50 rows with a field that is known from the beginning")
    assert "nothing to choose between" in now.step.missing["targets"]
    assert (now.step.results["source"], now.step.results["recommended_k"]) == ("none", 1)
    assert set(now.claims["family"]) == {"none"}
    assert "Nothing is known that could be cut into segments." in repr(now.bottom_line())


def test_a_blank_survey_is_said_to_be_blank(root: Path) -> None:
    rows = "".join(f"r{i},2024-01-10,,\n" for i in range(60))
    text = f"respondent_id,answered_on,wants_speed,wants_price\n{rows}"
    select = _select("null::integer as wants_speed, null::integer as wants_price")
    write_market(root, {"respondents": text}, {"respondents": select}, ITEMS, deals="")
    missing = opened(root).step.missing["sample"]
    assert "none of its 60 rows answers any of its 2 questions" in missing


def test_a_small_survey_is_segmented_only_when_the_parameter_allows_it(root: Path) -> None:
    rows = "".join(f"r{i:02d},2024-01-10,{int(i % 2 == 0)},{int(i % 3 == 0)}\n" for i in range(60))
    text = f"respondent_id,answered_on,wants_speed,wants_price\n{rows}"
    select = _select("wants_speed::integer as wants_speed, wants_price::integer as wants_price")
    write_market(root, {"respondents": text}, {"respondents": select}, ITEMS, deals="")
    assert "Only 60 rows with 2 columns" in opened(root, least_rows=61).step.missing["criteria"]
    cut = opened(root, number=2)
    assert cut.step.results["recommended_k"] == 2
    asked = cut.claims[cut.claims["measure"] == "profile_share"]
    speed = asked[(asked["subject"] == "market") & (asked["field"] == "wants_speed")].iloc[0]
    assert (speed["estimate"], speed["n"]) == (0.5, 60)
