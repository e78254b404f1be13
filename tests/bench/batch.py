"""Speed and endurance of the batch, beside papermill on the same notebooks in the same run.

``python -m tests.bench.batch``: the whole market takes half an hour; ``--period`` and ``--part`` choose less of it.
"""

import argparse
import csv
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from closedloop.batch.run import environment
from closedloop.batch.runner.parent import ENVIRONMENT
from closedloop.market.files import data_folder, root, runs_folder
from closedloop.market.warehouse import open_warehouse
from closedloop.period.store import LOOKING_BACK

from tests.bench import batch_arms as arms
from tests.bench.batch_arms import MARKET, Run, Step, ran, tool
from tests.bench.batch_endurance import CROWD, FEW, HANG_SECONDS, MANY, TIMES, alone, crowds, in_a_row, little
from tests.bench.validity import Figure, machine

PACKAGES = ("papermill", "nbclient", "nbformat", "jupyter_client", "ipykernel", "ipython")
TURNS = 3
LARGEST_MEAN = 0.6  # seconds of a notebook's cells: where they take longer, a runner can save less


def row(what: str, measured: str, bar: str = "-", passed: str = "-") -> None:
    """One line of the table."""
    print(f"{what:<75}  {measured:>24}  {bar:<9}  {passed}", flush=True)


def told(what: str, value: float, unit: str = "", shown: str = ".1f", **ends: float) -> None:
    """One line about a number; ``low`` or ``high`` is its bar."""
    figure = Figure("", what, 0, **ends, shown=shown)
    row(what, f"{value:{shown}} {unit}".strip(), figure.bar, ("yes" if figure.holds(value) else "NO") if ends else "-")


@dataclass
class Session:
    """Where everything is written, what was asked for, and what was measured so far."""

    place: Path
    asked: Sequence[str]
    rates: dict[str, float] = field(default_factory=dict)  # notebooks a minute
    seconds: dict[str, float] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """The run folder of our own batch."""
        return self.place / "ours"

    @property
    def command(self) -> list[str]:
        """Our own batch."""
        chosen = [part for name in self.asked for part in ("--period", name)]
        return [tool("closedloop"), "run", MARKET, *chosen, "--out", str(self.out), "--workers", "2"]

    def note(self, arm: str, what: str, seconds: float, n_notebooks: int) -> None:
        """Keep and tell an arm's speed."""
        self.rates[arm], self.seconds[arm] = 60 * n_notebooks / seconds, seconds
        row(f"{arm:<2} {what}", f"{seconds:,.1f} s, {self.rates[arm]:.1f} a min")

    def copy(self, name: str) -> Path:
        """A copy of our run folder: tables, claims and personas are there already."""
        return Path(shutil.copytree(self.out, self.place / name))


def copy_project(project: Path) -> dict[str, str]:
    """Copy code, notebooks and data, so that an edit meanwhile changes nothing; the environment that makes it used."""
    for name in ("lib", f"data/{MARKET}", "notebooks", "playbooks"):
        shutil.copytree(root() / name, project / name)
    shutil.copy(root() / "requirements.lock", project)
    return {"CLOSEDLOOP_ROOT": str(project), "PYTHONPATH": str(project / "lib")}


def batch(command: Sequence[str]) -> tuple[float, dict[str, dict[str, Any]]]:
    """Seconds of a batch, and what it told of each run's end, by the run's id."""
    seconds, text = ran([*command, "--json"])
    events = map(json.loads, text.splitlines())
    return seconds, {event["id"]: event for event in events if event["event"] == "finished"}


def again(ends: Mapping[str, dict[str, Any]]) -> list[str]:
    """The runs that were not found current."""
    return sorted(id_ for id_, end in ends.items() if end["status"] != "cached")


def forget() -> None:
    """Remove what an arm before has kept: each begins from the canonical tables."""
    for path in (runs_folder() / ".kept", open_warehouse(MARKET).folder / "seen"):
        shutil.rmtree(path, ignore_errors=True)


