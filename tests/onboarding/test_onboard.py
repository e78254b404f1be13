"""From exports to a market: what three systems write is read as the truth, with answers only."""

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop.errors import ParameterError, SourceError
from closedloop.market.definition import read_definition
from closedloop.market.staging.ladder import Ladder
from closedloop.onboarding.asking import summary
from closedloop.onboarding.look import Look
from closedloop.onboarding.recognise import recognise

from tests.onboarding import exports
from tests.onboarding.conftest import answered, begun, climbed
from tests.onboarding.exports import GERMANY, PLAIN, Habits, Market

KEYS = {
    "salesforce": lambda code: str(code)[8:15].lstrip("0"),
    "hubspot": lambda code: f"D{str(code)[1:]}",
    "pipedrive": lambda code: f"D{code}",
}


def table(ladder: Ladder, name: str, key: str, code: Any) -> pd.DataFrame:
    frame = ladder.connection.execute(f"select * exclude (_line) from {name}").df().astype(object)
    frame = frame.where(frame.notna(), None)
    return frame.set_index(frame[key].map(code)).sort_index()


DEALS = ["created_on", "closed_on", "outcome", "won_amount", "loss_reason", "product", "competitor"]


@pytest.mark.parametrize("habits", [PLAIN, GERMANY], ids=["plain", "germany"])
@pytest.mark.parametrize("system", ["salesforce", "hubspot", "pipedrive"])
def test_an_export_is_read_as_the_truth(root: Path, truth: Market, system: str, habits: Habits) -> None:
    getattr(exports, system)(truth, root / "exports", habits)
    found = answered(root / "exports")
    assert {one.system.casefold() for one in found.exports} == {system}
    assert 1 <= sum(bool(question.rows) for question in found.answers.values()) <= 5
    ladder = climbed()
    deals = table(ladder, "deals", "deal_id", KEYS[system])
    wanted = truth.deals.set_index("deal_id").sort_index()
    assert list(deals.index) == list(wanted.index)
    if system == "pipedrive":  # it knows won and lost
        wanted = wanted.assign(outcome=wanted["outcome"].replace("no_decision", "lost"))
    for column in DEALS:
        same = [str(a)[:10] == str(b)[:10] for a, b in zip(deals[column], wanted[column], strict=True)]
        assert all(same), column
    is_open = (wanted["outcome"] == "open").to_numpy()
    stages = [str(stage).lower() for stage in deals["stage"][is_open]]
    assert stages == list(wanted["stage"][is_open])
    accounts = ladder.connection.execute("select * from accounts").df()
    assert sorted(accounts["site_type"]) == sorted(truth.accounts["site_type"])
    links = ladder.connection.execute("select count(*) from deals join accounts using (account_id)").fetchone()
    assert links == (int(wanted["account_id"].notna().sum()),)
    if system != "pipedrive":
        leads = ladder.connection.execute("select count(*) from deals join leads using (lead_id)").fetchone()
        assert leads == (int(wanted["lead_id"].notna().sum()),)


def test_fields_are_those_that_can_be_shown_and_no_forecast(root: Path, truth: Market) -> None:
    exports.salesforce(truth, root / "exports")
    answered(root / "exports")
    definition = read_definition("ours")
    names = [name for moments in definition.fields.values() for names in moments.values() for name in names]
    of_accounts = ["automation", "integrated", "number_of_sites", "region", "site_type", "throughput"]
    assert sorted(names) == sorted([*of_accounts, "job_function", "first_sales_touch"])
    text = (root / "data/ours/market.toml").read_text()
    for kept_out in ("Probability (%)", "Forecast Category", "Last Activity", "Implementation Contact Set"):
        assert f'"{kept_out}" =' not in text


def test_what_is_not_sure_is_asked_and_nothing_is_written(root: Path, truth: Market) -> None:
    exports.hubspot(truth, root / "exports")
    with pytest.raises(ParameterError, match=r"2 answers are not sure; ours-answers\.toml"):
        begun(root / "exports")
    assert not (root / "data/ours").exists()
    written = tomllib.loads(Path("ours-answers.toml").read_text())
    assert [row["keep"] for row in written["deals"]] == [True, False]
    assert "@example.com" not in Path("ours-answers.toml").read_text()
    written["deals"][1]["keep"] = True
    begun(root / "exports", answers=written)
    assert climbed().connection.execute("select count(*) from deals").fetchone() == (2395 + 40,)


def test_nothing_of_the_exports_is_copied_and_git_sees_definitions_only(root: Path, truth: Market) -> None:
    exports.hubspot(truth, root / "exports")
    found = answered(root / "exports")
    assert {path.suffix or path.name for path in found.files} == {".sql", ".toml", ".csv", ".gitignore", "key"}
    texts = "".join(path.read_text() for path in found.files)
    assert "@example.com" not in texts and "Owner H" not in texts and "D0001" not in texts
    ignored = (root / "data/ours/.gitignore").read_text().split("\n")
    assert ignored[1:5] == ["*", "!.gitignore", "!market.toml", "!*.sql"] and "key" not in "".join(ignored[5:])
    assert "hubspot-crm-exports-all-deals-2026-01-01.csv: deals, 2,435 records, from HubSpot" in summary("ours", found)


def test_the_next_export_is_found_by_its_name_and_nobody_is_renumbered(root: Path, truth: Market) -> None:
    exports.hubspot(truth, root / "exports")
    answered(root / "exports")
    reps = "select deal_id, rep_id from deals order by deal_id"
    before = climbed().connection.execute(reps).fetchall()
    path = root / "exports/hubspot-crm-exports-all-deals-2026-01-01.csv"
    head, *rows = path.read_text().split("\n")
    more = rows[0].replace("50001", "59999").replace("Owner H", "Aaron A")
    path.with_name(path.name.replace("01-01", "01-08")).write_text("\n".join([head, more, *reversed(rows[:-1]), ""]))
    after = climbed().connection.execute(reps).fetchall()
    assert len(after) == len(before) + 1
    assert set(before) < set(after)


