"""The same input gives the same bytes: whatever the time zone, language, hash seed, process and place."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
PERIOD = "2024-q1"
ELSEWHERE = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "4711"}
AT_HOME = {"TZ": "America/Los_Angeles", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
ORDINARY = """
import sys
from pathlib import Path
from closedloop.batch.runner import engine
from closedloop.batch.progress import Lines
from closedloop.batch.desk import Request
from closedloop.batch.run import run

def cold(source, parameters, limits=None, parent=None):
    return engine.execute(source, parameters, limits)

if __name__ == "__main__":
    sys.exit(run(Request(["harbor"], [sys.argv[1]], out=Path(sys.argv[2])), Lines(), execute=cold).exit_code)
"""


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file that readers or later steps use; the ledger alone holds times."""
    files = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    kept = [p for p in files if ".replayed" not in p.parts and p.name != "manifest.json"]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def batch(place: Path, environment: dict[str, str], *options: str) -> dict[str, str]:
    """What the command line writes in that environment; the folder is the same each time, as some pages name it."""
    shutil.rmtree(place, ignore_errors=True)
    command = [sys.executable, "-m", "closedloop.cli", "run", "harbor", "--period", PERIOD, "--out", str(place)]
    done = subprocess.run(
        [*command, *options], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return digests(place)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytes") / "runs"


@pytest.fixture(scope="module")
def usual(place: Path) -> dict[str, str]:
    """The bytes of a batch of forked processes."""
    return batch(place, AT_HOME)


def test_time_zone_language_and_hash_seed_change_nothing(place: Path, usual: dict[str, str]) -> None:
    assert len([path for path in usual if path.endswith(".html")]) > 10
    assert len([path for path in usual if path.endswith(".parquet")]) > 10
    assert batch(place, ELSEWHERE, "--workers", "1") == usual


def test_ordinary_kernels_give_the_same_bytes(place: Path, usual: dict[str, str], tmp_path: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    path = tmp_path / "cold.py"
    path.write_text(ORDINARY)
    subprocess.run([sys.executable, str(path), PERIOD, str(place)], check=True, capture_output=True)
    assert digests(place) == usual


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as local:
        yield local


def test_a_cluster_gives_the_same_bytes(place: Path, usual: dict[str, str], cluster: LocalCluster) -> None:
    assert batch(place, AT_HOME, "--scheduler", cluster.scheduler_address) == usual
