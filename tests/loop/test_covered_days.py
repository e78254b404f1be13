"""Leads, deals, spend and touches that are recorded from other days on: compared only where all of them are."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from closedloop.documents.sections.conversions import uncovered
from closedloop.evidence.claims import outside
from closedloop.evidence.rules import Rule
from closedloop.loop.channels import matured
from closedloop.loop.leads import leads
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.records import deal_records, lead_frame
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse

from tests.documents.ledger import evidence
from tests.market.conftest import HEAD, project_at, write_market

EVERYONE = PersonaSet("tiny", "2024-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))
N = 1_200
DEALS_FROM, SPEND_FROM, TOUCHES_FROM = (pd.Timestamp(day) for day in ("2023-07-03", "2023-10-01", "2024-05-06"))
TOUCHED = 0.9


def tables() -> dict[str, pd.DataFrame]:
    """Leads of eighteen months; each is decided after three weeks, and nine of ten are touched the day after."""
    rng = np.random.default_rng(11)
    came = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 540, N)), unit="D")
    ids = [f"L{i}" for i in range(N)]
    channel = rng.choice(["web", "fair"], N)
    frame = pd.DataFrame({"lead_id": ids, "created_on": came, "channel": channel, "handed_off_on": came})
    frame = frame.assign(sales_accepted_on=came)
    closed = came + pd.to_timedelta(rng.integers(10, 32, N), unit="D")
    deals = frame[["lead_id"]].assign(deal_id=[f"D{i}" for i in range(N)], created_on=came, closed_on=closed)
    deals = deals.assign(outcome=np.where(rng.random(N) < 0.3, "won", "lost"))
    touched = frame.loc[rng.random(N) < TOUCHED, ["lead_id"]]
    touches = touched.assign(touch_id=[f"T{i}" for i in range(len(touched))], from_team="sales")
    touches = touches.assign(touched_on=came[touched.index] + pd.Timedelta(days=1))
    months = pd.date_range(SPEND_FROM, "2024-06-01", freq="MS")
    spend = pd.DataFrame({"starts_on": months, "ends_on": months + pd.offsets.MonthEnd(0), "spent_amount": "1000.00"})
    spend = pd.concat([spend.assign(channel=name) for name in ("web", "fair")], ignore_index=True)
    return {
        "leads": frame,
        "deals": deals[(deals["closed_on"] >= DEALS_FROM) & (deals["closed_on"] <= "2024-06-30")],
        "touches": touches[(touches["touched_on"] >= TOUCHES_FROM) & (touches["touched_on"] <= "2024-06-30")],
        "spend": spend.assign(spend_id=[f"S{i}" for i in range(len(spend))]),
    }


@pytest.fixture(scope="module")
def situation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Situation]:
    """The second quarter of 2024, looked back on."""
    with project_at(tmp_path_factory.mktemp("covered")) as root:
        head = HEAD.replace("2024-q1", "2023-q1")
        write_market(root, {name: frame.to_csv(index=False) for name, frame in tables().items()}, head=head)
        warehouse = open_warehouse("tiny")
        yield Situation.looking_back(warehouse, find_period(warehouse.periods, "2024-q2"))


def framed(situation: Situation) -> pd.DataFrame:
    return lead_frame(situation).assign(persona="everyone")


def told(step: Step, notebook: str, cell: str) -> list[str]:
    """What the page says of the leads that are left out."""
    ledger = outside(step.statements, market="tiny", period="2024-q2")
    shown = evidence(notebook, {}, ledger)
    return [said.text for said in uncovered(shown, cell)]


def test_what_came_before_deals_were_recorded_is_not_known_to_be_lost(situation: Situation) -> None:
    first = tables()["deals"]["closed_on"].min()
    assert deal_records(situation)[0] == first
    frame = lead_frame(situation)
    early = frame["created_on"] < first
    assert early.sum() > 300
    assert frame.loc[early, "is_won"].isna().all()
    assert not frame.loc[early, "is_followed"].any()
    assert frame.loc[~early, "is_followed"].all()


def test_costs_are_of_the_days_for_which_spend_is_recorded(situation: Situation) -> None:
    frame = framed(situation)
    grown = matured(situation, frame)
    wait = pd.Timedelta(days=grown.days_to_win)
    until = pd.Timestamp("2024-07-01") - wait
    covered = frame[(frame["created_on"] >= SPEND_FROM) & (frame["created_on"] < until)]
    assert len(grown.leads) == len(covered)
    money = sum(  # a day of a month costs its share of 1,000
        1_000 / day.days_in_month for day in pd.date_range(SPEND_FROM, until - pd.Timedelta(days=1))
    )
    totals = grown.totals("channel")
    assert totals["spent"].to_numpy() == pytest.approx([money, money])
    n = covered["channel"].value_counts()
    assert totals["n"].to_dict() == n.to_dict()


def test_the_page_says_which_leads_have_no_recorded_cost(situation: Situation) -> None:
    came = tables()["leads"]["created_on"]
    first, wait = tables()["deals"]["closed_on"].min(), matured(situation, framed(situation)).days_to_win
    reached = came >= situation.window_start - pd.Timedelta(days=wait)
    n = [int((reached & is_out).sum()) for is_out in (came < first, (came >= first) & (came < SPEND_FROM))]
    assert told(leads(situation, EVERYONE), "leads", "channels") == [
        f"Deals are recorded from {first:%Y-%m-%d} on; the {n[0]} leads from before are left out.",
        f"Spend is recorded from 2023-10-01 on; the {n[1]} leads from before are left out.",
    ]
