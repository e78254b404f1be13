"""Speed and endurance of the batch, beside papermill on the same notebooks in the same run.

``python -m tests.bench.batch``: the whole market takes an hour or so; ``--period`` and ``--part`` choose less of it.
"""

import argparse
import csv
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import psutil
from closedloop.batch import moments
from closedloop.batch.kernels.warm import ENVIRONMENT
from closedloop.batch.ledger import Entry
from closedloop.batch.perform import Bench, Task
from closedloop.batch.plan import OUTCOME, PLAN, Job
from closedloop.batch.workers import kill_children
from closedloop.loop.turn import periods
from closedloop.market.place import root

from tests.batch.conftest import RESULTS, write_notebook
from tests.bench import batch_arms as arms
from tests.bench.batch_arms import MARKET, Run, Step, ran, tool
from tests.bench.validity import Figure, machine

PACKAGES = ("papermill", "nbclient", "nbformat", "jupyter_client", "ipykernel", "ipython", "pyzmq")
FEW, MANY = 50, 500  # runs in a row
CROWD, TIMES, HANG_SECONDS = 24, 10, 60
LARGEST_MEAN = 0.6  # seconds of a notebook's cells: where they take longer, no runner can be six times as fast


def row(what: str, measured: str, bar: str = "-", passed: str = "-") -> None:
    """One line of the table."""
    print(f"{what:<75}  {measured:>24}  {bar:<9}  {passed}", flush=True)


def told(what: str, value: float, unit: str = "", shown: str = ".1f", **ends: float) -> None:
    """One line with a bar: ``low`` or ``high``."""
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


def events(command: Sequence[str], **environment: str) -> tuple[float, dict[str, str]]:
    """Seconds of a batch, and each run's status by its id."""
    seconds, text = ran([*command, "--json"], environment=environment)
    ends = [event for event in map(json.loads, text.splitlines()) if event["event"] == "finished"]
    return seconds, {event["id"]: event["status"] for event in ends}


def again(statuses: Mapping[str, str]) -> list[str]:
    """The runs that were not found current."""
    return sorted(id_ for id_, status in statuses.items() if status != "cached")


def ours(session: Session) -> None:
    """A: the whole batch from nothing."""
    seconds, statuses = events(session.command)
    session.runs, session.steps = arms.steps_of(session.out)
    n = len(session.runs)
    what = f"closedloop run: {len(statuses)} runs, {n} of notebooks, and their HTML"
    session.note("A", what, seconds, n)


def xargs(session: Session) -> None:
    """B: the same notebooks by command lines of papermill, in the order that moments ask for."""
    n = sum(map(len, session.steps))
    seconds = arms.xargs_papermill(session.steps, session.place / "xargs")
    session.note("B", f"xargs -P2 papermill: {n} notebooks, without HTML", seconds, n)


def pool(session: Session) -> None:
    """C: the same by papermill's function."""
    n = sum(map(len, session.steps))
    seconds = arms.papermill_pool(session.steps, session.place / "pool")
    session.note("C", f"papermill's function in two processes: {n} notebooks, without HTML", seconds, n)


def notebooks_only(session: Session) -> None:
    """D, B', C': the moments are there, the executed notebooks are not."""
    n, side_by_side = len(session.runs), [session.runs]
    copies = [session.copy("xargs-only"), session.copy("pool-only")]
    for run in session.runs:
        run.target(session.out).unlink()
    seconds, statuses = events(session.command)
    session.note("D", f"closedloop run, moments current: {len(again(statuses))} notebooks, HTML", seconds, n)
    seconds = arms.xargs_papermill(side_by_side, copies[0])
    session.note("B'", f"xargs -P2 papermill, tables there: {n} notebooks", seconds, n)
    seconds = arms.papermill_pool(side_by_side, copies[1])
    session.note("C'", f"papermill's function in two processes, tables there: {n} notebooks", seconds, n)


def cells(session: Session) -> None:
    """E: nothing but the cells, and nothing but the pages."""
    seconds, each = arms.cells_alone(session.runs, session.copy("cells"))
    session.note("E", f"cells alone in two warm processes: {len(each)} notebooks", seconds, len(each))
    session.seconds["cells of a notebook"] = sum(each) / len(each)
    told("E  mean cell time of a notebook", sum(each) / len(each), "s", ".3f")
    session.seconds["pages"] = arms.pages_alone(session.runs, session.out) / 2
    told("E  HTML of all notebooks, half of one process's time", session.seconds["pages"], "s", ".2f")