def ours(session: Session) -> None:
    """A: the whole batch from nothing."""
    forget()
    seconds, ends = batch(session.command)
    session.runs, session.steps = arms.steps_of(session.out)
    n = len(session.runs)
    session.note("A", f"closedloop run: {n} notebooks, and their HTML", seconds, n)
    sets = sum(end["seconds"] for id_, end in ends.items() if id_.endswith("/06_refinement"))
    told("A  06, whose runs follow one another", sets, "s")


def xargs(session: Session) -> None:
    """B: the same notebooks by command lines of papermill, level by level of their graph."""
    forget()
    n = sum(map(len, session.steps))
    seconds = arms.xargs_papermill(session.steps, session.place / "xargs")
    session.note("B", f"xargs -P2 papermill: {n} notebooks, without HTML", seconds, n)


def pool(session: Session) -> None:
    """C: the same by papermill's function."""
    forget()
    n = sum(map(len, session.steps))
    seconds = arms.papermill_pool(session.steps, session.place / "pool")
    session.note("C", f"papermill's function in two processes: {n} notebooks, without HTML", seconds, n)


def notebooks_only(session: Session) -> None:
    """D, E, B', C': claims and tables are there, the executed notebooks are not.

    D and E take turns, and their medians are compared: what else this machine does changes both by a tenth.
    """
    n = len(session.runs)
    copies = [session.copy("xargs-only"), session.copy("pool-only")]
    cells = session.copy("cells")
    whole, bare, each = [], [], []
    for _ in range(TURNS):
        for run in session.runs:
            run.target(session.out).unlink()
        seconds, ends = batch(session.command)
        whole.append(seconds)
        seconds, each = arms.cells_alone(session.steps, cells)
        bare.append(seconds)
    told_turns = [f"{one:.1f} : {other:.1f}" for one, other in zip(whole, bare, strict=True)]
    row("D : E, the turns that they took, s", ", ".join(told_turns))
    what = f"closedloop run, claims there: {len(again(ends))} notebooks, HTML, median"
    session.note("D", what, median(whole), n)
    session.note("E", f"cells alone in two warm processes: {len(each)} notebooks, median", median(bare), len(each))
    session.seconds["cells of a notebook"] = sum(each) / len(each)
    told("E  mean cell time of a notebook", sum(each) / len(each), "s", ".3f")
    session.seconds["pages"] = arms.pages_alone(session.runs, session.out) / 2
    told("E  HTML of all notebooks, half of one process's time", session.seconds["pages"], "s", ".2f")
    seconds = arms.xargs_papermill(session.steps, copies[0])
    session.note("B'", f"xargs -P2 papermill, tables there: {n} notebooks", seconds, n)
    seconds = arms.papermill_pool(session.steps, copies[1])
    session.note("C'", f"papermill's function in two processes, tables there: {n} notebooks", seconds, n)


def unchanged(session: Session) -> None:
    """F: what is asked for when there is nothing to do."""
    seconds, ends = batch(session.command)
    told(f"F  closedloop run, nothing changed ({len(again(ends))} runs ran again)", seconds, "s", ".2f", high=2)
    help_ = min(ran([tool("closedloop"), "--help"])[0] for _ in range(5))
    told("F  closedloop --help, best of 5", help_, "s", ".2f", high=0.3)
    told("F  closedloop run --dry-run", ran([*session.command, "--dry-run"])[0], "s", ".2f", high=2)


def one_deal(session: Session) -> None:
    """G: a deal is added late in the last complete period: nothing that was planned before may run again."""
    complete, coming = open_warehouse(MARKET).periods[-2:]
    command = Session(session.place / "deal", [complete.name, coming.name]).command
    batch(command)
    add_deal(data_folder() / MARKET / "raw" / "deals.csv", f"{complete.start}", f"{complete.end}")
    ran_again = again(ends := batch(command)[1])
    n_cached = len(ends) - len(ran_again)
    row("G  one deal added: runs that ran again, that stayed cached", f"{len(ran_again)}, {n_cached}")
    blind = [id_ for id_ in ran_again if not may_see(id_, complete.name)]
    row("G  did any run that cannot see the deal run again?", "yes" if blind else "no", "no", "NO" if blind else "yes")
    late = {id_ for id_ in ends if may_see(id_, complete.name)}
    told("G  runs that may see the deal and stayed cached", len(late - set(ran_again)), "", ".0f", high=0)


