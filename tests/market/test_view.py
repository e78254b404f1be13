"""What was known on a day: a timeline worked out by hand, with every kind of cell and every gap of the contract."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.market.contract import TABLES
from closedloop.market.periods import FOREVER
from closedloop.market.warehouse import View, Warehouse, open_warehouse
from closedloop.terms import Moment

from .conftest import HEAD, TinyMarket, project_at, write_market

LAST = date(2024, 6, 30)  # extracted_on of the tiny market
COMPLETE = date(2024, 7, 1)  # the first day on which everything recorded is known

LEADS = (
    "lead_id,created_on,account_id,channel,campaign,role,budget,mood,fit_rate,call_length,seats,rep_team,rejection_reason,"
    "marketing_qualified_on,handed_off_on,handed_off_at,sales_accepted_on,sales_qualified_on,recycled_on,shoe_size"
)
DEALS = (
    "deal_id,created_on,lead_id,account_id,product,stage,expected_amount,expected_close_on,expected_close_at,competitor,"
    "outcome,won_amount,loss_reason,closed_on,series,margin"
)
# L1 becomes a won deal, L2 goes back to marketing, L3 stays an inquiry, nobody knows when L4 came.
# D3 has no created_on, D4 has no date at all, D5 is open.
FILES: dict[str, str | bytes] = {
    "accounts": """
        account_id,created_on,name,size
        A1,2024-01-03,Anchor,big
        A2,,Bollard,small
        A3,2024-06-01,Capstan,big
    """,
    "leads": f"""
        {LEADS}
        L1,2024-01-05,A1,web,spring,planner,low,keen,0.5,long,10,north,,2024-01-10,2024-01-12,2024-01-12 15:00:00,2024-01-15,2024-01-20,,43
        L2,2024-02-01,A2,fair,spring,buyer,high,cold,0.1,short,20,south,no fit,2024-02-05,2024-02-06,2024-02-06 09:00:00,,,2024-02-10,44
        L3,2024-03-01,,web,,guard,none,calm,0.2,none,30,north,,,,,,,,45
        L4,,A1,web,,clerk,low,calm,0.3,none,40,east,,,,,,,,46
    """,  # noqa: E501 - a lead is one line
    "deals": f"""
        {DEALS}
        D1,2024-01-20,L1,,crane,signed,900,2024-03-15,2024-03-15 12:00:00,none,won,900,,2024-03-15,heavy,thin
        D2,2024-02-20,L2,A3,gate,proposal,500,2024-05-01,2024-05-01 12:00:00,rival,lost,,price,2024-05-01,light,wide
        D3,,,,crane,signed,700,,,,won,700,,2024-04-10,heavy,wide
        D4,,L3,,gate,discovery,300,,,,lost,,timing,,light,thin
        D5,2024-03-01,L3,A1,crane,proposal,400,2024-08-01,2024-08-01 12:00:00,,open,,,,heavy,
    """,
    "stage_history": """
        deal_id,change_no,entered_on,stage,expected_amount,competitor
        D1,1,2024-01-20,discovery,1000,rival
        D1,2,2024-02-10,proposal,1200,
        D1,3,2024-03-15,signed,900,none
        D5,1,2024-03-01,discovery,450,rival
        D5,2,2024-04-01,proposal,400,
    """,
    "materials": """
        material_id,added_on,kind,title,retired_on
        M1,,proof,old,
        M2,2024-02-01,answer,new,2024-03-01
    """,
    "touches": """
        touch_id,touched_on,touched_at,lead_id
        T1,2024-01-06,2024-01-06 10:30:00,L1
        T2,,,L1
    """,
    "notes": """
        note_id,written_on,from_team,kind,topic
        N1,2024-02-02,sales,pain,price
    """,
    "respondents": """
        respondent_id,answered_on,wants_x,sector
        R1,2024-01-15,yes,port
        R2,,no,port
    """,
    "spend": """
        spend_id,starts_on,ends_on,channel,spent_amount
        S1,2024-01-01,2024-01-10,web,100
        S2,2024-02-05,,fair,40
        S3,2024-03-01,2024-03-31,web,310
    """,
}
MORE = """
    [fields.accounts]
    research = ["size"]
    [fields.leads]
    creation = ["role"]
    handoff = ["budget"]
    stage = ["mood"]
    close = ["call_length"]
    "close+90" = ["seats", "fit_rate"]
    [fields.deals]
    creation = ["series"]
    "close+90" = ["margin"]
    [fields.respondents]
    research = ["sector"]
    [items]
    wants_x = "Do you want x?"
