"""Why there is no score and nobody to call is told by its own cause, with what was found and what is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from closedloop import (
    arms,
    call_list,
    channels,
    funnel,
    lead_card,
    leaks,
    planned_tests,
    score,
)
from closedloop.market.warehouse import open_warehouse
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod

from tests.market.conftest import project_at, write_market
from tests.questions.periods import everyone, planning

Build = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
def missing(tmp_path: Path) -> Iterator[Build]:
    """What the plan of the tiny market's next period misses, by section."""

    def build(files: dict[str, str]) -> dict[str, str]:
        write_market(tmp_path, files)
        now = planning("tiny", open_warehouse("tiny").periods[-1].name, everyone("tiny"), tmp_path / "out")
        _ask(now)
        now.close()
        return now.step.missing

    with project_at(tmp_path):
        yield build


def _ask(now: OpenPeriod) -> Answer:
    leads, every_lead = now.leads(), now.leads(window=False)
    funnel(leads)
    channels(every_lead, now.spend(), now.deals())
    funnel(leads, by=now.fields("leads"), outcome="accepted")
    funnel(leads, outcome="won")
    arms(every_lead)
    prospects = now.prospects()
    score(prospects, beside="stage")
    return call_list(lead_card(score(prospects)))


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


def test_too_few_known_outcomes(missing: Build) -> None:
    found = missing({"deals": deal_rows(20, 14)})
    assert found["quality"].startswith("A score needs 200 deals whose outcome is known; 34 are.")
    assert found["over_stage"].endswith("cannot be told: no score could be learned.")


def test_one_outcome_only(missing: Build) -> None:
    found = missing({"deals": deal_rows(1071, 0)})
    assert found["quality"].startswith("Only won deals are recorded, so no win rate can be told.")
    assert found["quality"].endswith("Until then there is nothing that a score could tell won ones from.")
    assert missing({"deals": deal_rows(1071, 4)})["quality"] == (
        "Of 1,075 deals to learn from 1,071 were won and 4 lost; a score needs 10 of each. Collect both outcomes."
    )


def test_no_field_to_score_by(missing: Build) -> None:
    text = "\n".join(line.rpartition(",")[0] for line in deal_rows(150, 150).splitlines())
    assert missing({"deals": text})["quality"] == (
        "A score needs fields of deals that are known in time to use it; none is declared in market.toml."
    )


def test_outcomes_that_are_only_the_quick_ones(missing: Build) -> None:
    assert missing(lead_rows(1000, 500))["quality"].startswith(
        "The outcome of 500 leads is known, but only 0 come from a month of which 70% are decided"
    )


def test_enough_of_everything_has_no_cause(missing: Build) -> None:
    assert "quality" not in missing({"deals": deal_rows(150, 150)})


def test_nobody_to_call(missing: Build) -> None:
    found = missing({"deals": deal_rows(30, 30)})
    assert found["next_leads"] == "All 60 deals that were known when this period was planned are decided."
    assert found["wake_up"] == found["next_leads"]


def test_leads_that_marketing_still_has(missing: Build) -> None:
    found = missing(lead_rows(40, 0, handed=False))
    assert found["next_leads"] == "40 leads were open when this period was planned; none of them was handed off."


def test_deals_are_called_where_no_leads_are_recorded(missing: Build, tmp_path: Path) -> None:
    found = missing({"deals": deal_rows(30, 30, n_open=12)})
    assert "next_leads" not in found
    assert found["funnel"].startswith("No leads were known: collect `leads`") and found["channels"] == found["funnel"]
    (file,) = (tmp_path / "out").glob("tiny/*/call-list.csv")
    assert len(file.read_text().splitlines()) == 1 + 12


def test_a_market_of_accounts_alone_goes_on(tmp_path: Path) -> None:
    with project_at(tmp_path):
        fields = '[fields.accounts]\nresearch = ["size"]'
        write_market(tmp_path, {"accounts": "account_id,size\nA1,large\n"}, more=fields, deals="")
        now = planning("tiny", "latest", everyone("tiny"), tmp_path / "out")
        calls = _ask(now)
        planned_tests(now.leads(), now.deals())
        leaks(now.prospects())
        now.close(calls)
        missing = now.step.missing
        assert now.claims.query("family != 'none'").empty
        assert repr(now.bottom_line()).startswith("- No leads are known; nobody waits to be called. Lead score:")
    assert missing["next_leads"] == "No deals were known when this period was planned."
    assert missing["leaks"] == "No leads or deals are recorded, so no column can know their outcome."
    assert missing["funnel"].startswith("No leads were known: collect `leads`")
