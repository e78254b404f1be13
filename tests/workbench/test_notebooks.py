"""A notebook's first cell and file are read as the batch needs them; a damaged file is named with the reason."""

import json
from pathlib import Path

import pytest
from closedloop.errors import ParameterError
from closedloop.workbench.notebooks import find_notebook, notebooks, read_notebook

from .conftest import Project, write_notebook

LOOP = ["01_research", "02_personas", "05_deals", "06_refinement"]


def test_the_first_cell_tells_question_reads_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "05_deals.ipynb"
    write_notebook(path, ["1"])
    content = json.loads(path.read_text())
    content["cells"][0]["source"] = [
        "# 05 · Deals\n",
        "\n",
        "What was won and lost, and **why**?\n",
        "\n",
        "- **Reads:** deals, `stage_history`\n",
        "- **Writes:** claims-outcome\n",
    ]
    path.write_text(json.dumps(content))
    found = read_notebook(path)
    assert (found.title, found.step) == ("05 · Deals", "deals")
    assert found.question == "What was won and lost, and why?"
    assert (found.reads, found.writes) == ("deals, stage_history", "claims-outcome")
    assert [parameter.name for parameter in found.parameters] == ["market", "period", "out"]


def test_notebooks_come_in_the_order_of_the_loop_and_without_checkpoints(project: Project) -> None:
    project.notebook("notebooks/.ipynb_checkpoints/01_research-checkpoint")
    project.notebook("notebooks/.hidden")
    assert list(notebooks()) == [*LOOP, "battlecard", "sales_playbook"]


@pytest.mark.parametrize("name", ["05_deals", "deals", "05_deals.ipynb", "notebooks/05_deals.ipynb"])
def test_a_notebook_is_found_by_name_step_or_file(project: Project, name: str) -> None:
    assert find_notebook(name).name == "05_deals"


def test_an_unknown_notebook_is_refused_with_the_known_ones(project: Project) -> None:
    with pytest.raises(ParameterError, match="'06_x' does not exist; allowed: 01_research, 02_personas"):
        find_notebook("06_x")
