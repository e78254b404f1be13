"""The same plan on the worker processes of a Dask cluster, one of which is lost."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from closedloop.batch.desk import Request
from closedloop.batch.progress import Lines
from closedloop.batch.run import run
from closedloop.errors import ClosedLoopError
from distributed import Client, LocalCluster

from tests.batch.conftest import RESULTS

from .conftest import Project


@pytest.fixture
def cluster(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Two worker processes that know the tiny project."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project.root / "modules"), *sys.path]))
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None, host="127.0.0.1") as local:
        yield local


def _run(project: Project, address: str, **more: object) -> dict[str, str]:
    request = Request(["tiny"], out=project.out, scheduler=address, **more)  # type: ignore[arg-type]
    summary = run(request, Lines(sys.stderr), project.open_market)
    return {id_.removeprefix("tiny/2024-"): str(entry.status) for id_, entry in summary.entries.items()}


def test_the_plan_runs_on_the_clusters_workers(project: Project, cluster: LocalCluster) -> None:
    mark = RESULTS % "'parent': __import__('os').getppid()"
    project.notebook("notebooks/01_research", mark)
    found = _run(project, cluster.scheduler_address)
    assert len(found) == 10
    assert set(found.values()) == {"ok"}
    with Client(cluster.scheduler_address) as client:
        workers = set(client.run(os.getpid).values())
    grandparents = project.manifest["tiny/2024-q1/01_research"]["results"]["parent"]
    assert os.getpid() not in workers
    assert not psutil.pid_exists(grandparents)  # a parent of the worker's own, which ended with the batch
    assert set(_run(project, cluster.scheduler_address).values()) == {"cached"}


def test_the_runs_of_a_lost_worker_go_to_another(project: Project, cluster: LocalCluster) -> None:
    begun = project.root / "begun.txt"
    project.notebook(
        "notebooks/05_deals",
        f"import os, time; print(os.getpid(), file=open({str(begun)!r}, 'a')); time.sleep(3)",
        "print('whole')",
    )
    lost = threading.Thread(target=_kill_worker_of, args=(cluster, begun))
    lost.start()
    found = _run(project, cluster.scheduler_address)
    lost.join()
    assert set(found.values()) == {"ok", "ok_with_warnings"}
    assert len(begun.read_text().split()) >= 2  # the run that was under way was begun again
    assert "whole" in (project.out / "tiny/2024-q1/05_deals.html").read_text()
    hidden = [path.name for path in project.out.rglob(".*") if path.is_file()]
    assert hidden == [".lock"]  # nothing half-written


def _kill_worker_of(cluster: LocalCluster, begun: Path) -> None:
    """Kill the worker process that has the notebook at work whose process stands in `begun`."""
    while not (begun.exists() and begun.read_text().endswith("\n")):
        time.sleep(0.05)
    above = {process.pid for process in psutil.Process(int(begun.read_text().split()[0])).parents()}
    (lost,) = {worker.pid for worker in cluster.workers.values()} & above
    os.kill(lost, signal.SIGKILL)


def test_an_address_without_a_cluster_is_one_clear_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("closedloop.batch.perform._CONNECT_SECONDS", 1)
    with pytest.raises(ClosedLoopError, match=r"no cluster answers at --scheduler tcp://127\.0\.0\.1:9.+allowed: the"):
        _run(project, "tcp://127.0.0.1:9")
    assert project.computed == []


def test_processes_of_the_workers_end_with_the_batch(project: Project, cluster: LocalCluster) -> None:
    _run(project, cluster.scheduler_address)
    for worker in cluster.workers.values():
        names = [" ".join(p.cmdline()) for p in psutil.Process(worker.pid).children(recursive=True)]
        assert [name for name in names if "closedloop" in name] == []
    assert Path(project.out / "index.html").exists()