"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    with project_at(tmp_path_factory.mktemp("timeline")) as root:
        write_market(root, FILES, more=MORE)
        return open_warehouse("tiny")


def plain(value: Any) -> Any:
    """Missing as None, days as dates."""
    if value is None or value is pd.NaT or value != value:
        return None
    return value.date() if isinstance(value, datetime) and value == datetime(*value.timetuple()[:3]) else value


def cells(view: View, table: str, *columns: str) -> dict[str, Any]:
    """The cells of ``columns`` by the row's key; a single column without tuples."""
    frame = view.known(table).order_by(TABLES[table].key[0]).execute()
    rows = [tuple(plain(value) for value in row) for row in frame[list(columns)].itertuples(index=False, name=None)]
    return dict(zip(frame.iloc[:, 0], [row[0] if len(columns) == 1 else row for row in rows], strict=True))


def on(text: str) -> date:
    return date.fromisoformat(text)


# rows


@pytest.mark.parametrize(
    ("day", "accounts", "leads", "deals", "materials", "touches", "respondents"),
    [
        ("2024-01-01", ["A2"], [], [], ["M1"], [], []),
        ("2024-01-05", ["A1", "A2"], [], [], ["M1"], [], []),  # L1 is born on this day: not yet
        ("2024-01-06", ["A1", "A2"], ["L1"], [], ["M1"], [], []),
        ("2024-01-21", ["A1", "A2"], ["L1"], ["D1"], ["M1"], ["T1"], ["R1"]),
        ("2024-04-10", ["A1", "A2"], ["L1", "L2", "L3"], ["D1", "D2", "D5"], ["M1", "M2"], ["T1"], ["R1"]),
        ("2024-04-11", ["A1", "A2"], ["L1", "L2", "L3"], ["D1", "D2", "D3", "D5"], ["M1", "M2"], ["T1"], ["R1"]),
        (
            "2024-06-30",
            ["A1", "A2", "A3"],
            ["L1", "L2", "L3"],
            ["D1", "D2", "D3", "D5"],
            ["M1", "M2"],
            ["T1"],
            ["R1"],
        ),
        (
            "2024-07-01",
            ["A1", "A2", "A3"],
            ["L1", "L2", "L3", "L4"],
            ["D1", "D2", "D3", "D4", "D5"],
            ["M1", "M2"],
            ["T1", "T2"],
            ["R1", "R2"],
        ),
    ],
)
def test_a_row_is_there_from_the_day_after_its_birth(
    warehouse: Warehouse,
    day: str,
    accounts: list[str],
    leads: list[str],
    deals: list[str],
    materials: list[str],
    touches: list[str],
    respondents: list[str],
) -> None:
    view = warehouse.view(on(day))
    assert list(cells(view, "accounts", "account_id")) == accounts  # an undated account always exists
    assert list(cells(view, "leads", "lead_id")) == leads
    assert list(cells(view, "deals", "deal_id")) == deals  # without created_on: from closed_on
    assert list(cells(view, "materials", "material_id")) == materials
    assert list(cells(view, "touches", "touch_id")) == touches
    assert list(cells(view, "respondents", "respondent_id")) == respondents


