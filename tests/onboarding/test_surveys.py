"""Answers as survey tools write them: codes with labels and without, and cells that list what was ticked."""

import json
from pathlib import Path

import pytest
from closedloop.errors import ParameterError
from closedloop.market.definition import Definition, read_definition
from closedloop.onboarding.asking import summary
from closedloop.onboarding.onboard import Onboarded, answers_of

from tests.onboarding.conftest import begun, climbed

ASKED = {"ResponseId": "Response ID", "RecordedDate": "Recorded Date", "Progress": "Progress", "Finished": "Finished",
         "Q1": "How large is your firm?", "Q2_1": "Which tools? - Selected Choice - Sheets",
         "Q2_2": "Which tools? - Selected Choice - Paper"}  # fmt: skip
SIZES = ["small", "middle", "large"]


def put(path: Path, rows: list[list[str]]) -> None:
    path.write_text("\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows) + "\n")


def qualtrics(root: Path, firm: str, *, text: bool = False) -> None:
    """An export with codes or texts of answers; ``firm``: how the first question is put."""
    asked = ASKED | {"Q1": firm}
    rows = [
        [f"R_{i}", f"2024-03-{1 + i % 28:02d} 20:00:00", "100" if i % 9 else "50", "True" if text else "1",
         SIZES[i % 3] if text else str(1 + i % 3), "1" if i % 2 else "", "1" if i % 4 else ""]
        for i in range(90)
    ]  # fmt: skip
    ids = [
        json.dumps({"ImportId": name} | ({"timeZone": "America/Denver"} if "Date" in name else {})) for name in asked
    ]
    put(root / "exports/survey.csv", [list(asked), list(asked.values()), ids, *rows])


def sizes() -> dict[str, int]:
    query = "select q1, count(*)::int from respondents group by 1 order by 1"
    return dict(climbed().connection.execute(query).fetchall())


def read() -> Definition:
    read_definition.cache_clear()
    return read_definition("ours")


TOLD = "How large?\n1 = small, 2 = middle, 3 = large"


@pytest.mark.parametrize("told", ["beside the question", "in a file", "as texts"])
def test_labels_that_an_export_has_are_used(root: Path, told: str) -> None:
    qualtrics(root, TOLD if told == "beside the question" else ASKED["Q1"], text=told == "as texts")
    if told == "in a file":
        lines = [[question, str(code), size] for question in ("Q1", "Q9") for code, size in enumerate(SIZES, 1)]
        put(root / "exports/survey labels.csv", [["Question", "Value", "Label"], *lines])
    found = begun(root / "exports")
    assert sizes() == dict.fromkeys(sorted(SIZES), 30)
    definition = read()
    assert definition.fields["respondents"]["research"] == ("q1",)
    assert definition.label("q1") == (TOLD.replace("\n", " ") if told == "beside the question" else ASKED["Q1"])
    assert definition.items == {"q2_1": ASKED["Q2_1"], "q2_2": ASKED["Q2_2"]}
    assert "not used" not in summary("ours", found)
    day = "select min(answered_on)::varchar from respondents"  # eight in the evening in Denver is the next day here
    assert climbed().connection.execute(day).fetchone() == ("2024-03-02",)


def test_codes_without_labels_are_asked_and_told(root: Path) -> None:
    qualtrics(root, ASKED["Q1"])
    with pytest.raises(ParameterError, match="1 answers are not sure"):
        begun(root / "exports")
    given = answers_of(Path("ours-answers.toml"))
    assert given["values"] == [
        {"table": "respondents", "column": "Q1", "written": "1, 2, 3", "n": 90, "meaning": ""}
    ]  # fmt: skip
    begun(root / "exports", market="coded", answers=given)
    text = (root / "data/coded/market.toml").read_text()
    assert "# Q1: answers are codes without labels" in text
    given["values"][0]["meaning"] = "small to large"
    with pytest.raises(ParameterError, match="Q1 = 'small to large'; allowed: 1 = small, 2 = large"):
        begun(root / "exports", answers=given)
    given["values"][0]["meaning"] = "1 = small, 2 = middle, 3 = large"
    begun(root / "exports", answers=given)
    assert sizes() == dict.fromkeys(sorted(SIZES), 30)


def forms(root: Path, cells: list[str], asked: str = "Which tools do you use?") -> Onboarded:
    rows = [[f"2024/03/{1 + i % 28:02d} 10:05:40 PM GMT+1", "4", cells[i % len(cells)]] for i in range(120)]
    put(root / "exports/answers.csv", [["Timestamp", "How easy is it?", asked], *rows])
    return begun(root / "exports")


@pytest.mark.parametrize("mark", [", ", ";", "; "])
def test_a_cell_that_lists_options_is_a_yes_or_no_for_each(root: Path, mark: str) -> None:
    ticked = [["Sheets"], ["Sheets", "Paper"], ["Paper", "Pete's tool"], ["None of these"], [],
              ["Sheets", "Paper", "Pete's tool"]]  # fmt: skip
    forms(root, [mark.join(own) + (";" if mark == ";" and own else "") for own in ticked])
    definition = read()
    which = "Which tools do you use?"
    assert {name: label for name, label in definition.items.items() if label.startswith(which)} == {
        "is_sheets": f"{which}: Sheets", "is_paper": f"{which}: Paper", "is_pete_s_tool": f"{which}: Pete's tool",
        "is_none_of_these": f"{which}: None of these"
    }  # fmt: skip
    query = "select sum(is_sheets::int)::int, sum(is_pete_s_tool::int)::int, count(is_paper) from respondents"
    assert climbed().connection.execute(query).fetchone() == (60, 40, 100)


@pytest.mark.parametrize(
    "cells",
    [
        ["Berlin, Germany", "Bonn, Germany", "Lyon, France", "Nice, France"],
        ["Yes, daily", "Yes, weekly", "No"],
        [f"I like it, since {i} of us use it, mostly" for i in range(60)],
    ],
    ids=["places", "answers with commas", "free answers"],
)
def test_a_comma_alone_makes_no_list(root: Path, cells: list[str]) -> None:
    forms(root, cells)
    assert not [name for name in read().items if name.startswith("is_")]


def test_columns_that_are_no_questions_are_told_with_their_reasons(root: Path) -> None:
    head = ["Timestamp", "Email address", "How easy is it?", "Which region?", "What else?", "Who sells to you?"]
    people = ["Anna Roy", "Peter Mills", "Maria van Dam"]
    rows = [[f"2024/03/{1 + i % 28:02d} 10:05:40 PM GMT+1", f"p{i}@example.com", str(1 + i % 5), "NS"[i % 2],
             f"remark {i}", people[i % 3]] for i in range(60)]  # fmt: skip
    put(root / "exports/answers.csv", [head, *rows])
    begun(root / "exports")
    told = [
        line for line in (root / "data/ours/market.toml").read_text().split("\n") if line.startswith("# respondents")
    ]
    assert told == [
        "# respondents, Email address: may tell of a person",
        "# respondents, What else?: 60 values; 12 at most are compared",
        "# respondents, Who sells to you?: may tell of a person",
    ]


def test_a_survey_beside_deals_is_of_no_crm_system(root: Path) -> None:
    head = ["Record ID", "Deal Stage", "Create Date", "Close Date", "Amount", "Deal owner"]
    deals = [[f"{i}", ["Closed Won", "Closed Lost"][i % 2], f"2024-03-{1 + i % 28:02d}", "2024-05-01", "5.00", "A"]
             for i in range(60)]  # fmt: skip
    put(root / "exports/deals.csv", [head, *deals])
    found = forms(root, ["Sheets", "Paper"])
    told = summary("ours", found)
    assert "deals.csv: deals, 60 records, from HubSpot" in told
    assert "answers.csv: respondents, 120 records\n" in told