def may_see(id_: str, complete: str) -> bool:
    """May the run see what happened until the last day of the period ``complete``?"""
    _, period, name = id_.split("/")
    return period > complete or (period == complete and name in LOOKING_BACK)


def add_deal(path: Path, start: str, end: str) -> None:
    """Append a copy, under a new id, of the last deal that was created in a period."""
    with path.open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    last = [deal for deal in known if start <= deal["Create Date"] < end][-1]
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, list(last), lineterminator="\n").writerow(last | {"Deal ID": "D99999"})


def endurance(session: Session) -> None:
    """H: 500 runs in a row."""
    found, n_processes, n_files = alone(session.place / "h" / "t", in_a_row)
    told(f"H  {MANY} runs of a tiny notebook in a row: each", found["seconds"], "s", ".3f")
    told(f"H  memory of the runner after {FEW} runs", found["at first"], "MB")
    told(f"H  its growth until {MANY} runs", found["own"], "MB", high=50)
    told("H  growth of the process that notebooks are forked from", found["parent"], "MB", high=50)
    told("H  processes left over", n_processes, shown=".0f", high=0)
    told("H  temporary files left over", n_files, shown=".0f", high=0)


def crowded(session: Session) -> None:
    """I: far more runs at once than there are cores."""
    found, n_processes, n_files = alone(session.place / "i" / "t", crowds)
    what = f"I  {CROWD} runs at once, {TIMES} times"
    told(f"{what}: hang for {HANG_SECONDS} s", found["hang"], shown=".0f", high=0)
    told(f"{what}: fail", found["failed"], shown=".0f", high=0)
    told(f"{what}: processes and temporary files left over", n_processes + n_files, shown=".0f", high=0)
    told(f"{what}: in all", found["seconds"], "s")


def beside_cells(session: Session) -> None:
    """J: what a notebook costs beside its cells."""
    (session.place / "j").mkdir()
    told(
        "J  a notebook of small cells, two at once, without HTML: each",
        1000 * little(session.place / "j"),
        "ms",
        high=50,
    )


def compare(session: Session) -> None:
    """The ratios of all arms that were measured."""
    mean = session.seconds.get("cells of a notebook", float("inf"))
    six = {"low": 6.0} if mean <= LARGEST_MEAN else {}
    for arm, other, bar in (("A", "B", six), ("A", "C", {}), ("D", "B'", six), ("D", "C'", {"low": 5.0})):
        if arm in session.rates and other in session.rates:
            ratio = session.rates[arm] / session.rates[other]
            told(f"{arm} : {other}, notebooks a minute", ratio, "times", ".2f", **bar)
    if {"D", "E"} <= session.seconds.keys():
        whole, bare = session.seconds["D"], session.seconds["E"]
        told("D above E, HTML included", 100 * (whole / bare - 1), "%", ".0f", high=50)
        beside = (whole - session.seconds["pages"] - bare) / len(session.runs)
        told("D above E for each notebook, HTML not counted", 1000 * beside, "ms", ".0f", high=50)


PARTS: dict[str, Callable[[Session], None]] = {
    **{"A": ours, "B": xargs, "C": pool, "D": notebooks_only, "F": unchanged},
    **{"G": one_deal, "H": endurance, "I": crowded, "J": beside_cells},
}


def main() -> None:
    """Measure the chosen parts, and print the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--period", action="append", default=[], help="only this period; may be given again")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given again")
    options: Any = parser.parse_args()
    chosen = options.part or list(PARTS)
    if set(chosen) & set("BCDF"):
        chosen = ["A", *chosen]  # the others take its runs, parameters and tables
    print("\n".join(machine()))
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    print(f"load average before: {os.getloadavg()[0]:.1f}; whatever else runs here makes the times longer")
    row("what", "measured", "bar", "passed")
    with TemporaryDirectory(prefix="b-") as place, environment(**ENVIRONMENT, **copy_project(Path(place) / "project")):
        open_warehouse(MARKET)  # builds the tables, which are there for all arms
        session = Session(Path(place), options.period)
        for name, part in PARTS.items():
            if name in chosen:
                part(session)
        compare(session)


if __name__ == "__main__":
    main()
