"""A tiny project in a temporary folder: small notebooks whose one call does what shipped notebooks do."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from closedloop.batch.desk import Request
from closedloop.batch.ledger import Limits, Trace
from closedloop.batch.plan import PeriodPlan
from closedloop.batch.progress import Lines
from closedloop.batch.run import Summary, run
from closedloop.batch.runner.engine import execute
from closedloop.market.warehouse import read_again
from closedloop.terms import Status
from closedloop.workbench.notebooks import Value

PARAMETERS = (
    'market: str = "tiny"  # which market\nperiod: str = "latest"  # which period\nout: str = ""  # run folder\n'
)
PERSONA, COMPETITOR = 'persona: str = ""  # for whom\n', 'competitor: str = ""  # against whom\n'
RESULTS = "display({'application/vnd.closedloop.results+json': {%s}}, raw=True)"
MARKET = """
title = "Tiny"
licence = "CC0-1.0"
currency = "EUR"
clock = "none"
[sources]
"""
QUESTION = "Asks something?\n\n**Reads** deals. **Writes** claims."
CALL = "import tiny_world; found = tiny_world.work('%s', market, period, out%s)"

# notebooks, runners in processes of their own and cluster workers import this module by name
WORLD = """
import json
import os
import time
from pathlib import Path
from closedloop.batch.plan import PeriodPlan
from closedloop.market.files import root

def open_market(market, out, is_stopped, later):
    data = json.loads((root() / "world.json").read_text())["data"]
    first = PeriodPlan("2024-q1", True, {"start": data[0], "ended": data[1]})
    return [first, PeriodPlan("2024-q2", False, {"start": data[1]})]

def work(notebook, market, period, out, subject=""):
    world = json.loads((root() / "world.json").read_text())
    name = f"{period}/{notebook}"
    with (root() / "computed.txt").open("a") as file:
        file.write(f"{market}/{name}\\n")
    if world.get("breaks") == name:
        raise ValueError("no such column: colour")
    if world.get("dies") == name:
        os.kill(os.getpid(), 9)
    if world.get("sleeps") == name:
        time.sleep(60)
    if notebook in world["proposes"]:
        folder = root() / out / market / period
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proposal.yml").write_text(world["proposes"][notebook] + world["data"][1])
    who = {name: world[name] for name in ("personas", "competitors")} if notebook == "02_personas" else {}
    return {"period": period, "n_missing": int(notebook == "01_research"), **who}
"""


def write_notebook(path: Path, cells: Sequence[str], parameters: str = PARAMETERS) -> None:
    """A notebook with a first cell, a parameters cell, and ``cells`` of code."""
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# {path.stem}\n\n{QUESTION}"}
    code = [(parameters, {"tags": ["parameters"]}), *((source, {}) for source in cells)]
    made = [_code(f"cell-{n}", source, metadata) for n, (source, metadata) in enumerate(code)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [title, *made], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1))


def _code(id_: str, source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    empty = {"cell_type": "code", "execution_count": None, "outputs": []}
    return {**empty, "id": id_, "metadata": metadata, "source": source}


def pretend(source: Path, parameters: Mapping[str, Value], limits: Limits | None = None, *_: Any) -> Trace:
    """What a run of one of the tiny project's notebooks would give, without a process of its own."""
    import tiny_world  # type: ignore[import-not-found]

    where = (str(parameters[name]) for name in ("market", "period", "out"))
    try:
        status, cause, found = Status.OK, "", tiny_world.work(source.stem, *where)
    except ValueError as error:
        status, cause, found = Status.FAILED, f"cell 4: ValueError: {error}", {}
    notebook = nbformat.read(source, 4)
    results = {"application/vnd.closedloop.results+json": found}
    notebook.cells[-1].outputs = [nbformat.v4.new_output("display_data", results)]
    return Trace(notebook, limits or Limits(), status=status, cause=cause)


@dataclass
class Project:
    """The tiny project: its folder, and the module with what its notebooks do."""

    root: Path
    tiny: ModuleType

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.root / "runs"

    @property
    def open_market(self) -> Callable[..., list[PeriodPlan]]:
        """Says which periods there are."""
        return self.tiny.open_market  # type: ignore[no-any-return]

    def world(self, **changes: Any) -> None:
        """Change what the notebooks find."""
        path = self.root / "world.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def notebook(self, name: str, *cells: str, parameters: str = PARAMETERS) -> None:
        """Write one notebook, as ``folder/name``."""
        write_notebook(self.root / f"{name}.ipynb", cells, parameters)

    def run(self, *markets: str, in_processes: bool = False, **request: Any) -> Summary:
        """Run the batch here; notebooks are only pretended to run, unless it is their processes that matter."""
        asked = Request(markets or ("tiny",), **{"out": self.out, "n_workers": 2} | request)
        return run(asked, Lines(sys.stderr), self.open_market, execute if in_processes else pretend)

    @property
    def computed(self) -> list[str]:
        """The notebooks that have run since the project began, in order."""
        path = self.root / "computed.txt"
        return path.read_text().split() if path.exists() else []

    @property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """The runs of the ledger by id."""
        return {run["id"]: run for run in json.loads((self.out / "manifest.json").read_text())["runs"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One market with two periods, of which the second has not begun; six of the shipped notebooks."""
    import importlib

    monkeypatch.setenv("CLOSEDLOOP_ROOT", str(tmp_path))
    (tmp_path / "modules").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (tmp_path / "modules" / "tiny_world.py").write_text(WORLD)
    sys.modules.pop("tiny_world", None)
    world = {"data": ["a", "b"], "personas": ["planner"], "competitors": ["Acme, Inc."]}
    (tmp_path / "world.json").write_text(json.dumps(world | {"proposes": {"06_refinement": "set of "}}))
    for name in ("tiny", "one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "market.toml").write_text(MARKET)
    read_again()
    made = Project(tmp_path, importlib.import_module("tiny_world"))
    for name in ("01_research", "02_personas", "05_deals", "06_refinement"):
        made.notebook(f"notebooks/{name}", CALL % (name, ""), RESULTS % "**found")
    for name, subject in (("sales_playbook", PERSONA), ("battlecard", COMPETITOR)):
        about = subject.partition(":")[0]
        cells = (CALL % (name, f", {about}"), f"print({about})", RESULTS % "**found")
        made.notebook(f"playbooks/{name}", *cells, parameters=PARAMETERS + subject)
    return made
