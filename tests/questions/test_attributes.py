"""What personas are, by whom they are described, and who is confused: recounted with plain pandas and SQL."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from closedloop import attributes, recognise, win_rates
from closedloop.errors import ParameterError
from closedloop.market.warehouse import open_warehouse
from closedloop.period.counting import LEAST_SHOWN
from closedloop.personas.lineage import Lineage
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.personas.research import Sample
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.workbench.period import OpenPeriod

from tests.questions.personas import planning

BY_SITES = Rule((Branch((Among("sites", ("1",)),), "single", 1, 1.0),), "several", ("sites",))
TWO = PersonaSet("harbor", "2025-q2", "research", BY_SITES, (Persona("single"), Persona("several")), fields=("sites",))
WISHES = ["wants_speed", "wants_price", "wants_care"]


@pytest.fixture(scope="module")
def now(out: Path) -> OpenPeriod:
    """The bundled market under two personas, told apart by the number of sites alone."""
    return planning("2025-q2", out, TWO)


@pytest.fixture
def asked(out: Path) -> tuple[OpenPeriod, pd.DataFrame]:
    """A hand-made survey: 40 of one site and 60 of several; three in four of the first want speed and price."""
    opened = planning("2025-q2", out, TWO)
    rows = pd.DataFrame({"sites": ["1"] * 40 + ["2-5"] * 60, "answered_on": pd.Timestamp(2025, 1, 10)})
    for wish, (single, several) in zip(WISHES, [(30, 15), (30, 15), (8, 48)], strict=True):
        rows[wish] = ["yes"] * single + ["no"] * (40 - single) + ["yes"] * several + ["no"] * (60 - several)
    opened.lineage = Lineage(opened.situation, Sample("respondents", rows, WISHES, []), None, TWO)
    return opened, rows.assign(persona=TWO.assign(rows))


def test_sizes_and_what_most_are_equal_the_leads_that_the_rule_as_sql_finds(now: OpenPeriod) -> None:
    warehouse = open_warehouse("harbor")
    leads = warehouse.frame("leads")
    leads = leads[pd.to_datetime(leads["created_on"]) < pd.Timestamp(2025, 4, 1)]
    leads = leads.merge(warehouse.frame("accounts"), on="account_id", how="left", suffixes=("", "_of_account"))
    leads = duckdb.from_df(leads).project(f"*, {BY_SITES.to_sql()} as persona").df()
    share = leads["persona"].value_counts(normalize=True)
    told = recognise(now.leads(window=False)).stated
    found = told.query("measure == 'persona_share'").set_index("level")
    assert found["estimate"].to_dict() == pytest.approx(share.to_dict())
    blank = leads.loc[leads["sites"].isna(), "persona"].value_counts()
    unknown = told.query("measure == 'n_unrecognised'").set_index("level")["estimate"]
    assert unknown.to_dict() == blank[blank >= 10].to_dict() and len(unknown) == 1, "all of them get one persona"
    members = told.query("measure == 'member_share'")
    assert len(members) > 2
    for claim in members.itertuples():
        mine = leads[leads["persona"] == claim.subject]
        assert claim.n == len(mine)
        assert claim.estimate == pytest.approx((mine[claim.field] == claim.level).mean())
        assert claim.baseline == pytest.approx((leads[claim.field] == claim.level).mean())


def test_where_no_leads_are_known_the_deals_are_recognised(now: OpenPeriod) -> None:
    every = now.deals(ended=False)
    answer = recognise(pd.DataFrame(), every)
    assert set(answer.stated["source_table"]) == {"deals"}
    share = every["persona"].value_counts(normalize=True)
    found = answer.stated.query("measure == 'persona_share'").set_index("level")["estimate"]
    assert found.to_dict() == pytest.approx(share.to_dict())


def test_only_the_most_common_levels_of_a_field_are_told(now: OpenPeriod) -> None:
    told = recognise(now.leads(window=False), most_levels=1).stated.query("measure == 'member_share'")
    assert told.groupby(["subject", "field"]).size().max() == 1


def test_attributes_compare_each_persona_with_all_others(asked: tuple[OpenPeriod, pd.DataFrame]) -> None:
    answer = attributes(asked[1])
    found = answer.compared.query("subject == 'single'").set_index("field")
    assert sorted(found.index) == sorted(WISHES), "one comparison a question, and none by the field of the rule"
    assert found["n"].tolist() == [40] * 3
    assert found.loc["wants_speed", "baseline"] == pytest.approx(45 / 100)
    assert 45 / 100 < found.loc["wants_speed", "estimate"] <= 30 / 40, "shrunk towards the others"
    assert found.loc["wants_speed", "p"] < 0.001
    assert answer.stated.query("measure == 'n_members'").set_index("subject")["estimate"].to_dict() == {
        "single": 40,
        "several": 60,
    }


def test_a_cell_may_name_the_attributes_and_choose_people(asked: tuple[OpenPeriod, pd.DataFrame]) -> None:
    _, rows = asked
    answer = attributes(rows.assign(is_early=np.arange(100) % 2 == 0), by=["is_early"])
    assert set(answer.compared["field"]) == {"is_early"}
    assert set(attributes(rows, by="wants_care").compared["field"]) == {"wants_care"}, "text is a list of one"
    with pytest.raises(ParameterError, match=r"no such column; allowed: sites, answered_on, wants_speed"):
        attributes(rows, by=["wants_fame"])
    some = attributes(rows, among="people who answered in spring")
    assert set(some.compared["among"]) == set(some.stated["among"]) == {"people who answered in spring"}


def test_a_weighted_survey_is_counted_by_its_weights(asked: tuple[OpenPeriod, pd.DataFrame]) -> None:
    _, rows = asked
    weighted = rows.assign(weight=np.where(np.arange(100) % 2, 9.0, 1.0))
    found = attributes(weighted).compared.query("subject == 'single'").set_index("field")
    for wish in WISHES:
        share = np.average(weighted[wish] == "yes", weights=weighted["weight"])
        assert found.loc[wish, "baseline"] == pytest.approx(share)
    assert (found["n"] == 40).all() and (found["n_effective"] < 30).all()


def test_who_is_alike_and_what_tells_them_apart_best(asked: tuple[OpenPeriod, pd.DataFrame]) -> None:
    """Shares of 75, 75 and 20 % against 25, 25 and 80 %: on average 53 points, and most in the wish for care."""
    answer = attributes(asked[1], measure="likeness")
    told = answer.tables["nearest"].set_index("persona")
    assert told.loc["single"].tolist() == ["several", "wants_care", "yes"]
    assert answer.stated["estimate"].tolist() == pytest.approx([(0.5 + 0.5 + 0.6) / 3] * 2)
    assert answer.stated.set_index("subject")["n"].to_dict() == {"single": 40, "several": 60}


def test_few_have_every_trait(asked: tuple[OpenPeriod, pd.DataFrame]) -> None:
    """The first 30 of one site want speed and price, which are its two traits; of several sites 48 want care.

    A wish that 20 were asked for, who are another half of one site, is no trait: most of them were not asked.
    """
    now, rows = asked
    seldom = rows.assign(wants_fame=["yes"] * 18 + ["no"] * 2 + [None] * 20 + ["no"] * 60)
    attributes(seldom, by=[*WISHES, "wants_fame"])
    answer = attributes(seldom, by=[*WISHES, "wants_fame"], measure="prevalence")
    fewer = attributes(seldom, by=[*WISHES, "wants_fame"], measure="prevalence", majority=0.78)
    none = attributes(seldom, by=[*WISHES, "wants_fame"], measure="prevalence", majority=0.95)
    assert answer.stated.empty, "a trait is a difference that holds, so it waits for the closing"
    now.close()
    fame = now.claims.query("measure == 'share' and field == 'wants_fame' and level == 'yes' and subject == 'single'")
    assert (fame["verdict"] == "supported").all() and len(fame) == 1
    found = answer.stated.set_index(["subject", "measure"])["estimate"]
    assert found["single"].to_dict() == {"n_traits": 2, "n_all": 30, "n_all_but_one": 30}
    assert found["several"].to_dict() == {"n_traits": 1, "n_all": 48, "n_all_but_one": 60}
    assert fewer.stated["subject"].unique().tolist() == ["several"]
    assert none.missing["prevalence"].startswith("No persona has a trait: an attribute that more than 95")
    with pytest.raises(ParameterError, match="measure = 'beauty'; allowed: share, likeness, prevalence"):
        attributes(asked[1], measure="beauty")


def test_what_one_field_of_the_rule_settles_is_no_fact(asked: tuple[OpenPeriod, pd.DataFrame]) -> None:
    _, rows = asked
    answer = attributes(rows.assign(is_alone=rows["sites"] == "1"), by=["is_alone", "wants_care"])
    assert answer.tables["implied"].to_numpy().tolist() == [["is_alone", "no"], ["is_alone", "yes"]]


def test_one_persona_for_everyone_says_so(out: Path) -> None:
    alone = planning("2025-q2", out)
    alone.lineage = Lineage(alone.situation, Sample("none", pd.DataFrame(), [], []), None, alone.personas)
    for measure in ("share", "likeness", "prevalence"):
        why = attributes(alone.people(), measure=measure).missing.values()
        assert "There is one persona for everyone, so nothing sets personas apart." in why
    missing = win_rates(alone.deals(), by="persona").missing
    assert missing == {"comparisons": "There is one persona for everyone, so there is nothing to compare."}


def test_people_of_the_sample_carry_the_persona_of_rules_that_did_not_see_them(out: Path) -> None:
    """The set of the first period is research's own: its segments are those of today, so each row is cross-fitted."""
    from closedloop import open_period

    first = open_period("harbor", "2024-q1", "start", notebook="02_personas", out=out)
    people = first.people()
    assert len(people) == len(first.lineage.sample.rows) > 500
    assert first.lineage.is_cross_fitted
    assert "respondent_id" not in people and people.index.is_unique
    by_rule = first.personas.assign(people)
    agreement = (people["persona"] == by_rule).mean()
    assert 0.85 < agreement < 1, "nearly the rule in force, but not learned from the row itself"
    some = people[people["persona"] == first.personas.ids[0]]
    told = attributes(some, measure="prevalence").stated
    assert told.empty or set(told["among"]) == {f"{len(some)} of {len(people):,} people chosen in a cell"}
    assert (attributes(people).compared["n"] >= LEAST_SHOWN).all()
