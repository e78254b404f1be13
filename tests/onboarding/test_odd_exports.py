"""Small exports with habits of their own: what one file does not settle is asked, and no value becomes another one."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest
from closedloop.errors import ParameterError, SourceError
from closedloop.market.definition import read_definition
from closedloop.onboarding.onboard import answers_of
from closedloop.onboarding.question import ORDER

from tests.onboarding.conftest import USUAL, answered, begun, climbed

STAGES = ["Closed Won", "Closed Lost", "Proposal", "Negotiation"]
HEAD = ["Deal ID", "Stage", "Created Date", "Close Date", "Amount"]


def rows(n: int = 120, **more: Any) -> list[list[str]]:
    """Deals of four stages in turn; ``more``: columns by name, values in turn."""
    found = []
    for i in range(n):
        plain = [
            f"D{i}",
            STAGES[i % 4],
            f"2024-{1 + i % 9:02d}-{1 + i % 27:02d}",
            f"2024-{2 + i % 9:02d}-{1 + i % 27:02d}",
            f"{1000 + i}.50",
        ]
        found.append([*plain, *(values[i % len(values)] for values in more.values())])
    return found


def put(place: Path, lines: list[list[str]], head: list[str], name: str = "deals.csv", mark: str = ",") -> None:
    text = "\n".join(mark.join(f'"{cell}"' for cell in line) for line in [head, *lines])
    (place / name).write_text(text + "\n")


def deals(query: str = "count(*)") -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = climbed().connection.execute(f"select {query} from deals").fetchall()
    return found


def test_amounts_that_can_all_be_read_in_two_ways_are_asked(root: Path) -> None:
    put(root / "exports", [[*row[:4], f"{1 + i}.000"] for i, row in enumerate(rows())], HEAD)
    with pytest.raises(ParameterError, match="1 answers are not sure"):
        begun(root / "exports")
    given = answers_of(Path("ours-answers.toml"))
    (asked,) = [row for row in given["dates"] if row["setting"] == "decimal"]
    asked["value"] = ","
    begun(root / "exports", answers=given)
    assert deals("max(expected_amount)::varchar") == [("120000.00",)]


def test_coordinates_do_not_tell_how_money_is_written(root: Path) -> None:
    lines = [[*row[:4], f"{1 + i}.{500 + i},00", f"52.{100 + i}"] for i, row in enumerate(rows())]
    put(root / "exports", lines, [*HEAD, "Latitude"])
    begun(root / "exports")
    assert deals("min(expected_amount)::varchar, count(expected_amount)") == [("1500.00", 120)]


@pytest.mark.parametrize(
    ("words", "n_open", "is_asked"),
    [
        (["Won - signed", "Dead", "Proposal", "Talks"], 60, True),
        (["7. WON", "8. LOST", "Proposal", "Talks"], 60, False),
        (["Fertig", "Aus", "Proposal", "Talks"], 120, True),
    ],
)
def test_words_that_nobody_knows_are_open_for_sure_only_beside_known_ends(
    root: Path, words: list[str], n_open: int, is_asked: bool
) -> None:
    put(root / "exports", [[row[0], words[i % 4], *row[2:]] for i, row in enumerate(rows())], HEAD)
    if is_asked:
        with pytest.raises(ParameterError, match="are not sure"):
            begun(root / "exports")
        begun(root / "exports", answers=answers_of(Path("ours-answers.toml")))
    else:
        begun(root / "exports")
    assert deals("count(*) filter (where outcome = 'open')") == [(n_open,)]


def test_only_won_deals_with_a_stage_beside_their_status(root: Path) -> None:
    put(root / "exports", [[row[0], "Negotiation", *row[2:], "Won"] for row in rows()], [*HEAD, "Status"])
    begun(root / "exports")
    assert deals("count(*) filter (where outcome = 'won')") == [(120,)]


def test_flags_alone_tell_how_a_deal_ended(root: Path) -> None:
    lines = [[row[0], *row[2:], str(i % 4 == 0), str(i % 4 < 2)] for i, row in enumerate(rows())]
    put(root / "exports", lines, [HEAD[0], *HEAD[2:], "Won", "Closed"])
    begun(root / "exports")
    assert deals(
        "count(*) filter (where outcome = 'won'), count(*) filter (where outcome = 'lost'), count(won_amount)"
    ) == [(30, 30, 30)]


def test_a_report_without_ids_numbers_its_records(root: Path) -> None:
    put(root / "exports", [row[1:] for row in rows()], HEAD[1:])
    begun(root / "exports")
    assert deals("count(distinct deal_id)") == [(120,)]


def test_midnight_in_another_zone_is_a_day(root: Path) -> None:
    lines = [[*row[:2], f"{row[2]}T09:30:00.000Z", f"{row[3]}T00:00:00.000Z", row[4]] for row in rows()]
    put(root / "exports", lines, HEAD)
    begun(root / "exports", timezone="America/New_York")
    assert deals("min(closed_on)::varchar, min(created_on)::varchar") == [("2024-02-01", "2024-01-01")]


def test_a_deal_that_was_opened_again_ended_when_it_ended_at_last(root: Path) -> None:
    lines = [[*row[:2], row[2], "", row[4], "2024-05-01", "2024-06-01"] for row in rows()]
    entered = ['Date entered "Closed Won (Sales)"', 'Date entered "Closed Lost (Sales)"']
    put(root / "exports", lines, [*HEAD, *(name.replace('"', '""') for name in entered)])
    begun(root / "exports")
    assert deals("distinct outcome, closed_on::varchar order by 1".replace("order by 1", "")) is not None
    found = climbed().connection.execute("select distinct outcome, closed_on::varchar from deals order by 1").fetchall()
    assert found == [("lost", "2024-06-01"), ("open", None), ("won", "2024-05-01")]


def test_pipelines_that_share_a_stages_name_keep_their_own_days(root: Path) -> None:
    """A deal that was moved has days in the columns of both pipelines."""
    days = ["2024-01-05", "2024-03-07", "2024-04-01", "2024-05-01"]
    lines = [[*row[:3], "", row[4], ["Direct", "Partners"][i // 4 % 2], *days] for i, row in enumerate(rows())]
    entered = [
        f'Date entered ""{stage} ({own})""' for stage in ("Proposal", "Closed Won") for own in ("Direct", "Partners")
    ]
    put(root / "exports", lines, [*HEAD, "Pipeline", *entered])
    answered(root / "exports")
    query = "select distinct pipeline, entered_on::varchar from stage_history join deals using (deal_id) order by 1"
    assert climbed().connection.execute(query).fetchall() == [("Direct", days[0]), ("Partners", days[1])]
    ends = "select distinct pipeline, closed_on::varchar from deals where outcome = 'won' order by 1"
    assert climbed().connection.execute(ends).fetchall() == [("Direct", days[2]), ("Partners", days[3])]


def test_what_no_file_settles_is_asked(root: Path) -> None:
    put(root / "exports", rows(), HEAD)
    with pytest.raises(ParameterError, match="3 answers are not sure"):
        begun(root / "exports", timezone="", usual=[ORDER])
    given = answers_of(Path("ours-answers.toml"))
    asked = {row["setting"]: row for row in given["dates"]}
    assert {name: row["value"] for name, row in asked.items()} == {
        "currency": "EUR",
        "timezone": "UTC",
        "year_starts": 1,
    }
    asked["currency"]["value"] = "dollars"
    with pytest.raises(ParameterError, match=r"currency = 'dollars'; allowed: .*a currency"):
        begun(root / "exports", answers=given, timezone="")
    for name, value in {"currency": "USD", "timezone": "America/New_York", "year_starts": 7}.items():
        asked[name]["value"] = value
    begun(root / "exports", answers=given, timezone="", usual=[ORDER])
    found = read_definition("ours")
    assert found.periods is not None
    assert (found.currency, found.timezone, found.periods.year_starts) == ("USD", "America/New_York", 7)


@pytest.mark.parametrize("told", ["by a column", "by a sign", "by the header", "by a person"])
def test_a_currency_that_is_told_is_not_asked(root: Path, told: str) -> None:
    lines = [[*row, "GBP"] if told == "by a column" else [*row[:4], f"£{row[4]}"] if told == "by a sign" else row
             for row in rows()]  # fmt: skip
    head = [*HEAD[:4], "Amount (GBP)"] if told == "by the header" else HEAD
    put(root / "exports", lines, [*head, "Currency"] if told == "by a column" else head)
    currency = "GBP" if told == "by a person" else ""
    found = begun(root / "exports", currency=currency, usual=[ORDER, "year_starts"])
    assert [row["setting"] for row in found.answers["dates"].rows] == ["year_starts"]
    assert read_definition("ours").currency == "GBP"


@pytest.mark.parametrize(("zone", "n_asked"), [("", 1), ("Z", 0)])
def test_where_times_were_written_is_asked_unless_they_say_it(root: Path, zone: str, n_asked: int) -> None:
    put(root / "exports", [[*row[:2], f"{row[2]} 09:30:00{zone}", *row[3:]] for row in rows()], HEAD)
    answered(root / "exports")
    asked = answers_of(Path("ours-answers.toml")) if n_asked else {}
    assert sum(row["setting"] == "timezone" for row in asked.get("dates", ())) == n_asked
    assert Path("ours-answers.toml").exists() == bool(n_asked)


def test_an_order_of_stages_that_no_history_shows_is_asked(root: Path) -> None:
    put(root / "exports", rows(), HEAD)
    with pytest.raises(ParameterError, match="2 answers are not sure"):
        begun(root / "exports", usual=USUAL - {ORDER})
    given = answers_of(Path("ours-answers.toml"))
    places = {row["written"]: row for row in given["values"] if row["column"] == ORDER}
    assert {stage: row["meaning"] for stage, row in places.items()} == {"Negotiation": "1", "Proposal": "2"}
    assert Path("ours-answers.toml").read_text().count("[[values]]  # please check") == 2
    places["Proposal"]["meaning"], places["Negotiation"]["meaning"] = 1, "second"
    with pytest.raises(ParameterError, match="order of stages = 'second'; allowed: 1, 2, 3"):
        begun(root / "exports", answers=given)
    places["Negotiation"]["meaning"] = 2
    begun(root / "exports", answers=given, usual=USUAL - {ORDER})
    assert read_definition("ours").deals.stages == ("Proposal", "Negotiation")  # type: ignore[union-attr]
    assert ORDER not in (root / "data/ours/values.csv").read_text()


def test_days_of_stages_show_their_order_however_columns_stand(root: Path) -> None:
    lines = [[*row, "2024-03-01" if i % 3 else "", "2024-02-01", "2024-01-01"] for i, row in enumerate(rows())]
    entered = [f'Date entered ""{stage}""' for stage in ("Negotiation", "Proposal", "Discovery")]
    put(root / "exports", lines, [*HEAD, *entered])
    begun(root / "exports", usual=USUAL - {ORDER})
    stages = read_definition("ours").deals.stages  # type: ignore[union-attr]
    assert stages == ("Discovery", "Proposal", "Negotiation")


def test_changes_of_other_fields_are_no_stages(root: Path) -> None:
    put(root / "exports", rows(), HEAD)
    changes = []
    for i in range(120):
        changes += [[f"D{i}", "2024-01-02", "Stage", "Proposal"], [f"D{i}", "2024-01-03", "Amount", f"{i}00"]]
        changes += [[f"D{i}", "2024-01-04", "Stage", "Negotiation"]]
        changes += [[f"D{i}", f"2024-02-0{1 + n}", "Stage", STAGES[i % 4]] for n in range(2) if i % 4 < 2]
    put(
        root / "exports",
        changes,
        ["Opportunity ID", "Edit Date", "Field / Event", "New Value"],
        "OpportunityHistory.csv",
    )
    begun(root / "exports")
    assert read_definition("ours").deals.stages == ("Proposal", "Negotiation")  # type: ignore[union-attr]
    ladder = climbed()
    stages = ladder.connection.execute("select distinct stage from stage_history order by 1").fetchall()
    assert stages == [("Negotiation",), ("Proposal",)]
    ends = ladder.connection.execute("select distinct closed_on::varchar from deals where outcome <> 'open'").fetchall()
    assert ends == [("2024-02-01",)]  # it was edited on the next day


def test_names_of_columns_and_what_they_hold_need_not_fit(root: Path) -> None:
    values = {
        "Is Partner": ["Unknown", "Yes", "No", "Yes", "No"],
        "Budget Amount": [f"band {i}" for i in range(17)],
        "Größe": [f"Größe {i}" for i in range(11)],
        "Outcome": ["A", "B", "C", "D", "E", "F", "G"],
        "Add On": [f"module {i}" for i in range(13)],
    }
    put(root / "exports", rows(240, **values), [*HEAD, *values])
    answered(root / "exports")
    names = {name for names in read_definition("ours").fields.get("deals", {}).values() for name in names}
    assert {"partner_value", "budget_amount_value", "grösse", "outcome_value", "add_on_value"} <= names
    assert deals() == [(240,)]


def test_a_region_called_na_is_a_region(root: Path) -> None:
    put(root / "exports", rows(240, region=["NA", "EMEA", "APAC"]), [*HEAD, "Region"])
    answered(root / "exports")
    assert deals("count(*) filter (where region = 'NA')") == [(80,)]


def test_a_column_that_nearly_tells_the_end_is_asked(root: Path) -> None:
    lines = [[*row, "Done" if i % 4 == 0 else "Not started"] for i, row in enumerate(rows(240))]
    put(root / "exports", lines, [*HEAD, "Onboarding"])
    with pytest.raises(ParameterError, match="1 answers are not sure"):
        begun(root / "exports")
    assert 'column = "Onboarding"\nknown = ""' in Path("ours-answers.toml").read_text()


def test_a_form_an_empty_file_and_titles_in_a_workbook(root: Path) -> None:
    forms = [["2024/03/26 10:05:40 PM GMT+1", "4", "Yes"] for _ in range(30)]
    put(root / "exports", forms, ["Timestamp", "How easy is it?", "Do you use it daily?"], "answers.csv")
    (root / "exports/empty.csv").write_text("")
    book = openpyxl.Workbook()
    for line in [["Open pipeline"], [], HEAD, *rows()]:
        book.active.append(line)
    book.save(root / "exports/deals.xlsx")
    notes: list[str] = []
    begun(root / "exports", note=notes.append)
    assert any(note.startswith("left out: empty.csv is empty") for note in notes)
    assert read_definition("ours").sources["deals"].skip_lines == 2
    ladder = climbed()
    assert ladder.connection.execute("select count(*), min(answered_on)::varchar from respondents").fetchone() == (
        30,
        "2024-03-26",
    )
    assert deals() == [(120,)]


def test_spend_in_another_currency_and_its_sum_are_not_added(root: Path) -> None:
    put(root / "exports", rows(), HEAD)
    lines = [[f"2024-02-{1 + i:02d}", "Spring", "10.00"] for i in range(20)] + [["2024-02-01", "", "200.00"]]
    put(root / "exports", lines, ["Day", "Campaign name", "Amount spent (USD)"], "meta_ads.csv")
    begun(root / "exports", currency="EUR")
    (root / "data/ours/rates.csv").write_text("currency,month,rate\nUSD,2024-02,0.5\n")
    ladder = climbed()
    assert ladder.connection.execute("select count(*), sum(spent_amount)::varchar from spend").fetchone() == (
        20,
        "100.00",
    )
    assert [action["n"] for action in ladder.actions if action["table"] == "spend"] == [1]


@pytest.mark.parametrize(
    ("key", "row", "says"),
    [
        ("values", {"meaning": "Win"}, "meaning = 'Win'; allowed:"),
        ("deals", {"keep": "maybe"}, "keep = 'maybe'; allowed: true, false"),
        ("deals", {"value": "Gone", "keep": True}, "has no row 'Type, Gone'"),
    ],
)
def test_answers_that_mean_nothing_are_refused(root: Path, key: str, row: dict[str, Any], says: str) -> None:
    put(root / "exports", rows(type=["New", "Renewal"]), [*HEAD, "Type"])
    with pytest.raises(ParameterError, match="are not sure"):
        begun(root / "exports")
    given = answers_of(Path("ours-answers.toml"))
    given[key][0] |= row
    with pytest.raises(ParameterError, match=says):
        begun(root / "exports", answers=given)
    assert not (root / "data/ours").exists()


def test_a_time_zone_that_does_not_exist_is_refused_before_anything_is_asked(root: Path) -> None:
    put(root / "exports", rows(), HEAD)
    with pytest.raises(ParameterError, match="--timezone: time zone 'Mars/Phobos' does not exist"):
        begun(root / "exports", timezone="Mars/Phobos")
    assert list((root / "data").iterdir()) == []


def test_a_won_deal_brings_its_actual_revenue_and_a_currency_may_have_its_name(root: Path) -> None:
    dates, money = ["Created On", "Actual Close Date"], ["Est. Revenue", "Actual Revenue", "Currency"]
    head, lines = ["(Do Not Modify) Opportunity", "Status", *dates, *money], []
    for i in range(120):
        ended, day = ["Won", "Lost", "Open"][i % 3], f"2024-{1 + i % 9:02d}-{1 + i % 27:02d}"
        paid = {"Won": "$900.00", "Lost": "$0.00", "Open": ""}[ended]
        currency = ["US Dollar", "Euro"][i % 12 == 0]
        lines.append([f"D{i}", ended, day, day if ended != "Open" else "", "1,000.00", paid, currency])
    put(root / "exports", lines, head)
    with pytest.raises(ParameterError, match="answers are not sure"):
        begun(root / "exports")
    given = answers_of(Path("ours-answers.toml"))
    assert [(row["currency"], row["amounts"]) for row in given["currency"]] == [
        ("US Dollar", "as they are"),
        ("Euro", "rates.csv"),
    ]
    begun(root / "exports", answers=given)
    (root / "data" / "ours" / "rates.csv").write_text(
        "currency,month,rate\n" + "".join(f"EUR,2024-{month:02d},2\n" for month in range(1, 10))
    )
    assert deals("sum(won_amount)::varchar, sum(expected_amount)::varchar") == [("45000.00", "130000.00")]


def test_deals_without_amounts_keep_their_reasons(root: Path) -> None:
    lines = [[*row[:4], "Price"] for row in rows()]
    put(root / "exports", lines, [*HEAD[:4], "Loss Reason"])
    begun(root / "exports")
    assert deals("count(loss_reason)") == [(30,)]


@pytest.mark.parametrize("column", ["Stage", "Status", "Won"])
def test_deals_that_say_nothing_of_their_end_are_refused(root: Path, column: str) -> None:
    put(root / "exports", [[row[0], "", *row[2:]] for row in rows()], [HEAD[0], column, *HEAD[2:]])
    with pytest.raises(
        SourceError, match=rf"deals\.csv: no stage or status says how deals end; .* 120 rows: {column}\."
    ):
        begun(root / "exports")


def test_a_file_without_rows_is_refused(root: Path) -> None:
    put(root / "exports", [], HEAD)
    with pytest.raises(SourceError, match=r"no rows stand below the header of deals\.csv \(Deal ID, Stage, "):
        begun(root / "exports")


def test_of_several_files_those_without_rows_are_left_out_and_told(root: Path) -> None:
    put(root / "exports", rows(), HEAD)
    put(root / "exports", [], ["Contact ID", "Create Date", "Lifecycle Stage"], "contacts.csv")
    notes: list[str] = []
    assert [one.table for one in begun(root / "exports", note=notes.append).exports] == ["deals"]
    assert "left out: contacts.csv has no rows below its header" in notes


def test_amounts_of_lost_deals_are_converted_by_the_day_on_which_they_were_lost(root: Path) -> None:
    """A system that has a column for each end leaves the other one blank."""
    head = ["Deal - ID", "Deal - Status", "Deal - Deal created", "Deal - Won time", "Deal - Lost time", "Deal - Value"]
    lines = []
    for i in range(120):
        ended, day = ["Won", "Lost", "Open"][i % 3], f"2024-{2 + i % 9:02d}-11 09:15:00"
        days = [day if ended == "Won" else "", day if ended == "Lost" else ""]
        lines.append([str(i), ended, "2024-01-05 09:15:00", *days, "1000.00", ["EUR", "USD"][i % 4 == 0]])
    put(root / "exports", lines, [*head, "Deal - Currency of Value"])
    answered(root / "exports")
    (root / "data/ours/rates.csv").write_text(
        "currency,month,rate\n"
        + "".join(f"USD,2024-{month:02d},{0.5 if month == 1 else 2}\n" for month in range(1, 12))
    )
    n_usd = "count(*) filter (where outcome = '{}' and expected_amount = {})"
    assert deals("count(expected_amount), " + ", ".join(
        n_usd.format(*one) for one in (("won", 2000), ("lost", 2000), ("open", 500))
    )) == [(120, 10, 10, 10)]  # fmt: skip


def test_a_line_break_in_a_name_of_the_header_makes_no_record_of_it(root: Path) -> None:
    put(root / "exports", rows(), [HEAD[0], HEAD[1], "Created\nDate", "Closed\nDate", "Amount\n(EUR)"])
    begun(root / "exports", usual=USUAL)
    assert deals("count(*), count(created_on), count(closed_on), count(won_amount)") == [(120, 120, 60, 30)]


def test_titles_above_a_header_with_line_breaks_are_left_out(root: Path) -> None:
    put(root / "exports", rows(), [HEAD[0], HEAD[1], "Created\nDate", "Close\nDate", "Amount"])
    path = root / "exports/deals.csv"
    path.write_text('"Deals of\nthis year"\nof "ours\n\n' + path.read_text())
    begun(root / "exports")
    assert deals("count(*), count(created_on), count(closed_on)") == [(120, 120, 60)]
