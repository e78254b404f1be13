"""From raw files to tables: every row of the contract's Checks, on tables of a few lines."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from closedloop.errors import ClosedLoopError, ContractError, DefinitionError, SourceError
from closedloop.market.definition import Definition
from closedloop.market.staging.audit import take_audit
from closedloop.market.staging.ladder import Ladder

from .conftest import HEAD, TinyMarket

Files = dict[str, str | bytes]


def climb(definition: Definition) -> Ladder:
    ladder = Ladder(definition)
    ladder.climb()
    return ladder


def rows(ladder: Ladder, query: str) -> list[tuple[Any, ...]]:
    return ladder.connection.execute(query).fetchall()


def done(ladder: Ladder, table: str | None = None) -> list[tuple[str, str, str, str, int, str]]:
    """What was done: table, action, reason, column, how often, in which lines."""
    keys = ("table", "action", "reason", "column", "n", "lines")
    found = [tuple(action[key] for key in keys) for action in ladder.actions]
    return sorted(action for action in found if table in (None, action[0]))


# raw text


def test_lines_that_do_not_fit_the_header_are_set_aside(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"leads": "lead_id,channel\nL1,web\nL2\nL3,web,more\nL4,fair\n"}))
    assert rows(ladder, "select lead_id, channel, _line from leads") == [("L1", "web", 2), ("L4", "fair", 5)]
    assert done(ladder) == [("raw.leads", "set aside", "line that does not fit the header", "", 2, "3, 4")]
    aside = ladder.rejected["raw.leads"]
    assert aside["line"].tolist() == [3, 4]
    assert [text.strip() for text in aside["content"]] == ["L2", "L3,web,more"]


def test_a_quoted_field_may_hold_delimiters_quotes_and_line_breaks(tiny_market: TinyMarket) -> None:
    text = 'lead_id,channel\nL1,"web, ""organic"""\nL2,"two\nlines"\n'
    ladder = climb(tiny_market({"leads": text}))
    assert rows(ladder, "select lead_id, channel from leads") == [("L1", 'web, "organic"'), ("L2", "two\nlines")]


SELECT = "select lead_id, channel, row_no from raw.leads"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbflead_id,channel\nL1,web\nL2,fair\n",
        b"lead_id,channel\r\nL1,web\r\nL2,fair\r\n",
        b"lead_id,channel\nL1,web\nL2,fair",
        b"lead_id,channel\r\nL1,web\nL2,fair\r\n",
        b"lead_id,channel\rL1,web\rL2,fair\r",
        b"lead_id,channel\nL1,w\0eb\nL2,fair\n",
    ],
    ids=["byte order mark", "CRLF", "no last line break", "mixed line breaks", "CR", "NUL"],
)
def test_the_bytes_of_other_systems(tiny_market: TinyMarket, content: bytes) -> None:
    ladder = climb(tiny_market({"leads": content}, {"leads": SELECT}))
    assert rows(ladder, "select lead_id, channel from leads") == [("L1", "web"), ("L2", "fair")]


def test_cells_with_characters_outside_the_encoding_are_emptied_and_counted(tiny_market: TinyMarket) -> None:
    content = "lead_id,channel\nL1,Köln\n".encode() + "L2,Köln\n".encode("cp1252")
    ladder = climb(tiny_market({"leads": content}, {"leads": SELECT}))
    assert rows(ladder, "select channel from leads") == [("Köln",), (None,)]
    reason = "characters that the declared encoding does not hold"
    assert done(ladder) == [
        ("raw.leads", "empty the cell", reason, "channel", 1, "3"),
        ("raw.leads", "flag", reason, "", 1, "3"),
    ]


def test_a_nul_byte_is_left_out_and_its_line_named(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"leads": b"lead_id,channel\nL1,web\nL2,f\0a\0ir\n"}, {"leads": SELECT}))
    assert rows(ladder, "select channel from leads") == [("web",), ("fair",)]
    assert done(ladder) == [("raw.leads", "flag", "NUL bytes, which are left out", "", 1, "3")]


