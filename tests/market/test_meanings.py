"""What people wrote means what values.csv says; what it does not place is other, and kept as a remark."""

from pathlib import Path
from typing import Any

import pytest
from closedloop.errors import DefinitionError
from closedloop.market.building import build_warehouse
from closedloop.market.definition import Definition
from closedloop.market.staging.checks import told
from closedloop.market.staging.ladder import Ladder
from closedloop.market.warehouse import Warehouse

from .conftest import DEALS, HEAD, TinyMarket

FILE = b"""id,kind,stage,reason,ended
D1,New,Gewonnen,,2024-02-01
D2,New,Verloren,zu teuer,2024-02-02
D3,New,Verloren,Papierkram,2024-02-03
D4,Renewal,Gewonnen,,2024-02-04
"""
SELECT = "select id as deal_id, kind, stage as outcome, reason as loss_reason, ended::date as closed_on from raw.deals"
VALUES = """table,column,written,meaning,n
deals,outcome,gewonnen,won,2
deals,outcome,Verloren,lost,2
deals,loss_reason,Zu teuer,price,1
"""


def climb(definition: Definition, values: str = VALUES) -> Ladder:
    (definition.folder / "values.csv").write_text(values)
    ladder = Ladder(definition)
    ladder.climb()
    return ladder


def cells(ladder: Ladder, query: str) -> list[tuple[Any, ...]]:
    return ladder.connection.execute(query).fetchall()


def test_words_are_translated_and_the_rest_is_other_and_a_remark(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"deals": FILE}, {"deals": SELECT}))
    assert cells(ladder, "select outcome, loss_reason from deals order by deal_id") == [
        ("won", None), ("lost", "price"), ("lost", "other"), ("won", None),
    ]  # fmt: skip
    assert cells(ladder, "select written_on::varchar, from_team, kind, text, deal_id from notes") == [
        ("2024-02-03", "sales", "loss", "Papierkram", "D3")
    ]
    (action,) = ladder.actions
    assert (action["action"], action["n"], action["lines"]) == ("read as other", 1, "4")
    assert action["values"] == "'Papierkram'"


def test_a_market_with_remarks_keeps_its_own(tiny_market: TinyMarket) -> None:
    notes = "note_id,from_team,kind,deal_id\nN1,buyer,pain,D1"
    ladder = climb(tiny_market({"deals": FILE, "notes": notes}, {"deals": SELECT}))
    assert cells(ladder, "select note_id from notes order by 1") == [("N1",), ("loss-D3",)]


def test_other_deals_are_left_out_and_counted(tiny_market: TinyMarket) -> None:
    deals = DEALS + "keep = \"kind <> 'Renewal'\"\n"
    history = "deal_id,change_no,entered_on,stage\nD1,1,2024-01-05,proposal\nD4,1,2024-01-05,proposal"
    ladder = climb(tiny_market({"deals": FILE, "stage_history": history}, {"deals": SELECT}, deals=deals))
    assert cells(ladder, "select deal_id from deals order by 1") == [("D1",), ("D2",), ("D3",)]
    left = [(a["table"], a["reason"], a["n"]) for a in ladder.actions if a["action"] == "left out"]
    assert left == [
        ("deals", "no deal of this market: deals.keep = kind <> 'Renewal'", 1),
        ("stage_history", "of a deal left out", 1),
    ]


def test_checks_tell_the_right_rows_after_some_were_left_out(tiny_market: TinyMarket) -> None:
    text = b"id,kind,stage,day\nD1,Renewal,won,\nD2,New,won,\n,New,won,\nD2,New,won,\n"
    select = "select id as deal_id, kind, stage as outcome from raw.deals"
    ladder = climb(tiny_market({"deals": text}, {"deals": select}, deals=DEALS + "keep = \"kind = 'New'\"\n"))
    assert cells(ladder, "select deal_id from deals") == [("D2",)]
    aside = [(a["reason"], a["column"], a["lines"]) for a in ladder.actions if a["action"] == "set aside"]
    assert sorted(aside) == [("missing", "deal_id", "4"), ("repeated", "deal_id", "5")]


