"""What is missing is told by its own cause, with what was found and what is needed: a tiny market for each cause."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from closedloop.evidence.rules import Rule
from closedloop.loop.deals import deals
from closedloop.loop.leads import leads
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.warehouse import open_warehouse

from tests.market.conftest import project_at, write_market

EVERYONE = PersonaSet("tiny", "2024-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))
Build = Callable[..., tuple[Step, Step]]


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Build]:
    """The step of leads in the plan of the period that comes next; deals of the last one that is over."""

    def build(files: dict[str, str]) -> tuple[Step, Step]:
        write_market(tmp_path, files)
        warehouse = open_warehouse("tiny")
        over = [period for period in warehouse.periods if not period.running]
        plan, back = Situation.planning(warehouse, warehouse.periods[-1]), Situation.looking_back(warehouse, over[-1])
        return leads(plan, EVERYONE), deals(back, EVERYONE)

    with project_at(tmp_path):
        yield build


def deal_rows(n_won: int, n_lost: int, n_open: int = 0, month: str = "2024-02") -> str:
    """Deals by channel, each closed in the month, and open ones."""
    fates = ["won"] * n_won + ["lost"] * n_lost + ["open"] * n_open
    days = ["" if fate == "open" else f"{month}-{1 + i % 28:02d}" for i, fate in enumerate(fates)]
    lines = [
        f"D{i},2024-01-02,{fate},{day},{('web', 'fair')[i % 2]}"
        for i, (fate, day) in enumerate(zip(fates, days, strict=True))
    ]
    return "\n".join(["deal_id,created_on,outcome,closed_on,channel", *lines])


def lead_rows(n: int, n_decided: int, handed: bool = True) -> dict[str, str]:
    """Leads handed off in February, the first of them with a deal that was won or lost in March, in turns."""
    lead = [f"L{i},2024-02-01,{'2024-02-02' if handed else ''},{('web', 'fair')[i % 2]}" for i in range(n)]
    deal = [f"D{i},L{i},2024-03-01,{('won', 'lost')[i // 2 % 2]},2024-03-05" for i in range(n_decided)]
    return {
        "leads": "\n".join(["lead_id,created_on,handed_off_on,channel", *lead]),
        "deals": "\n".join(["deal_id,lead_id,created_on,outcome,closed_on", *deal]),
    }


def test_too_few_known_outcomes(steps: Build) -> None:
    plan, _ = steps({"deals": deal_rows(20, 14)})
    assert plan.missing["quality"].startswith("A score needs 200 deals whose outcome is known; 34 are.")


def test_one_outcome_only(steps: Build) -> None:
    plan, _ = steps({"deals": deal_rows(1071, 0)})
    assert plan.missing["quality"].startswith("Only won deals are recorded, so no win rate can be told.")
    assert plan.missing["quality"].endswith("Until then there is nothing that a score could tell won ones from.")
    few, _ = steps({"deals": deal_rows(1071, 4)})
    assert few.missing["quality"] == (
        "Of 1,075 deals to learn from 1,071 were won and 4 lost; a score needs 10 of each. Collect both outcomes."
    )


def test_no_field_to_score_by(steps: Build) -> None:
    text = "\n".join(line.rpartition(",")[0] for line in deal_rows(150, 150).splitlines())
    plan, _ = steps({"deals": text})
    assert plan.missing["quality"] == (
        "A score needs fields of deals that are known in time to use it; none is declared in market.toml."
    )


def test_outcomes_that_are_only_the_quick_ones(steps: Build) -> None:
    plan, _ = steps(lead_rows(1000, 500))
    assert plan.missing["quality"].startswith(
        "The outcome of 500 leads is known, but only 0 come from a month of which 70% are decided"
    )


def test_enough_of_everything_has_no_cause(steps: Build) -> None:
    plan, _ = steps({"deals": deal_rows(150, 150)})
    assert "quality" not in plan.missing


def test_nobody_to_call(steps: Build) -> None:
    plan, _ = steps({"deals": deal_rows(30, 30)})
    assert plan.missing["next_leads"] == "All 60 deals that were known when this period was planned are decided."


def test_leads_that_marketing_still_has(steps: Build) -> None:
    plan, _ = steps(lead_rows(40, 0, handed=False))
    assert plan.missing["next_leads"] == "40 leads were open when this period was planned; none of them was handed off."


def test_few_deals_of_a_period_that_is_over_are_not_so_far(steps: Build) -> None:
    _, back = steps({"deals": deal_rows(4, 3, month="2024-05")})
    assert back.missing["win_rates"] == "7 deals were won or lost in this period; 10 are needed for a rate."


def test_amounts_of_some_won_deals(steps: Build) -> None:
    head, *lines = deal_rows(40, 10).splitlines()
    priced = [f"{line},{500 if i < 7 else ''}" for i, line in enumerate(lines)]
    _, back = steps({"deals": "\n".join([f"{head},won_amount", *priced])})
    assert back.missing["amounts"] == (
        "Only 7 of 40 won deals have an amount above 0: collect won_amount of every deal."
    )


@pytest.mark.parametrize(
    ("sellers", "n_lost", "message"),
    [
        (1, 30, "Fewer than two reps are recorded. Collect deals.rep_id as a code."),
        (3, 4, "Sellers cannot be compared: 40 won and 4 lost deals of 3 sellers record one; 10 of each"),
    ],
)
def test_sellers(steps: Build, sellers: int, n_lost: int, message: str) -> None:
    head, *lines = deal_rows(40, n_lost).splitlines()
    sold = [f"{line},rep-{i % sellers}" for i, line in enumerate(lines)]
    _, back = steps({"deals": "\n".join([f"{head},rep_id", *sold])})
    assert back.missing["reps"].startswith(message)


def test_reasons_where_nothing_was_lost_and_where_nobody_said_why(steps: Build) -> None:
    _, back = steps({"deals": deal_rows(30, 0)})
    assert back.missing["loss_reasons"] == "No deal was lost, so there is no reason of a loss."
    _, back = steps({"deals": deal_rows(30, 25)})
    assert back.missing["loss_reasons"].startswith("No reason is recorded for 10 of the 25 deals that were lost.")
