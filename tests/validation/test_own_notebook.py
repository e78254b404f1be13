"""A copy of a notebook is tested as it stands: its own cells count, effects are planted, nothing is kept."""

import json
from pathlib import Path

import pytest
from closedloop.period import store
from closedloop.validation.families import NullMarket, planted
from closedloop.validation.market import null_market
from closedloop.workbench.answer import ENDING

PERIOD = "2024-q2"
ADDED = 'win_rates(deals[deals["channel"] == "partner"], by="region", among="deals by a partner")'


def copy_of(place: Path, *added: str) -> Path:
    """05 under another name, with cells before its examples."""
    notebook = json.loads(store.notebook_path("05_deals").read_text("utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    cells = [
        {"cell_type": "code", "id": f"own-{n}", "metadata": {}, "source": source} for n, source in enumerate(added)
    ]
    at = sources.index(next(source for source in sources if source.startswith("## Change it yourself")))
    notebook["cells"][at:at] = cells
    path = place / "my_deals.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def shipped(place: Path) -> NullMarket:
    return null_market("harbor", place, [copy_of(place)], [PERIOD])


def n_ending(cut: NullMarket) -> int:
    """Comparisons of how deals end."""
    return sum(family.n_compared(cut.world) for family in cut.families if family.name == ENDING)


def test_a_cell_of_ones_own_counts(place: Path, shipped: NullMarket) -> None:
    own = null_market("harbor", place, [copy_of(place, ADDED)], [PERIOD])
    assert {family.notebook for family in own.families} == {"my_deals"}
    assert n_ending(own) > n_ending(shipped) > 20


def test_effects_are_planted_in_the_copy(shipped: NullMarket) -> None:
    assert shipped.planted_in is not None
    assert shipped.families[shipped.planted_in].name == ENDING
    assert any(planted(shipped, number) for number in range(3)), "some level has room for an effect"


def test_nothing_of_it_is_kept(place: Path, shipped: NullMarket) -> None:
    assert not list(place.glob(f"harbor/{PERIOD}/claims/my_deals.*"))
    assert not list(place.glob(f"harbor/{PERIOD}/drafts/*"))
