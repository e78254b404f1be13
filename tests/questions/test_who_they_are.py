"""Names, rules in words and facts of personas, against the records counted with plain pandas."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from closedloop import open_document
from closedloop.documents.playbook import SalesPlaybook
from closedloop.market.definition import read_definition
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.presentation.persona_words import words_for
from closedloop.terms import OWN_DOING

EXTENT = {"": (0.9, 1.0), "mostly ": (0.5, 0.9), "more often ": (0.0, 0.5)}


@pytest.fixture(
    scope="module",
    params=[("harbor", "2024-q1"), pytest.param(("bank", "2008-q4"), marks=pytest.mark.real)],
    ids=["harbor", "bank"],
)
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    return *request.param, tmp_path_factory.mktemp(request.param[0])


def playbooks(market: str, period: str, out: Path) -> Iterator[SalesPlaybook]:
    """The sales playbook of every persona."""
    for persona in open_document(market, period, out=out).dossier.choices("persona"):
        yield open_document(market, period, about=persona, out=out)


def leads_of(market: str, period: str, out: Path) -> pd.DataFrame:
    """Leads known before the period with their accounts' fields; the rule, run as SQL, gives each its persona."""
    warehouse = open_warehouse(market)
    leads = warehouse.frame("leads")
    leads = leads[pd.to_datetime(leads["created_on"]) < pd.Timestamp(find_period(warehouse.periods, period).start)]
    if warehouse.has("accounts"):
        leads = leads.merge(warehouse.frame("accounts"), on="account_id", how="left", suffixes=("", "_of_account"))
    rule = open_document(market, period, out=out).dossier.personas.rule
    return duckdb.from_df(leads).project(f"*, {rule.to_sql()} as persona").df()


def described(market: str, page: SalesPlaybook) -> pd.DataFrame:
    """The rows that personas are described by, known before the period, each with its persona by the rule in force."""
    source, day = ("respondents", "answered_on") if market == "harbor" else ("leads", "created_on")
    frame = open_warehouse(market).frame(source)
    frame = frame[pd.to_datetime(frame[day]) < pd.Timestamp(page.dossier.period.start)].reset_index(drop=True)
    return frame.assign(persona=page.dossier.personas.rule.assign(frame))


def test_most_of_them_are_what_the_page_says(planned: tuple[str, str, Path]) -> None:
    leads, told = leads_of(*planned), 0
    market, period, out = planned
    plan = open_document(market, period, out=out).dossier.plan
    for claim in plan.query("measure == 'member_share'").itertuples():
        members = leads[leads["persona"] == claim.subject]
        assert claim.n == len(members)
        assert claim.estimate == pytest.approx((members[claim.field] == claim.level).mean())
        assert claim.baseline == pytest.approx((leads[claim.field] == claim.level).mean())
        told += 1
    assert told > 5
    for page in playbooks(*planned):
        lines = [line.text for line in page.glance().pieces[0].cards[0].lines]  # type: ignore[attr-defined]
        assert max(line.count(" or ") for line in lines) <= 1
        shares = [int(n) for line in lines if "of them" in line for n in re.findall(r"\((\d+)", line)]
        assert all(share >= 50 for share in shares)


def test_a_name_says_no_more_than_its_members_have(planned: tuple[str, str, Path]) -> None:
    """The names made of fields and levels, without those that the team gave."""
    market, period, out = planned
    definition = read_definition(market).model_copy(update={"folder": Path("nowhere")})
    page = open_document(market, period, out=out)
    personas = page.dossier.personas
    frame, names = described(market, page), words_for(definition, personas).names
    for persona in personas.personas:
        values = frame.loc[frame["persona"] == persona.id, persona.field].dropna()
        wanted = values.astype(bool) if persona.level == "true" else values == persona.level
        extent = next(word for word in ("mostly ", "more often ", "") if names[persona.id].lower().startswith(word))
        low, high = EXTENT[extent]
        assert low <= wanted.mean() <= high, names[persona.id]


def test_facts_on_the_glance_hold_for_one_in_twenty_and_are_not_the_rule(planned: tuple[str, str, Path]) -> None:
    market, n_facts, n_ours = planned[0], 0, 0
    for page in playbooks(*planned):
        n_ours += int(
            (page.dossier.attributes["field"].isin(OWN_DOING) & (page.dossier.attributes["effect"] > 0)).sum()
        )
        members = described(market, page).query("persona == @page.dossier.chosen")
        for fact in page.dossier.facts.itertuples():
            has = (
                members[fact.field].fillna(False).astype(bool)
                if fact.level == "yes"
                else members[fact.field] == fact.level
            )
            assert has.sum() >= 0.05 * len(members)
            assert fact.field not in (*page.dossier.personas.rule.fields, *OWN_DOING)
            n_facts += 1
    # so that the loop above has judged some, or has left out what the bank did itself: its telephone lines
    assert n_facts >= 2 if market == "harbor" else n_ours >= 1


def test_brief_and_playbook_tell_the_choice_of_the_table(planned: tuple[str, str, Path]) -> None:
    market, period, out = planned
    table = pd.read_parquet(out / market / period / "tables" / "research.targets.parquet")
    chosen = {name: row for row in table.itertuples() for name in row.personas.split(", ") if name}
    for page in playbooks(*planned):
        persona = page.dossier.chosen
        row = chosen[persona]
        said = f"our choice – {row.choice}: {row.reason}"
        assert said.partition(":")[0] in repr(page.glance()) and said in repr(page.fit())
        brief = open_document(market, period, "campaign_brief", about=persona, out=out)
        assert f"our choice – {row.choice}" in repr(brief.glance())
        assert said[1:] in repr(brief.whom())


@pytest.mark.real
def test_maven_has_no_choice_and_its_quarters_end_is_a_pattern_of_closing(tmp_path: Path) -> None:
    (page,) = playbooks("maven", "2017-q4", tmp_path)
    assert "our choice – cannot tell" in repr(page.glance())
    assert "our choice – cannot tell: there is one market without segments" in repr(page.fit())
    assert "Closed in the last month" not in repr(page.qualification())
    stages = repr(page.stages())
    assert "Closed in the last month of a quarter: yes – won more often: 81" in stages
    assert stages.index("When deals close") < stages.index("Closed in the last month")