def test_declared_delimiter_quote_and_encoding(tiny_market: TinyMarket) -> None:
    content = "lead_id;channel\nL1;'Köln; Messe'\n".encode("cp1252")
    definition = tiny_market({"leads": content}, {"leads": SELECT})
    source = definition.sources["leads"].model_copy(update={"delimiter": ";", "quote": "'", "encoding": "cp1252"})
    ladder = climb(definition.model_copy(update={"sources": {"leads": source}}))
    assert rows(ladder, "select * exclude (_line) from leads") == [("L1", "Köln; Messe")]


def test_a_giant_field_is_set_aside_and_shown_shortened(tiny_market: TinyMarket) -> None:
    content = b"lead_id,channel\nL1," + b"x" * 5_000_000 + b"\nL2,web\n"
    ladder = climb(tiny_market({"leads": content}, {"leads": SELECT}))
    assert rows(ladder, "select lead_id from leads") == [("L2",)]
    aside = ladder.rejected["raw.leads"]
    assert aside["line"].tolist() == [2] and aside["content"].str.len().tolist() == [500]


@pytest.mark.parametrize("content", [b"", b"\nlead_id,channel\nL1,web\n"], ids=["nothing", "blank first line"])
def test_a_file_without_a_header_is_refused(tiny_market: TinyMarket, content: bytes) -> None:
    words = r"leads\.csv is empty; its first line must be the header; .* skip_lines under \[sources\.leads\]"
    with pytest.raises(SourceError, match=words):
        climb(tiny_market({"leads": content}, {"leads": SELECT}))


EMPTY: Files = {
    "accounts": "account_id,created_on",
    "leads": "lead_id,created_on,account_id,handed_off_on,sales_accepted_on,channel",
    "deals": "deal_id,created_on,lead_id,account_id,stage,outcome,won_amount,closed_on,channel",
    "stage_history": "deal_id,change_no,entered_on,stage",
    "touches": "touch_id,touched_on,lead_id,deal_id",
    "notes": "note_id,written_on,from_team,kind,lead_id",
    "spend": "spend_id,starts_on,ends_on,spent_amount",
}


def test_empty_tables_are_tables(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market(EMPTY))
    audit = take_audit(ladder)
    assert audit.actions.empty and audit.tables["n_rows"].tolist() == [0] * len(EMPTY)
    assert audit.tables[["first_on", "last_on"]].isna().all(axis=None)
    assert audit.columns["null_share"].isna().all()


def test_one_row(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"deals": "deal_id,created_on,outcome,closed_on\nD1,2024-01-02,won,2024-02-03"}))
    assert ladder.actions == []
    table = take_audit(ladder).tables.iloc[0]
    assert table.tolist() == ["deals", 1, 0, "2024-01-02", "2024-02-03", 0]


# selects


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("select 1; select 2", "holds 2 statements; allowed: one select"),
        ("drop table raw.leads", "holds 1 statements; allowed: one select"),
        ("insert into raw.leads values ('x')", "allowed: one select"),
        ("set threads = 4", "allowed: one select"),
        ("load httpfs", "allowed: one select"),
        ("copy (select 1) to 'out.csv'", "allowed: one select"),
        ("", "holds 0 statements; allowed: one select"),
        ("selct lead_id", "yntax error"),
        ("select leadid as lead_id from raw.leads", "leadid"),
        ("select lead_id from deals", "deals does not exist"),
        ("select 'L1' as lead_id, 'a'::integer as n_calls", "Could not convert"),
        ("select 'L1' as lead_id, 1e30::double as offer_amount", "Casting|cast"),
    ],
)
def test_a_select_that_cannot_be_used_is_named(tiny_market: TinyMarket, select: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=rf"leads\.sql: [\s\S]*({words})"):
        climb(tiny_market({"leads": "lead_id\nL1"}, {"leads": select}))


def test_comments_and_a_last_semicolon_are_fine(tiny_market: TinyMarket) -> None:
    select = "-- the leads; all of them\nselect lead_id from raw.leads; -- nothing else\n"
    assert rows(climb(tiny_market({"leads": "lead_id\nL1"}, {"leads": select})), "select lead_id from leads") == [
        ("L1",)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('{file}')",
        "read_text('{file}')",
        "'{file}'",
        "glob('{folder}/*')",
        "read_blob('https://example.org/x')",
        "query('select * from read_text(''{file}'')')",
    ],
)
def test_a_select_reads_no_file(tiny_market: TinyMarket, source: str) -> None:
    definition = tiny_market({"leads": "lead_id\nL1"})
    there = source.format(file=definition.folder / "leads.csv", folder=definition.folder)
    (definition.folder / "leads.sql").write_text(f"select '1' as lead_id from {there}")
    with pytest.raises(DefinitionError, match=r"leads\.sql: .*(disabled|Permission)"):
        climb(definition)


