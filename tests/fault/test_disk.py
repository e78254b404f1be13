"""A disk that is full, read-only or not there: a clear error, and what was there before stays whole."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from closedloop.batch import ledger
from closedloop.errors import ClosedLoopError, WriteError
from closedloop.market.files import write_atomic

from .conftest import Project, start_runner


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_or_read_only_disk_leaves_the_earlier_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"earlier")

    def refuse(_: int) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("closedloop.market.files.os.fsync", refuse)
    with pytest.raises(WriteError, match=rf"a\.json: cannot write 5 bytes: {os.strerror(number)}"):
        write_atomic(path, b"later")
    assert path.read_bytes() == b"earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_is_larger_than_there_is_room_for_is_named_with_its_size(tmp_path: Path) -> None:
    """The system itself refuses: the process may write files of 1,000 bytes at most."""
    code = (
        "import resource, sys; from pathlib import Path; from closedloop.market.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_atomic(Path(sys.argv[1]), b'x' * 5000)"
    )
    path = tmp_path / "a.json"
    path.write_bytes(b"earlier")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert f"{path}: cannot write 5000 bytes: File too large" in done.stderr
    assert path.read_bytes() == b"earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_run_whose_page_does_not_fit_fails_and_the_others_go_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run()
    page = project.out / "tiny/2024-q1/05_deals.ipynb"
    earlier = page.read_bytes()
    project.world(data=["x", "y"])

    def full(path: Path, content: bytes) -> None:
        if path == page:
            raise WriteError(f"{path}: cannot write {len(content)} bytes: No space left on device")
        write_atomic(path, content)

    monkeypatch.setattr("closedloop.batch.perform.write_atomic", full)
    summary = project.run()
    entry = summary.entries["tiny/2024-q1/05_deals"]
    documents = {f"tiny/2024-q2/{name}" for name in ("sales_playbook-planner", "battlecard-acme-inc-c40fac")}
    assert (summary.exit_code, set(summary.bad)) == (1, {entry.id} | documents)  # which read what 05 found
    assert str(summary.entries["tiny/2024-q2/02_personas"].status) == "ok"
    assert entry.cause.endswith("bytes: No space left on device")
    assert str(page) in entry.cause
    assert page.read_bytes() == earlier


def test_a_ledger_that_cannot_be_written_ends_the_batch_with_its_path(project: Project) -> None:
    project.run(periods=["2024-q2"])
    before = (project.out / "manifest.json").read_bytes()
    project.world(data=["a", "c"])
    runner_limit = 200  # bytes a file; enough for the lock, too little for the ledger
    code = (
        "import resource, sys; from pathlib import Path; import tiny_world; from tests.batch.conftest import *\n"
        "from closedloop.batch.progress import Lines; from closedloop.batch.desk import Request\n"
        "from closedloop.batch.run import run\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({runner_limit}, {runner_limit}))\n"
        "run(Request(['tiny'], out=Path(sys.argv[1]), n_workers=1), Lines(), tiny_world.open_market, pretend)"
    )
    paths = os.pathsep.join([str(project.root / "modules"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.out)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 1
    assert "manifest.json: cannot write" in done.stderr
    assert "bytes: File too large" in done.stderr
    assert (project.out / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/closedloop", "a file"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    out = tmp_path / "a"
    out.write_text("a file")
    named = Path(place) if place.startswith("/") else out / "runs"
    with (
        pytest.raises(ClosedLoopError, match=rf"{named}: cannot be written: .+; choose another --out"),
        ledger.locked(named),
    ):
        pass


def test_a_folder_that_vanishes_while_the_batch_runs_is_made_again(project: Project) -> None:
    import shutil

    project.run(periods=["2024-q2"])
    shutil.rmtree(project.out / "tiny")
    summary = project.run(periods=["2024-q2"])
    assert summary.exit_code == 0
    assert "cached" not in {str(entry.status) for entry in summary.entries.values()}
    assert (project.out / "tiny/2024-q2/01_research.html").exists()


def test_no_partial_file_is_seen_while_a_batch_writes(project: Project) -> None:
    """Every page that can be seen at any time is whole: it ends as pages end."""
    runner = start_runner(project)
    seen = 0
    while runner.poll() is None:
        for path in project.out.glob("tiny/*/*.html"):
            assert path.read_text().rstrip().endswith("</html>")
            seen += 1
    assert runner.returncode == 0
    assert seen > 10
