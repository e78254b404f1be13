"""Long and crowded work of the batch, each in a process of its own whose leavings are counted: tests/bench/batch.py."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from pathlib import Path

import psutil
from closedloop.batch.ledger import Entry
from closedloop.batch.perform import Bench, Task, kill_children
from closedloop.batch.plan import Job
from closedloop.batch.run import environment
from closedloop.batch.runner.engine import execute
from closedloop.batch.runner.parent import Parent
from closedloop.terms import Status

from tests.batch.conftest import RESULTS, write_notebook

FEW, MANY = 50, 500  # runs in a row
LITTLE_CELLS = 15
CROWD, TIMES, HANG_SECONDS = 24, 10, 60


def tiny(place: Path, name: str) -> Task:
    """A run of a small notebook of two cells."""
    source = place.parent / "tiny.ipynb"
    if not source.exists():
        write_notebook(source, ["print(market, period)", RESULTS % "'n': 3"])
    job = Job("tiny", name, "tiny", parameters={"market": "tiny", "period": name})
    return Task(job, place.parent / "out", {}, source)


def little(place: Path) -> float:
    """Seconds that a notebook takes whose cells do next to nothing, two at once and without HTML."""
    source = place / "little.ipynb"
    write_notebook(source, ["print(market, period)"] * LITTLE_CELLS)
    with Parent() as parent, ThreadPoolExecutor(2) as threads:
        execute(source, {}, None, parent)
        began = time.perf_counter()
        ended = list(threads.map(lambda _: execute(source, {"market": "tiny"}, None, parent), range(FEW)))
        seconds = (time.perf_counter() - began) / FEW
    if any(execution.status is not Status.OK for execution in ended):
        raise SystemExit(f"{source}: {ended[0].cause}")
    return seconds


def good(entry: Entry) -> Entry:
    """The entry; ends all if the run did not succeed."""
    if not entry.is_good:
        raise SystemExit(f"{entry.id}: {entry.status}: {entry.cause}")
    return entry


def in_a_row(place: Path) -> dict[str, float]:
    """Growth of memory, in MB, between the first runs and the last: of this process, and of the kernels' parent."""
    bench, me = Bench(), psutil.Process()
    memory: list[list[float]] = []
    began = time.perf_counter()
    try:
        for number in range(1, MANY + 1):
            good(bench.perform(tiny(place, f"p{number % 10}")))
            if number in (FEW, MANY):
                memory.append([process.memory_info().rss / 1e6 for process in (me, *me.children())])
        seconds = time.perf_counter() - began
    finally:
        bench.close()
    (own, *parents), (own_last, *parents_last) = memory
    growth = {"own": own_last - own, "parent": sum(parents_last) - sum(parents)}
    return {"at first": own, **growth, "seconds": seconds / MANY}


def crowds(place: Path) -> dict[str, float]:
    """Ten times 24 runs at once, each time with a new parent: those that hang, those that fail, and the seconds."""
    found, began = {"hang": 0, "failed": 0}, time.perf_counter()
    for number in range(TIMES):
        bench, threads = Bench(), ThreadPoolExecutor(CROWD)
        futures = [threads.submit(bench.perform, tiny(place, f"p{number}-{n}")) for n in range(CROWD)]
        done, late = wait(futures, HANG_SECONDS)
        found["hang"] += len(late)
        found["failed"] += sum(not future.result().is_good for future in done)
        if late:
            kill_children()
        threads.shutdown()
        bench.close()
    return {**found, "seconds": time.perf_counter() - began}


def alone(place: Path, work: Callable[[Path], dict[str, float]]) -> tuple[dict[str, float], int, int]:
    """What ``work`` gives in a process of its own, and how many processes and temporary files are left after it."""
    place.mkdir(parents=True)
    resource_tracker.ensure_running()  # else it is started with the first process of all, and with its environment
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
