"""The bundled market: the same bytes every time, in the contract's shape, with its listed dirt."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import DefinitionError

from tests.market.harbor import HARBOR, MARKET, ORDER, TRUTH, harbor_database, harbor_tables
from tests.simulation import simulate
from tests.simulation.demand import draw_leads
from tests.simulation.draws import Draws
from tests.simulation.population import draw_accounts
from tests.simulation.sales import draw_changes, draw_deals

TYPES = {"_id": "VARCHAR", "_on": "DATE", "_amount": "DECIMAL(18,2)", "_rate": "DOUBLE", "_no": "INTEGER"}
COLUMNS = {
    "accounts": "account_id created_on",
    "leads": "lead_id created_on account_id channel campaign experiment arm arm_rate rep_id rep_team status "
    "rejection_reason marketing_qualified_on handed_off_on sales_accepted_on sales_qualified_on recycled_on "
    "disqualified_on",
    "respondents": "respondent_id answered_on account_id",
    "deals": "deal_id created_on lead_id account_id product stage expected_amount expected_close_on "
    "competitor rep_id rep_team outcome won_amount loss_reason closed_on",
    "stage_history": "deal_id change_no entered_on stage expected_amount expected_close_on competitor rep_id rep_team",
    "materials": "material_id added_on kind title text persona buying_role stage competitor topic retired_on",
    "touches": "touch_id touched_on lead_id deal_id account_id from_team direction channel campaign "
    "material_id buying_role rep_id",
    "notes": "note_id written_on from_team kind topic text lead_id deal_id",
    "spend": "spend_id starts_on ends_on channel campaign spent_amount",
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Every canonical table as the selects give it, before any check."""
    return harbor_tables()


