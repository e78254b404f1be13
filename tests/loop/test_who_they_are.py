"""Names, rules in words and facts of personas, against the records counted with plain pandas."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from closedloop import notebook
from closedloop.documents.persona_names import words_for
from closedloop.loop import turn
from closedloop.market.definition import read_definition
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse

EXTENT = {"": (0.9, 1.0), "mostly ": (0.5, 0.9), "more often ": (0.0, 0.5)}


@pytest.fixture(
    scope="module",
    params=[("harbor", "2024-q1"), pytest.param(("bank", "2008-q4"), marks=pytest.mark.real)],
    ids=["harbor", "bank"],
)
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    market, period = request.param
    out = tmp_path_factory.mktemp(market)
    turn.plan(market, period, out)
    return market, period, out


def playbooks(market: str, period: str, out: Path) -> Iterator[notebook.Run]:
    """The sales playbook of every persona."""
    first = notebook.open_run("sales_playbook", market, period, out)
    assert first.dossier is not None
    for persona in first.dossier.choices("persona"):
        yield notebook.open_run("sales_playbook", market, period, out, persona=persona)


def leads_of(market: str, period: str, out: Path) -> pd.DataFrame:
    """Leads known before the period with their accounts' fields; the rule, run as SQL, gives each its persona."""
    warehouse = open_warehouse(market)
    leads = warehouse.frame("leads")
    leads = leads[pd.to_datetime(leads["created_on"]) < pd.Timestamp(find_period(warehouse.periods, period).start)]
    if warehouse.has("accounts"):
        leads = leads.merge(warehouse.frame("accounts"), on="account_id", how="left", suffixes=("", "_of_account"))
    rule = notebook.open_run("sales_playbook", market, period, out).personas.rule
    return duckdb.from_df(leads).project(f"*, {rule.to_sql()} as persona").df()


def described(market: str, run: notebook.Run) -> pd.DataFrame:
    """The rows that personas are described by, known before the period, each with its persona by the rule in force."""
    source, day = ("respondents", "answered_on") if market == "harbor" else ("leads", "created_on")
    frame = open_warehouse(market).frame(source)
    frame = frame[pd.to_datetime(frame[day]) < pd.Timestamp(run.period.start)].reset_index(drop=True)
    return frame.assign(persona=run.personas.rule.assign(frame))


def test_most_of_them_are_what_the_page_says(planned: tuple[str, str, Path]) -> None:
    market, period, out = planned
    leads, told = leads_of(*planned), 0
    plan = pd.read_parquet(out / market / period / "claims-plan.parquet").query("measure == 'member_share'")
    for claim in plan.itertuples():
        members = leads[leads["persona"] == claim.subject]
        assert claim.n == len(members)
        assert claim.estimate == pytest.approx((members[claim.field] == claim.level).mean())
        assert claim.baseline == pytest.approx((leads[claim.field] == claim.level).mean())
        told += 1
    assert told > 5
    for run in playbooks(*planned):
        lines = [line.text for line in run.show("glance").pieces[0].cards[0].lines]  # type: ignore[attr-defined]
        assert max(line.count(" or ") for line in lines) <= 1
        shares = [int(n) for line in lines if "of them" in line for n in re.findall(r"\((\d+)", line)]
        assert all(share >= 50 for share in shares)


def test_a_name_says_no_more_than_its_members_have(planned: tuple[str, str, Path]) -> None:
    """The names made of fields and levels, without those that the team gave."""
    market, period, out = planned
    definition = read_definition(market).model_copy(update={"folder": Path("nowhere")})
    run = notebook.open_run("sales_playbook", market, period, out)
    frame, names = described(market, run), words_for(definition, run.personas).names
    for persona in run.personas.personas:
        values = frame.loc[frame["persona"] == persona.id, persona.field].dropna()
        wanted = values.astype(bool) if persona.level == "true" else values == persona.level
        extent = next(word for word in ("mostly ", "more often ", "") if names[persona.id].lower().startswith(word))
        low, high = EXTENT[extent]
        assert low <= wanted.mean() <= high, names[persona.id]


def test_facts_on_the_glance_hold_for_one_in_twenty_and_are_not_the_rule(planned: tuple[str, str, Path]) -> None:
    market, n_facts = planned[0], 0
    for run in playbooks(*planned):
        assert run.dossier is not None
        members = described(market, run).query("persona == @run.dossier.chosen")
        for fact in run.dossier.facts.itertuples():
            has = (
                members[fact.field].fillna(False).astype(bool)
                if fact.level == "yes"
                else members[fact.field] == fact.level
            )
            assert has.sum() >= 0.05 * len(members)
            assert fact.field not in run.personas.rule.fields
            n_facts += 1
    assert n_facts > 1


def test_brief_and_playbook_tell_the_choice_of_the_table(planned: tuple[str, str, Path]) -> None:
    market, period, out = planned
    table = pd.read_parquet(out / market / period / "tables" / "research.targets.parquet")
    chosen = {name: row for row in table.itertuples() for name in row.personas.split(", ") if name}
    for run in playbooks(*planned):
        persona = run.chosen["persona"]
        found = notebook.open_run("campaign_brief", market, period, out, persona=persona)
        row = chosen[persona]
        said = f"our choice – {row.choice}: {row.reason}"
        assert said in repr(run.show("glance"))
        for shown in (found.bottom_line(), found.show("whom")):
            assert said.capitalize()[:12] in repr(shown)
            assert row.reason in repr(shown)


@pytest.mark.real
def test_maven_has_no_choice_and_its_quarters_end_is_a_pattern_of_closing(tmp_path: Path) -> None:
    (run,) = playbooks("maven", "2017-q4", tmp_path)
    assert "our choice – cannot tell: there is one market without segments" in repr(run.show("glance"))
    assert "Closed in the last month" not in repr(run.show("qualification"))
    stages = repr(run.show("stages"))
    assert "Closed in the last month of a quarter: yes – won more often: 81" in stages
    assert stages.index("When deals close") < stages.index("Closed in the last month")
