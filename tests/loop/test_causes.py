"""What is missing of the hand-off is told by its own cause: a tiny market for each cause."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from closedloop.evidence.rules import Rule
from closedloop.loop.handoff import handoff
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.warehouse import open_warehouse

from tests.market.conftest import project_at, write_market

EVERYONE = PersonaSet("tiny", "2024-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))
Build = Callable[..., Step]


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Build]:
    """The hand-off of the last period that is over."""

    def build(files: dict[str, str]) -> Step:
        write_market(tmp_path, files, deals="")
        warehouse = open_warehouse("tiny")
        over = [period for period in warehouse.periods if not period.running]
        return handoff(Situation.looking_back(warehouse, over[-1]), EVERYONE)

    with project_at(tmp_path):
        yield build


def test_touches_that_do_not_say_of_whom_are_no_untouched_leads(step: Build) -> None:
    """Touches of accounts alone tell nothing about a lead's first touch: that is missing, not 100 % untouched."""
    lines = [f"L{i},2024-04-01,2024-04-02,2024-04-03,A1" for i in range(30)]
    files = {
        "leads": "\n".join(["lead_id,created_on,handed_off_on,sales_accepted_on,account_id", *lines]),
        "touches": "touch_id,touched_on,account_id\nT1,2024-04-05,A1",
    }
    handed = step(files)
    assert handed.missing["first_touch"].startswith(
        "No touches of sales are recorded: collect `touches` with team, lead"
    )
    assert handed.results["never_touched_share"] is None
    assert "never_touched_share" not in set(handed.statements["measure"])