def _changed_truth(folder: Path, old: str, new: str) -> Path:
    text = (HARBOR / "truth.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "truth.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def test_simulating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    simulate(HARBOR, tmp_path)
    committed = {path.name: path.read_bytes() for path in (HARBOR / "raw").iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == committed


def test_another_seed_gives_other_customers_in_the_same_shape(tmp_path: Path) -> None:
    folder = _changed_truth(tmp_path, f"seed = {TRUTH['seed']}", "seed = 7")
    simulate(folder, tmp_path / "raw")
    here, there = (pd.read_csv(place / "accounts.csv", dtype=str) for place in (HARBOR / "raw", tmp_path / "raw"))
    assert list(here.columns) == list(there.columns)
    assert len(here) == len(there) == TRUTH["window"]["n_accounts"]
    assert 0.5 < here["Site Type"].ne(there["Site Type"]).mean() < 0.95


def test_incomplete_truth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "truth.toml").write_text("seed = 1\n[window]\n", encoding="utf-8")
    with pytest.raises(DefinitionError, match="lacks waves, survey, segments, everywhere"):
        simulate(tmp_path, tmp_path / "raw")
    with pytest.raises(DefinitionError, match=r"add up to 1\.100"):
        simulate(_changed_truth(tmp_path, "share = 0.22", "share = 0.32"), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_market_is_small() -> None:
    assert sum(path.stat().st_size for path in HARBOR.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.parametrize("table", ORDER)
def test_selects_give_the_contract_s_columns_and_types(table: str) -> None:
    with harbor_database() as db:
        types = {name: kind for name, kind, *_ in db.execute(f"describe {table}").fetchall()}
    declared = [name for names in MARKET["fields"].get(table, {}).values() for name in names]
    items = list(MARKET["items"]) if table == "respondents" else []
    assert set(types) == {*COLUMNS[table].split(), *declared, *items}
    for name, kind in types.items():
        ending = next((end for end in TYPES if name.endswith(end)), "")
        expected = "BOOLEAN" if name.startswith(("is_", "wants_")) else TYPES.get(ending, "VARCHAR")
        assert (name, kind) == (name, expected)


def test_blemishes_are_there_and_counted(tables: dict[str, pd.DataFrame]) -> None:
    planted, deals = TRUTH["blemishes"], tables["deals"]
    leads = tables["leads"]
    unique = deals.drop_duplicates("deal_id")
    raw = pd.read_csv(HARBOR / "raw" / "deals.csv", dtype=str)
    assert leads["lead_id"].dropna().duplicated().sum() == planted["leads_repeated"]
    assert leads["lead_id"].isna().sum() == planted["leads_without_id"]
    assert deals["deal_id"].duplicated().sum() == planted["deals_repeated"]
    assert (
        tables["touches"][["lead_id", "deal_id", "account_id"]].isna().all(axis=1).sum()
        == planted["touches_about_nothing"]
    )
    assert unique["loss_reason"].eq("Lost in transit").sum() == planted["loss_reason_not_in_list"]
    assert (unique["closed_on"] < unique["created_on"]).sum() == planted["closed_before_created"]
    assert tables["accounts"]["automation"].isna().sum() == planted["automation_select"]
    assert raw["Amount"].str.contains(",").mean() == pytest.approx(planted["amounts_with_separators_rate"], abs=0.03)
    assert deals["expected_amount"].notna().all()


def test_remarks_hold_hostile_text_and_no_personal_data(tables: dict[str, pd.DataFrame]) -> None:
    text = tables["notes"]["text"]
    assert text.str.contains(r"<|^[=@]|javascript:", regex=True).sum() == TRUTH["blemishes"]["hostile_notes"]
    raw = "\n".join(path.read_text(encoding="utf-8") for path in (HARBOR / "raw").iterdir())
    assert not re.search(r"[\w.]+@[\w-]+\.\w+|\+\d{2}[\d ]{7,}", raw)


def test_references_lead_somewhere(tables: dict[str, pd.DataFrame]) -> None:
    keys = {"account_id": "accounts", "lead_id": "leads", "deal_id": "deals", "material_id": "materials"}
    for name, table in tables.items():
        for key, home in keys.items():
            if key in table and home != name:
                assert set(table[key].dropna()) <= set(tables[home][key]), (name, key)


def test_stage_history_stays_inside_the_deal(tables: dict[str, pd.DataFrame]) -> None:
    history = tables["stage_history"].sort_values(["deal_id", "change_no"])
    deals = tables["deals"].drop_duplicates("deal_id").set_index("deal_id")
    assert (history.groupby("deal_id")["change_no"].max() == history.groupby("deal_id").size()).all()
    assert (history.groupby("deal_id")["entered_on"].diff().dropna() >= pd.Timedelta(0)).all()
    assert set(history["stage"]) == set(MARKET["deals"]["stages"])
    latest = history.groupby("deal_id").last()
    assert (latest["stage"] == deals["stage"].reindex(latest.index)).all()
    assert (latest["expected_amount"] == deals["expected_amount"].reindex(latest.index)).all()
    outside = latest.index[latest["entered_on"] > deals["closed_on"].reindex(latest.index)]
    assert len(outside) <= TRUTH["blemishes"]["closed_before_created"]


def test_first_touch_of_the_select_is_the_planted_one(tables: dict[str, pd.DataFrame]) -> None:
    planted = draw_deals(TRUTH, draw_leads(TRUTH, draw_accounts(TRUTH)))
    stored = tables["deals"].drop_duplicates("deal_id").set_index("deal_id")["first_touch"]
    assert (planted.set_index("deal_id")["first_touch"] == stored.sort_index()).all()
    assert (planted["win_rate"] <= TRUTH["win"]["lowest_rate"]).mean() < 0.02
    assert (planted["win_rate"] >= TRUTH["win"]["highest_rate"]).sum() == 0


def test_drawing_leaves_its_inputs_alone() -> None:
    deals = draw_deals(TRUTH, draw_leads(TRUTH, draw_accounts(TRUTH)))
    before = deals.copy()
    draw_changes(TRUTH, deals)
    pd.testing.assert_frame_equal(deals, before)


def test_materials_speak_to_the_needs_and_have_versions(tables: dict[str, pd.DataFrame]) -> None:
    materials = tables["materials"]
    needs = {item.removeprefix("wants_") for item in MARKET["items"]}
    for kind in ("value_proposition", "message", "proof", "question", "limit"):
        assert needs <= set(materials.loc[materials["kind"].eq(kind), "topic"])
    objections = tables["notes"].query("kind == 'objection'")["topic"]
    assert set(objections) <= set(materials.loc[materials["kind"].eq("answer"), "topic"])
    assert set(materials.loc[materials["kind"].eq("exit_criterion"), "stage"]) == set(MARKET["deals"]["stages"])
    old = materials[materials["retired_on"].notna()]
    follower = old["title"].isin(materials.loc[materials["retired_on"].isna(), "title"])
    assert (len(old), follower.sum()) == (4, 3)


def test_draws_keep_to_their_bounds_and_shares() -> None:
    draws = Draws(1, "test")
    assert set(draws.whole(2, 4, 500)) == {2.0, 3.0, 4.0}
    assert set(draws.pick({"a": 0.5, "never": 0.0, "b": 0.5}, 500)) == {"a", "b"}
    picked = draws.pick_by(
        {"x": {"a": 1.0, "b": 0.0}, "y": {"a": 0.0, "b": 3.0}}, np.array(["x", "y", "x"], dtype=object)
    )
    assert list(picked) == ["a", "b", "a"]
    assert not draws.yes(0.0, 100).any()
    assert draws.yes(1.0, 100).all()
    assert draws.normal(20_000).std() == pytest.approx(1, abs=0.02)


def test_streams_of_a_seed_differ() -> None:
    assert list(Draws(1, "leads").uniform(3)) == list(Draws(1, "leads").uniform(3))
    assert list(Draws(1, "leads").uniform(3)) != list(Draws(1, "deals").uniform(3))
    assert list(Draws(1, "leads").uniform(3)) != list(Draws(2, "leads").uniform(3))
