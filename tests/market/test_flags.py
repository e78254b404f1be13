"""Contradictions: counted with their lines; the rows stay as they are."""

import numpy as np
import pytest
from closedloop.market.definition import Definition
from closedloop.market.staging.ladder import Ladder
from scipy.stats import norm

from .conftest import HEAD, TinyMarket

Files = dict[str, str | bytes]


def climb(definition: Definition) -> Ladder:
    ladder = Ladder(definition)
    ladder.climb()
    return ladder


HISTORY = "deal_id,change_no,entered_on,stage"
LEADS = "lead_id,created_on,channel,campaign\nL1,2024-01-10,web,spring\nL2,2024-01-20,fair,spring"
FLAGS: list[tuple[str, Files, list[tuple[str, str]]]] = [
    (
        "reference",
        {"leads": "lead_id,account_id\nL1,A1\nL2,A9\nL3,", "accounts": "account_id\nA1"},
        [("account_id not found in accounts", "3")],
    ),
    (
        "reference",
        {"leads": LEADS, "notes": "note_id,from_team,kind,lead_id\nN1,sales,pain,L3"},
        [("lead_id not found in leads", "2")],
    ),
    (
        "reference",
        {"deals": "deal_id,outcome\nD1,open", "stage_history": HISTORY + "\nD2,1,2024-01-01,x"},
        [("deal_id not found in deals", "2")],
    ),
    (
        "reference",
        {"touches": "touch_id,lead_id,material_id\nT1,L1,M2", "materials": "material_id,kind\nM1,proof"},
        [("material_id not found in materials", "2")],
    ),
    ("born", {"leads": "lead_id,created_on\nL1,\nL2,2024-01-01"}, [("created_on missing", "2")]),
    ("born", {"respondents": "respondent_id,answered_on\nR1,"}, [("answered_on missing", "2")]),
    (
        "after X",
        {"leads": "lead_id,created_on\nL1,2024-06-30\nL2,2024-07-01"},
        [("created_on after extracted_on", "3")],
    ),
    (
        "after X",
        {"deals": "deal_id,outcome,closed_on\nD1,won,2024-06-30\nD2,won,2024-07-01"},
        [("closed_on after extracted_on", "3")],
    ),
    ("after X", {"touches": "touch_id,touched_on,lead_id\nT1,2025-01-01,L1"}, [("touched_on after extracted_on", "2")]),
    (
        "closed",
        {"deals": "deal_id,created_on,outcome,closed_on\nD1,2024-02-02,won,2024-02-01\nD2,2024-02-02,won,2024-02-02"},
        [("closed before created", "2")],
    ),
    (
        "deal before lead",
        {"leads": LEADS, "deals": "deal_id,created_on,lead_id,outcome\nD1,2024-01-09,L1,open\nD2,2024-01-10,L1,open"},
        [("deal before its lead", "2")],
    ),
    (
        "status dates",
        {"leads": "lead_id,marketing_qualified_on,handed_off_on\nL1,2024-01-05,2024-01-04\nL2,2024-01-05,2024-01-05"},
        [("handed_off_on before marketing_qualified_on", "2")],
    ),
    (
        "status dates",
        {"leads": "lead_id,created_on,marketing_qualified_on,sales_accepted_on\nL1,2024-01-05,,2024-01-04"},
        [("sales_accepted_on before created_on", "2")],
    ),
    (
        "status dates",
        {"leads": "lead_id,sales_accepted_on,sales_qualified_on\nL1,2024-01-05,2024-01-04"},
        [("sales_qualified_on before sales_accepted_on", "2")],
    ),
    (
        "status dates",
        {"leads": "lead_id,handed_off_on,recycled_on\nL1,2024-01-05,2024-01-04"},
        [("recycled_on before handed_off_on", "2")],
    ),
    (
        "status dates",
        {"leads": "lead_id,created_on,disqualified_on\nL1,2024-01-05,2024-01-04"},
        [("disqualified_on before created_on", "2")],
    ),
    (
        "change_no",
        {"stage_history": HISTORY + "\nD1,1,2024-01-01,a\nD1,3,2024-01-02,b\nD2,0,2024-01-01,a\nD3,1,2024-01-01,a"},
        [("change_no not 1..n", "3, 4")],
    ),
    (
        "falling",
        {"stage_history": HISTORY + "\nD1,1,2024-01-05,a\nD1,2,2024-01-04,b\nD1,3,2024-01-05,c"},
        [("dates falling", "3")],
    ),
    (
        "outside life",
        {
            "deals": "deal_id,created_on,outcome,closed_on\nD1,2024-01-02,won,2024-01-09",
            "stage_history": HISTORY + "\nD1,1,2024-01-01,a\nD1,2,2024-01-02,b\nD1,3,2024-01-10,c",
        },
        [("change after its deal's life", "4"), ("change before its deal's life", "2")],
    ),
    (
        "open",
        {"deals": "deal_id,outcome,closed_on\nD1,open,2024-01-01\nD2,lost,\nD3,open,"},
        [("closed without closed_on", "3"), ("open with closed_on", "2")],
    ),
    (
        "no closing day",
        {"deals": "deal_id,created_on,outcome\nD1,2024-01-01,open\nD2,2024-01-01,lost\nD3,2024-01-02,won"},
        [("closed without closed_on", "3, 4")],
    ),
    (
        "no closing day",
        {"deals": "deal_id,outcome\nD1,won", "leads": "lead_id,created_on\nL1,2024-01-01"},
        [("closed without closed_on", "2")],
    ),
    (
        "won_amount",
        {"deals": "deal_id,outcome,won_amount\nD1,lost,5\nD2,won,\nD3,won,5"},
        [("won without won_amount", "3"), ("won_amount without won", "2")],
    ),
    (
        "loss_reason",
        {"deals": "deal_id,outcome,loss_reason\nD1,won,price\nD2,open,price\nD3,lost,price\nD4,no_decision,timing"},
        [("loss_reason on won or open", "2, 3")],
    ),
    (
        "undeclared",
        {"deals": "deal_id,outcome,stage\nD1,open,demo\nD2,open,proposal\nD3,won,demo\nD4,open,"},
        [("open in an undeclared stage", "2")],
    ),
    ("arm", {"leads": "lead_id,experiment,arm\nL1,,a\nL2,e,a\nL3,e,"}, [("arm without experiment", "2")]),
    (
        "spend",
        {"spend": "spend_id,starts_on,ends_on,spent_amount\nS1,2024-01-02,2024-01-01,5\nS2,2024-01-02,2024-01-02,5"},
        [("ends before it starts", "2")],
    ),
    (
        "spelling",
        {"leads": LEADS, "deals": "deal_id,lead_id,outcome,channel\nD1,L1,open,Web\nD2,L2,open,fair\nD3,L9,open,x"},
        [("channel unlike its lead's", "2"), ("lead_id not found in leads", "4")],
    ),
    (
        "spelling",
        {"leads": LEADS, "deals": "deal_id,lead_id,outcome,campaign\nD1,L1,open,summer\nD2,L2,open,"},
        [("campaign unlike its lead's", "2")],
    ),
]