def test_a_select_that_is_no_canonical_table_is_refused(tiny_market: TinyMarket) -> None:
    with pytest.raises(
        DefinitionError, match=r"lead\.sql: no canonical table; allowed: accounts, leads, .*_helper\.sql"
    ):
        climb(tiny_market({"leads": "lead_id\nL1"}, {"lead": "select 1"}))


def test_a_helper_and_the_tables_above_are_there_by_name(tiny_market: TinyMarket) -> None:
    selects = {
        "_calls": "select lead_id, lower(channel) as channel from raw.leads",
        "leads": "select * from _calls",
        "deals": "select 'D' || lead_id as deal_id, lead_id, 'won' as outcome from leads",
    }
    ladder = climb(tiny_market({"leads": b"lead_id,channel\nL1,WEB\n"}, selects))
    assert rows(ladder, "select deal_id, lead_id, outcome from deals") == [("DL1", "L1", "won")]
    assert list(ladder.columns) == ["leads", "deals"]


AMOUNTS = {
    "1,234.50": Decimal("1234.50"),
    "EUR 1,234,567.89": Decimal("1234567.89"),
    "12.5 €": Decimal("12.50"),
    "1 234.5": Decimal("1234.50"),
    "1'234": Decimal("1234.00"),
    "-5": Decimal("-5.00"),
    ".5": Decimal("0.50"),
    "": None,
    "n/a": None,
    "-": None,
    "1.234,50": Decimal("1234.50"),  # not 1.23
    "1,23": Decimal("1.23"),
    "1e5": None,  # not 15
    "12k": Decimal("12000.00"),
    "€342.09K": Decimal("342090.00"),
    "1.5 Mio EUR": Decimal("1500000.00"),
    "8.412 €": None,  # eight thousand or eight
    "8,412": None,
    "(500)": Decimal("-500.00"),
    "500-": Decimal("-500.00"),
    "12,34,567.50": Decimal("1234567.50"),
    "$ 12": None,  # another currency
    "JPY 12": None,
    "12 kr": None,
    "0.125": Decimal("0.13"),
    "1234.567": Decimal("1234.57"),
    "−65437.00": Decimal("-65437.00"),  # the typographic minus
    "–5": Decimal("-5.00"),
    "~500": None,
    "12%": None,
    "2024-01-05": None,
}


def test_amounts_in_text(tiny_market: TinyMarket) -> None:
    connection = climb(tiny_market({"leads": "lead_id\nL1"})).connection
    found = {text: connection.execute("select as_amount($text)", {"text": text}).fetchone()[0] for text in AMOUNTS}
    assert found == AMOUNTS


def test_flags_in_text(tiny_market: TinyMarket) -> None:
    connection = climb(tiny_market({"leads": "lead_id\nL1"})).connection
    texts = {
        "Yes": True,
        " y ": True,
        "TRUE": True,
        "1": True,
        "No": False,
        "f": False,
        "0": False,
        "": None,
        "?": None,
    }
    found = {text: connection.execute("select as_flag($text)", {"text": text}).fetchone()[0] for text in texts}
    assert found == texts


# stop


