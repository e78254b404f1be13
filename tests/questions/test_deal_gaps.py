"""What is missing of deals is told by its own cause, with what was found and what is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from closedloop import amounts, open_period, outcomes, win_rates
from closedloop.market.warehouse import open_warehouse

from tests.market.conftest import project_at, write_market
from tests.questions.periods import everyone
from tests.questions.test_score_gaps import deal_rows

Build = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Build]:
    """What the deals of the last period that is over cannot answer, by section."""

    def build(files: dict[str, str]) -> dict[str, str]:
        write_market(tmp_path, files)
        over = [period for period in open_warehouse("tiny").periods if not period.running]
        now = open_period("tiny", over[-1].name, "ended", notebook="05_deals", out=tmp_path / "out")
        now.personas = everyone("tiny")
        outcomes(now.deals(ended=False))
        amounts(now.deals())
        outcomes(now.deals(), "loss_reasons")
        win_rates(now.deals(), by="rep_id")
        return now.step.missing

    with project_at(tmp_path):
        yield build


def test_few_deals_of_a_period_that_is_over_are_not_so_far(asked: Build) -> None:
    missing = asked({"deals": deal_rows(4, 3, month="2024-05")})
    assert missing["win_rates"] == "7 deals were won or lost in this period; 10 are needed for a rate."


def test_amounts_of_some_won_deals(asked: Build) -> None:
    head, *lines = deal_rows(40, 10).splitlines()
    priced = [f"{line},{500 if i < 7 else ''}" for i, line in enumerate(lines)]
    missing = asked({"deals": "\n".join([f"{head},won_amount", *priced])})
    assert missing["amounts"] == ("Only 7 of 40 won deals have an amount above 0: collect won_amount of every deal.")


@pytest.mark.parametrize(
    ("sellers", "n_lost", "message"),
    [
        (1, 30, "Fewer than two reps are recorded. Collect deals.rep_id as a code."),
        (3, 4, "Sellers cannot be compared: 40 won and 4 lost deals of 3 sellers record one; 10 of each"),
    ],
)
def test_sellers(asked: Build, sellers: int, n_lost: int, message: str) -> None:
    head, *lines = deal_rows(40, n_lost).splitlines()
    sold = [f"{line},rep-{i % sellers}" for i, line in enumerate(lines)]
    missing = asked({"deals": "\n".join([f"{head},rep_id", *sold])})
    assert missing["reps"].startswith(message)


def test_reasons_where_nothing_was_lost_and_where_nobody_said_why(asked: Build) -> None:
    missing = asked({"deals": deal_rows(30, 0)})
    assert missing["loss_reasons"] == "No deal was lost, so there is no reason of a loss."
    missing = asked({"deals": deal_rows(30, 25)})
    assert missing["loss_reasons"].startswith(
        "Of 25 deals that were lost or ended without a decision fewer than ten have a reason."
    )