# leads


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2024-01-10", {"L1": "inquiry"}),
        ("2024-01-11", {"L1": "marketing_qualified"}),
        ("2024-01-13", {"L1": "marketing_qualified"}),  # handed off: no status of its own
        ("2024-01-16", {"L1": "sales_accepted"}),
        ("2024-01-21", {"L1": "sales_qualified"}),
        ("2024-02-10", {"L1": "sales_qualified", "L2": "marketing_qualified"}),
        ("2024-02-11", {"L1": "sales_qualified", "L2": "recycled"}),
        ("2024-07-01", {"L1": "sales_qualified", "L2": "recycled", "L3": "inquiry", "L4": "inquiry"}),
    ],
)
def test_status_comes_from_the_latest_date(warehouse: Warehouse, day: str, expected: dict[str, str]) -> None:
    assert cells(warehouse.view(on(day)), "leads", "status") == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2024-01-12", {"L1": (None, None, None, None)}),
        ("2024-01-13", {"L1": ("low", "north", on("2024-01-12"), datetime(2024, 1, 12, 15))}),
        # Never handed off, or not known when: known only when all is.
        (
            "2024-06-30",
            {
                "L1": ("low", "north", on("2024-01-12"), datetime(2024, 1, 12, 15)),
                "L2": ("high", "south", on("2024-02-06"), datetime(2024, 2, 6, 9)),
                "L3": (None, None, None, None),
            },
        ),
        (
            "2024-07-01",
            {
                "L1": ("low", "north", on("2024-01-12"), datetime(2024, 1, 12, 15)),
                "L2": ("high", "south", on("2024-02-06"), datetime(2024, 2, 6, 9)),
                "L3": ("none", "north", None, None),
                "L4": ("low", "east", None, None),
            },
        ),
    ],
)
def test_what_the_handoff_shows(warehouse: Warehouse, day: str, expected: dict[str, Any]) -> None:
    view = warehouse.view(on(day))
    assert cells(view, "leads", "budget", "rep_team", "handed_off_on", "handed_off_at") == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # rejection_reason and call_length at close, seats 90 days later, mood (stage outside deals) when all is known.
        # L1 closes with its deal on 03-15, L2 is recycled on 02-10 before its deal closes; L3 and L4 do not close.
        ("2024-02-10", {"L1": (None, None, None, None), "L2": (None, None, None, None)}),
        ("2024-02-11", {"L1": (None, None, None, None), "L2": ("no fit", "short", None, None)}),
        (
            "2024-03-16",
            {
                "L1": (None, "long", None, None),
                "L2": ("no fit", "short", None, None),
                "L3": (None, None, None, None),
            },
        ),
        (
            "2024-05-11",  # 02-10 + 90 days is 05-10
            {
                "L1": (None, "long", None, None),
                "L2": ("no fit", "short", "20", None),
                "L3": (None, None, None, None),
            },
        ),
        (
            "2024-07-01",
            {
                "L1": (None, "long", "10", "keen"),
                "L2": ("no fit", "short", "20", "cold"),
                "L3": (None, "none", None, "calm"),  # 90 days after the last day are not over
                "L4": (None, "none", None, "calm"),
            },
        ),
    ],
)
def test_what_the_end_of_a_lead_shows(warehouse: Warehouse, day: str, expected: dict[str, Any]) -> None:
    assert cells(warehouse.view(on(day)), "leads", "rejection_reason", "call_length", "seats", "mood") == expected


def test_a_missing_end_counts_as_the_datas_last_day(warehouse: Warehouse) -> None:
    ninety_days_after = date(2024, 9, 28)
    assert cells(warehouse.view(ninety_days_after), "leads", "seats")["L3"] is None
    assert cells(warehouse.view(date(2024, 9, 29)), "leads", "seats")["L3"] == "30"


def test_a_column_that_nobody_declared_reaches_no_view(warehouse: Warehouse) -> None:
    assert "shoe_size" in warehouse.frame("leads").columns
    assert "shoe_size" not in warehouse.view(FOREVER).known("leads").columns


# deals


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # stage, expected_amount, competitor: latest change before the day; the latest one's gap is a gap.
        ("2024-01-21", {"D1": ("discovery", Decimal(1000), "rival")}),
        ("2024-02-10", {"D1": ("discovery", Decimal(1000), "rival")}),
        ("2024-02-11", {"D1": ("proposal", Decimal(1200), None)}),
        # Closed on 03-15: known the day after. D2 has no history; D5 is in discovery.
        (
            "2024-03-15",
            {
                "D1": ("proposal", Decimal(1200), None),
                "D2": (None, None, None),
                "D5": ("discovery", Decimal(450), "rival"),
            },
        ),
        (
            "2024-03-16",
            {
                "D1": ("signed", Decimal(900), "none"),
                "D2": (None, None, None),
                "D5": ("discovery", Decimal(450), "rival"),
            },
        ),
        (
            "2024-05-02",
            {
                "D1": ("signed", Decimal(900), "none"),
                "D2": ("proposal", Decimal(500), "rival"),
                "D3": ("signed", Decimal(700), None),
                "D5": ("proposal", Decimal(400), None),
            },
        ),
        (
            "2024-07-01",
            {
                "D1": ("signed", Decimal(900), "none"),
                "D2": ("proposal", Decimal(500), "rival"),
                "D3": ("signed", Decimal(700), None),
                "D4": ("discovery", Decimal(300), None),
                "D5": ("proposal", Decimal(400), None),
            },
        ),
    ],
)
def test_the_stage_columns_of_a_deal(warehouse: Warehouse, day: str, expected: dict[str, Any]) -> None:
    assert cells(warehouse.view(on(day)), "deals", "stage", "expected_amount", "competitor") == expected


