"""Several files of one table: pieces that belong together, and one export after the other."""

import json
import random
import shutil
from pathlib import Path

import pytest
from closedloop.errors import DefinitionError, SourceError
from closedloop.market.definition import read_definition
from closedloop.market.staging.checks import told
from closedloop.market.staging.ladder import Ladder
from closedloop.market.staging.written import write as write_import

from tests.onboarding import exports
from tests.onboarding.conftest import answered, climbed
from tests.onboarding.exports import Market

DEALS = "hubspot-crm-exports-all-deals-2026-01-01.csv"
EVERYTHING = "select * exclude (_line, rep_id) from deals order by deal_id"  # codes of sellers have a market's own key


def pieces(path: Path) -> tuple[str, list[str]]:
    head, *rows = path.read_text().split("\n")
    return head, [row for row in rows if row]


def write(path: Path, head: str, rows: list[str]) -> None:
    path.write_text("\n".join([head, *rows, ""]))


def lines_of(ladder: Ladder, name: str = "deals") -> dict[str, int]:
    counts = ladder.raw.counts[name]
    parts = ("n_header", "n_kept", "n_older", "n_blank", "n_aside")
    assert counts["n_lines"] == sum(counts[part] for part in parts)
    return counts


@pytest.fixture
def whole(root: Path, truth: Market) -> tuple[list[tuple], str, list[str]]:
    """The deals that one file gives; the file is gone, its header and rows are here."""
    exports.hubspot(truth, root / "exports")
    answered(root / "exports")
    found = climbed().connection.execute(EVERYTHING).fetchall()
    shutil.rmtree(root / "data/ours")
    head, rows = pieces(root / "exports" / DEALS)
    (root / "exports" / DEALS).unlink()
    return found, head, rows


