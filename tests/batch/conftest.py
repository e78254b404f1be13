"""A tiny project in a temporary folder: small notebooks, and moments that are computed at once."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from closedloop.batch.engine import Execution
from closedloop.batch.parameters import Value
from closedloop.batch.progress import Lines
from closedloop.batch.run import Request, Summary, run
from closedloop.batch.trace import Limits
from closedloop.market.warehouse import read_again
from closedloop.terms import Status

PARAMETERS = (
    'market: str = "tiny"  # which market\nperiod: str = "latest"  # which period\nout: str = ""  # run folder\n'
)
RESULTS = "display({'application/vnd.closedloop.results+json': {%s}}, raw=True)"
MARKET = """
title = "Tiny"
licence = "CC0-1.0"
currency = "EUR"
clock = "none"
[sources]
"""
QUESTION = "Asks something?\n\n**Reads** deals. **Writes** claims."

# worker processes import this module by name, as they import the real one
MOMENTS = """
import json
import os
import time
from closedloop.batch.moments import Turn
from closedloop.batch.plan import PeriodPlan

def open_market(market, out, call):
    data = json.loads((out.parent / "world.json").read_text())["data"]
    first = PeriodPlan("2024-q1", True, {"plan": data[0], "outcome": data[1]})
    return [first, PeriodPlan("2024-q2", False, {"plan": data[1]})]

def compute(moment, market, period, out):
    world = json.loads((out.parent / "world.json").read_text())
    folder = out / market / period
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    with (out.parent / "computed.txt").open("a") as file:
        file.write(f"{market}/{period}/{moment}\\n")
    if world.get("breaks") == f"{period}/{moment}":
        raise ValueError("no such column: colour")
    if world.get("dies") == f"{period}/{moment}":
        os._exit(9)
    if world.get("sleeps") == f"{period}/{moment}":
        time.sleep(60)
    step = {"plan": "personas", "outcome": "deals"}[moment]
    (folder / "tables" / f"{step}.json").write_text(json.dumps({"of": [market, period, world["data"]]}))
    if moment == "plan":
        return Turn(tuple(world["personas"]), tuple(world["competitors"]), {"research": 1, "personas": 0}, 12.5)
    return Turn(missing={"deals": 0}, peak_mb=12.5)
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


def pretend(source: Path, parameters: Mapping[str, Value], limits: Limits, parent: object) -> Execution:
    """What is given for a notebook that only records its parameters."""
    return Execution(Status.OK, "", nbformat.read(source, 4), dict(parameters), None)


@dataclass
class Project:
    """The tiny project: its folder, and the module with its moments."""

    root: Path
    moments: ModuleType

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.root / "runs"

    def world(self, **changes: Any) -> None:
        """Change what the moments find."""
        path = self.root / "world.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def notebook(self, name: str, *cells: str, parameters: str = PARAMETERS) -> None:
        """Write one notebook, as ``folder/name``."""
        write_notebook(self.root / f"{name}.ipynb", cells, parameters)

    def run(self, *markets: str, for_real: bool = False, **request: Any) -> Summary:
        """Run the batch here; notebooks are only pretended to run, unless it is they that matter."""
        asked = Request(markets or ("tiny",), out=self.out, n_workers=2, **request)
        execute = None if for_real else pretend
        return run(asked, Lines(sys.stderr), self.moments.open_market, self.moments.compute, execute)

    @property
    def computed(self) -> list[str]:
        """The moments that have been computed since the project began, in order."""
        path = self.root / "computed.txt"
        return path.read_text().split() if path.exists() else []

    @property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """The runs of the ledger by id."""
        return {run["id"]: run for run in json.loads((self.out / "manifest.json").read_text())["runs"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One market with two periods, of which the second only has a plan; one notebook of each kind."""
    import importlib

    monkeypatch.setenv("CLOSEDLOOP_ROOT", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tiny_moments.py").write_text(MOMENTS)
    sys.modules.pop("tiny_moments", None)
    world = {"data": ["a", "b"], "personas": ["planner"], "competitors": ["Acme, Inc."]}
    (tmp_path / "world.json").write_text(json.dumps(world))
    for name in ("tiny", "one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "market.toml").write_text(MARKET)
    read_again()
    made = Project(tmp_path, importlib.import_module("tiny_moments"))
    made.notebook("notebooks/01_research", "print(market, period)", RESULTS % "'n': 3")
    made.notebook("notebooks/05_deals", RESULTS % "'period': period")
    made.notebook("playbooks/sales_playbook", "print(persona)", parameters=PARAMETERS + 'persona: str = ""  # whom\n')
    made.notebook("playbooks/battlecard", "print(competitor)", parameters=PARAMETERS + 'competitor: str = ""  # whom\n')
    return made