def unchanged(session: Session) -> None:
    """F: what is asked for when there is nothing to do."""
    seconds, statuses = events(session.command)
    told(f"F  closedloop run, nothing changed ({len(again(statuses))} runs ran again)", seconds, "s", ".2f", high=2)
    help_ = min(ran([tool("closedloop"), "--help"])[0] for _ in range(5))
    told("F  closedloop --help, best of 5", help_, "s", ".2f", high=0.3)
    told("F  closedloop run --dry-run", ran([*session.command, "--dry-run"])[0], "s", ".2f", high=2)


def one_deal(session: Session) -> None:
    """G: a deal is added late in the last complete period: nothing that was planned before may run again."""
    complete, coming = periods(MARKET)[-2:]
    project = session.place / "project"
    for name in (f"data/{MARKET}", "notebooks", "playbooks"):
        shutil.copytree(root() / name, project / name)
    shutil.copy(root() / "requirements.lock", project)
    command = [tool("closedloop"), "run", MARKET, "--period", complete.name, "--period", coming.name, "--workers", "2"]
    events(command, CLOSEDLOOP_ROOT=str(project))
    add_deal(project / "data" / MARKET / "raw" / "deals.csv", f"{complete.start}", f"{complete.end}")
    _, statuses = events(command, CLOSEDLOOP_ROOT=str(project))
    ran_again = again(statuses)
    row("G  one deal added: runs that ran again", f"{len(ran_again)} of {len(statuses)}")
    row("G  one deal added: runs that stayed cached", f"{len(statuses) - len(ran_again)} of {len(statuses)}")
    is_seen = [id_ for id_ in ran_again if may_see(id_, complete.name)]
    told("G  runs of moments before the deal that ran again", len(ran_again) - len(is_seen), "", ".0f", high=0)
    turns = {f"{MARKET}/{complete.name}/{OUTCOME}", f"{MARKET}/{coming.name}/{PLAN}"}
    told("G  moments after the deal that stayed cached", len(turns - set(ran_again)), "", ".0f", high=0)


def may_see(id_: str, complete: str) -> bool:
    """Does the run belong to a moment after the last day of the period ``complete``?"""
    _, period, name = id_.split("/")
    looks_back = name == OUTCOME or name[:2] in ("04", "05", "06", "07")
    return period > complete or (period == complete and looks_back)


def add_deal(path: Path, start: str, end: str) -> None:
    """Append a copy, under a new id, of the last deal that was created in a period."""
    with path.open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    last = [deal for deal in known if start <= deal["Create Date"] < end][-1]
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, list(last), lineterminator="\n").writerow(last | {"Deal ID": "D99999"})


def tiny(place: Path, name: str) -> Task:
    """A run of a small notebook of two cells."""
    source = place.parent / "tiny.ipynb"
    if not source.exists():
        write_notebook(source, ["print(market, period)", RESULTS % "'n': 3"])
    job = Job("tiny", name, "tiny", PLAN, parameters={"market": "tiny", "period": name})
    return Task(job, place.parent / "out", {}, source)


def good(entry: Entry) -> Entry:
    """The entry; ends all if the run did not succeed."""
    if not entry.is_good:
        raise SystemExit(f"{entry.id}: {entry.status}: {entry.cause}")
    return entry


def in_a_row(place: Path) -> dict[str, float]:
    """Growth of memory, in MB, between the first runs and the last: of this process, and of the kernels' parent."""
    bench, me = Bench(moments.compute), psutil.Process()
    memory: list[list[int]] = []
    try:
        for number in range(1, MANY + 1):
            good(bench.perform(tiny(place, f"p{number % 10}")))
            if number in (FEW, MANY):
                memory.append([process.memory_info().rss for process in (me, *me.children())])
    finally:
        bench.close()
    (own, parents), (own_last, parents_last) = ((first, sum(others)) for first, *others in memory)
    return {"at first": own / 1e6, "own": (own_last - own) / 1e6, "parent": (parents_last - parents) / 1e6}