@pytest.mark.parametrize(
    ("table", "select", "more", "words"),
    [
        ("deals", "select 'D1' as deal_id", "", "column 'outcome' is missing; the select gives deal_id"),
        ("spend", "select 'S1' as spend_id, 1 as spent_amount", "", "column 'starts_on' is missing"),
        ("leads", "select 'L1' as lead_id", '[fields.leads]\ncreation = ["job"]', "column 'job' is missing"),
        ("leads", "select 1 as lead_id, '2024-01-01' as created_on", "", "'created_on' is VARCHAR; its name says DATE"),
        ("leads", "select 'L1' as lead_id, now() as created_on", "", "'created_on' is TIMESTAMP .*says DATE"),
        ("leads", "select 'L1' as lead_id, now() as created_at", "", "'created_at' is TIMESTAMP .*says TIMESTAMP"),
        ("leads", "select 'L1' as lead_id, '5' as n_calls", "", "'n_calls' is VARCHAR; its name says BIGINT"),
        ("leads", "select 'L1' as lead_id, 2.5 as n_calls", "", r"'n_calls' is DECIMAL\(2,1\); its name says BIGINT"),
        ("leads", "select 'L1' as lead_id, 'yes' as is_new", "", "'is_new' is VARCHAR; its name says BOOLEAN"),
        ("leads", "select 'L1' as lead_id, '5' as offer_amount", "", r"'offer_amount' is VARCHAR; .*DECIMAL\(18,2\)"),
        ("leads", "select 'L1' as lead_id, interval 1 day as arm_rate", "", "'arm_rate' is INTERVAL; .*DOUBLE"),
        ("leads", "select 'L1' as lead_id, date '1989-12-31' as created_on", "", "'created_on' holds a date outside"),
        ("leads", "select 'L1' as lead_id, date '2101-01-01' as created_on", "", "a date outside 1990-2100 in row 1"),
        ("leads", "select 'L1' as lead_id, date 'infinity' as created_on", "", "a date outside 1990-2100 in row 1"),
        (
            "leads",
            "select 'L1' as lead_id, timestamp '0001-01-01' as created_at",
            "",
            "'created_at' holds a date outside",
        ),
    ],
)
def test_stops(tiny_market: TinyMarket, table: str, select: str, more: str, words: str) -> None:
    with pytest.raises(ContractError, match=rf"{table}\.sql: {words}|{table}\.sql: .*{words}"):
        climb(tiny_market({"calls": b"x\n1\n"}, {table: select}, more))


@pytest.mark.parametrize("day", ["1990-01-01", "2100-12-31"])
def test_days_at_the_edge_are_allowed(tiny_market: TinyMarket, day: str) -> None:
    ladder = climb(tiny_market({"accounts": f"account_id,created_on\nA1,{day}"}))
    assert rows(ladder, "select created_on from accounts") == [(date.fromisoformat(day),)]


def test_numbers_of_a_narrower_kind_are_widened(tiny_market: TinyMarket) -> None:
    select = (
        "select 7 as lead_id, 3::tinyint as n_calls, 1 as arm_rate, 2.005::double as offer_amount, null as created_on"
    )
    ladder = climb(tiny_market({"leads": "lead_id\nL1"}, {"leads": select}))
    assert rows(ladder, "select * exclude (_line) from leads")[0][:3] == ("7", 3, 1.0)
    kinds = dict(row[:2] for row in rows(ladder, "describe leads"))
    assert list(kinds.values())[1:] == ["VARCHAR", "BIGINT", "DOUBLE", "DECIMAL(18,2)", "DATE"]


PERSONAL = {
    "jane.doe@example.com": "a value like an e-mail address",
    "ask jane@mail.example.co.uk, please": "a value like an e-mail address",
    "+31 20 555 01 23": "a value like a telephone number",
    "call 0031 205550123": "a value like a telephone number",
    "(555) 010-9999": "a value like a telephone number",
    "555-010-9999": "a value like a telephone number",
}


@pytest.mark.parametrize("value", PERSONAL)
def test_personal_data_stops_and_is_not_repeated(tiny_market: TinyMarket, value: str) -> None:
    definition = tiny_market({"leads": f'lead_id,channel\nL1,web\nL2,"{value}"'})
    with pytest.raises(
        ContractError, match=rf"leads\.sql: 'channel' holds {PERSONAL[value]} in leads.csv, line 3; mend"
    ) as caught:
        climb(definition)
    assert value not in str(caught.value) and "jane" not in str(caught.value) and "555" not in str(caught.value)


def test_an_address_as_an_id_stops(tiny_market: TinyMarket) -> None:
    with pytest.raises(ContractError, match=r"'lead_id' holds a value like an e-mail address in leads\.csv, line 2"):
        climb(tiny_market({"leads": "lead_id\njane@example.com"}))


@pytest.mark.parametrize("value", ["@home", "a@b", "2024-01-05 2024-02-05", "0012345", "12,345,678.90", "C5 10-20-30"])
def test_what_only_looks_a_little_like_it_passes(tiny_market: TinyMarket, value: str) -> None:
    ladder = climb(tiny_market({"leads": f'lead_id,channel\nL1,"{value}"'}))
    assert rows(ladder, "select channel from leads") == [(value,)]


