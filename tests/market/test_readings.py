"""What a select reads is followed to the file: unreadable cells have lines and texts, and never count as missing."""

from typing import Any

import pytest
from closedloop.errors import ContractError, DefinitionError
from closedloop.market.staging.checks import told
from closedloop.market.staging.ladder import Ladder

from .conftest import TinyMarket

FILE = 'id,opened,state,paid\nA1,2024-01-02,won,"12,5o"\nA2,2024-01-03,won,\nA3,soon,lost,\nA4,2024-01-05,open,n/a\n'


def climb(market: TinyMarket, files: dict[str, Any], selects: dict[str, str], more: str = "") -> Ladder:
    ladder = Ladder(market(files, selects, more))
    ladder.climb()
    return ladder


def unread(ladder: Ladder) -> list[tuple[str, str, str, int, str, str]]:
    """Table, column, reason, how often, values and lines of what cannot be read."""
    keys = ("table", "column", "reason", "n", "values", "lines")
    return [tuple(a[key] for key in keys) for a in ladder.actions if a["reason"].startswith("unreadable")]


def flagged(ladder: Ladder) -> dict[str, str]:
    return {action["reason"]: action["lines"] for action in ladder.actions if action["action"] == "flag"}


DIRECT = """select id as deal_id, try_cast(opened as date) as created_on, state as outcome,
    as_amount(paid) as won_amount from raw.deals"""
SELECTS = {
    "direct": {"deals": DIRECT},
    "in a case": {"deals": DIRECT.replace("as_amount(paid)", "case when state <> 'lost' then as_amount(paid) end")},
    "through a common table": {
        "deals": "with d as (select *, trim(paid) as price from raw.deals) "
        + DIRECT.replace("raw.deals", "d").replace("paid", "price")
    },
    "through a helper": {"_d": "select * from raw.deals", "deals": DIRECT.replace("raw.deals", "_d as d")},
    "in another order": {"deals": DIRECT + " order by id desc"},
    "joined": {"deals": DIRECT.replace("raw.deals", "raw.deals left join (select 1 as one) on one = 2")},
}


@pytest.mark.parametrize("selects", SELECTS.values(), ids=list(SELECTS))
def test_what_cannot_be_read_is_not_missing(tiny_market: TinyMarket, selects: dict[str, str]) -> None:
    ladder = climb(tiny_market, {"deals": FILE.encode()}, selects)
    assert unread(ladder) == [
        ("deals", "created_on", "unreadable as a date", 1, "'soon'", "4"),
        ("deals", "won_amount", "unreadable as an amount", 2, "'12,5o', 'n/a'", "2, 5"),
    ]
    found = flagged(ladder)
    assert found["won without won_amount"] == "3"  # A1's amount is there, only nobody can read it
    assert "created_on missing" not in found


def test_an_unreadable_cell_that_a_row_cannot_do_without_is_the_reason_why_it_is_set_aside(
    tiny_market: TinyMarket,
) -> None:
    text = b"id,day,cost\nS1,2024-01-01,5\nS2,2024-01-01,five\nS3,2024-01-01,\n"
    select = "select id as spend_id, day::date as starts_on, as_amount(cost) as spent_amount from raw.spend"
    ladder = climb(tiny_market, {"spend": text}, {"spend": select})
    aside = [(a["reason"], a["column"], a["lines"]) for a in ladder.actions if a["action"] == "set aside"]
    assert sorted(aside) == [("missing", "spent_amount", "4"), ("unreadable as an amount", "spent_amount", "3")]
    assert ladder.rejected["spend"]["reason"].tolist() == [
        "spent_amount unreadable as an amount",
        "spent_amount missing",
    ]


@pytest.mark.parametrize(
    ("reading", "values"),
    [
        ("coalesce(try_strptime(day, '%d.%m.%Y'), try_strptime(day, '%Y-%m-%d'))::date", "'May'"),
        ("case when day like '%.%' then try_strptime(day, '%d.%m.%Y')::date else try_cast(day as date) end", "'May'"),
        ("case day when 'May' then date '2024-05-01' else coalesce(try_cast(day as date), date '2024-02-01') end", ""),
        ("try_cast(nullif(day, 'May') as date)", "'01.02.2024'"),
    ],
)
def test_text_that_one_way_of_several_can_read_is_readable(tiny_market: TinyMarket, reading: str, values: str) -> None:
    text = b"id,day\nL1,2024-01-01\nL2,01.02.2024\nL3,May\nL4,\n"
    ladder = climb(
        tiny_market, {"leads": text}, {"leads": f"select id as lead_id, {reading} as created_on from raw.leads"}
    )
    assert [action[4] for action in unread(ladder)] == ([values] if values else [])