def test_a_stage_that_appears_later_is_open_and_told(root: Path, truth: Market) -> None:
    exports.hubspot(truth, root / "exports")
    answered(root / "exports")
    path = root / "exports/hubspot-crm-exports-all-deals-2026-01-01.csv"
    path.write_text(path.read_text().replace('"Negotiation"', '"Legal review"'))
    ladder = climbed()
    n_there = path.read_text().count('"Legal review"')
    query = "select count(*) from deals where outcome = 'open' and stage = 'Legal review'"
    assert ladder.connection.execute(query).fetchone() == (n_there,)
    told = {action["reason"]: action["n"] for action in ladder.actions}
    assert told["no meaning in values.csv"] == n_there == told["open in an undeclared stage"]
    values = root / "data/ours/values.csv"
    values.write_text(values.read_text() + "deals,outcome,Legal review,won,0\n")
    won = climbed().connection.execute("select count(*), count(won_amount) from deals where outcome = 'won'").fetchone()
    assert won == (n_there + int((truth.deals["outcome"] == "won").sum()),) * 2


def test_a_deals_file_alone_and_a_survey_alone(root: Path, truth: Market) -> None:
    exports.pipedrive(truth, root / "exports")
    answered(root / "exports/deals-1234567-1.csv")
    assert list(climbed().columns) == ["deals"]
    survey = root / "exports/survey.csv"
    rows = [
        f"{i},03/{1 + i % 28:02d}/2024,{'Web' if i % 2 else ''},{'Phone' if i % 3 else ''},since" for i in range(90)
    ]
    head = ["Respondent ID,End Date,Which do you use?,,Why?", ",,Web,Phone,Open-Ended Response"]
    survey.write_text("\n".join([*head, *rows, ""]))
    begun(survey, market="asked")
    definition = read_definition("asked")
    assert definition.sources["survey"].header_lines == 2
    assert list(definition.items.values()) == ["Which do you use?: Web", "Which do you use?: Phone"]
    asked = climbed("asked")
    web, phone = definition.items
    found = asked.connection.execute(f"select count(*), sum({web}::int), sum({phone}::int) from respondents").fetchone()
    assert found == (90, 45, 60)
    assert asked.actions == []


def test_advertising_with_a_title_and_totals(root: Path, truth: Market) -> None:
    exports.pipedrive(truth, root / "exports")
    rows = [f'"2024-0{1 + i % 6}-01","Spring {i % 3}","EUR","{1000 + i}.50"' for i in range(24)]
    total = sum(1000 + i + 0.5 for i in range(24))
    lines = [
        "Campaign report",
        "All time",
        "Day,Campaign,Currency code,Cost",
        *rows,
        f"Total: Account,,EUR,{total:.2f}",
    ]
    (root / "exports/google_ads_campaigns.csv").write_text("\n".join([*lines, ""]))
    answered(root / "exports")
    ladder = climbed()
    found = ladder.connection.execute("select count(*), sum(spent_amount)::varchar from spend").fetchone()
    assert found == (24, f"{total:.2f}")


@pytest.mark.parametrize("written", ["2024-{:02d}", "{:02d}/2024", "{:02d}.2024"])
def test_money_of_a_month_is_spread_over_its_days(root: Path, truth: Market, written: str) -> None:
    exports.pipedrive(truth, root / "exports")
    rows = [f"{written.format(1 + i % 12)},Spring {i // 12},{100 + i}" for i in range(24)]
    (root / "exports/ad_spend.csv").write_text("\n".join(["Month,Campaign,Cost", *rows, ""]))
    answered(root / "exports")
    ladder = climbed()
    query = "select starts_on::varchar, ends_on::varchar, spent_amount::int from spend order by spend_id limit 2"
    assert ladder.connection.execute(query).fetchall() == [
        ("2024-01-01", "2024-01-31", 100), ("2024-02-01", "2024-02-29", 101)
    ]  # fmt: skip
    assert not [action for action in ladder.actions if action["table"] in ("spend", "raw.spend")]


def test_what_is_no_export_is_refused(root: Path) -> None:
    (root / "exports/notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"neither deals nor a survey is recognised; found notes\.csv \(a, b\)"):
        begun(root / "exports")
    with pytest.raises(ParameterError, match="does not exist; allowed: a file or a folder of exports"):
        begun(root / "nowhere")
    (root / "data/ours").mkdir()
    with pytest.raises(ParameterError, match=r"exists at .*; choose another name"):
        begun(root / "exports")


SAMPLES = {
    "sf_opportunity_data": ("deals", "account_id,amount,close_date,created_date,id,is_closed,is_won,stage_name,type"),
    "sf_account_data": ("accounts", "annual_revenue,billing_country,id,industry,is_deleted,master_record_id,name,type"),
    "sf_lead_data": ("leads", "id,created_date,lead_source,status,converted_opportunity_id,owner_id,company"),
    "deal_data": ("deals", "deal_id,deal_pipeline_id,deal_pipeline_stage_id,property_amount,property_createdate"),
}


@pytest.mark.parametrize(("name", "sample"), SAMPLES.items())
def test_columns_of_the_published_samples_are_recognised(name: str, sample: tuple[str, str]) -> None:
    """The names that two systems give their tables, as loaded into databases."""
    wanted, columns = sample
    found = recognise(Look(Path(f"{name}.csv"), name, {}, {column: [] for column in columns.split(",")}))
    assert found is not None and found.table == wanted