def test_an_open_market_may_hold_personal_data(tiny_market: TinyMarket) -> None:
    head = HEAD.replace('clock = "day"', 'clock = "day"\nprivacy = "open"')
    ladder = climb(tiny_market({"leads": "lead_id,channel\nL1,jane@example.com"}, head=head))
    assert rows(ladder, "select channel from leads") == [("jane@example.com",)]


# set aside, empty the cell


def test_keys_that_are_missing_or_repeated(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"leads": "lead_id,channel\nL1,a\n,b\nL1,c\nL2,d\n,e\nL1,f"}))
    assert rows(ladder, "select lead_id, channel from leads") == [("L1", "a"), ("L2", "d")]
    assert done(ladder) == [
        ("leads", "set aside", "missing", "lead_id", 2, "3, 6"),
        ("leads", "set aside", "repeated, with another channel", "lead_id", 2, "4, 7"),
    ]
    aside = ladder.rejected["leads"].sort_values("line")
    assert aside["line"].tolist() == [3, 4, 6, 7]
    assert aside["reason"].tolist() == ["lead_id missing", "lead_id repeated, with another channel"] * 2
    assert aside["content"].iloc[1] == "L1 | c"


def test_the_first_that_can_be_used_stays(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"deals": "deal_id,outcome\nD1,signed\nD1,won\nD1,lost"}))
    assert rows(ladder, "select deal_id, outcome from deals") == [("D1", "won")]
    assert [action[2:] for action in done(ladder)] == [
        ("not in list", "outcome", 1, "2"),
        ("repeated, with another outcome", "deal_id", 1, "4"),
    ]


def test_a_key_of_two_columns(tiny_market: TinyMarket) -> None:
    text = (
        "deal_id,change_no,entered_on,stage\nD1,1,2024-01-01,a\nD1,2,2024-01-02,b\nD1,2,2024-01-03,c\nD2,,2024-01-01,a"
    )
    ladder = climb(tiny_market({"stage_history": text}))
    assert rows(ladder, "select deal_id, change_no, stage from stage_history") == [("D1", 1, "a"), ("D1", 2, "b")]
    assert [action[1:] for action in done(ladder)] == [
        ("set aside", "missing", "change_no", 1, "5"),
        ("set aside", "repeated, with another entered_on, stage", "deal_id", 1, "4"),
    ]


@pytest.mark.parametrize(
    ("table", "text", "kept", "action"),
    [
        ("deals", "deal_id,outcome\nD1,won\nD2,\nD3,Won", ["D1"], [("missing", 1, "3"), ("not in list", 1, "4")]),
        ("materials", "material_id,kind\nM1,proof\nM2,poster", ["M1"], [("not in list", 1, "3")]),
        (
            "notes",
            "note_id,from_team,kind\nN1,buyer,pain\nN2,press,pain\nN3,sales,",
            ["N1"],
            [("missing", 1, "4"), ("not in list", 1, "3")],
        ),
        (
            "spend",
            "spend_id,starts_on,spent_amount\nS1,2024-01-01,5\nS2,,5\nS3,2024-01-01,\nS4,2024-01-01,-1",
            ["S1"],
            [("below 0", 1, "5"), ("missing", 1, "3"), ("missing", 1, "4")],
        ),
        ("touches", "touch_id,lead_id,deal_id\nT1,L1,\nT2,,D1\nT3,,", ["T1", "T2"], [("touch about nothing", 1, "4")]),
        ("touches", "touch_id,channel\nT1,web", [], [("touch about nothing", 1, "2")]),
    ],
)
def test_rows_that_cannot_be_used_are_set_aside(
    tiny_market: TinyMarket, table: str, text: str, kept: list[str], action: list[tuple[str, int, str]]
) -> None:
    ladder = climb(tiny_market({table: text}))
    key = text.split(",")[0]
    assert [row[0] for row in rows(ladder, f"select {key} from {table}")] == kept
    asides = [found for found in done(ladder, table) if found[1] == "set aside"]
    assert sorted((found[2], found[4], found[5]) for found in asides) == action


