"""A notebook's computing cells, run without its page: how one notebook makes what another one reads."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from closedloop.errors import ParameterError
from closedloop.loop.situation import Situation
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.questions import store
from closedloop.questions.period import OpenPeriod, silence

EXAMPLE = "# example"


def run_cells(path: Path, parameters: Mapping[str, Any], *, is_draft: bool = False) -> OpenPeriod:
    """The period as the notebook at ``path`` leaves it, run with these parameters in a namespace of its own.

    Cells that begin with ``# example`` are left out; nothing is displayed. ``is_draft``: the run folder is only read.
    Errors: whatever a cell raises, and ParameterError when the notebook opens no period as ``now``.
    """
    names: dict[str, Any] = {"__name__": path.stem}
    with silence(is_draft=is_draft):
        for number, (source, is_parameters) in enumerate(_sources(path), 1):
            exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)  # the project's own
            names |= parameters if is_parameters else {}
        now = names.get("now")
    if not isinstance(now, OpenPeriod):
        raise ParameterError(f'{path}: opens no period; begin with now = open_period(market, period, notebook="...")')
    return now


def _sources(path: Path) -> Iterator[tuple[str, bool]]:
    """The code cells that compute, and whether each is the one with the parameters."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.lstrip().startswith(EXAMPLE):
            yield source, "parameters" in cell["metadata"].get("tags", [])


def ensure(notebook: str, market: str, period: str, out: Path) -> None:
    """Have the claims and tables of a shipped notebook in the run folder, made of what is there today."""
    warehouse = open_warehouse(market)
    is_planning = notebook in store.PLANNING
    found = find_period(warehouse.periods, period, planning=is_planning)
    situation = (Situation.planning if is_planning else Situation.looking_back)(warehouse, found)
    if store.is_current(out / market / found.name, notebook, store.basis_of(situation, notebook)):
        return
    print(f"{market}, {found.name}: {notebook} is computed first ...", flush=True)
    run_cells(store.notebook_path(notebook), {"market": market, "period": found.name, "out": str(out)})