def test_a_stage_column_that_the_history_lacks_is_hidden_while_open(warehouse: Warehouse) -> None:
    before, after = warehouse.view(on("2024-03-15")), warehouse.view(on("2024-03-16"))
    assert cells(before, "deals", "expected_close_on", "expected_close_at")["D1"] == (None, None)
    shown = cells(after, "deals", "expected_close_on", "expected_close_at")
    assert shown["D1"] == (on("2024-03-15"), datetime(2024, 3, 15, 12)) and shown["D2"] == (None, None)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (
            "2024-03-15",
            {"D1": ("open", None, None, None), "D2": ("open", None, None, None), "D5": ("open", None, None, None)},
        ),
        (
            "2024-03-16",
            {
                "D1": ("won", Decimal(900), None, on("2024-03-15")),
                "D2": ("open", None, None, None),
                "D5": ("open", None, None, None),
            },
        ),
        (
            "2024-06-30",
            {
                "D1": ("won", Decimal(900), None, on("2024-03-15")),
                "D2": ("lost", None, "price", on("2024-05-01")),
                "D3": ("won", Decimal(700), None, on("2024-04-10")),
                "D5": ("open", None, None, None),
            },
        ),
        (
            "2024-07-01",
            {
                "D1": ("won", Decimal(900), None, on("2024-03-15")),
                "D2": ("lost", None, "price", on("2024-05-01")),
                "D3": ("won", Decimal(700), None, on("2024-04-10")),
                "D4": ("lost", None, "timing", None),
                "D5": ("open", None, None, None),
            },
        ),
    ],
)
def test_the_end_of_a_deal(warehouse: Warehouse, day: str, expected: dict[str, Any]) -> None:
    assert cells(warehouse.view(on(day)), "deals", "outcome", "won_amount", "loss_reason", "closed_on") == expected


@pytest.mark.parametrize(
    ("day", "margins"),
    [
        ("2024-06-13", {"D1": None, "D2": None, "D3": None, "D5": None}),  # 03-15 + 90 days is this very day
        ("2024-06-14", {"D1": "thin", "D2": None, "D3": None, "D5": None}),
        ("2024-07-10", {"D1": "thin", "D2": None, "D3": "wide", "D4": None, "D5": None}),
        ("2024-09-29", {"D1": "thin", "D2": "wide", "D3": "wide", "D4": "thin", "D5": None}),
    ],
)
def test_ninety_days_after_the_close(warehouse: Warehouse, day: str, margins: dict[str, Any]) -> None:
    assert cells(warehouse.view(on(day)), "deals", "margin") == margins


# the other tables


@pytest.mark.parametrize(
    ("day", "spent"),
    [
        ("2024-01-01", {}),
        ("2024-01-02", {"S1": 10.0}),
        ("2024-01-10", {"S1": 90.0}),
        ("2024-01-11", {"S1": 100.0}),
        ("2024-02-05", {"S1": 100.0}),
        ("2024-02-06", {"S1": 100.0, "S2": 40.0}),
        ("2024-03-16", {"S1": 100.0, "S2": 40.0, "S3": 150.0}),
        ("2024-07-01", {"S1": 100.0, "S2": 40.0, "S3": 310.0}),
    ],
)
def test_money_is_spent_day_by_day(warehouse: Warehouse, day: str, spent: dict[str, float]) -> None:
    assert cells(warehouse.view(on(day)), "spend", "spent_amount") == pytest.approx(spent)


