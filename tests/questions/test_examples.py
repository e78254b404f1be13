"""Every cell of every notebook runs, examples too: on the bundled market, and on markets that lack most tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from closedloop.errors import ParameterError
from closedloop.period import store
from closedloop.workbench.period import OpenPeriod, silence

from tests import pages
from tests.market.conftest import project_at, write_market

NOTEBOOKS = (*store.PLANNING, *store.LOOKING_BACK)
HEAD = """title = "Tiny"
licence = "CC0-1.0"
currency = "EUR"
clock = "day"
extracted_on = 2024-06-30
[periods]
first = "2024-q2"
length = "quarter"
"""


def run_every_cell(notebook: str, market: str, period: str, out: Path) -> OpenPeriod:
    """The period as the notebook leaves it, its examples run as well; whatever a cell raises is raised."""
    names: dict[str, object] = {}
    with silence():
        for cell in json.loads(store.notebook_path(notebook).read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
                if "parameters" in cell["metadata"].get("tags", []):
                    names |= {"market": market, "period": period, "out": str(out)}
    now = names["now"]
    assert isinstance(now, OpenPeriod)
    return now


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_on_the_bundled_market(notebook: str, out: Path) -> None:
    now = run_every_cell(notebook, "harbor", "2024-q2", out)
    assert len(now.claims) or notebook == "07_review"
    assert now.is_closed


def _deals() -> str:
    rng = np.random.default_rng(5)
    lines = [
        f"D{i},2024-{1 + i % 5:02d}-02,{rng.choice(['won', 'lost'])},2024-{1 + i % 5:02d}-20,{rng.choice(['a', 'b'])}"
        for i in range(120)
    ]
    return "\n".join(["deal_id,created_on,outcome,closed_on,size", *lines])


def _leads() -> str:
    lines = [f"L{i},2024-{1 + i % 5:02d}-02,2024-{1 + i % 5:02d}-04,{('web', 'fair')[i % 2]}" for i in range(120)]
    return "\n".join(["lead_id,created_on,handed_off_on,channel", *lines])


def _answers() -> str:
    rng = np.random.default_rng(6)
    lines = [f"R{i},2024-05-05,{','.join(rng.choice(['yes', 'no'], 3))}" for i in range(200)]
    return "\n".join(["respondent_id,answered_on,wants_speed,wants_price,wants_help", *lines])


FILES = {
    "deals": {"deals": _deals()},
    "leads": {"leads": _leads()},
    "respondents": {"respondents": _answers()},
}


@pytest.mark.parametrize("table", list(FILES))
def test_on_a_market_with_one_table(table: str, tmp_path: Path) -> None:
    with project_at(tmp_path) as root:
        write_market(pages.with_notebooks(root), FILES[table], head=HEAD)
        for notebook in NOTEBOOKS:
            if table == "respondents" and notebook in store.LOOKING_BACK:
                with pytest.raises(ParameterError, match="has not begun, so it has no outcomes yet; use"):
                    run_every_cell(notebook, "tiny", "latest", root / "runs")
            else:
                assert run_every_cell(notebook, "tiny", "latest", root / "runs").is_closed, notebook
