"""02 personas run as it is shipped: what its cells leave for the documents, the batch and the next notebooks."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop.period import store
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

NOTEBOOK = store.notebook_path("02_personas")
TABLES = {"rules", "held", "set", "implied", "nearest", "whom", "changes", "history", "texts", "materials"}
SHOWN_BY_DOCUMENTS = {
    "persona_share": "personas",
    "member_share": "rules",
    "share": "attributes",
    "promised_win_rate": "personas",
    "n_pain": "buying",
    "n_objection": "objections why",
    "n_loss_topic": "why",
    "weighed_share": "buying",
    "met_in_won_share": "buying",
    "stage_late_days": "stages",
    "won_touches": "cadence",
    "n_sales_rejection": "feedback",
    "n_met": "met",
    "met_share": "met",
    "loss_reason_share": "why",
    "n_texts": "verified",
}


@pytest.fixture(scope="module")
def now(out: Path) -> OpenPeriod:
    """The second period of the bundled market."""
    return run_cells(NOTEBOOK, {"market": "harbor", "period": "2024-q2", "out": str(out)})


def test_the_batch_finds_personas_and_competitors_to_make_documents_of(now: OpenPeriod) -> None:
    results = now.step.results
    assert results["personas"] == now.personas.ids
    assert results["competitors"] == ["rival-anchor", "rival-beacon", "rival-compass", "no_decision"]
    assert results["n_personas"] == len(now.personas.ids)


def test_documents_find_every_table_and_figure_where_they_look(now: OpenPeriod) -> None:
    assert set(now.step.tables) == TABLES
    cells = now.claims.groupby("measure")["cell"].agg(set)
    for measure, cell in SHOWN_BY_DOCUMENTS.items():
        assert cells[measure] == set(cell.split()), measure
    assert set(now.claims["notebook"]) == {"02_personas"}


def test_who_they_are_and_how_they_end_are_two_families(now: OpenPeriod) -> None:
    compared = now.claims[now.claims["family"] != "none"].groupby("measure")["family"].agg(set).to_dict()
    assert compared == {"share": {"who they are"}, "win_rate": {"how they end"}, "recorded_share": {"recording"}}
    assert (now.claims.query("family == 'how they end'")["family_size"] == len(now.personas.ids)).all()
    assert now.claims.query("measure == 'win_rate' and family == 'how they end'")["field"].eq("persona").all()


def test_the_file_holds_what_the_notebook_found(now: OpenPeriod) -> None:
    read = store.read_claims(now.folder, "02_personas")
    pd.testing.assert_frame_equal(read, now.claims.reset_index(drop=True))
    assert store.read_tables(now.folder, "02_personas").results["personas"] == now.personas.ids


def test_parameters_reach_the_verbs(out: Path, tmp_path: Path) -> None:
    """Another threshold for competitors, two attributes only, and the deals of one region."""
    given = {"least_deals": 10_000, "by": ["wants_fast_start", "role"], "where": 'region in ["east"]', "majority": 0.95}
    other = run_cells(NOTEBOOK, {"market": "harbor", "period": "2024-q1", "out": str(tmp_path), **given})
    assert other.step.results["competitors"] == ["no_decision"]
    assert set(other.claims.query("measure == 'share'")["field"]) == {"wants_fast_start", "role"}
    assert set(other.deals()["region"].dropna()) == {"east"}
    assert other.claims.query("measure == 'n_traits'").empty
    assert not other.is_market_own