def crowds(place: Path) -> dict[str, float]:
    """Ten times 24 runs at once, each time with a new parent: those that hang, those that fail, and the seconds."""
    found, began = {"hang": 0, "failed": 0}, time.perf_counter()
    for number in range(TIMES):
        bench, threads = Bench(moments.compute, n_workers=CROWD), ThreadPoolExecutor(CROWD)
        futures = [threads.submit(bench.perform, tiny(place, f"p{number}-{n}")) for n in range(CROWD)]
        done, late = wait(futures, HANG_SECONDS)
        found["hang"] += len(late)
        found["failed"] += sum(not future.result().is_good for future in done)
        if late:
            kill_children()
        threads.shutdown()
        bench.close()
    return {**found, "seconds": time.perf_counter() - began}


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for all processes that are started within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def alone(place: Path, work: Callable[[Path], dict[str, float]]) -> tuple[dict[str, float], int, int]:
    """What ``work`` gives in a process of its own, and how many processes and temporary files are left after it."""
    place.mkdir(parents=True)
    with environment(TMPDIR=str(place)):
        with ProcessPoolExecutor(1, get_context("spawn")) as executor:
            found = executor.submit(work, place).result()
        time.sleep(1)
    left = [process for process in psutil.process_iter() if _temporary_of(process) == str(place)]
    return found, len(left), len(list(place.iterdir()))


def _temporary_of(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.environ().get("TMPDIR", ""))
    return ""


def endurance(session: Session) -> None:
    """H: 500 runs in a row."""
    found, n_processes, n_files = alone(short(session, "h"), in_a_row)
    told(f"H  memory of the runner after {FEW} runs", found["at first"], "MB")
    told(f"H  its growth until {MANY} runs", found["own"], "MB", high=50)
    told("H  growth of the process that kernels are forked from", found["parent"], "MB", high=50)
    told("H  processes left over", n_processes, shown=".0f", high=0)
    told("H  temporary files left over", n_files, shown=".0f", high=0)


def crowded(session: Session) -> None:
    """I: far more runs at once than there are cores."""
    found, n_processes, n_files = alone(short(session, "i"), crowds)
    what = f"I  {CROWD} runs at once, {TIMES} times"
    told(f"{what}: hang for {HANG_SECONDS} s", found["hang"], shown=".0f", high=0)
    told(f"{what}: fail", found["failed"], shown=".0f", high=0)
    told(f"{what}: processes and temporary files left over", n_processes + n_files, shown=".0f", high=0)
    told(f"{what}: in all", found["seconds"], "s")


def short(session: Session, name: str) -> Path:
    """A folder for temporary files: paths of sockets may not be long."""
    return session.place / name / "t"


def compare(session: Session) -> None:
    """The ratios of all arms that were measured."""
    mean = session.seconds.get("cells of a notebook", float("inf"))
    six = {"low": 6.0} if mean <= LARGEST_MEAN else {}
    for arm, other, ends in (("A", "B", six), ("A", "C", {}), ("D", "B'", six), ("D", "C'", {"low": 5.0})):
        if arm in session.rates and other in session.rates:
            told(f"{arm} : {other}, notebooks a minute", session.rates[arm] / session.rates[other], "times", **ends)
    if {"D", "E"} <= session.seconds.keys():
        whole, bare = session.seconds["D"], session.seconds["E"]
        told("D above E, HTML included", 100 * (whole / bare - 1), "%", ".0f", high=50)
        told("D above E, HTML not counted", 100 * ((whole - session.seconds["pages"]) / bare - 1), "%", ".0f")


PARTS: dict[str, Callable[[Session], None]] = {
    **{"A": ours, "B": xargs, "C": pool, "D": notebooks_only, "E": cells, "F": unchanged},
    **{"G": one_deal, "H": endurance, "I": crowded},
}


def main() -> None:
    """Measure the chosen parts, and print the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--period", action="append", default=[], help="only this period; may be given again")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given again")
    options: Any = parser.parse_args()
    chosen = options.part or list(PARTS)
    if set(chosen) & set("BCDEF"):
        chosen = ["A", *chosen]  # the others take its runs, parameters and tables
    print("\n".join(machine()))
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    periods(MARKET)  # builds the warehouse, which is there for all arms
    row("what", "measured", "bar", "passed")
    with environment(**ENVIRONMENT), TemporaryDirectory(prefix="b-", dir=gettempdir()) as place:
        session = Session(Path(place), options.period)
        for name, part in PARTS.items():
            if name in chosen:
                part(session)
        compare(session)


if __name__ == "__main__":
    main()