def test_history_materials_touches_notes_and_respondents(warehouse: Warehouse) -> None:
    view = warehouse.view(on("2024-03-01"))
    changes = view.known("stage_history").order_by("change_no").execute()
    assert changes[["deal_id", "change_no", "stage"]].to_numpy().tolist() == [
        ["D1", 1, "discovery"],
        ["D1", 2, "proposal"],
    ]
    assert cells(view, "materials", "title", "retired_on") == {"M1": ("old", None), "M2": ("new", None)}
    retired = cells(warehouse.view(on("2024-03-02")), "materials", "retired_on")
    assert retired == {"M1": None, "M2": on("2024-03-01")}
    assert cells(view, "touches", "touched_at") == {"T1": datetime(2024, 1, 6, 10, 30)}
    assert cells(view, "notes", "kind", "topic") == {"N1": ("pain", "price")}
    assert cells(view, "respondents", "wants_x", "sector") == {"R1": ("yes", "port")}


def test_a_table_that_the_market_lacks_is_named(tiny_market: TinyMarket) -> None:
    tiny_market({"accounts": "account_id\nA1"})
    warehouse = open_warehouse("tiny")
    assert warehouse.has("accounts") and not warehouse.has("accounts", "leads")
    with pytest.raises(ParameterError, match="tiny has no table 'leads'; it has accounts"):
        warehouse.known("leads", LAST)


# columns by moment, and what is inherited


def test_up_to_drops_the_columns_of_later_moments(warehouse: Warehouse) -> None:
    view = warehouse.view(COMPLETE)
    born = ["lead_id", "created_on", "account_id", "channel", "campaign", "role"]
    handed = ["budget", "rep_team", "marketing_qualified_on", "handed_off_on", "handed_off_at"]
    worked = ["mood", "sales_accepted_on", "sales_qualified_on", "status"]
    ended = ["fit_rate", "call_length", "seats", "rejection_reason", "recycled_on"]
    assert set(view.known("leads", Moment.RESEARCH).columns) == {"lead_id"}
    assert set(view.known("leads", Moment.CREATION).columns) == {*born}
    assert set(view.known("leads", Moment.HANDOFF).columns) == {*born, *handed}
    assert set(view.known("leads", Moment.STAGE).columns) == {*born, *handed, *worked}
    assert set(view.known("leads", Moment.CLOSE).columns) == {*born, *handed, *worked, *ended}
    assert set(view.known("accounts", Moment.RESEARCH).columns) == {"account_id", "size"}


def test_fields_are_what_can_be_compared(warehouse: Warehouse) -> None:
    view = warehouse.view(COMPLETE)
    assert view.fields("leads") == ["channel", "campaign", "role"]
    assert view.fields("leads", Moment.HANDOFF) == ["channel", "campaign", "role", "budget", "rep_team"]
    assert view.fields("deals") == ["product", "series"]
    assert view.fields("deals", Moment.CLOSE) == ["product", "competitor", "loss_reason", "series", "margin"]
    assert view.fields("accounts", Moment.RESEARCH) == ["size"]
    assert view.fields("respondents", Moment.RESEARCH) == ["wants_x", "sector"]


def test_a_deal_inherits_what_it_lacks_from_its_lead_then_from_the_account(warehouse: Warehouse) -> None:
    view = warehouse.view(on("2024-04-11"))
    deals = view.with_fields("deals").set_index("deal_id").sort_index()
    # D1 has no account: its lead's. D2's own account A3 is not born yet. D3 has no lead. L3 has no account, D5 has.
    found = {key: tuple(map(plain, row)) for key, row in deals[["account_id", "channel", "role", "size"]].T.items()}
    assert found == {
        "D1": ("A1", "web", "planner", "big"),
        "D2": ("A3", "fair", "buyer", None),
        "D3": (None, None, None, None),
        "D5": ("A1", "web", "guard", "big"),
    }
    assert deals["product"].tolist() == ["crane", "gate", "crane", "crane"]  # its own
    assert view.inherited("deals") == ["product", "series", "channel", "campaign", "role", "size"]
    assert view.inherited("leads") == ["channel", "campaign", "role", "size"]
    assert {"status", "rejection_reason", "wants_x", "sector", "name"}.isdisjoint(deals.columns)
    assert cells(warehouse.view(on("2024-06-02")), "accounts", "size")["A3"] == "big"


