"""The three real markets, from raw files to canonical tables: published facts and counts of the raw rows."""

from datetime import date
from decimal import Decimal

import pandas as pd
import pytest
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.terms import Moment

pytestmark = pytest.mark.real

B2B_ATTRIBUTES = [
    "product",
    "channel",
    "competitor",
    "rep_id",
    "company_size",
    "client_type",
    "client_growth",
    "client_attitude",
    "deal_type",
    "is_cross_sale",
    "is_up_sale",
    "authority",
    "purchasing_department",
    "is_partnership",
    "budget_allocated",
    "is_formal_tender",
    "is_rfi_received",
    "is_rfp_received",
    "positive_statement",
    "scope_clarity",
    "strategic_importance",
    "needs_defined",
]
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
# Public holidays of Portugal on weekdays, in months where the weekdays fit in one way only: fixed days, Good
# Friday, Corpus Christi. A calendar that is a day late or early puts 746 or 1,427 calls on them.
HOLIDAYS = [
    "2008-05-22",
    "2008-06-10",
    "2008-08-15",
    "2009-04-10",
    "2009-05-01",
    "2009-10-05",
    "2009-12-01",
    "2009-12-08",
    "2009-12-25",
    "2010-04-02",
    "2010-06-03",
    "2010-06-10",
    "2010-10-05",
    "2010-11-01",
]


@pytest.fixture(scope="module")
def bank() -> Warehouse:
    return open_warehouse("bank")


@pytest.fixture(scope="module")
def b2b() -> Warehouse:
    return open_warehouse("b2b")


@pytest.fixture(scope="module")
def maven() -> Warehouse:
    return open_warehouse("maven")


def _outcomes(warehouse: Warehouse) -> dict[str, int]:
    return warehouse.frame("deals")["outcome"].value_counts().to_dict()


def _in_file_order(warehouse: Warehouse) -> pd.DataFrame:
    leads = warehouse.frame("leads").sort_values("lead_id", ignore_index=True)
    return leads.assign(created_on=pd.to_datetime(leads["created_on"]))


@pytest.mark.parametrize("market", ["bank", "b2b", "maven"])
def test_no_row_is_set_aside_and_no_cell_emptied(market: str) -> None:
    audit = open_warehouse(market).audit
    assert audit.tables["n_set_aside"].sum() == 0
    assert set(audit.actions["action"]) <= {"flag"}
    assert "not declared: in no view" not in set(audit.columns["known"])


def test_bank_has_a_deal_for_every_lead(bank: Warehouse) -> None:
    leads, deals = bank.frame("leads"), bank.frame("deals")
    pairs = leads.merge(deals, on="lead_id", validate="one_to_one", suffixes=("", "_of_deal"))
    assert len(leads) == len(deals) == len(pairs) == 41_188
    for day in ("handed_off_on", "created_on_of_deal", "closed_on"):
        assert (pairs[day] == pairs["created_on"]).all()
    assert _outcomes(bank) == {"lost": 36_548, "won": 4_640}


def test_bank_calendar_has_26_months_in_file_order(bank: Warehouse) -> None:
    called_on = _in_file_order(bank)["created_on"]
    assert called_on.is_monotonic_increasing
    months = called_on.dt.strftime("%Y-%m").unique().tolist()
    expected = [f"2008-{m:02}" for m in (5, 6, 7, 8, 10, 11, 12)]
    expected += [f"2009-{m:02}" for m in range(3, 13)] + [f"2010-{m:02}" for m in range(3, 12)]
    assert months == expected
    assert len(months) == 26


def test_bank_days_agree_with_the_recorded_weekday_and_with_holidays(bank: Warehouse) -> None:
    leads = _in_file_order(bank)
    placed = leads["created_on"].dt.day_of_week.map(dict(enumerate(WEEKDAYS)))
    assert (placed == leads["call_weekday"]).all()
    on_holidays = leads["created_on"][leads["created_on"].isin(pd.to_datetime(HOLIDAYS))]
    assert on_holidays.dt.strftime("%Y-%m-%d").tolist() == ["2010-10-05"]


