"""Leads, deals and spend that are recorded from other days on: costs are counted only where all of them are."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from closedloop import channels
from closedloop.period.lead_records import deal_records
from closedloop.questions.leads.channels import Matured, matured
from closedloop.workbench.period import OpenPeriod

from tests.market.conftest import HEAD, project_at, write_market
from tests.questions.periods import everyone, planning

N = 1_200
DEALS_FROM, SPEND_FROM, ON = (pd.Timestamp(day) for day in ("2023-07-03", "2023-10-01", "2024-07-01"))


def tables() -> dict[str, pd.DataFrame]:
    """Leads of eighteen months, decided after some three weeks; deals and spend are recorded from later days on."""
    rng = np.random.default_rng(11)
    came = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 540, N)), unit="D")
    channel = rng.choice(["web", "fair"], N)
    ids = [f"L{i}" for i in range(N)]
    frame = pd.DataFrame({"lead_id": ids, "created_on": came, "channel": channel, "handed_off_on": came})
    frame = frame.assign(sales_accepted_on=came)
    closed = came + pd.to_timedelta(rng.integers(10, 32, N), unit="D")
    deals = frame[["lead_id"]].assign(deal_id=[f"D{i}" for i in range(N)], created_on=came, closed_on=closed)
    deals = deals.assign(outcome=np.where(rng.random(N) < 0.3, "won", "lost"))
    months = pd.date_range(SPEND_FROM, "2024-06-01", freq="MS")
    spend = pd.DataFrame({"starts_on": months, "ends_on": months + pd.offsets.MonthEnd(0), "spent_amount": "1000.00"})
    spend = pd.concat([spend.assign(channel=name) for name in ("web", "fair")], ignore_index=True)
    return {
        "leads": frame,
        "deals": deals[(deals["closed_on"] >= DEALS_FROM) & (deals["closed_on"] <= "2024-06-30")],
        "spend": spend.assign(spend_id=[f"S{i}" for i in range(len(spend))]),
    }


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPeriod]:
    """The third quarter of 2024, planned."""
    with project_at(tmp_path_factory.mktemp("covered")) as root:
        head = HEAD.replace("2024-q1", "2023-q1")
        write_market(root, {name: frame.to_csv(index=False) for name, frame in tables().items()}, head=head)
        yield planning("tiny", "2024-q3", everyone("tiny"), root / "out")


@pytest.fixture(scope="module")
def grown(now: OpenPeriod) -> Matured:
    return matured(now.situation, now.records["leads"], now.spend())


def test_what_came_before_deals_were_recorded_is_not_known_to_be_lost(now: OpenPeriod) -> None:
    frame = now.records["leads"]
    early = frame["created_on"] < tables()["deals"]["closed_on"].min()
    assert early.sum() > 300
    assert frame.loc[early, "is_won"].isna().all()
    assert not frame.loc[early, "is_followed"].any()
    assert frame.loc[~early, "is_followed"].all()


def test_costs_are_of_the_days_for_which_spend_is_recorded(now: OpenPeriod, grown: Matured) -> None:
    assert grown.days_to_win is not None and 25 <= grown.days_to_win <= 31, "nine of ten of days 10 to 31"
    until = ON - pd.Timedelta(days=grown.days_to_win)
    frame = tables()["leads"]
    covered = frame[(frame["created_on"] >= SPEND_FROM) & (frame["created_on"] < until)]
    assert len(grown.leads) == len(covered)
    money = sum(  # a day of a month costs its share of 1,000
        1_000 / day.days_in_month for day in pd.date_range(SPEND_FROM, until - pd.Timedelta(days=1))
    )
    totals = grown.totals("channel")
    assert totals["spent"].to_numpy() == pytest.approx([money, money])
    assert totals["n"].to_dict() == covered["channel"].value_counts().to_dict()


def test_the_page_says_which_leads_have_no_recorded_cost(now: OpenPeriod, grown: Matured) -> None:
    came = tables()["leads"]["created_on"]
    first = tables()["deals"]["closed_on"].min()
    assert deal_records(now.situation)[0] == first
    reached = came >= now.situation.window_start - pd.Timedelta(days=grown.days_to_win)
    n = [int((reached & is_out).sum()) for is_out in (came < first, (came >= first) & (came < SPEND_FROM))]
    found = channels(now.leads(window=False), now.spend())
    now.close()
    lines = repr(found).splitlines()
    assert f"Deals are recorded from {first:%Y-%m-%d} on; the {n[0]} leads from before are left out." in lines
    assert f"Spend is recorded from 2023-10-01 on; the {n[1]} leads from before are left out." in lines


def test_money_is_the_frames_and_so_can_be_filtered_in_a_cell(now: OpenPeriod, grown: Matured) -> None:
    half = matured(now.situation, now.records["leads"], now.spend()[lambda rows: rows["channel"] == "web"])
    assert half.totals("channel").loc["web", "spent"] == pytest.approx(grown.totals("channel").loc["web", "spent"])
    assert np.isnan(half.totals("channel").loc["fair", "spent"])