def test_inherited_cells_have_their_own_lock(warehouse: Warehouse) -> None:
    # L1's budget is known since the hand-off; its length of call only since its deal was closed on 03-15.
    for day, expected in (("2024-03-15", ("low", None)), ("2024-03-16", ("low", "long"))):
        deals = warehouse.view(on(day)).with_fields("deals").set_index("deal_id")
        assert tuple(map(plain, deals.loc["D1", ["budget", "call_length"]])) == expected
    creation = warehouse.view(COMPLETE).with_fields("deals", Moment.CREATION)
    assert {"budget", "call_length", "stage", "outcome"}.isdisjoint(creation.columns)


# other markets


def test_a_canonical_column_can_be_moved(tiny_market: TinyMarket) -> None:
    """As in maven: the account of a deal is missing on open deals only."""
    files: dict[str, str | bytes] = {
        "accounts": "account_id,size\nA1,big",
        "deals": "deal_id,created_on,account_id,outcome,closed_on\n"
        "D1,2024-01-02,A1,won,2024-02-02\nD2,2024-01-02,A1,open,\nD3,2024-01-02,A1,lost,",
    }
    tiny_market(files, more='[fields.accounts]\nresearch = ["size"]\n[fields.deals]\nstage = ["account_id"]')
    warehouse = open_warehouse("tiny")
    view = warehouse.view(on("2024-02-03"))
    assert cells(view, "deals", "account_id") == {"D1": "A1", "D2": None, "D3": None}
    assert cells(warehouse.view(on("2024-02-02")), "deals", "account_id") == dict.fromkeys(["D1", "D2", "D3"])
    assert cells(warehouse.view(COMPLETE), "deals", "account_id") == dict.fromkeys(["D1", "D2", "D3"], "A1")
    assert "account_id" not in view.known("deals", Moment.CREATION).columns
    assert [view.inherited("deals"), view.inherited("deals", Moment.STAGE)] == [[], ["size"]]
    sizes = view.with_fields("deals", Moment.STAGE).sort_values("deal_id")["size"]
    assert list(map(plain, sizes)) == ["big", None, None]


@pytest.mark.parametrize(
    ("columns", "day", "expected"),
    [
        # No status dates: the stored value, once all is known.
        ("status", "2024-06-30", {"L1": None}),
        ("status", "2024-07-01", {"L1": "recycled"}),
        ("status,handed_off_on", "2024-06-30", {"L1": None}),
        # Any of them: the stored value is never used.
        ("status,sales_accepted_on", "2024-01-15", {"L1": "inquiry"}),
        ("status,sales_accepted_on", "2024-01-16", {"L1": "sales_accepted"}),
        ("status,sales_accepted_on", "2024-07-01", {"L1": "sales_accepted"}),
        ("marketing_qualified_on,disqualified_on", "2024-01-16", {"L1": "disqualified"}),  # one day: the later step
    ],
)
def test_status_when_only_some_milestones_are_recorded(
    tiny_market: TinyMarket, columns: str, day: str, expected: dict[str, Any]
) -> None:
    values = ["recycled" if name == "status" else "2024-01-15" for name in columns.split(",")]
    tiny_market({"leads": f"lead_id,created_on,{columns}\nL1,2024-01-05,{','.join(values)}"})
    assert cells(open_warehouse("tiny").view(on(day)), "leads", "status") == expected


def test_leads_without_a_hand_off_date_show_its_columns_when_all_is_known(tiny_market: TinyMarket) -> None:
    tiny_market({"leads": "lead_id,created_on,rep_team\nL1,2024-01-05,north"})
    warehouse = open_warehouse("tiny")
    assert cells(warehouse.view(LAST), "leads", "rep_team") == {"L1": None}
    assert cells(warehouse.view(COMPLETE), "leads", "rep_team") == {"L1": "north"}
    assert "status" not in warehouse.view(COMPLETE).known("leads").columns