def test_bank_won_by_year_and_by_first_and_last_month(bank: Warehouse) -> None:
    deals = bank.frame("deals")
    closed_on = pd.to_datetime(deals["closed_on"])
    won = (deals["outcome"] == "won").groupby(closed_on.dt.year).agg(["size", "sum"])
    assert won.to_dict("index") == {
        2008: {"size": 27_690, "sum": 1_339},
        2009: {"size": 11_440, "sum": 2_228},
        2010: {"size": 2_058, "sum": 1_073},
    }
    by_month = (deals["outcome"] == "won").groupby(closed_on.dt.strftime("%Y-%m")).agg(["size", "mean"])
    assert by_month.loc["2008-05"].tolist() == pytest.approx([7_763, 240 / 7_763])
    assert by_month.loc["2010-11"].tolist() == pytest.approx([128, 58 / 128])


def test_bank_never_contacted_is_missing_and_unknown_is_a_value(bank: Warehouse) -> None:
    leads = bank.frame("leads")
    never = leads["since_previous_days"].isna()
    assert never.sum() == 39_673
    assert (never & (leads["previous_outcome"] != "nonexistent")).sum() == 4_110
    assert leads["since_previous_days"].max() == 27
    assert (leads["job"] == "unknown").sum() == 330
    assert leads["in_default"].value_counts().to_dict() == {"no": 32_588, "unknown": 8_597, "yes": 3}


def test_bank_hides_the_length_of_the_call_until_it_is_over(bank: Warehouse) -> None:
    after = date(2010, 12, 1)
    at_handoff = bank.known("leads", after, Moment.HANDOFF).columns
    assert "call_seconds" not in at_handoff
    assert {"n_calls", "euribor_3m", "age"} <= set(at_handoff)
    assert {"n_calls", "euribor_3m"}.isdisjoint(bank.known("leads", after, Moment.CREATION).columns)
    assert bank.known("leads", after).call_seconds.max().execute() == 4_918


def test_bank_runs_ten_quarters_and_plans_the_first_with_history(bank: Warehouse) -> None:
    periods = bank.periods
    assert [periods[0].name, periods[-1].name, len(periods)] == ["2008-q3", "2010-q4", 10]
    assert [period.name for period in periods if period.running] == ["2010-q4"]
    assert bank.known("deals", periods[0].start).count().execute() == 7_763 + 4_374


def test_b2b_has_448_closed_deals_of_22_attributes(b2b: Warehouse) -> None:
    deals = b2b.frame("deals")
    assert _outcomes(b2b) == {"won": 227, "lost": 221}
    assert sorted(deals.columns) == sorted(["deal_id", "outcome", *B2B_ATTRIBUTES])
    assert deals[B2B_ATTRIBUTES].notna().all(axis=None)
    assert [period.name for period in b2b.periods] == ["all"]


def test_b2b_repeats_83_rows(b2b: Warehouse) -> None:
    rows = b2b.frame("deals").drop(columns="deal_id")
    assert rows.duplicated().sum() == 83
    assert len(rows.drop_duplicates()) == 365


def test_b2b_unknown_is_a_value_and_rivals_have_no_name(b2b: Warehouse) -> None:
    deals = b2b.frame("deals")
    assert deals["competitor"].value_counts().to_dict() == {"none": 285, "unnamed": 143, "unknown": 20}
    assert (deals["purchasing_department"] == "Unknown").sum() == 32
    assert deals["is_up_sale"].sum() == 241
    assert deals["is_rfp_received"].sum() == 402
    assert deals["rep_id"].value_counts().head(3).to_dict() == {"rep-01": 178, "rep-09": 126, "rep-02": 65}


