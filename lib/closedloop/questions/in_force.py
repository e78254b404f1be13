"""The persona set in force in a period: rules that 06 let in, with rates renewed at the period's start."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closedloop.errors import ParameterError
from closedloop.loop.basis import is_of, written_on
from closedloop.loop.persona import PersonaSet, Proposal, read_proposal, read_set, renewed, write_set
from closedloop.loop.persona_changes import committed
from closedloop.loop.situation import Situation
from closedloop.market.periods import Period, find_period
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.questions import store

# Research, and the cells of 06, are imported where they run: a notebook that only reads starts without the estimators.

_SET = "personas"  # the name under which it is noted what a set was made of


def previous(every: list[Period], period: Period) -> Period | None:
    """The period before; None for the first."""
    index = every.index(period)
    return every[index - 1] if index else None


def committed_set(warehouse: Warehouse, period: str) -> Path:
    """Where people put a persona set that is to be in force in ``period`` whatever refinement says."""
    return warehouse.definition.folder / "personas" / f"{period}.yml"


def set_in_force(market: str, period: str, out: Path) -> PersonaSet:
    """The rules in force in a period, with the rates of the window before it; made once, then read.

    It depends on data and the set before it, through 06 alone: where 06 of the period before has not left its proposal
    in the run folder ``out``, or left it of something else than is there today, its cells are run first, and so on back
    to the first period. Whoever asks for the same set at the same time waits.
    """
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    situation, folder = Situation.planning(warehouse, found), out / market / found.name
    today = store.basis_of(situation, store.REFINEMENT)
    if not is_of(folder, _SET, today):
        with _alone(folder):
            if not is_of(folder, _SET, today):
                rules = _rules_in_force(warehouse, found, out)
                with written_on(folder, _SET, today):
                    write_set(folder / "personas.yml", renewed(rules, situation))
    return read_set(folder / "personas.yml")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within the block no other process makes the set of the period; periods are locked from late to early."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{_SET}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _rules_in_force(warehouse: Warehouse, found: Period, out: Path) -> PersonaSet:
    """The committed set; else the last period's winning proposal; else its set; for the first period, research's."""
    market, path = warehouse.definition.name, committed_set(warehouse, found.name)
    if path.exists():
        return committed(read_set(path), found.name)
    before = previous(warehouse.periods, found)
    if before is None:
        from closedloop.loop.first_set import research_set
        from closedloop.loop.research import research

        situation = Situation.planning(warehouse, found)
        material = research(situation)
        return research_set(situation, material.sample, material.segments)
    in_force, proposal = set_in_force(market, before.name, out), _proposal(warehouse, before, out)
    if proposal.personas is not None and warehouse.definition.accept == "auto":
        return proposal.personas
    return in_force.carried_to(found.name)


def _proposal(warehouse: Warehouse, period: Period, out: Path) -> Proposal:
    """What 06 concluded at the end of ``period``; its cells are run where it has not, without a page."""
    from closedloop.questions.cells import run_cells

    market, situation = warehouse.definition.name, Situation.looking_back(warehouse, period)
    folder = out / market / period.name
    path = folder / "proposal.yml"
    if not store.is_current(folder, store.REFINEMENT, store.basis_of(situation, store.REFINEMENT)):
        print(f"{market}, {period.name}: the personas of an earlier period are made first ...", flush=True)
        path.unlink(missing_ok=True)
        notebook = store.notebook_path(store.REFINEMENT)
        run_cells(notebook, {"market": market, "period": period.name, "out": str(out)})
    if not path.exists():
        raise ParameterError(
            f"{store.REFINEMENT} left no proposal.yml in {folder}; its cells have to call next_set(...) "
            "and now.close(), under the market's own settings"
        )
    return read_proposal(path)
