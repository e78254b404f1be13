"""The list to call: its drawn places, and the known probability of each record."""

import numpy as np
import pandas as pd
import pytest
from closedloop.evidence.rules import Rule
from closedloop.loop.call_list import listed
from closedloop.loop.leads import leads
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step
from closedloop.market.definition import CallList
from closedloop.market.periods import find_period
from closedloop.market.place import data_folder
from closedloop.market.warehouse import open_warehouse

PERIOD, DAY = "2025-q2", pd.Timestamp(2025, 4, 1)
EVERYONE = PersonaSet("harbor", PERIOD, "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))


def ranked(n: int) -> pd.DataFrame:
    """Waiting records, the best first."""
    return pd.DataFrame({"lead_id": [f"L{place}" for place in range(n)]}, index=range(100, 100 + n))


def test_a_tenth_of_the_places_is_drawn_from_all_that_are_not_ranked_onto_the_list() -> None:
    found = listed(ranked(500), 0.10, np.random.default_rng(1), length=200)
    by_rank, drawn = (found[found["slot"] == slot] for slot in ("ranked", "random"))
    assert found["rank"].tolist() == list(range(1, 201))
    assert by_rank["lead_id"].tolist() == [f"L{place}" for place in range(180)], "the best, in their order"
    assert len(drawn) == 20
    assert drawn["lead_id"].is_unique
    assert not drawn["lead_id"].isin(by_rank["lead_id"]).any()
    assert by_rank["arm_rate"].eq(1).all()
    assert drawn["arm_rate"].tolist() == [20 / 320] * 20


def test_everybody_who_is_not_ranked_is_drawn_equally_often_and_to_any_place() -> None:
    n_times, places = np.zeros(30), []
    for seed in range(4000):
        found = listed(ranked(30), 0.2, np.random.default_rng(seed), length=10)
        drawn = found[found["slot"] == "random"]
        n_times[drawn["lead_id"].str[1:].astype(int)] += 1
        places += drawn["rank"].tolist()
    assert not n_times[:8].any()
    rate = 2 / 22
    error = np.sqrt(rate * (1 - rate) / 4000)
    assert np.abs(n_times[8:] / 4000 - rate).max() < 4 * error, "arm_rate is the share that was drawn"
    assert np.bincount(places)[1:].min() > 0.85 * len(places) / 10, "nobody is called last for being drawn"


@pytest.mark.parametrize(("n", "share"), [(50, 0.10), (200, 0.10), (500, 0.0), (0, 0.10)])
def test_nobody_is_drawn_where_all_are_called_or_no_share_is_set(n: int, share: float) -> None:
    found = listed(ranked(n), share, np.random.default_rng(1), length=200)
    assert found["lead_id"].tolist() == [f"L{place}" for place in range(min(n, 200))]
    assert set(found["slot"]) <= {"ranked"}
    assert found["arm_rate"].eq(1).all()


@pytest.fixture(scope="module")
def planned() -> Step:
    warehouse = open_warehouse("harbor")
    return leads(Situation.planning(warehouse, find_period(warehouse.periods, PERIOD)), EVERYONE)


@pytest.fixture(scope="module")
def called(planned: Step) -> pd.DataFrame:
    return planned.tables["next_leads"].set_index("record_id")


@pytest.fixture(scope="module")
def in_hand() -> pd.DataFrame:
    """Leads that sales has in hand on the day, from the raw files: handed off, undecided and without a deal."""
    raw = data_folder() / "harbor" / "raw"
    leads = pd.read_csv(raw / "leads.csv", dtype=str).drop_duplicates("Lead ID").set_index("Lead ID")
    names = [name for name in leads if name.endswith("Date")]
    days = leads[names].apply(pd.to_datetime, errors="coerce")
    known = days.where(days < DAY)
    deals = pd.read_csv(raw / "deals.csv", dtype=str)
    opened = deals.loc[pd.to_datetime(deals["Create Date"], errors="coerce") < DAY, "Lead ID"]
    is_open = known[["Recycled Date", "Disqualified Date"]].isna().all(axis=1) & ~leads.index.isin(opened)
    return leads.assign(age=(DAY - known["Create Date"]).dt.days)[is_open & known["Hand-off Date"].notna()]


def test_sales_calls_what_it_has_in_hand_and_knows_for_no_longer_than_a_year(
    planned: Step, called: pd.DataFrame, in_hand: pd.DataFrame
) -> None:
    young = in_hand[in_hand["age"] <= CallList().oldest_days]
    assert len(young) > len(called) == 200 and set(called.index) <= set(young.index)
    assert called["age_days"].to_dict() == in_hand.loc[called.index, "age"].to_dict()
    assert called["rank"].tolist() == list(range(1, 201))
    drawn = called[called["slot"] == "random"]
    assert len(drawn) == 20
    assert drawn["arm_rate"].unique().tolist() == pytest.approx([20 / (len(young) - 180)]), "drawn from who is called"
    told = planned.statements.set_index("measure")["estimate"]
    assert told["median_age_days"] == in_hand.loc[called.index, "age"].median() < 183


def test_what_is_qualified_and_not_handed_off_is_marketings(planned: Step) -> None:
    told = planned.statements.set_index("measure")["estimate"]
    raw = pd.read_csv(data_folder() / "harbor" / "raw" / "leads.csv", dtype=str).drop_duplicates("Lead ID")
    known = raw.filter(like="Date").apply(pd.to_datetime, errors="coerce") < DAY
    ended = known[["Hand-off Date", "Recycled Date", "Disqualified Date"]].any(axis=1)
    assert told["n_to_hand_off"] == (known["MQL Date"] & ~ended).sum() > 200


def test_what_a_caller_needs_is_on_the_list(called: pd.DataFrame, in_hand: pd.DataFrame) -> None:
    mine = in_hand.loc[called.index]
    assert called["account_id"].fillna("").tolist() == mine["Account ID"].fillna("").tolist()
    assert called["rep_id"].fillna("").tolist() == mine["Owner"].fillna("").tolist()
    assert set(called["status"]) == {"marketing_qualified", "sales_accepted"}
    touches = pd.read_csv(data_folder() / "harbor" / "raw" / "touches.csv", dtype=str)
    touches = touches.assign(day=pd.to_datetime(touches["Date"], errors="coerce")).query("day < @DAY")
    last = touches.groupby("Lead ID")["day"].max().reindex(called.index)
    assert called["last_touch_on"].astype("datetime64[s]").fillna(DAY).tolist() == last.fillna(DAY).tolist()


def test_two_reasons_and_one_caution_at_most(called: pd.DataFrame) -> None:
    n_for, n_against = (called[name].map(len) for name in ("reasons", "caution"))
    assert n_for.max() == 2 and n_against.max() == 1
    assert (n_for + n_against > 0).mean() > 0.9
    said = {field for name in ("reasons", "caution") for row in called[name] for field, _ in row}
    assert said <= {"channel", "role", "site_type", "sites", "region", "automation", "throughput", "is_integrated"}


def test_who_is_known_for_longer_is_on_a_list_of_its_own(planned: Step, in_hand: pd.DataFrame) -> None:
    old = planned.tables["wake_up"]
    assert set(old["record_id"]) == set(in_hand.index[in_hand["age"] > 365])
    assert old["rank"].tolist() == list(range(1, len(old) + 1))
    assert not {"slot", "arm", "arm_rate"} & set(old), "nobody is drawn to be woken up"
    told = planned.statements.set_index("measure")["estimate"]
    assert [told["n_wake_up"], told["oldest_days"]] == [len(old), 365]