def test_what_is_read_on_the_way_is_told_of_its_file(tiny_market: TinyMarket) -> None:
    files = {"leads": b"id\nL1\n", "visits": b"lead,day\nL1,2024-01-05\nL1,2024-31-01\n"}
    selects = {
        "_visits": "select lead, min(try_cast(day as date)) as first_on from raw.visits group by lead",
        "leads": "select id as lead_id, first_on as created_on from raw.leads left join _visits on lead = id",
    }
    ladder = climb(tiny_market, files, selects)
    assert unread(ladder) == [("raw.visits", "day", "unreadable as a date", 1, "'2024-31-01'", "3")]
    assert told(ladder.actions[0]) == (
        "empty the cell, 1 time: raw.visits.day unreadable as a date; found '2024-31-01'; allowed: 2024-03-31; "
        "visits.csv, line 3; then it counts as missing; to mend: mend it in the source, or declare under the source "
        "how its values are written; five digits are a spreadsheet's days: format them as dates"
    )


@pytest.mark.parametrize(
    ("cast", "kind", "value"),
    [
        ("paid::integer as n_calls", "a whole number", "'12,5o'"),
        ("cast(paid as decimal(18, 2)) as offer_amount", "a number", "'12,5o'"),
        ("strptime(opened, '%Y-%m-%d')::date as created_on", "a date", "'soon'"),
    ],
)
def test_a_cast_that_stops_a_select_names_file_line_and_value(
    tiny_market: TinyMarket, cast: str, kind: str, value: str
) -> None:
    line = {"'12,5o'": 2, "'soon'": 4}[value]
    words = (
        rf"leads\.sql: deals\.csv, line {line}: \w+ holds {value}, which cannot be read as {kind}.*; allowed: .*try_"
    )
    with pytest.raises(DefinitionError, match=words):
        climb(tiny_market, {"deals": FILE.encode()}, {"leads": f"select id as lead_id, {cast} from raw.deals"})


def test_lines_are_those_that_an_editor_shows(tiny_market: TinyMarket) -> None:
    """The header is line 1; blank lines, quoted line breaks and lines that were set aside count."""
    text = 'lead_id,channel,status\nL1,"two\nlines",hot\n\nL2,web,cold\nL3\nL4,"a\n\nb",warm\nL5,web,inquiry\nL6,x,y\n'
    ladder = climb(tiny_market, {"leads": text.encode()}, {"leads": "select * exclude (row_no) from raw.leads"})
    assert [(a["reason"], a["lines"], a["values"]) for a in ladder.actions] == [
        ("line that does not fit the header", "6", ""),
        ("not in list", "2, 5, 7, 11", "'hot', 'cold', 'warm', 'y'"),
    ]
    assert ladder.rejected["raw.leads"]["line"].tolist() == [6]


def test_rows_without_a_line_of_their_own_are_told_as_rows(tiny_market: TinyMarket) -> None:
    select = "select id as lead_id, max(state) as status from raw.deals group by id order by id"
    ladder = climb(tiny_market, {"deals": FILE.encode()}, {"leads": select})
    assert "; row of the select 1, 2, 3, 4; then " in told(ladder.actions[0])


def test_personal_data_in_a_cell_that_cannot_be_read_is_not_repeated(tiny_market: TinyMarket) -> None:
    text = b"id,paid\nL1,jane.doe@example.com\nL2,555-010-9999\n"
    ladder = climb(
        tiny_market, {"leads": text}, {"leads": "select id as lead_id, as_amount(paid) as offer_amount from raw.leads"}
    )
    assert unread(ladder)[0][4] == "(like an e-mail address), (like a telephone number)"


