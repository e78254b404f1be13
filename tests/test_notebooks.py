"""Every notebook runs cell by cell, and what it records is the library's own answer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from closedloop.period import store
from closedloop.presentation.blocks import RESULTS
from closedloop.workbench.cells import set_in_force

from tests import pages

ROOT = Path(__file__).parents[1]
PERIOD = "2024-q2"
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "playbooks").glob("*.ipynb")])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run folder for all, so that what a notebook left need only be read."""
    return tmp_path_factory.mktemp("runs")


def _recorded(path: Path) -> dict[str, Any]:
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    found = [output["data"][RESULTS] for output in outputs if RESULTS in output.get("data", {})]
    assert len(found) == 1
    result: dict[str, Any] = found[0]
    return result


def _execute(name: str, runs: Path, out: Path, **parameters: str) -> dict[str, Any]:
    source = next(path for path in NOTEBOOKS if path.stem == name)
    papermill.execute_notebook(source, out, {"out": str(runs), **parameters}, progress_bar=False, log_output=False)
    return _recorded(out)


@pytest.mark.parametrize("name", pages.NOTEBOOKS)
def test_a_notebook_records_the_figures_that_it_leaves(name: str, runs: Path, tmp_path: Path) -> None:
    found = _execute(name, runs, tmp_path / "out.ipynb", market="harbor", period=PERIOD)
    assert (found["market"], found["period"]) == ("harbor", PERIOD)
    folder = runs / "harbor" / PERIOD
    left = store.read_tables(folder, name).results
    assert {key: found[key] for key in left} == json.loads(json.dumps(left))
    assert found["n_claims"] == len(store.read_claims(folder, name)) > 0


@pytest.mark.parametrize("name", ["campaign_brief", "sales_playbook"])
def test_a_document_is_about_its_persona(name: str, runs: Path, tmp_path: Path) -> None:
    persona = set_in_force("harbor", PERIOD, runs).ids[-1]
    found = _execute(name, runs, tmp_path / "out.ipynb", market="harbor", period=PERIOD, persona=persona)
    assert (found["persona"], found["period"]) == (persona, PERIOD)
    assert (runs / "harbor" / PERIOD / "documents" / f"{name}-{persona}.csv").exists()


def test_the_template_is_a_question_of_its_own(runs: Path, tmp_path: Path) -> None:
    found = _execute("template", runs, tmp_path / "out.ipynb", market="harbor", period=PERIOD)
    claims = store.read_claims(runs / "harbor" / PERIOD, "template")
    assert set(claims["field"]) == {"product"} and set(claims["notebook"]) == {"template"}
    assert found["n_compared_how_they_end"] == len(claims) == 3, "the example cell is in no family"


def test_the_tutorial_ends_with_a_market_that_is_checked(tmp_path: Path) -> None:
    source, out = next(path for path in NOTEBOOKS if path.stem == "tutorial"), tmp_path / "out.ipynb"
    papermill.execute_notebook(source, out, {"folder": str(tmp_path)}, progress_bar=False, log_output=False)
    outputs = [output for cell in nbformat.read(out, 4).cells for output in cell.get("outputs", [])]
    shown = "".join(output.get("text", "") for output in outputs)
    assert "deals-1.csv: deals, 1,500 records, from Pipedrive" in shown
    assert 'stages = ["discovery", "evaluation", "proposal", "negotiation"]' in shown
    assert "# deals, Deal - Probability: kept by the system, or a forecast" in shown
    assert "unreadable as an amount; found '12,5o'" in shown and "No column looks like a leak." in shown


@pytest.mark.parametrize("competitor", ["rival-anchor", "no_decision"])
def test_a_battlecard_is_about_its_competitor(competitor: str, runs: Path, tmp_path: Path) -> None:
    found = _execute("battlecard", runs, tmp_path / "out.ipynb", period=PERIOD, competitor=competitor)
    assert found["competitor"] == competitor


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_alone_with_its_defaults(path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbval-lax",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        str(path),
    ]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
    n_cells = sum(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells)
    assert f"{n_cells} passed" in ran.stdout


@pytest.mark.real
def test_a_real_market_runs_by_plain_papermill(tmp_path: Path) -> None:
    command = ["papermill", str(ROOT / "notebooks" / "05_deals.ipynb"), str(tmp_path / "out.ipynb")]
    command += ["-p", "market", "maven", "-p", "period", "2017-q3", "-p", "out", str(tmp_path)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = _recorded(tmp_path / "out.ipynb")
    assert (found["n_won"], found["n_lost"]) == (1257, 790)
    assert found["rep_spread_p"] > 0.05
