"""The ledger: what it holds, how it survives, and who may write it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from closedloop.batch.desk import Desk, Request
from closedloop.batch.ledger import Entry, Ledger, inside, locked
from closedloop.batch.plan import Job, Planner
from closedloop.errors import ClosedLoopError, LockedError
from closedloop.market.files import hashes, write_atomic
from closedloop.terms import Status

A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # SHA-256 of "a", FIPS 180-4 test programs


def _entry(id_: str = "m/p/x", status: Status = Status.OK, **more: object) -> Entry:
    market, period, notebook = id_.split("/")
    return Entry(id_, market, period, notebook, {"market": market}, status, **more)  # type: ignore[arg-type]


def test_runs_are_written_and_read_again(tmp_path: Path) -> None:
    entry = _entry(cause="", seconds=1.5, peak_mb=80.0, inputs={"lib": "1"}, outputs={"m/x": "2"}, results={"n": 3})
    ledger = Ledger(tmp_path)
    ledger.record(entry)
    ledger.flush()
    assert Ledger(tmp_path).entries == {"m/p/x": entry}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert set(manifest) == {"runs", "versions"}
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["runs"] == [
        {
            "id": "m/p/x",
            "market": "m",
            "period": "p",
            "notebook": "x",
            "parameters": {"market": "m"},
            "status": "ok",
            "cause": "",
            "seconds": 1.5,
            "peak_mb": 80.0,
            "inputs": {"lib": "1"},
            "outputs": {"m/x": "2"},
            "results": {"n": 3},
        }
    ]


def test_what_other_markets_wrote_stays(tmp_path: Path) -> None:
    Ledger(tmp_path).record(_entry("a/p/x"))
    Ledger(tmp_path).record(_entry("b/p/x", Status.FAILED))
    Ledger(tmp_path).record(_entry("b/p/x"))
    assert {id_: entry.status for id_, entry in Ledger(tmp_path).entries.items()} == {"a/p/x": "ok", "b/p/x": "ok"}


def test_the_same_runs_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path / "1"), Ledger(tmp_path / "2")
    first.record(_entry("a/p/x"), _entry("b/p/x"))
    second.record(_entry("b/p/x"))
    second.record(_entry("a/p/x"))
    first.flush()
    second.flush()
    assert first.path.read_bytes() == second.path.read_bytes()


def test_what_a_killed_batch_recorded_is_there_though_its_manifest_was_not_written(tmp_path: Path) -> None:
    Ledger(tmp_path).record(_entry("a/p/x"), _entry("b/p/x", Status.FAILED))
    assert not (tmp_path / "manifest.json").exists()
    with (tmp_path / ".journal").open("a") as file:
        file.write('{"id": "c/p/x", "mark')  # it was killed while it wrote
    again = Ledger(tmp_path)
    assert {id_: entry.status for id_, entry in again.entries.items()} == {"a/p/x": "ok", "b/p/x": "failed"}
    again.flush()
    again.record(_entry("b/p/x"))
    assert Ledger(tmp_path).entries["b/p/x"].status is Status.OK
    assert sorted(path.name for path in tmp_path.iterdir()) == [".journal", "manifest.json"]


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / ".journal").write_text('{"id": 1}\n')
    with pytest.raises(ClosedLoopError, match=r"\.journal: is no journal"):
        Ledger(tmp_path)


def test_what_is_only_confirmed_waits_for_the_manifest(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.note(_entry("a/p/x"))
    assert Ledger(tmp_path).entries == {}
    ledger.flush()
    assert list(Ledger(tmp_path).entries) == ["a/p/x"]


@pytest.mark.parametrize("content", ["", "{}", '{"runs": [{"id": 1}]}', '{"runs": [{"status": "running"}]}', "[1]"])
def test_a_damaged_ledger_is_named_and_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ClosedLoopError, match=r"manifest.json: is no ledger"):
        Ledger(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


@pytest.fixture
def is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Is the run of this notebook current with these inputs and parameters?"""

    def ask(inputs: dict[str, str], parameters: dict[str, str], notebook: str = "x") -> bool:
        monkeypatch.setattr(Desk, "inputs", lambda *_: inputs)
        desk = Desk(Request(["m"], out=tmp_path), Planner({}), Ledger(tmp_path))
        return desk.current(Job("m", "p", notebook, parameters=parameters)) is not None

    return ask


def test_a_run_is_current_only_with_the_same_inputs_parameters_and_outputs(
    tmp_path: Path, is_current: Callable[..., bool]
) -> None:
    (tmp_path / "x").write_text("a")
    Ledger(tmp_path).record(_entry(inputs={"lib": "1"}, outputs={"x": A}))
    same = {"market": "m"}
    assert is_current({"lib": "1"}, same)
    assert not is_current({"lib": "2"}, same)
    assert not is_current({"lib": "1", "more": "1"}, same)
    assert not is_current({"lib": "1"}, {"market": "n"})
    assert not is_current({"lib": "1"}, same, "y")
    (tmp_path / "x").write_text("b")
    assert not is_current({"lib": "1"}, same)
    (tmp_path / "x").unlink()
    assert not is_current({"lib": "1"}, same)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.SKIPPED, Status.DIED])
def test_a_run_that_did_not_succeed_is_never_current(
    tmp_path: Path, is_current: Callable[..., bool], status: Status
) -> None:
    Ledger(tmp_path).record(_entry(status=status))
    assert not is_current({}, {"market": "m"})


def test_a_retired_run_loses_its_files(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write_atomic(tmp_path / "m" / "x.html", b"a")
    ledger.record(_entry(outputs={"m/x.html": A}), _entry("m/p/y"))
    ledger.retire(["m/p/x"])
    assert list(ledger.entries) == ["m/p/y"]
    assert not (tmp_path / "m" / "x.html").exists()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "link/x"])
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    with pytest.raises(ClosedLoopError, match="leads out of the run folder"):
        inside(tmp_path / "out", path)


def test_hashes_are_sha256_by_relative_path_and_leave_out_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert hashes([tmp_path / "a", tmp_path / "missing"], tmp_path) == {"a": A}
    assert hashlib.sha256(b"a").hexdigest() == A


def test_a_second_runner_stops_and_names_the_owner(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LockedError, match=rf"in use by process {os.getpid()}"), locked(tmp_path):
        pass
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}\n"


def test_the_lock_of_a_killed_runner_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from closedloop.batch.ledger import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    paths = os.pathsep.join(sys.path)
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ | {"PYTHONPATH": paths})
    assert killed.returncode == -9
    assert (tmp_path / ".lock").read_text().startswith("process ")
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}\n"
