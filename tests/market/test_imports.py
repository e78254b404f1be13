"""What a newer export changes, table by table; and what looks wrong though the contract allows it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop.market import imports
from closedloop.market.building import build_warehouse
from closedloop.market.definition import read_definition
from closedloop.market.staging.audit import take_audit
from closedloop.market.staging.findings import told
from closedloop.market.staging.ladder import Ladder

from .conftest import TinyMarket

HEAD = "deal_id,created_on,closed_on,outcome,won_amount,size"
OLD = ["D1,2024-01-05,,open,,big", "D2,2024-01-06,2024-02-01,won,5,small", "D3,2024-04-07,2024-05-01,lost,,big"]
FIELD = '[fields.deals]\ncreation = ["size"]\n'


def test_the_next_export_is_told_by_table_and_period(tiny_market: TinyMarket, tmp_path: Path) -> None:
    place = tmp_path / "place"
    folders = []
    for rows in (
        OLD,
        ["D1,2024-01-05,2024-06-01,won,7,big", "D3,2024-04-07,,open,,big", "D4,2024-06-08,,open,,big"],
        ["D1,2024-01-05,2024-06-01,won,7,big", "D3,2024-04-07,,open,,big", "D4,2024-06-08,,open,,big"],
    ):
        folders.append(build_warehouse(tiny_market({"deals": "\n".join([HEAD, *rows])}, more=FIELD), place))
    assert imports.before(folders[0]) is None
    assert folders[1] == folders[2] and imports.before(folders[1]) == folders[0]
    (change,) = imports.changes(folders[0], folders[1])
    assert change == ("deals", 1, 2, 1, 1, 1, "")
    assert imports.told(change) == "deals: 1 new, 2 changed, 1 gone, 1 closed, 1 reopened"
    assert imports.periods_that_change(read_definition("tiny"), *folders[:2]) == ["2024-q1", "2024-q2"]


def test_an_import_that_was_checked_and_mended_is_no_measure(tiny_market: TinyMarket, tmp_path: Path) -> None:
    run, checked, mended = (
        build_warehouse(tiny_market({"deals": "\n".join([HEAD, *OLD[:n]])}, more=FIELD), tmp_path / "place")
        for n in (1, 2, 3)
    )
    assert imports.before(mended) == checked
    imports.note_run(run)
    assert imports.before(mended) == imports.before(checked) == run
    imports.note_run(mended)
    imports.note_run(mended)
    assert (tmp_path / "place/ran").read_text().split() == [run.name, mended.name]
    assert imports.before(mended) == run


def test_columns_that_came_went_or_were_renamed_are_told(tiny_market: TinyMarket, tmp_path: Path) -> None:
    place = tmp_path / "place"
    first = build_warehouse(tiny_market({"deals": "\n".join([HEAD, *OLD])}), place)
    renamed = HEAD.replace("size", "company_size").replace("won_amount", "offer_amount")
    second = build_warehouse(
        tiny_market({"deals": "\n".join([renamed, *(row.replace(",5,", ",9,") for row in OLD)])}), place
    )
    (change,) = imports.changes(first, second)
    assert change.columns == "size is called company_size now, won_amount is gone, offer_amount is new"


def found(market: TinyMarket, files: dict[str, Any], more: str = "") -> list[tuple[str, str, int]]:
    ladder = Ladder(market(files, more=more))
    ladder.climb()
    return [(row["column"], told(row), row["n"]) for row in take_audit(ladder).findings.to_dict("records")]


def test_spellings_and_what_stands_for_nothing(tiny_market: TinyMarket) -> None:
    values = ["Web", "web ", "WEB", "n/a", "NULL", "Fair"] * 4
    rows = [f"L{i},2024-01-05,{value}" for i, value in enumerate(values)]
    shown = found(tiny_market, {"leads": "\n".join(["lead_id,created_on,channel", *rows])})
    assert [(column, n) for column, _, n in shown] == [("channel", 8), ("channel", 12)]
    assert "likely stands for nothing: 'n/a' (4), 'NULL' (4)" in shown[0][1]
    assert 'to mend: write blanks = ["n/a", "NULL"] under the source' in shown[0][1]
    assert "one value in 3 spellings: 'Web' (4), 'web ' (4), 'WEB' (4); then its records are split" in shown[1][1]
    assert "(table,column,written,meaning,n): leads,channel,Web,Web," in shown[1][1]


def test_a_rival_called_nobody_and_a_last_day_of_another_year(tiny_market: TinyMarket) -> None:
    rows = [f"D{i},2024-01-{1 + i % 28:02d},,open,{('None', 'Unnamed', 'none', 'Acme')[i % 4]}" for i in range(40)]
    files = {"deals": "\n".join(["deal_id,created_on,closed_on,outcome,competitor", *rows])}
    texts = " | ".join(text for _, text, _ in found(tiny_market, files))
    assert "likely says that no rival was met, or named: 'None' (10); then it is taken for the name of a rival" in texts
    assert "deals,competitor,Unnamed,unnamed," in texts and "named: 'none'" not in texts
    assert "no deal was opened or closed in the" in texts and "mend extracted_on in market.toml" in texts


def test_deals_that_ended_on_no_day_are_told(tiny_market: TinyMarket) -> None:
    rows = [f"D{i},2024-01-05,{'open' if i < 4 else 'won' if i % 2 else 'lost'}" for i in range(40)]
    says = "36 of 36 deals that ended have no closing day; then pages count them as open"
    shown = found(tiny_market, {"deals": "\n".join(["deal_id,created_on,outcome", *rows])})
    assert any(says in text for _, text, _ in shown)
    for n_without, is_told in ((18, False), (19, True)):
        days = [*[""] * (4 + n_without), *["2024-02-01"] * (36 - n_without)]
        own = [f"{row},{day}" for row, day in zip(rows, days, strict=True)]
        shown = found(tiny_market, {"deals": "\n".join(["deal_id,created_on,outcome,closed_on", *own])})
        assert any("have no closing day" in text for _, text, _ in shown) == is_told


def test_avalanches_month_ends_and_one_reason_for_all(tiny_market: TinyMarket) -> None:
    days = [f"{day.date()}" for day in pd.date_range("2024-01-31", periods=5, freq="ME")]
    rows = [f"D{i},2024-01-05,{days[i % 5]},lost,{'price' if i % 3 else 'timing'}" for i in range(60)]
    shown = found(tiny_market, {"deals": "\n".join(["deal_id,created_on,closed_on,outcome,loss_reason", *rows])})
    texts = " | ".join(text for _, text, _ in shown)
    assert "60 of 60 deals" not in texts  # all on one day: then there is no other to compare with
    assert "60 of 60 closing days are month ends; then forecasts may stand for closing days" in texts
    assert "'price' is 40 of 60 reasons" in texts
    more = [f"E{i},2024-03-{1 + i % 28:02d},,open," for i in range(60)]
    shown = found(tiny_market, {"deals": "\n".join(["deal_id,created_on,closed_on,outcome,loss_reason", *rows, *more])})
    assert any("60 of 120 deals were created on 2024-01-05" in text for _, text, _ in shown)


def test_fields_that_say_nothing_and_campaigns_that_meet_no_leads(tiny_market: TinyMarket) -> None:
    leads = [f"L{i},2024-01-05,Spring launch,same,{'x' if i == 0 else ''}" for i in range(40)]
    files = {
        "leads": "\n".join(["lead_id,created_on,campaign,size,rare", *leads]),
        "spend": "spend_id,starts_on,campaign,spent_amount\nS1,2024-01-01,Spring lanuch,5\nS2,2024-01-01,Autumn,5",
    }
    shown = found(tiny_market, files, '[fields.leads]\ncreation = ["size", "rare"]\n')
    assert [(column, n) for column, _, n in shown] == [("size", 40), ("rare", 1), ("campaign", 1)]
    assert "'Spring lanuch' is no campaign of a lead; the nearest is 'Spring launch'" in shown[2][1]


@pytest.mark.parametrize("market", ["harbor", pytest.param("maven", marks=pytest.mark.real)])
def test_markets_that_are_in_order_show_little(market: str) -> None:
    ladder = Ladder(read_definition(market))
    ladder.climb()
    assert [row for row in take_audit(ladder).findings["what"] if "spellings" in row or "nothing" in row] == []
