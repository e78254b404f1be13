"""One notebook in an ordinary kernel: its status, its states and its results are the truth."""

from pathlib import Path

import nbformat
import pytest
from closedloop.batch.ledger import Limits, Trace
from closedloop.batch.runner.engine import execute
from closedloop.terms import Status

from .conftest import RESULTS, write_notebook


def _states(notebook: nbformat.NotebookNode) -> list[str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.metadata["closedloop"]["state"] for cell in code]


def test_a_good_notebook_gives_results_and_clean_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    hostile = "a\"; import os; '\\\n{x} %s é"
    write_notebook(path, [RESULTS % "'n': 1", RESULTS % "'market': market"])
    first, second = (execute(path, {"market": hostile}) for _ in range(2))
    assert (first.status, first.cause) == (Status.OK, "")
    assert first.results == {"market": hostile}
    assert first.peak_mb is None or first.peak_mb > 10
    assert _states(first.notebook) == ["completed"] * 4
    assert set(first.notebook.metadata) == {"kernelspec", "language_info", "closedloop"}
    assert nbformat.writes(first.notebook) == nbformat.writes(second.notebook)
    assert "papermill" not in nbformat.writes(first.notebook)
    nbformat.validate(first.notebook)


@pytest.mark.parametrize(
    ("cell", "status", "cause"),
    [
        ("1/0", Status.FAILED, "cell 4: ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", Status.FAILED, "cell 4: SystemExit: 0"),
        (
            "import os; os.kill(os.getpid(), 9)",
            Status.DIED,
            "cell 4: the process died (SIGKILL, often for lack of memory)",
        ),
        ("import time; time.sleep(60)", Status.TIMED_OUT, "cell 4: still running after the cell's limit of 1 seconds"),
    ],
    ids=["error", "exit", "killed", "timeout"],
)
def test_a_bad_end_is_told_and_later_cells_stay_pending(tmp_path: Path, cell: str, status: Status, cause: str) -> None:
    path = tmp_path / "x.ipynb"
    write_notebook(path, [cell, "print('later')"])
    ended = execute(path, {"market": "m"}, Limits(cell_seconds=1))
    assert (ended.status, ended.cause) == (status, cause)
    assert _states(ended.notebook) == ["completed", "completed", "failed", "pending"]
    assert ended.notebook.metadata["closedloop"]["status"] == str(status)
    assert ended.results == {}


def test_a_kernel_runs_on_private_sockets_with_the_environment_of_the_batch(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    code = "from ipykernel import get_connection_info; c = get_connection_info(unpack=True)"
    write_notebook(path, [code, "import os; mode = oct(os.stat(os.path.dirname(c['ip'])).st_mode & 0o777)", _results()])
    assert execute(path, {}).results == {"transport": "ipc", "mode": "0o700"}


def _results() -> str:
    return RESULTS % "'transport': c['transport'], 'mode': mode"


def test_results_are_the_last_ones_shown() -> None:
    mime = "application/vnd.closedloop.results+json"
    cells = [
        nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("display_data", {mime: {"n": n}})])
        for n in (1, 2)
    ]
    assert Trace(nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell("")]), Limits()).results == {"n": 2}
