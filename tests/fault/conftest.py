"""Failures made on purpose, in the tiny project of tests/batch; each test is a row of what must happen."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from closedloop.batch.runner.parent import Parent

from tests.batch.conftest import Project, project, write_notebook

__all__ = ["Project", "project", "write_notebook"]
RUNNER = """
import sys
from pathlib import Path
import tiny_world
from closedloop.batch.progress import JsonLines
from closedloop.batch.desk import Request
from closedloop.batch.run import run

if __name__ == "__main__":
    request = Request(["tiny"], sys.argv[2:], out=Path(sys.argv[1]), n_workers=2)
    sys.exit(run(request, JsonLines(), tiny_world.open_market).exit_code)
"""


@pytest.fixture(scope="session")
def parent() -> Iterator[Parent]:
    """One parent that notebooks are forked from, for all tests of a process."""
    with Parent() as warm:
        yield warm


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook with these cells of code, and says where it is."""

    def write(*cells: str, name: str = "x") -> Path:
        path = tmp_path / f"{name}.ipynb"
        write_notebook(path, cells)
        return path

    return write


def start_runner(project: Project, *periods: str) -> "subprocess.Popen[str]":
    """The tiny project's batch in a process of its own, which tells its events on standard output."""
    path = project.root / "modules" / "runner.py"
    path.write_text(RUNNER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path.parent), *sys.path])}
    command = [sys.executable, str(path), str(project.out), *periods]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def wait_for(runner: "subprocess.Popen[str]", event: str, id_: str) -> list[psutil.Process]:
    """All processes of the runner a second after the event."""
    assert runner.stdout is not None
    for line in runner.stdout:
        told = json.loads(line)
        if (told["event"], told.get("id", "")) == (event, id_):
            time.sleep(1)  # so that the notebook's process exists
            return family(runner.pid)
    raise AssertionError(f"{event} {id_} was not told")


def family(pid: int) -> list[psutil.Process]:
    """A process's children and theirs."""
    return psutil.Process(pid).children(recursive=True)


def orphans(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there ten seconds later."""
    return psutil.wait_procs(processes, timeout=10)[1]