def test_maven_outcomes_and_amounts(maven: Warehouse) -> None:
    deals = maven.frame("deals")
    assert _outcomes(maven) == {"won": 4_238, "lost": 2_473, "open": 2_089}
    assert deals.loc[deals["outcome"] == "won", "won_amount"].sum() == Decimal("10005534.00")
    assert deals.loc[deals["outcome"] != "won", "won_amount"].isna().all()
    assert deals["stage"].value_counts().to_dict() == {"Engaging": 1_589, "Prospecting": 500}
    assert deals.loc[deals["stage"].notna(), "outcome"].eq("open").all()


def test_maven_undated_deals_are_the_500_in_prospecting(maven: Warehouse) -> None:
    deals = maven.frame("deals")
    undated = deals[deals["created_on"].isna()]
    assert len(undated) == 500
    assert set(undated["stage"]) == {"Prospecting"}
    known = maven.known("deals", date(2017, 12, 31)).execute()
    assert known["created_on"].notna().all()
    assert len(known) == 8_300


def test_maven_mends_products_and_spelling(maven: Warehouse) -> None:
    deals, accounts = maven.frame("deals"), maven.frame("accounts")
    pro = deals[deals["product"] == "GTX Pro"]
    assert len(pro) == 1_480
    assert set(pro["list_amount"]) == {Decimal("4821.00")}
    assert deals["series"].value_counts().to_dict() == {"GTX": 5_697, "MG": 3_063, "GTK": 40}
    assert (accounts["sector"] == "technology").sum() == 12
    assert (accounts["country"] == "Philippines").sum() == 1
    assert len(accounts) == 85


def test_maven_accounts_are_missing_on_open_deals_only_and_known_late(maven: Warehouse) -> None:
    deals = maven.frame("deals")
    missing = deals[deals["account_id"].isna()]
    assert len(missing) == 1_425
    assert set(missing["outcome"]) == {"open"}
    assert "account_id" not in maven.known("deals", date(2018, 1, 1), Moment.CREATION).columns
    midyear = maven.known("deals", date(2017, 7, 1)).execute()
    assert midyear.loc[midyear["outcome"] == "open", "account_id"].isna().all()


def test_maven_revenue_is_in_dollars(maven: Warehouse) -> None:
    acme = maven.frame("accounts").set_index("name").loc["Acme Corporation"]
    assert acme["revenue_amount"] == Decimal("1100040000.00")
    assert [acme["established_year"], acme["n_employees"], acme["is_subsidiary"]] == [1996, 2822, False]
    assert maven.frame("accounts")["is_subsidiary"].sum() == 15


def test_maven_agents_are_codes_in_three_offices(maven: Warehouse) -> None:
    deals = maven.frame("deals")
    assert deals["rep_id"].nunique() == 30
    assert deals["rep_id"].str.fullmatch(r"c-[0-9a-f]{10}").all()
    assert deals.groupby("rep_id")["rep_team"].nunique().eq(1).all()
    assert set(deals["rep_team"]) == {"Central", "East", "West"}


def test_maven_wins_at_the_end_of_a_quarter(maven: Warehouse) -> None:
    closed = maven.frame("deals").dropna(subset="closed_on")
    is_last_month = pd.to_datetime(closed["closed_on"]).dt.month % 3 == 0
    won = (closed["outcome"] == "won").groupby(is_last_month).agg(["size", "mean"])
    assert won["size"].to_dict() == {True: 2_574, False: 4_137}
    assert won["mean"].round(3).to_dict() == {True: 0.807, False: 0.523}


def test_maven_periods_begin_after_the_first_quarter_of_closes(maven: Warehouse) -> None:
    names = [period.name for period in maven.periods if not period.running]
    assert names == ["2017-q2", "2017-q3", "2017-q4"]
    history = maven.known("deals", maven.periods[0].start).execute()
    assert history["outcome"].value_counts().drop("open").to_dict() == {"won": 531, "lost": 116}
