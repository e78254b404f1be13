"""What columns are called, and what they hold: a header alone settles nothing that its values deny."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop.market.definition import read_definition
from closedloop.onboarding.asking import summary
from closedloop.onboarding.look import Look
from closedloop.onboarding.moments import are_people
from closedloop.onboarding.recognise import meanings, recognise
from closedloop.validation.checking import WARNING, check

from tests.onboarding.conftest import answered, begun, climbed
from tests.onboarding.test_odd_exports import HEAD, deals, put, rows


def test_deals_without_a_closing_day_are_told_by_both_commands(root: Path) -> None:
    put(root / "exports", rows(), [*HEAD[:3], "Day X", HEAD[4]])
    found = answered(root / "exports")
    assert "the day a deal was closed (without it every deal counts as open)" in summary("ours", found)
    checked = check("ours", lambda _: None)
    assert checked.exit_code == WARNING
    assert "60 of 60 deals that ended have no closing day" in checked.text
    assert "flag, 60 times: deals closed without closed_on" in checked.text


def test_what_is_lost_by_a_missing_day_is_told_as_it_is(root: Path) -> None:
    put(root / "exports", rows(), [*HEAD[:2], "Day X", *HEAD[3:]])
    told = summary("ours", answered(root / "exports"))
    assert "the day a deal was created (how long deals take is not told)" in told
    assert "was closed" not in told


@pytest.mark.parametrize("written", ["2024-05-{:02d}", "{:02d}.05.2024", "05/{:02d}/2024 09:30"])
def test_a_column_called_like_a_flag_may_hold_days(root: Path, written: str) -> None:
    """Of a status beside it, and of a deal that is open, which has none."""
    words = {"Closed Won": "Won", "Closed Lost": "Lost"}
    lines = [[row[0], words.get(row[1], "Open"), row[2], "", row[4]] for row in rows()]
    for i, line in enumerate(lines):
        line[3] = written.format(1 + i % 28) if line[1] != "Open" else ""
    put(root / "exports", lines, ["Deal ID", "Status", "Created", "Closed", "Amount"])
    answered(root / "exports")
    assert deals("count(closed_on), min(closed_on)::varchar") == [(60, "2024-05-01")]


def test_days_of_winning_and_losing_are_no_flags(root: Path) -> None:
    lines = [
        [row[0], row[2], "2024-05-01" if i % 4 == 0 else "", "2024-06-01" if i % 4 == 1 else ""]
        for i, row in enumerate(rows())
    ]
    put(root / "exports", [[*line, ["Won", "Lost", "Open", "Open"][i % 4]] for i, line in enumerate(lines)],
        ["Deal ID", "Created", "Won", "Lost", "Status"])  # fmt: skip
    answered(root / "exports")
    ends = climbed().connection.execute("select distinct outcome, closed_on::varchar from deals order by 1").fetchall()
    assert ends == [("lost", "2024-06-01"), ("open", None), ("won", "2024-05-01")]


def test_when_a_record_was_deleted_is_no_flag() -> None:
    texts = {
        "Deal ID": ["1", "2"],
        "Status": ["Won", "Lost"],
        "Created": ["2024-01-02"] * 2,
        "Deleted": ["2024-03-01", None],
    }
    found = recognise(Look(Path("deals.csv"), "deals", {}, texts))
    assert found is not None and "is_deleted" not in found.columns


def test_a_flag_of_what_was_lost_is_no_day() -> None:
    texts = {"Deal ID": ["1", "2"], "Status": ["Won", "Lost"], "Created": ["2024-01-02"] * 2, "Lost": ["no", "yes"]}
    found = recognise(Look(Path("deals.csv"), "deals", {}, texts))
    assert found is not None and "lost_on" not in found.columns


SELLERS = [
    "Account Executive",
    "Assigned To",
    "Sales Rep",
    "sales_agent",
    "Verkäufer",
    "Betreuer",
    "Responsible",
    "BDR",
]
PEOPLE = ["Anna Müller", "Darcel Schlecht", "Moses Frase", "Jo Ng", "Dr. Eva-Maria van Dyk"]


@pytest.mark.parametrize("header", [*SELLERS, "Consultant", "Zuständiger Mitarbeiter für Deal"])
def test_who_sells_is_a_code_and_no_field(root: Path, header: str) -> None:
    put(
        root / "exports",
        rows(600, **{header: PEOPLE, "Branch": list("ABCABCB")}),
        [*HEAD, header, "Branch"],
    )
    answered(root / "exports")
    assert deals("count(distinct rep_id), bool_and(rep_id like 'c-%')") == [(5, True)]
    assert read_definition("ours").fields == {"deals": {"creation": ("branch",)}}


def test_whether_a_consultant_was_there_is_a_field(root: Path) -> None:
    put(root / "exports", rows(600, Consultant=["yes", "no", "no", "yes", "no"]), [*HEAD, "Consultant"])
    answered(root / "exports")
    assert read_definition("ours").fields == {"deals": {"creation": ("consultant",)}}


def test_where_who_sells_belongs_to_is_a_field(root: Path) -> None:
    put(root / "exports", rows(600, area=["North", "South", "South", "East", "North"]), [*HEAD, "Sales Rep Region"])
    answered(root / "exports")
    assert read_definition("ours").fields == {"deals": {"creation": ("sales_rep_region",)}}


def test_others_who_sell_are_left_out(root: Path) -> None:
    put(root / "exports", rows(600, **dict.fromkeys(SELLERS, PEOPLE)), [*HEAD, *SELLERS])
    answered(root / "exports")
    assert read_definition("ours").fields == {}
    assert (root / "data/ours/market.toml").read_text().count(": may tell of a person") == len(SELLERS) - 1


def test_names_of_people_are_asked_about_whatever_their_column_is_called(root: Path) -> None:
    put(root / "exports", rows(600, Closer=PEOPLE), [*HEAD, "Closer"])
    found = answered(root / "exports")
    (row,) = [row for row in found.answers["known"].rows if row["column"] == "Closer"]
    assert (row["known"], row["why"]) == ("", "its values look like names of people")
    assert read_definition("ours").fields == {}


@pytest.mark.parametrize(
    "values",
    [
        [
            "New York",
            "San Francisco",
            "Los Angeles",
            "Santa Clara",
            "Frankfurt am Main",
            "St. Gallen",
            "Virginia Beach",
        ],
        ["Bad Homburg", "San Jose", "Kansas City", "Jackson Hole", "Paris", "Port Louis", "Den Haag", "Santa Rosa"],
        ["Real Estate", "Financial Services", "Food Service", "Health Care", "Public Sector", "Maschinen und Anlagen"],
        ["GTX Plus Basic", "MG Special", "Max Pro", "Max Plus", "Carl Zeiss Lens"],
        ["Paid Search", "Organic Search", "Trade Show", "Word of Mouth", "Direct Mail"],
        ["United States", "Costa Rica", "San Marino", "Great Britain", "New Zealand"],
        ["Chief Executive", "Vice President", "Head of Sales", "Managing Director"],
    ],
)
def test_categories_of_two_words_are_no_people(values: list[str]) -> None:
    assert not are_people(pd.Series(values))


@pytest.mark.parametrize(
    "values", [PEOPLE, ["Müller, Anna", "Weiß, Jörg", "Öztürk, Kai"], ["ANN FOX", "ROY MILLS", "SAM LEE"]]
)
def test_people_are_known_by_their_first_names(values: list[str]) -> None:
    assert are_people(pd.Series([*values, None]))


GERMAN = {
    "alle-deals.csv": ("deals", {
        "deal_id": "Datensatz-ID", "stage": "Deal-Phase", "created_on": "Erstellungsdatum",
        "close_on": "Abschlussdatum",
        "rep": "Zuständiger Mitarbeiter für Deal", "amount": "Betrag", "pipeline": "Pipeline",
        "channel": "Ursprüngliche Quelle", "loss_reason": "Grund für verlorenen Deal",
    }),
    "alle-kontakte.csv": ("leads", {
        "lead_id": "Kontakt-ID", "created_on": "Erstellungsdatum", "channel": "Ursprüngliche Quelle",
        "status": "Lifecycle-Phase", "rep": "Zuständiger Mitarbeiter für Kontakt",
    }),
    "alle-unternehmen.csv": ("accounts", {"account_id": "Datensatz-ID", "created_on": "Erstellungsdatum"}),
}  # fmt: skip


@pytest.mark.parametrize("name", GERMAN)
def test_german_headers_of_hubspot_are_recognised(name: str) -> None:
    table, columns = GERMAN[name]
    found = recognise(Look(Path(name), "x", {}, {column: [] for column in [*columns.values(), "Name"]}))
    assert found is not None
    assert (found.table, found.columns) == (table, columns)
    assert found.system == "HubSpot" or table != "deals"


def test_german_stages_of_hubspot_end_deals_for_sure(root: Path) -> None:
    names = {"Closed Won": "Abgeschlossen und gewonnen", "Closed Lost": "Abgeschlossen und verloren"}
    lines = [[row[0], names.get(row[1], "Termin geplant"), *row[2:]] for row in rows()]
    head = ["Datensatz-ID", "Deal-Phase", "Erstellungsdatum", "Abschlussdatum", "Betrag"]
    put(root / "exports", lines, head, "alle-deals.csv")
    begun(root / "exports")
    ends = climbed().connection.execute("select outcome, count(*), count(closed_on) from deals group by 1 order by 1")
    assert ends.fetchall() == [("lost", 30, 30), ("open", 60, 0), ("won", 30, 30)]


def test_what_a_system_puts_before_names_is_no_label(root: Path) -> None:
    head = [f"Deal - {name}" for name in ("ID", "Status", "Deal created", "Won time", "Lost time", "Value", "Branch")]
    lines = [[str(i), ["Won", "Lost", "Open"][i % 3], row[2], *[row[3] if i % 3 == n else "" for n in (0, 1)], row[4],
              "ABCABCB"[i % 7]] for i, row in enumerate(rows(600))]  # fmt: skip
    put(root / "exports", lines, head)
    answered(root / "exports")
    assert read_definition("ours").labels == {"branch": "branch"}


def test_how_many_records_are_marked_deleted_is_told(root: Path) -> None:
    for n, said in ((120, "all of them marked deleted and left out"), (40, "40 of them marked deleted and left out")):
        put(root / "exports", [[*row, str(i < n).lower()] for i, row in enumerate(rows())], [*HEAD, "Is Deleted"])
        assert f"deals.csv: deals, 120 records, {said}" in summary("ours", answered(root / "exports", f"own-{n}"))


@pytest.mark.parametrize(
    ("word", "meant"), [("marketingqualifiedlead", "marketing_qualified"), ("salesqualifiedlead", "sales_qualified")]
)
def test_statuses_of_hubspot_are_known(word: str, meant: str) -> None:
    assert meanings("statuses")[word] == meant