def test_deleted_records_are_left_out_and_counted(tiny_market: TinyMarket) -> None:
    select = "select id as lead_id, as_flag(gone) as is_deleted from raw.leads"
    ladder = climb(tiny_market({"leads": b"id,gone\nL1,false\nL2,TRUE\nL3,\n"}, {"leads": select}))
    assert cells(ladder, "select lead_id from leads order by 1") == [("L1",), ("L3",)]
    assert [(a["reason"], a["lines"]) for a in ladder.actions] == [("deleted in the source", "3")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("table,column\n", "its first line must be table,column,written,meaning,n"),
        (VALUES + "deal,outcome,x,won,1\n", "line 5: 'deal' is no canonical table"),
        (VALUES + "deals,outcome,x,gained,1\n", "line 5: 'gained' is no outcome; allowed: won, lost"),
        (VALUES + "deals,outcome,GEWONNEN ,lost,1\n", "line 5: 'GEWONNEN ' means 'won' above"),
        (VALUES + "deals,outcome\n", "line 5: found 2 fields; allowed: 5"),
    ],
)
def test_what_is_wrong_with_the_file_is_named_with_its_line(tiny_market: TinyMarket, text: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        climb(tiny_market({"deals": FILE}, {"deals": SELECT}), text)


def test_amounts_in_other_currencies_are_converted_by_month(tiny_market: TinyMarket) -> None:
    text = (
        b"id,paid,code,day\nD1,100,EUR,2024-03-05\nD2,100,usd,2024-03-05\nD3,100,USD,2024-04-05\nD4,100,,2024-03-05\n"
    ) + b"".join(b"E%d,1,EUR,2024-03-05\n" % i for i in range(20))
    paid = "in_currency(as_amount(paid), code, day::date) as won_amount"
    select = f"select id as deal_id, 'won' as outcome, {paid} from raw.deals"
    definition = tiny_market({"deals": text}, {"deals": select})
    (definition.folder / "rates.csv").write_text("currency,month,rate\nUSD,2024-03,0.92\n")
    query = "select won_amount::varchar from deals where deal_id < 'E' order by deal_id"
    ladder = climb(definition)
    assert cells(ladder, query) == [("100.00",), ("92.00",), (None,), ("100.00",)]
    (said,) = (told(action) for action in ladder.actions if action["column"] == "won_amount")
    assert said == (
        "empty the cell, 1 time: deals.won_amount unreadable as an amount in the market's currency; "
        "found '100.00 USD'; allowed: a currency and month that are in rates.csv; deals.csv, line 4; then it counts as "
        "missing; to mend: add its rate of that month to rates.csv"
    )
    (definition.folder / "rates.csv").write_text("currency,month,rate\nUSD,March,0.92\n")
    with pytest.raises(DefinitionError, match=r"rates\.csv, line 2: found 'USD,March,0.92'; allowed: USD,2024-03,0.92"):
        climb(definition)


def test_the_data_end_with_the_last_recorded_day_and_no_forecast(tiny_market: TinyMarket, tmp_path: Path) -> None:
    rows = [f"D{i},2024-0{1 + i % 6}-10,open,,2027-01-01" for i in range(700)]
    slip = "D900,2031-01-01,open,,"
    text = "\n".join(["deal_id,created_on,outcome,closed_on,expected_close_on", *rows, slip])
    definition = tiny_market({"deals": text}, head=HEAD.replace("2024-06-30", '"latest"'))
    warehouse = Warehouse(definition, build_warehouse(definition, tmp_path / "place"))
    assert f"{warehouse.extracted_on}" == "2024-06-10"
    assert [period.name for period in warehouse.periods] == ["2024-q1", "2024-q2"]


def test_quarters_are_those_of_the_fiscal_year(tiny_market: TinyMarket, tmp_path: Path) -> None:
    text = "deal_id,created_on,outcome,closed_on\nD1,2024-02-05,won,2024-02-10\nD2,2024-05-05,won,2024-05-10"
    head = HEAD.replace('first = "2024-q1"', 'first = "2025-q1"\nyear_starts = 2').replace("2024-06-30", "2024-05-31")
    definition = tiny_market({"deals": text}, head=head)
    warehouse = Warehouse(definition, build_warehouse(definition, tmp_path / "place"))
    assert [(period.name, f"{period.start}") for period in warehouse.periods] == [
        ("2025-q1", "2024-02-01"), ("2025-q2", "2024-05-01"),
    ]  # fmt: skip