NAMES = {
    "years": (("deals_2019.csv", "deals_2020.csv", "deals_2021.csv"), "deals_[0-9]*.csv"),
    "regions": (("deals EMEA.csv", "deals Nordics.csv", "deals US.csv"), "deals *.csv"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_pieces_of_a_table_are_read_as_one(root: Path, whole: tuple, kind: str) -> None:
    wanted, head, rows = whole
    names, pattern = NAMES[kind]
    for place, name in enumerate(names):
        write(root / "exports" / name, head, rows[place::3])
    answered(root / "exports")
    source = read_definition("ours").sources["deals"]
    assert (source.files, source.key, Path(source.path).name) == ("all", "Record ID", pattern)
    ladder = climbed()
    assert ladder.connection.execute(EVERYTHING).fetchall() == wanted
    counts = lines_of(ladder)
    assert (counts["n_header"], counts["n_kept"], counts["n_older"]) == (3, len(rows), 0)


def test_of_a_record_in_several_files_the_last_ones_row_counts(root: Path, whole: tuple) -> None:
    wanted, head, rows = whole
    draft = [row.replace('"Discovery"', '"Evaluation"').replace('"Closed Won"', '"Proposal"') for row in rows]
    write(root / "exports/deals 2025-12.csv", head, draft[:1500])
    write(root / "exports/deals 2026-01.csv", head, rows[1400:])
    write(root / "exports/deals 2026-02.csv", head, rows[:1450])
    answered(root / "exports")
    ladder = climbed()
    assert ladder.connection.execute(EVERYTHING).fetchall() == wanted
    assert lines_of(ladder)["n_older"] == 1500 + 50
    left_out = [told(action) for action in ladder.actions if "later file" in action["reason"]]
    assert [line.partition("; ")[0] for line in left_out] == [
        "left out, 1,550 times: raw.deals a later file has the record, by its Record ID"
    ]


def test_of_exports_of_everything_the_last_by_name_is_read(root: Path, whole: tuple) -> None:
    wanted, head, rows = whole
    notes: list[str] = []
    write(root / "exports/deals-9.csv", head, rows[:2200])
    write(root / "exports/deals-10.csv", head, rows)
    answered(root / "exports", note=notes.append)
    source = read_definition("ours").sources["deals"]
    assert (source.files, source.key, Path(source.path).name) == ("last", "", "deals-[0-9]*.csv")
    assert "deals-9.csv to deals-10.csv: 2 exports of the same deals; the last by name is read" in notes
    assert climbed().connection.execute(EVERYTHING).fetchall() == wanted


def test_of_days_in_names_the_last_is_the_newest_next_year_too(root: Path, whole: tuple) -> None:
    wanted, head, rows = whole
    write(root / "exports/deals_30-11-2024.csv", head, rows[200:])
    write(root / "exports/deals_01-12-2024.csv", head, rows[100:])
    answered(root / "exports")
    write(root / "exports/deals_02-01-2025.csv", head, rows)
    assert climbed().connection.execute(EVERYTHING).fetchall() == wanted


def test_days_in_names_that_can_be_read_in_two_ways_are_told(root: Path, whole: tuple) -> None:
    _, head, rows = whole
    notes: list[str] = []
    for name in ("deals_05-09-2024.csv", "deals_04-10-2024.csv"):
        write(root / "exports" / name, head, rows)
    answered(root / "exports", note=notes.append)
    assert any("two ways; by number deals_05-09-2024.csv is taken as the newest" in note for note in notes)
    said = [told(action) for action in climbed().actions]
    assert any("names can be read in two ways: deals_05-09-2024.csv is taken as the newest" in line for line in said)


def test_a_finding_names_the_file_and_the_line_in_it(root: Path, whole: tuple) -> None:
    _, head, rows = whole
    names = head.split(",")
    write(root / "exports/deals_1.csv", head, rows[:1200])
    write(root / "exports/deals_2.csv", head, rows[1200:])
    answered(root / "exports")
    spoiled = rows[1200].split('","')
    spoiled[[name.strip('"') for name in names].index("Amount")] = "much"
    write(root / "exports/deals_2.csv", head, ['","'.join(spoiled), "one cell", *rows[1202:]])
    ladder = climbed()
    said = [told(action) for action in ladder.actions if action["table"] == "raw.deals"]
    assert any("deals_[0-9]*.csv, line 2 of deals_2.csv" in line and "'much'" in line for line in said), said
    assert any("set aside, 1 time" in line and "line 3 of deals_2.csv" in line for line in said), said
    write_import(ladder, root / "import")
    aside = [json.loads(line) for line in (root / "import/rejected/raw.deals.jsonl").read_text().splitlines()]
    assert [(one["file"], one["line"]) for one in aside] == [("deals_2.csv", 3)]
    lines_of(ladder)


def test_a_column_that_some_files_lack_is_empty_there_and_told(root: Path, whole: tuple) -> None:
    _, head, rows = whole
    write(root / "exports/deals_1.csv", head, rows[:1200])
    write(root / "exports/deals_2.csv", head, rows[1200:])
    answered(root / "exports")
    write(root / "exports/deals_1.csv", head.replace("Competitor", "Rival"), rows[:1200])
    ladder = climbed()
    said = {action["column"]: action["reason"] for action in ladder.actions if "missing in" in action["reason"]}
    assert said == {"Competitor": "is missing in 1 of 2 files", "Rival": "is missing in 1 of 2 files"}
    query = 'select count("Competitor") from raw.deals where line < 1201'
    assert ladder.connection.execute(query).fetchone() == (0,)


def test_what_cannot_be_joined_is_refused(root: Path, whole: tuple) -> None:
    _, head, rows = whole
    for part, own in (("1", rows[:1200]), ("2", rows[1200:])):
        write(root / f"exports/deals_{part}.csv", head, own)
    answered(root / "exports")
    write(root / "exports/deals_1.csv", head.replace("Record ID", "Number"), rows[:1200])
    with pytest.raises(
        SourceError, match=r"deals_1\.csv: key = 'Record ID' is no column of it; key, \[sources\.deals\]"
    ):
        climbed()
    place = root / "data/ours/market.toml"
    place.write_text(place.read_text().replace('files = "all"\n', ""))
    with pytest.raises(DefinitionError, match='files = "all" goes with a path, and key with files = "all"'):
        climbed()


def test_eight_weekly_exports_give_what_the_last_one_gives(root: Path, truth: Market) -> None:
    exports.hubspot(truth, root / "exports")
    answered(root / "exports")
    head, rows = pieces(root / "exports" / DEALS)
    reps, rng = dict[str, str](), random.Random(8)
    for week in range(2, 10):
        rows = [row.replace("Negotiation", "Closed Won") if rng.random() < 0.05 else row for row in rows[week:]]
        rows.append(f'"9000{week}",{rows[0].partition(",")[2].replace("Owner", f"Aaron {week}")}')
        rng.shuffle(rows)
        write(root / "exports" / DEALS.replace("01-01", f"01-{week:02d}"), head, rows)
        ladder = climbed()
        found = dict(ladder.connection.execute("select deal_id, rep_id from deals").fetchall())
        assert {deal: rep for deal, rep in found.items() if deal in reps} == {k: reps[k] for k in reps if k in found}
        reps |= found
    wanted = ladder.connection.execute("select * exclude (_line) from deals order by deal_id").fetchall()
    for path in (root / "exports").glob(DEALS.replace("01-01", "01-0[1-8]")):
        path.unlink()
    alone = climbed().connection.execute("select * exclude (_line) from deals order by deal_id").fetchall()
    assert alone == wanted and len(set(reps.values())) > 8
