"""Leads, deals and touches that are recorded from other days on: compared only where all of them are."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from closedloop.documents.sections.conversions import uncovered
from closedloop.evidence.claims import outside
from closedloop.evidence.rules import Rule
from closedloop.loop.handoff import handoff
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
DEALS_FROM, TOUCHES_FROM = (pd.Timestamp(day) for day in ("2023-07-03", "2024-05-06"))
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
    return {
        "leads": frame,
        "deals": deals[(deals["closed_on"] >= DEALS_FROM) & (deals["closed_on"] <= "2024-06-30")],
        "touches": touches[(touches["touched_on"] >= TOUCHES_FROM) & (touches["touched_on"] <= "2024-06-30")],
    }


@pytest.fixture(scope="module")
def situation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Situation]:
    """The second quarter of 2024, looked back on."""
    with project_at(tmp_path_factory.mktemp("covered")) as root:
        head = HEAD.replace("2024-q1", "2023-q1")
        write_market(root, {name: frame.to_csv(index=False) for name, frame in tables().items()}, head=head)
        warehouse = open_warehouse("tiny")
        yield Situation.looking_back(warehouse, find_period(warehouse.periods, "2024-q2"))


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


def test_a_lead_is_never_touched_only_where_touches_are_recorded(situation: Situation) -> None:
    step, frames = handoff(situation, EVERYONE), tables()
    first = frames["touches"]["touched_on"].min()
    handed = frames["leads"]["handed_off_on"]
    covered = frames["leads"][(handed >= first) & (handed <= "2024-06-30")]
    never = step.statements[(step.statements["measure"] == "never_touched_share") & (step.statements["field"] == "")]
    assert never["n"].item() == len(covered)
    untouched = ~covered["lead_id"].isin(frames["touches"]["lead_id"])
    assert never["estimate"].item() == pytest.approx(untouched.mean())
    before = int(((handed >= "2024-04-01") & (handed < first)).sum())
    assert told(step, "handoff", "first_touch") == [
        f"Touches are recorded from {first:%Y-%m-%d} on; the {before} leads from before are left out."
    ]
