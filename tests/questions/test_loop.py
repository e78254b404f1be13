"""The loop closes: what notebooks say under the personas that 06 refined, and what can move none of it."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.period import store
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.workbench.cells import run_cells, set_in_force
from closedloop.workbench.period import OpenPeriod

from tests import pages
from tests.notebook_steps import now_of
from tests.questions.periods import DRIFTS_IN, NEXT, everyone, run


@pytest.fixture(scope="module")
def described(spring: OpenPeriod, summer: PersonaSet) -> OpenPeriod:
    """02 of the period in which the refined set is in force."""
    return run("02_personas", NEXT, spring.standing)


@pytest.fixture(scope="module")
def ended(spring: OpenPeriod) -> OpenPeriod:
    """05 of the period before it."""
    return run("05_deals", DRIFTS_IN, spring.standing)


def test_the_page_lists_every_edit_of_the_changelog(described: OpenPeriod, summer: PersonaSet) -> None:
    shown = described.step.tables
    assert len(summer.changelog) > 0
    assert shown["history"]["claim_id"].tolist() == [entry.claim_id for entry in reversed(summer.changelog)]
    changed = shown["changes"].set_index("persona")["change"]
    assert (changed["multi-site-sites-over-20"], changed["multi-site"]) == ("split", "adjusted")


def test_a_refined_rule_is_still_held_against_the_segments(
    described: OpenPeriod, summer: PersonaSet, out: Path
) -> None:
    first, claims = set_in_force("harbor", "2024-q1", out), described.claims
    assert summer.rule_error is None
    assert described.step.results["rule_error"] == pytest.approx(first.rule_error, abs=0.06)
    found_again = claims[claims["measure"] == "slsw"].set_index("level")["estimate"]
    assert found_again["multi-site-sites-over-20"] == found_again["multi-site"] > 0.75
    assert claims.query("measure == 'split_kept_share'")["level"].tolist() == ["multi-site-sites-over-20"]


def test_attributes_of_real_wishes_survive_cross_fitting(described: OpenPeriod, summer: PersonaSet) -> None:
    assert described.step.tables["set"]["is_cross_fitted"].all()
    held = described.claims.query("measure == 'share' and verdict == 'supported'")
    assert set(held["subject"]) == set(summer.ids)
    assert not held["field"].isin(["wants_local_support", "wants_mobile"]).any()  # the same for everyone, by the truth


def test_nothing_known_later_moves_a_plan(described: OpenPeriod) -> None:
    assert described.claims["last_period"].max() < NEXT
    assert described.people()["answered_on"].max() < pd.Timestamp(2025, 4, 1)


def test_each_persona_is_called_in_the_order_of_the_list_and_those_drawn_last(out: Path) -> None:
    playbook, _ = pages.document("sales_playbook", "harbor", DRIFTS_IN, out)
    listed = next(piece for piece in playbook.pieces if getattr(piece, "title", "") == "Whom to call next").tables[0]
    file = pd.read_csv(out / "harbor" / DRIFTS_IN / "call-list.csv")
    mine = file[file["persona"] == playbook.dossier.chosen]
    mine = mine.sort_values(
        ["arm", "rank"], ascending=[False, True], key=lambda of: of == "ranked" if of.name == "arm" else of
    )
    wanted = mine.head(10)[["rank", "record_id"]].astype(str).to_numpy().tolist()
    assert [list(row[:2]) for row in listed.rows] == wanted


def test_families_hold_every_comparison_once(described: OpenPeriod, ended: OpenPeriod) -> None:
    for claims in (described.claims, ended.claims):
        assert not claims["claim_id"].duplicated().any()
        compared = claims[claims["family"] != "none"]
        assert (compared["family_size"] == compared.groupby("family")["claim_id"].transform("size")).all()
        assert compared.loc[compared["verdict"] == "supported", "q"].max() <= 0.10
        assert set(claims.loc[claims["family"] == "none", "verdict"]) == {"estimated", "counted"}
        assert (compared["family"] == "who they are").equals(compared["measure"] == "share")


def test_reps_and_regions_do_not_differ(ended: OpenPeriod) -> None:
    claims = ended.claims
    null = claims[claims["field"].isin(["region", "rep_team", "role"])]
    assert len(null) > 8
    assert "rep_id" not in set(claims.loc[claims["measure"] == "win_rate", "field"])
    assert (null["verdict"] != "supported").all()
    assert claims.set_index("measure").loc["rep_spread", "p"] > 0.05


def test_the_planted_reversal_is_flagged(summer: PersonaSet) -> None:
    warehouse = open_warehouse("harbor")
    situation = Situation.looking_back(warehouse, find_period(warehouse.periods, "2025-q3"))
    turned = now_of("05_deals", situation, summer).claims.query("measure == 'win_rate_reversed'")
    assert turned[["field", "level", "within"]].to_numpy().tolist() == [["product", "plan", "site_type"]]
    assert turned["baseline"].item() < 0 < turned["low"].item()


@pytest.mark.real
def test_maven_has_no_score_and_nothing_about_leads_holds(tmp_path: Path) -> None:
    warehouse = open_warehouse("maven")
    situation = Situation.planning(warehouse, find_period(warehouse.periods, "2017-q4"))
    now = now_of("03_leads", situation, everyone("maven"), tmp_path)
    assert now.step.results["score_verdict"] == "no usable signal"
    held = now.claims[now.claims["verdict"] == "supported"]
    assert not held["measure"].str.contains("win_rate|accepted|cost").any()


@pytest.mark.real
def test_a_market_without_dates_has_one_period_and_no_duel(tmp_path: Path) -> None:
    assert [period.name for period in open_warehouse("b2b").periods] == ["all"]
    given = {"market": "b2b", "period": "all", "out": str(tmp_path)}
    refined, ended = (run_cells(store.notebook_path(name), given) for name in ("06_refinement", "05_deals"))
    assert refined.step.results["log_loss"] == "cannot tell"
    totals = ended.claims.query("cell == 'totals'").set_index("measure")["estimate"]
    assert totals.to_dict() == {"n_won": 227, "n_lost": 221, "n_open": 0}