@pytest.mark.parametrize(("files", "flags"), [case[1:] for case in FLAGS], ids=[case[0] for case in FLAGS])
def test_contradictions_are_flagged_and_kept(
    tiny_market: TinyMarket, files: Files, flags: list[tuple[str, str]]
) -> None:
    ladder = climb(tiny_market(files))
    assert {action["action"] for action in ladder.actions} == {"flag"}
    assert sorted((action["reason"], action["lines"]) for action in ladder.actions) == flags
    n_lines = sum(len(str(text).strip().splitlines()) - 1 for text in files.values())
    counts = [ladder.connection.execute(f"select count(*) from {table}").fetchone() for table in files]
    assert sum(count[0] for count in counts if count) == n_lines


def test_an_amount_far_above_all_others_is_flagged_with_its_value_and_line(tiny_market: TinyMarket) -> None:
    amounts = [20_000, 30_000, 40_000, 50_000, 60_000] * 10
    amounts[36] = 1_000_000_000  # 25,000 times 40,000
    rows = [f"D{i},won,2024-01-01,{amount}.00" for i, amount in enumerate(amounts)]
    text = "\n".join(["deal_id,outcome,closed_on,won_amount", *rows])
    actions = [action for action in climb(tiny_market({"deals": text})).actions if "median" in action["reason"]]
    wanted = {"table": "deals", "action": "flag", "column": "won_amount", "n": 1, "file": "deals.csv", "lines": "38"}
    wanted |= {"effect": "means and sums rest on it", "mend": "cents, another currency? Mend it in the source"}
    wanted |= {"reason": "1 of 50 is 20,000 times the median", "values": "'1000000000'", "allowed": ""}
    assert actions == [wanted]


@pytest.mark.parametrize("deviation", [0.5, 1.5, 2.5])
def test_amounts_that_are_uneven_by_nature_are_not_flagged(tiny_market: TinyMarket, deviation: float) -> None:
    """The very amounts that log-normal ones lie at on average, to the most extreme of 400."""
    amounts = np.exp(10 + deviation * norm.ppf((np.arange(400) + 0.5) / 400))
    rows = [f"D{i},won,2024-01-01,{amount:.2f}" for i, amount in enumerate(amounts)]
    text = "\n".join(["deal_id,outcome,closed_on,won_amount", *rows])
    assert not [a for a in climb(tiny_market({"deals": text})).actions if "median" in a["reason"]]


def test_an_outcome_that_is_not_declared_is_flagged(tiny_market: TinyMarket) -> None:
    deals = '\n[deals]\noutcomes = ["won"]\n'
    ladder = climb(tiny_market({"deals": "deal_id,outcome\nD1,won\nD2,lost\nD3,open"}, deals=deals))
    assert [list(action.values())[:9] for action in ladder.actions] == [
        ["deals", "flag", "outcome not declared", "outcome", 1, "'lost'", "won, open", "deals.csv", "3"],
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"leads": "lead_id\nL1", "deals": "deal_id,created_on,lead_id,outcome,channel\nD1,2024-01-01,L1,open,web"},
        {"deals": "deal_id,outcome\nD1,open", "stage_history": HISTORY + "\nD1,1,2024-01-01,a"},
        {"deals": "deal_id,outcome\nD1,won", "leads": "lead_id\nL1"},  # no day of anything is recorded
    ],
)
def test_what_cannot_be_compared_is_not_flagged(tiny_market: TinyMarket, files: Files) -> None:
    assert climb(tiny_market(files)).actions == []


def test_a_market_without_dates_has_no_last_day_to_compare_with(tiny_market: TinyMarket) -> None:
    head = HEAD.partition("clock")[0] + 'clock = "none"\n'
    assert climb(tiny_market({"deals": "deal_id,outcome,closed_on\nD1,won,2099-01-01"}, head=head)).actions == []
