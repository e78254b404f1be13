"""The ways to run the same notebooks that tests/bench/batch.py measures beside one another."""

import io
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, TypeAlias

from closedloop.batch.plan import DOCUMENTS, READS
from closedloop.batch.runner import shell
from closedloop.workbench.notebooks import notebooks

MARKET = "harbor"
_START_SECONDS = 300


@dataclass(frozen=True)
class Run:
    """One run of a notebook; its parameters but for the folder that it writes to."""

    source: Path
    period: str
    stem: str
    parameters: Mapping[str, str]

    @property
    def is_document(self) -> bool:
        """Is this a document for people to act on?"""
        return self.source.stem in DOCUMENTS

    def target(self, out: Path) -> Path:
        """Where the executed notebook is put."""
        return out / MARKET / self.period / f"{self.stem}.ipynb"

    def given(self, out: Path) -> dict[str, str]:
        """All parameters."""
        return {**self.parameters, "out": str(out)}


Step: TypeAlias = list[Run]  # runs side by side; steps follow one another


def tool(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))


def ran(
    command: Sequence[str], given: str | None = None, environment: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Seconds of a command, and what it wrote; ends all with its last lines if it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=os.environ | (environment or {}))
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return seconds, done.stdout


def steps_of(out: Path) -> tuple[list[Run], list[Step]]:
    """The runs of a finished batch, and the levels of their graph: each run is one above the last that it reads."""
    known, entries = notebooks(), json.loads((out / "manifest.json").read_text("utf-8"))["runs"]
    periods = sorted({entry["period"] for entry in entries})
    before = dict(zip(periods[1:], periods, strict=False))
    steps: dict[int, Step] = {}
    level: dict[tuple[str, str], int] = {}
    order = list(READS)
    for entry in sorted(entries, key=lambda entry: (entry["period"], order.index(entry["notebook"]))):
        period, name = entry["period"], entry["notebook"]
        own, earlier = READS[name]
        needed = [(period, one) for one in own] + [(before.get(period, ""), one) for one in earlier]
        level[period, name] = 1 + max((level.get(need, -1) for need in needed), default=-1)
        run = Run(known[name].path, period, entry["id"].rpartition("/")[2], entry["parameters"])
        steps.setdefault(level[period, name], []).append(run)
    levels = [steps[number] for number in sorted(steps)]
    return [run for step in levels for run in step], levels


def xargs_papermill(steps: Iterable[Step], out: Path) -> float:
    """Seconds of ``xargs -P2`` on command lines of papermill."""
    _make_folders(steps, out)
    began = time.perf_counter()
    for step in steps:
        lines = [f"exec {shlex.join(_command(run, out))}" for run in step]
        ran(["xargs", "-0", "-P2", "-n1", "sh", "-c"], "\0".join(lines))
    return time.perf_counter() - began


def _command(run: Run, out: Path) -> list[str]:
    pairs = [part for name, value in run.given(out).items() for part in ("-p", name, value)]
    return [tool("papermill"), str(run.source), str(run.target(out)), *pairs]


def _make_folders(steps: Iterable[Step], out: Path) -> None:
    for step in steps:
        for run in step:
            run.target(out).parent.mkdir(parents=True, exist_ok=True)


def papermill_pool(steps: Iterable[Step], out: Path) -> float:
    """Seconds of papermill's function in two processes that have imported it."""
    _make_folders(steps, out)
    with _two_processes(_import_papermill) as pool:
        began = time.perf_counter()
        for step in steps:
            pool.starmap(_by_papermill, [(run, out) for run in step], chunksize=1)
        return time.perf_counter() - began


def _import_papermill() -> None:
    import papermill.execute  # noqa: F401

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of types that it does not know
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its kernels warn of their open ports


def _by_papermill(run: Run, out: Path) -> None:
    from papermill.execute import execute_notebook

    execute_notebook(str(run.source), str(run.target(out)), parameters=run.given(out), progress_bar=False)


def cells_alone(steps: Iterable[Step], out: Path) -> tuple[float, list[float]]:
    """Seconds of the notebooks' cells in two warm processes, level by level of their graph, and those of each notebook.

    The time is that of the busier process of each level; what it does between notebooks, like clearing its shell, is
    not counted. Caches of the package stay filled, which those of a kernel never are: what is compared with this has it
    harder.
    """
    whole, every = 0.0, list[float]()
    with _two_processes(_import_all) as pool:
        for step in steps:
            busy: dict[int, float] = {}
            for process, seconds in pool.starmap(_by_shell, [(run, out) for run in step], chunksize=1):
                busy[process] = busy.get(process, 0.0) + seconds
                every.append(seconds)
            whole += max(busy.values())
    return whole, every


def _import_all() -> None:
    """What the parent of notebooks imports, and a shell: a notebook's cells need nothing more."""
    from IPython.core.interactiveshell import InteractiveShell

    shell.prepare()
    InteractiveShell.instance(config=shell.NO_HISTORY)


def _by_shell(run: Run, out: Path) -> tuple[int, float]:
    """This process, and its seconds for the cells in a namespace of their own, results formatted as a kernel does."""
    from IPython.core.interactiveshell import InteractiveShell

    ours = InteractiveShell.instance()
    ours.reset(new_session=False)
    sources = _code(run, out)
    began = time.perf_counter()
    with redirect_stdout(io.StringIO()):  # the shell formats a last expression for all displays, and prints the text
        for source in sources:
            ours.run_cell(source).raise_error()
    return os.getpid(), time.perf_counter() - began


def _code(run: Run, out: Path) -> list[str]:
    """The notebook's code cells, the values of the parameters after the cell that declares them."""
    found: list[str] = []
    for cell in json.loads(run.source.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            found.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", []):
            found.append("\n".join(f"{name} = {value!r}" for name, value in run.given(out).items()))
    return found


def pages_alone(runs: Sequence[Run], out: Path) -> float:
    """Seconds of rendering all executed notebooks to HTML, in this process."""
    import nbformat
    from closedloop.presentation.page import notebook_html

    pages = {name: f"{name}.html" for name in notebooks()}
    read: list[tuple[Run, Any]] = [(run, nbformat.read(run.target(out), 4)) for run in runs]
    began = time.perf_counter()
    for run, notebook in read:
        notebook_html(notebook, run.stem, is_document=run.is_document, pages=pages)
    return time.perf_counter() - began


@contextmanager
def _two_processes(prepare: Callable[[], None]) -> Iterator[Pool]:
    """Two fresh processes that have done ``prepare``."""
    context = get_context("spawn")
    ready = context.Barrier(3)
    with context.Pool(2, _prepared, (prepare, ready)) as pool:
        ready.wait(_START_SECONDS)
        yield pool


def _prepared(prepare: Callable[[], None], ready: Barrier) -> None:
    prepare()
    ready.wait(_START_SECONDS)