def test_a_deal_that_is_not_born_closes_no_lead(tiny_market: TinyMarket) -> None:
    """A deal closed before it was created (flagged) is unknown until its creation, and so is all that it says."""
    files: dict[str, str | bytes] = {
        "leads": "lead_id,created_on,rejection_reason\nL1,2024-01-05,rival",
        "deals": "deal_id,created_on,lead_id,outcome,closed_on\nD1,2024-03-01,L1,lost,2024-02-01",
    }
    tiny_market(files)
    warehouse = open_warehouse("tiny")
    assert cells(warehouse.view(on("2024-03-01")), "leads", "rejection_reason") == {"L1": None}
    assert cells(warehouse.view(on("2024-03-02")), "leads", "rejection_reason") == {"L1": "rival"}


def test_an_own_date_after_the_data_stays_hidden_until_it_is_past(tiny_market: TinyMarket) -> None:
    tiny_market({"deals": "deal_id,created_on,outcome,closed_on\nD1,2024-01-02,won,2024-08-01"})
    warehouse = open_warehouse("tiny")
    assert cells(warehouse.view(COMPLETE), "deals", "outcome", "closed_on") == {"D1": ("open", None)}
    assert cells(warehouse.view(on("2024-08-02")), "deals", "outcome") == {"D1": "won"}


def test_undated_tables(tiny_market: TinyMarket) -> None:
    """Without their born column: accounts and materials always exist, the others when all is known."""
    files: dict[str, str | bytes] = {
        "accounts": "account_id\nA1",
        "materials": "material_id,kind\nM1,proof",
        "respondents": "respondent_id\nR1",
        "leads": "lead_id\nL1",
        "deals": "deal_id,outcome,closed_on\nD1,won,2024-02-02\nD2,lost,",
        "notes": "note_id,from_team,kind\nN1,buyer,pain",
    }
    tiny_market(files)
    warehouse = open_warehouse("tiny")
    for day, there in ((LAST, ["A1", "M1", "D1"]), (COMPLETE, ["A1", "M1", "R1", "L1", "D1", "D2", "N1"])):
        view = warehouse.view(day)
        assert [key for table in files for key in cells(view, table, TABLES[table].key[0])] == there


def test_without_dates_the_one_view_is_full(tiny_market: TinyMarket) -> None:
    head = HEAD.partition("clock")[0] + 'clock = "none"\n'
    files: dict[str, str | bytes] = {
        "accounts": "account_id,upkeep\nA1,low",
        "deals": "deal_id,stage,outcome,loss_reason,margin\nD1,late,lost,price,thin\nD2,early,open,,",
    }
    fields = '[fields.accounts]\n"close+90" = ["upkeep"]\n[fields.deals]\n"close+90" = ["margin"]'
    tiny_market(files, more=fields, head=head)
    warehouse = open_warehouse("tiny")
    period = warehouse.periods[0]
    assert [period.name, period.planned_on] == ["all", FOREVER]
    view = warehouse.view(period.planned_on)
    assert cells(view, "deals", "stage", "outcome", "loss_reason", "margin") == {
        "D1": ("late", "lost", "price", "thin"),
        "D2": ("early", "open", None, None),
    }
    assert cells(view, "accounts", "upkeep") == {"A1": "low"}


EMPTY: dict[str, str | bytes] = {
    "accounts": "account_id,created_on,size",
    "leads": "lead_id,created_on,account_id,channel,handed_off_on,sales_accepted_on",
    "deals": "deal_id,created_on,lead_id,account_id,stage,outcome,won_amount,closed_on",
    "stage_history": "deal_id,change_no,entered_on,stage",
    "spend": "spend_id,starts_on,ends_on,spent_amount",
}


def test_empty_tables_have_their_columns_and_types(tiny_market: TinyMarket) -> None:
    tiny_market(EMPTY, more='[fields.accounts]\nresearch = ["size"]')
    warehouse = open_warehouse("tiny")
    view = warehouse.view(COMPLETE)
    assert {table: len(view.known(table).execute()) for table in EMPTY} == dict.fromkeys(EMPTY, 0)
    deals = view.with_fields("deals")
    assert list(deals.columns) == [*EMPTY["deals"].split(","), "channel", "size"]  # type: ignore[arg-type]
    assert str(deals["closed_on"].dtype).startswith("datetime64") and deals["outcome"].dtype == "str"
    assert [period.name for period in warehouse.periods] == ["2024-q3"]
