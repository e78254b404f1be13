"""The contract: nine tables as CONTRACT states them, types by name, single-value checks, the dictionary."""

import pandas as pd
import pytest
from closedloop.market.contract import KINDS, TABLES, dictionary, kind_of
from closedloop.market.staging.checks import checked, problems
from closedloop.terms import Moment

# Copied from the contract's table by hand: key, born column, required columns beside the key.
STATED = {
    "accounts": (["account_id"], "created_on", []),
    "leads": (["lead_id"], "created_on", []),
    "respondents": (["respondent_id"], "answered_on", []),
    "deals": (["deal_id"], "created_on", ["outcome"]),
    "stage_history": (["deal_id", "change_no"], "entered_on", ["entered_on", "stage"]),
    "materials": (["material_id"], "added_on", ["kind"]),
    "touches": (["touch_id"], "touched_on", []),
    "notes": (["note_id"], "written_on", ["from_team", "kind"]),
    "spend": (["spend_id"], "starts_on", ["starts_on", "spent_amount"]),
}


def test_keys_born_columns_and_required_columns() -> None:
    found = {
        name: (list(table.key), table.born, [c for c in table.required if c not in table.key])
        for name, table in TABLES.items()
    }
    assert found == STATED


@pytest.mark.parametrize(
    ("table", "moment", "columns"),
    [
        ("leads", Moment.HANDOFF, {"rep_id", "rep_team", "marketing_qualified_on", "handed_off_on"}),
        ("leads", Moment.STAGE, {"status", "sales_accepted_on", "sales_qualified_on"}),
        ("leads", Moment.CLOSE, {"rejection_reason", "recycled_on", "disqualified_on"}),
        (
            "deals",
            Moment.CREATION,
            {"deal_id", "created_on", "lead_id", "account_id", "product", "channel", "campaign"},
        ),
        (
            "deals",
            Moment.STAGE,
            {"stage", "expected_amount", "expected_close_on", "competitor", "rep_id", "rep_team"},
        ),
        ("deals", Moment.CLOSE, {"outcome", "won_amount", "loss_reason", "closed_on"}),
    ],
)
def test_moments(table: str, moment: Moment, columns: set[str]) -> None:
    assert {column.name for column in TABLES[table].columns if column.moment == moment} == columns


def test_references_and_internal_columns() -> None:
    links = {(t.name, c.name): c.refers for t in TABLES.values() for c in t.columns if c.refers}
    assert links["touches", "material_id"] == "materials" and links["deals", "lead_id"] == "leads"
    assert len(links) == 1 + 2 + 2 + 1 + 4 + 4  # leads, respondents, deals, stage_history, touches, notes
    internal = {(t.name, c.name) for t in TABLES.values() for c in t.columns if c.internal}
    reps = {(name, "rep_id") for name in ("leads", "deals", "stage_history", "touches")}
    assert internal == {("accounts", "name"), ("notes", "text"), *reps}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lead_id", "VARCHAR"),
        ("closed_on", "DATE"),
        ("handed_off_at", "TIMESTAMP"),
        ("won_amount", "DECIMAL(18,2)"),
        ("arm_rate", "DOUBLE"),
        ("n_employees", "BIGINT"),
        ("since_previous_days", "BIGINT"),
        ("change_no", "BIGINT"),
        ("is_integrated", "BOOLEAN"),
        ("channel", "VARCHAR"),
        ("weight", "DOUBLE"),
        ("age", ""),
        ("rate", ""),
    ],
)
def test_names_decide_types(name: str, kind: str) -> None:
    assert KINDS[kind_of(name)] == kind


def test_twins_of_dates_are_known_as_their_dates() -> None:
    deals = TABLES["deals"]
    assert deals.governing("closed_at") is deals.column("closed_on")
    assert deals.governing("outcome") is deals.column("outcome")
    assert deals.governing("repeat") is None and deals.column("closed_at") is None


def test_values_that_the_contract_does_not_allow() -> None:
    frame = pd.DataFrame(
        {
            "outcome": ["won", "signed", None, "open"],
            "loss_reason": ["price", None, "cost", None],
            "won_amount": [-0.01, 0.0, None, 5.0],
            "n_seats": [0, -1, 2, 3],
            "fit_rate": [0.0, 1.0, 1.01, -0.01],
        }
    )
    found = sorted(problems(TABLES["deals"], frame))
    assert [tuple(one)[:3] for one in found] == [
        ("above 1", "fit_rate", [2]),
        ("below 0", "fit_rate", [3]),
        ("below 0", "n_seats", [1]),
        ("below 0", "won_amount", [0]),
        ("missing", "outcome", [2]),
        ("not in list", "loss_reason", [2]),
        ("not in list", "outcome", [1]),
    ]


def test_a_weight_is_above_zero() -> None:
    frame = pd.DataFrame({"respondent_id": ["R1", "R2", "R3"], "weight": [0.0, 0.5, None]})
    assert list(problems(TABLES["respondents"], frame)) == [("not above 0", "weight", [0], "above 0")]


def test_an_empty_table_has_no_problems() -> None:
    frame = pd.DataFrame({"deal_id": [], "outcome": [], "won_amount": []})
    assert list(problems(TABLES["deals"], frame)) == []


def test_only_limited_columns_are_looked_at() -> None:
    columns = ["lead_id", "channel", "status", "created_on", "arm_rate", "job", "n_calls"]
    assert checked(TABLES["leads"], columns) == ["lead_id", "status", "arm_rate", "n_calls"]


def test_the_dictionary_has_a_line_for_every_column() -> None:
    lines = dictionary().splitlines()
    assert [line.removeprefix("### ").strip("`") for line in lines if line.startswith("###")] == list(STATED)
    assert sum(line.startswith("| `") for line in lines) == sum(len(table.columns) for table in TABLES.values())
    assert "| `won_amount` | DECIMAL(18,2) | close |  | the final amount of a won deal. |" in lines
    assert "| `closed_on` | DATE | from the date it holds |  | the day the deal ended. |" in lines
    assert "| `lead_id` | VARCHAR | creation | -> `leads` | the first contact of the deal. |" in lines
    assert next(line for line in lines if line.startswith("| `outcome`")).endswith(
        "One of: won, lost, no_decision, open. |"
    )