@pytest.mark.parametrize(
    ("table", "text", "column", "cells", "reason"),
    [
        ("leads", "lead_id,status\nL1,inquiry\nL2,hot\nL3,", "status", ["inquiry", None, None], "not in list"),
        ("leads", "lead_id,arm_rate,arm\nL1,0.5,\nL2,1.5,\nL3,1,", "arm_rate", [0.5, None, 1.0], "above 1"),
        (
            "touches",
            "touch_id,lead_id,direction\nT1,L1,inbound\nT2,L1,both\nT3,L1,outbound",
            "direction",
            ["inbound", None, "outbound"],
            "not in list",
        ),
        (
            "touches",
            "touch_id,lead_id,from_team\nT1,L1,sales\nT2,L1,buyer\nT3,L1,",
            "from_team",
            ["sales", None, None],
            "not in list",
        ),
        ("respondents", "respondent_id,n_sites\nR1,0\nR2,-1\nR3,2", "n_sites", [0, None, 2], "below 0"),
    ],
)
def test_optional_values_that_are_not_allowed_are_emptied(
    tiny_market: TinyMarket, table: str, text: str, column: str, cells: list[Any], reason: str
) -> None:
    ladder = climb(tiny_market({table: text}))
    assert [row[0] for row in rows(ladder, f"select {column} from {table} order by _line")] == cells
    emptied = [action for action in done(ladder) if action[1] == "empty the cell"]
    assert emptied == [(table, "empty the cell", reason, column, 1, "3")]


def test_a_weight_of_nobody_is_emptied(tiny_market: TinyMarket) -> None:
    select = "select respondent_id, weight::double as weight, row_no from raw.respondents"
    ladder = climb(tiny_market({"respondents": "respondent_id,weight\nR1,0\nR2,2.5"}, {"respondents": select}))
    assert rows(ladder, "select weight from respondents") == [(None,), (2.5,)]


# the audit


def test_the_audit_counts_rows_dates_columns_and_repeats(tiny_market: TinyMarket) -> None:
    files: Files = {
        "deals": """
            deal_id,created_on,expected_close_on,outcome,closed_on,size,notice,won_amount
            D1,2024-02-01,2025-12-31,won,2024-03-01,big,x,
            D2,2024-01-01,,open,,small,x,
            D3,2024-02-01,2025-12-31,won,2024-03-01,big,x,
            D3,2024-02-01,2025-12-31,won,2024-03-01,big,x,
        """
    }
    audit = take_audit(climb(tiny_market(files, more='[fields.deals]\ncreation = ["size"]')))
    # A forecast of 2025-12-31 is no event; D3 is alike D1 but for its id; the second D3 was set aside.
    assert list(audit.tables)[-1] == "n_equal_but_for_ids"
    assert audit.tables.to_numpy().tolist() == [["deals", 3, 1, "2024-01-01", "2024-03-01", 1]]
    columns = audit.columns.set_index("column")
    assert columns.loc[["size", "notice", "closed_on"], "known"].tolist() == [
        *("creation", "not declared: in no view", "close"),
    ]
    assert columns["null_share"].round(3).to_dict() == {
        **dict.fromkeys(["deal_id", "created_on", "outcome", "size", "notice"], 0.0),
        **dict.fromkeys(["expected_close_on", "closed_on"], 0.333),
        "won_amount": 1.0,
    }
    assert audit.actions[["action", "reason", "n"]].to_numpy().tolist() == [
        ["flag", "won without won_amount", 2],
        ["set aside", "repeated", 1],
    ]


def test_errors_are_the_projects_own(tiny_market: TinyMarket) -> None:
    """Whatever a person writes into a select, the message is a ClosedLoopError with the file's name."""
    for select in (
        "select * from raw.leads where",
        "select lead_id::date as lead_id from raw.leads",
        "select error('x')",
    ):
        with pytest.raises(ClosedLoopError, match=r"leads\.sql"):
            climb(tiny_market({"leads": "lead_id\nL1"}, {"leads": select}))


def test_rejected_rows_are_plain_records(tiny_market: TinyMarket) -> None:
    ladder = climb(tiny_market({"leads": "lead_id,created_on\nL1,2024-01-01\nL1,2024-01-02"}))
    record = json.loads(ladder.rejected["leads"].to_json(orient="records"))
    assert record == [
        {"line": 3, "reason": "lead_id repeated, with another created_on", "content": "L1 | 2024-01-02 00:00:00"}
    ]