def test_a_select_that_cannot_be_followed_is_said(tiny_market: TinyMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("unknown syntax")

    monkeypatch.setattr("closedloop.market.staging.selects.parse_one", refuse)
    ladder = climb(tiny_market, {"deals": FILE.encode()}, {"deals": DIRECT})
    assert "select that cannot be followed: values in it that cannot be read count as missing" in flagged(ladder)
    assert ladder.connection.execute("select count(*) from deals").fetchone() == (4,)


# values like telephone numbers, and days


CODES = [f"D{i},open,{('100-200-3000', '0012345678905', '88-PRO')[i % 3]}" for i in range(60)]


def test_a_few_codes_on_many_rows_are_no_telephone_numbers(tiny_market: TinyMarket) -> None:
    ladder = Ladder(tiny_market({"deals": "\n".join(["deal_id,outcome,product", *CODES])}))
    ladder.climb()
    assert ladder.connection.execute("select count(distinct product) from deals").fetchone() == (3,)
    (action,) = ladder.actions
    assert action["reason"] == "looks like telephone numbers, kept as codes: few values, each on many rows"


def test_identifiers_of_records_are_told_and_numbers_of_people_are_not(tiny_market: TinyMarket) -> None:
    accounts = ["0065g00000ABCdEAAX", "006500000012345AAA", "006500000012345", "006500000012345678", "0031205550123",
                "+31205550123"]  # fmt: skip
    deals = [f"D{i},open,{account}" for i, account in enumerate(accounts)]
    ladder = Ladder(
        tiny_market({"accounts": "account_id\nA1", "deals": "\n".join(["deal_id,outcome,account_id", *deals])})
    )
    ladder.climb()
    (action,) = [action for action in ladder.actions if action["reason"] == "account_id not found in accounts"]
    shown, phone = [f"'{account}'" for account in accounts[:4]], "(like a telephone number)"
    assert action["values"] == ", ".join([f"{phone} (2 times)", *shown])
    text = ladder.actions._shown(["call 0031 205550123", *accounts[:2]], has_ids=False)
    assert text == f"{phone}, {shown[0]}, {shown[1]}"


@pytest.mark.parametrize(
    "rows",
    [
        [f"D{i},open,555-010-{1000 + i}" for i in range(60)],
        [*CODES, "D99,open,555-010-9999"],
        [f"D{i},open,+31 20 555 010{i % 3}" for i in range(60)],
    ],
    ids=["one for each", "one among codes", "written to be called"],
)
def test_numbers_of_people_stop_and_the_way_to_vouch_is_named(tiny_market: TinyMarket, rows: list[str]) -> None:
    files: dict[str, str | bytes] = {"deals": "\n".join(["deal_id,outcome,product", *rows])}
    with pytest.raises(
        ContractError, match=r'telephone number in deals\.csv, line .*deals = \["product"\] under \[checked\]'
    ):
        Ladder(tiny_market(files)).climb()
    ladder = Ladder(tiny_market(files, more='[checked]\ndeals = ["product"]'))
    ladder.climb()
    assert ladder.actions == []


def test_a_field_may_hold_days_long_ago_and_no_other_ones(tiny_market: TinyMarket) -> None:
    text = "account_id,customer_since_on\nA1,1987-05-01\nA2,2012-01-01\nA3,0201-01-01\nA4,9999-12-31"
    ladder = Ladder(tiny_market({"accounts": text}, more='[fields.accounts]\nresearch = ["customer_since_on"]'))
    ladder.climb()
    days = ladder.connection.execute("select customer_since_on::varchar from accounts order by account_id").fetchall()
    assert days == [("1987-05-01",), ("2012-01-01",), (None,), (None,)]
    assert [(a["reason"], a["values"], a["lines"]) for a in ladder.actions] == [
        ("a date outside 1900-2100", "'0201-01-01', '9999-12-31'", "4, 5")
    ]


BY_COUNTRY = """select id as deal_id, state as outcome, case when country = 'US' then try_strptime(opened, '%m/%d/%Y')
    when country = 'DE' then try_strptime(opened, '%d/%m/%Y') end::date as created_on from raw.deals"""


def test_a_branch_of_a_case_reads_only_the_rows_that_it_leads_to(tiny_market: TinyMarket) -> None:
    file = "id,country,state,opened\nA1,US,won,03/25/2024\nA2,DE,won,25/03/2024\nA3,US,won,25/03/2024\nA4,,won,soon\n"
    ladder = climb(tiny_market, {"deals": file.encode()}, {"deals": BY_COUNTRY})
    assert unread(ladder) == [("deals", "created_on", "unreadable as a date", 1, "'25/03/2024'", "4")]


def test_amounts_that_a_case_leaves_as_they_are_need_no_rate(tiny_market: TinyMarket) -> None:
    file = "id,state,paid,code,day\n" + "".join(
        f"A{n},{'won' if n % 3 else 'lost'},100,{'Pesos' if n % 2 else 'US Dollar'},2024-03-05\n" for n in range(40)
    )
    paid = """case when state = 'won' then case when code = 'Pesos' then as_amount(paid)
        else in_currency(as_amount(paid), code, day::date) end end as won_amount"""
    select = f"select id as deal_id, state as outcome, {paid} from raw.deals"
    definition = tiny_market({"deals": file.encode()}, {"deals": select})
    (definition.folder / "rates.csv").write_text("currency,month,rate\nUSD,2024-03,0.92\n")
    ladder = Ladder(definition)
    ladder.climb()
    assert not unread(ladder)
    query = "select won_amount::float, count(*) from deals where outcome = 'won' group by 1 order by 1"
    assert ladder.connection.sql(query).fetchall() == [(92.0, 13), (100.0, 13)]
