"""Raw records that do not come through a select: lost by a join, or left out by a condition, with their lines."""

import pytest
from closedloop.market.staging.checks import told
from closedloop.market.staging.ladder import Ladder

from .conftest import TinyMarket

FILES: dict[str, str | bytes] = {
    "deals": b"id,account,state,day\nD1,A1,won,2024-01-02\nD2,,lost,2024-01-03\nD3,A9,won,2024-01-04\n"
    b"D4,A2,test,2024-01-05\nD5,,test,2024-01-06\nD6,A2,lost,2024-01-07\n",
    "accounts": b"account,name\nA1,Fair\nA2,Web\nA3,Mail\n",
}
COLUMNS = "d.id as deal_id, d.day::date as created_on, d.state as outcome"
JOIN = "join raw.accounts a on a.account = d.account"
WHERE = "where d.state <> 'test'"
SELECTS = {
    "joined": {"deals": f"select {COLUMNS} from raw.deals d {JOIN} {WHERE}"},
    "the other way round": {
        "deals": f"select {COLUMNS} from raw.accounts a join raw.deals d on a.account = d.account {WHERE}"
    },
    "by one name": {"deals": f"select {COLUMNS} from raw.deals d join raw.accounts a using (account) {WHERE}"},
    "on the right": {
        "deals": f"select {COLUMNS} from raw.deals d right join raw.accounts a using (account) {WHERE}"
    },
    "in a helper": {
        "_d": f"select d.* from raw.deals d {JOIN}",
        "deals": f"select {COLUMNS} from _d as d {WHERE}",
    },
    "in a common table": {
        "deals": f"with own as (select d.* from raw.deals d {JOIN}) select {COLUMNS} from own as d {WHERE}"
    },
    "grouped": {
        "deals": f"select d.id as deal_id, min(d.day)::date as created_on, max(d.state) as outcome "
        f"from raw.deals d {JOIN} {WHERE} group by d.id"
    },
    "one of two": {
        "deals": f"select {COLUMNS} from raw.deals d {JOIN} where d.state = 'won' union all "
        f"select {COLUMNS} from raw.deals d {JOIN} where d.state = 'lost'"
    },
}  # fmt: skip


def climb(market: TinyMarket, selects: dict[str, str]) -> Ladder:
    ladder = Ladder(market(FILES, selects))
    ladder.climb()
    return ladder


def told_of(ladder: Ladder) -> list[tuple[str, str, str]]:
    ways = ("lost", "left out")
    return [(a["action"], a["reason"], a["lines"]) for a in ladder.actions if a["action"] in ways]


@pytest.mark.parametrize("form", SELECTS)
def test_what_a_join_loses_is_told_from_what_a_condition_leaves_out(tiny_market: TinyMarket, form: str) -> None:
    ladder = climb(tiny_market, SELECTS[form])
    kept = ladder.connection.execute("select deal_id from deals where deal_id is not null order by 1").fetchall()
    assert kept == [("D1",), ("D6",)]
    assert told_of(ladder) == [
        ("lost", "by a join of deals.sql", "3, 4"),
        ("left out", "by a condition of deals.sql", "5, 6"),
    ]
    assert told(next(action for action in ladder.actions if action["action"] == "lost")) == (
        "lost, 2 times: raw.deals by a join of deals.sql; deals.csv, lines 3, 4; then it counts nowhere; to mend: "
        "write left join in the select, or export the records that it is joined with"
    )


def test_a_condition_in_which_a_join_stands_loses_nothing(tiny_market: TinyMarket) -> None:
    known = f"d.id in (select d.id from raw.deals d {JOIN})"
    ladder = climb(tiny_market, {"deals": f"select {COLUMNS} from raw.deals d where {known}"})
    assert told_of(ladder) == [("left out", "by a condition of deals.sql", "3, 4, 6")]


def test_a_select_that_keeps_every_record_says_nothing(tiny_market: TinyMarket) -> None:
    selects = {
        "accounts": "select account as account_id from raw.deals where account is not null group by 1",
        "deals": f"select {COLUMNS} from raw.deals d left {JOIN}",
    }
    ladder = climb(tiny_market, selects)
    assert told_of(ladder) == [("left out", "by a condition of accounts.sql", "3, 6")]


def test_a_join_that_cannot_keep_everything_is_told_as_either(
    tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("closedloop.market.staging.selects.Select.with_joins", lambda *_: "select from nothing")
    ladder = climb(tiny_market, SELECTS["joined"])
    assert told_of(ladder) == [("lost", "by a join or a condition of deals.sql", "3, 4, 5, 6")]
