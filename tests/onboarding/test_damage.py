"""A damaged export: each cell is the truth's, or missing and counted with its line; nothing is lost in silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from closedloop.market.definition import read_definition
from closedloop.market.staging.ladder import Ladder
from closedloop.market.warehouse import open_warehouse

from tests.market.conftest import project_at
from tests.onboarding import exports
from tests.onboarding.conftest import answered
from tests.onboarding.damage import DAMAGES
from tests.onboarding.exports import Market

FILES = {"salesforce": "Opportunities.csv", "hubspot": "hubspot-crm-exports-all-deals-2026-01-01.csv",
         "pipedrive": "deals-1234567-1.csv"}  # fmt: skip
N_DEALS = 400
COLUMNS = ["deal_id", "created_on", "closed_on", "outcome", "won_amount", "expected_amount", "loss_reason"]
COLUMNS += ["account_id", "lead_id", "product", "competitor", "stage", "rep_id"]
Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=FILES)
def export(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Rows]]:
    """The deals' file of a system in an onboarded market, and its deals as long as nothing is damaged."""
    frames = [open_warehouse("harbor").frame(name).astype(object) for name in Market.__annotations__]
    whole = Market(*(frame.where(frame.notna(), None) for frame in frames))
    some = Market(whole.accounts, whole.leads, whole.deals.tail(N_DEALS), whole.stage_history)
    root = tmp_path_factory.mktemp(request.param)
    (root / "exports").mkdir()
    with project_at(root), pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "data").mkdir()
        getattr(exports, request.param)(some, root / "exports")
        answered(root / "exports")
        path = root / "exports" / FILES[request.param]
        rows, _ = climbed()
        yield path, rows


def climbed() -> tuple[Rows, Ladder]:
    read_definition.cache_clear()
    ladder = Ladder(read_definition("ours"))
    ladder.climb()
    columns = [name for name in COLUMNS if name in ladder.columns["deals"]]
    found = ladder.connection.execute(f"select {', '.join(columns)} from deals").fetchall()
    return {str(row[0]): dict(zip(columns, row, strict=True)) for row in found}, ladder


@pytest.mark.parametrize("at", [7, -5])
@pytest.mark.parametrize("kind", DAMAGES)
def test_each_cell_is_the_truth_or_missing_and_counted(export: tuple[Path, Rows], kind: str, at: int) -> None:
    path, wanted = export
    sound = path.read_bytes()
    lines = sound.decode().count("\r\n")
    place = at if at > 0 else lines + at
    try:
        path.write_bytes(DAMAGES[kind](sound.decode(), place))
        found, ladder = climbed()
    finally:
        path.write_bytes(sound)
    assert set(found) <= set(wanted)
    lost = set(wanted) - set(found)
    changed = {
        (key, column) for key, row in found.items() for column, cell in row.items() if cell != wanted[key][column]
    }
    assert all(found[key][column] is None for key, column in changed), changed
    counts = ladder.raw.counts["deals"]
    assert counts["n_lines"] == sum(n for name, n in counts.items() if name != "n_lines")
    told = [action for action in ladder.actions if action["table"] in ("raw.deals", "deals")]
    aside = sum(action["n"] for action in told if action["action"] == "set aside")
    cut_off = wanted_after(kind, lines - place)
    assert len(lost) <= aside + cut_off
    if changed:
        emptied = {action["lines"] for action in told if action["action"] in ("empty the cell", "set aside")}
        assert any(f"{place + 1}" in lines_ or f"{place + 2}" in lines_ for lines_ in emptied), emptied


def wanted_after(kind: str, n_behind: int) -> int:
    """How many records a cut end takes away for good."""
    return n_behind if kind == "a cut end" else 0
