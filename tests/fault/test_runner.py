"""The runner is killed, stopped or started twice, and things change between its runs."""

import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from closedloop.batch.ledger import locked
from closedloop.batch.trace import Limits
from closedloop.errors import LockedError, ParameterError
from closedloop.market.warehouse import read_again

from .conftest import Project, family, orphans, start_runner, wait_for

GOOD = {"ok", "ok_with_warnings", "cached"}


def statuses(project: Project) -> dict[str, str]:
    """The ledger's statuses by id, without the market and the year."""
    return {id_.removeprefix("tiny/2024-"): run["status"] for id_, run in project.manifest.items()}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_what_runs_and_leaves_nothing_behind(project: Project, number: int, code: int) -> None:
    project.notebook("notebooks/01_research", "import time; time.sleep(60)")
    runner = start_runner(project, "2024-q2")
    processes = wait_for(runner, "started", "tiny/2024-q2/01_research")
    runner.send_signal(number)
    assert runner.wait(timeout=30) == code
    assert orphans(processes) == []
    assert project.manifest["tiny/2024-q2/01_research"]["status"] == "cancelled"
    assert project.manifest["tiny/2024-q2/plan"]["status"] == "ok_with_warnings"
    assert (project.out / "index.html").exists()


def test_a_signal_stops_a_moment_as_well(project: Project) -> None:
    project.world(sleeps="2024-q1/plan")
    runner = start_runner(project)
    processes = wait_for(runner, "started", "tiny/2024-q1/plan")
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(timeout=30) == 143
    assert orphans(processes) == []
    assert statuses(project)["q1/plan"] == "cancelled"


def test_a_killed_runner_leaves_no_process_and_loses_no_finished_run(project: Project) -> None:
    project.world(sleeps="2024-q1/plan")
    project.notebook("notebooks/01_research", "import time; time.sleep(60)")
    runner = start_runner(project, "2024-q2")
    processes = wait_for(runner, "finished", "tiny/2024-q2/sales_playbook-planner")
    runner.kill()
    runner.wait(timeout=10)
    assert orphans(processes) == []
    project.notebook("notebooks/01_research", "print('short')")
    project.run(periods=["2024-q2"])
    found = statuses(project)
    assert (found["q2/sales_playbook-planner"], found["q2/plan"]) == ("cached", "cached")
    assert found["q2/01_research"] == "ok_with_warnings"
    assert project.computed == ["tiny/2024-q1/outcome", "tiny/2024-q2/plan"]


def test_what_a_killed_runner_was_writing_is_removed(project: Project) -> None:
    project.run(periods=["2024-q2"])
    part = project.out / "tiny" / "2024-q2" / ".01_research.ipynb-abc.part"
    own = part.with_name(".notes")
    for path in (part, own):
        path.write_text("{")
    project.run(periods=["2024-q2"])
    assert (part.exists(), own.exists()) == (False, True)


N_KILLS = 20 if os.environ.get("CLOSEDLOOP_FULL") else 6


def test_killed_at_random_moments_it_finishes_in_the_end_with_nothing_lost_or_repeated(project: Project) -> None:
    """Every run that the ledger held when the runner was killed is cached afterwards; all others are made once more."""
    seconds = random.Random(7)
    project.notebook("notebooks/01_research", f"open({str(project.root / 'ran.txt')!r}, 'a').write(period + ' ')")
    for _ in range(N_KILLS):
        runner = start_runner(project)
        time.sleep(seconds.uniform(0.3, 4.0))
        processes = family(runner.pid) if runner.poll() is None else []
        runner.kill()
        runner.wait(timeout=10)
        assert orphans(processes) == []
        held = recorded(project.out)
        before = ran(project)
        start_runner(project).wait(timeout=60)
        found = statuses(project)
        assert set(found.values()) <= GOOD and len(found) == 10
        assert {id_ for id_ in held if found[id_.removeprefix("tiny/2024-")] != "cached"} == set()
        again = [period for period in ("2024-q1", "2024-q2") if f"tiny/{period}/01_research" not in held]
        assert sorted(ran(project)[len(before) :]) == again
        hidden = {path.name for path in project.out.rglob(".*") if path.is_file()}
        assert hidden == {".lock"}
        project.notebook("notebooks/05_deals", f"'{_}'")  # something is to do in the next round
        project.world(data=[f"a{_}", f"b{_}"])


def ran(project: Project) -> list[str]:
    """The periods for which the first notebook has run, in order."""
    path = project.root / "ran.txt"
    return path.read_text().split() if path.exists() else []


def recorded(out: Path) -> set[str]:
    """The runs that succeeded and that are on disk, in the manifest or its journal, and still are what they were."""
    runs = {}
    if (out / "manifest.json").exists():
        runs |= {run["id"]: run for run in json.loads((out / "manifest.json").read_text())["runs"]}
    lines = (out / ".journal").read_text().split("\n")[:-1] if (out / ".journal").exists() else []
    runs |= {run["id"]: run for run in map(json.loads, lines)}
    world = json.loads((out.parent / "world.json").read_text())["data"]
    return {id_ for id_, run in runs.items() if run["status"] in GOOD and _is_of(run, world)}


def _is_of(run: dict, world: list[str]) -> bool:
    return any(run["inputs"].get(f"data/tiny@{moment}") in world for moment in ("plan", "outcome"))


def test_a_second_runner_is_refused_and_names_the_first(project: Project) -> None:
    with locked(project.out), pytest.raises(LockedError, match=f"in use by process {os.getpid()}"):
        project.run()
    assert project.computed == []


def test_the_lock_of_a_killed_runner_is_free(project: Project) -> None:
    project.world(sleeps="2024-q1/plan")
    runner = start_runner(project)
    processes = wait_for(runner, "started", "tiny/2024-q1/plan")
    runner.kill()
    runner.wait()
    assert orphans(processes) == []
    project.world(sleeps="")
    assert project.run().exit_code == 0


@pytest.mark.parametrize(("way", "status"), [("breaks", "failed"), ("dies", "died"), ("sleeps", "timed_out")])
def test_a_bad_moment_skips_all_that_needs_it_and_nothing_else(project: Project, way: str, status: str) -> None:
    project.world(**{way: "2024-q1/outcome"})
    summary = project.run(limits=Limits(run_seconds=3))
    found = statuses(project)
    assert summary.exit_code == 1
    assert found["q1/outcome"] == status
    assert {id_ for id_, one in found.items() if one == "skipped"} == {"q2/plan", "q1/05_deals", "q2/01_research"}
    assert found["q1/sales_playbook-planner"] == "ok"
    assert summary.entries["tiny/2024-q2/01_research"].cause == f"needs tiny/2024-q1/outcome, which ended as {status}"
    project.world(**{way: ""})
    assert project.run().exit_code == 0


def test_a_moment_that_dies_tells_how(project: Project) -> None:
    project.world(dies="2024-q1/outcome")
    project.run()
    assert project.manifest["tiny/2024-q1/outcome"]["cause"] == "the worker process died (exit code 9)"


# what has changed runs again, and nothing else


def changed(project: Project, **request: object) -> set[str]:
    """The runs of another batch that were not cached."""
    return {id_.removeprefix("tiny/2024-") for id_, e in project.run(**request).entries.items() if e.status != "cached"}


ALL = {"q1/plan", "q1/outcome", "q2/plan", "q1/01_research", "q2/01_research", "q1/05_deals"} | {
    f"{q}/{name}" for q in ("q1", "q2") for name in ("sales_playbook-planner", "battlecard-acme-inc-c40fac")
}
LAST = {"q2/plan", "q2/01_research", "q2/sales_playbook-planner", "q2/battlecard-acme-inc-c40fac"}
OUTCOME = {"q1/outcome", "q1/05_deals"}
MOMENTS = {"q1/plan", "q1/outcome", "q2/plan"}


def test_a_changed_input_notebook_parameter_or_lock_runs_exactly_what_depends_on_it(project: Project) -> None:
    assert changed(project) == ALL
    assert changed(project) == set()
    project.world(data=["a", "c"])  # rows that only the first outcome and the second plan may see
    assert changed(project) == OUTCOME | LAST
    project.notebook("notebooks/05_deals", "print('changed')")
    assert changed(project) == {"q1/05_deals"}
    project.notebook("playbooks/battlecard", "1", parameters=_declared("n: int = 1  # how many"))
    assert changed(project) == {id_ for id_ in ALL if "battlecard" in id_}
    assert changed(project, settings={"n": "2"}) == {id_ for id_ in ALL if "battlecard" in id_}
    assert changed(project, settings={"n": "2"}) == set()
    (project.root / "requirements.lock").write_text("pandas==3\n")
    assert changed(project, settings={"n": "2"}) == ALL


def _declared(more: str) -> str:
    from tests.batch.conftest import PARAMETERS

    return f'{PARAMETERS}competitor: str = ""  # whom\n{more}\n'


def test_changed_code_of_the_package_runs_everything(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(project) == ALL
    monkeypatch.setattr("closedloop.loop.basis.computing_code", lambda: "other")
    assert changed(project) == ALL


def test_changed_words_and_other_code_render_again_and_compute_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert changed(project) == ALL
    monkeypatch.setattr("closedloop.batch.desk.package_code", lambda: "another stylesheet")
    assert changed(project) == ALL - MOMENTS
    definition = project.root / "data" / "tiny" / "market.toml"
    definition.write_text(definition.read_text() + '[labels]\nsector = "line of business"\n')
    read_again()
    assert changed(project) == ALL - MOMENTS
    definition.write_text(definition.read_text().replace('"Tiny"', '"Small"') + "[claims]\nwindow = 3\n")
    read_again()
    assert changed(project) == ALL
    assert changed(project) == set()


def test_an_output_that_somebody_changed_or_removed_is_made_again(project: Project) -> None:
    project.run()
    (project.out / "tiny/2024-q2/01_research.html").write_text("other")
    (project.out / "tiny/2024-q1/05_deals.ipynb").unlink()
    assert changed(project) == {"q2/01_research", "q1/05_deals"}


def test_the_same_bytes_made_anew_stop_the_chain(project: Project) -> None:
    """A moment that runs again and finds the same does not make its notebooks run again."""
    project.run()
    (project.out / "tiny/2024-q1/tables/personas.json").unlink()
    assert changed(project) == {"q1/plan"}


# what is asked for


def test_only_runs_the_named_notebooks_and_the_moments_that_they_read(project: Project) -> None:
    assert changed(project, only=["05_deals"]) == {"q1/plan", "q1/outcome", "q2/plan", "q1/05_deals"}
    assert changed(project, only=["battlecard"]) == {id_ for id_ in ALL if "battlecard" in id_}
    kept = project.out / "tiny/2024-q1/battlecard-acme-inc-c40fac.html"
    assert changed(project, only=["05_deals"]) == set()
    assert kept.exists()
    with pytest.raises(ParameterError, match="notebook = 'colours' does not exist; allowed: 01_research"):
        project.run(only=["colours"])


def test_since_failure_runs_what_did_not_succeed_and_what_waited_for_it(project: Project) -> None:
    project.world(breaks="2024-q1/outcome")
    project.run()
    project.world(breaks="", data=["x", "y"])  # all of it would run again
    failed = OUTCOME | {"q2/plan", "q2/01_research"}
    assert changed(project, only_failed=True) == failed | {id_ for id_ in ALL if id_.startswith("q2")}
    assert changed(project, only_failed=True) == set()
    kept = ALL - failed - {id_ for id_ in ALL if id_.startswith("q2")}
    assert changed(project) == kept  # what succeeded before stayed as it was, until somebody asks for all


def test_a_dry_run_tells_what_a_run_then_does(project: Project) -> None:
    from closedloop.batch.forecast import forecast
    from closedloop.batch.run import Request

    def told(**request: object) -> set[str]:
        found = forecast(Request(["tiny"], out=project.out, n_workers=2, **request), project.moments.open_market)  # type: ignore[arg-type]
        return {id_.removeprefix("tiny/2024-") for id_ in found.due}

    first = forecast(Request(["tiny"], out=project.out), project.moments.open_market)
    assert {id_.removeprefix("tiny/2024-") for id_ in first.due} == {id_ for id_ in ALL if "-" not in id_[3:]}
    assert first.grown == ()  # no plan has named anybody yet
    assert not (project.out / "manifest.json").exists()
    assert project.computed == []
    project.run()
    assert told() == set()
    assert told(is_forced=True) == ALL
    project.world(data=["a", "c"])
    due = told()
    assert due == OUTCOME | LAST == changed(project)
    summary = forecast(Request(["tiny"], out=project.out, n_workers=2), project.moments.open_market)
    assert summary.told().startswith("10 runs: 10 are current, 0 would run.\n4 of them are documents")
    assert summary.as_json()["seconds"] == 0


def test_a_dry_run_expects_the_seconds_of_last_time(project: Project) -> None:
    from closedloop.batch.forecast import forecast
    from closedloop.batch.run import Request

    project.run()
    manifest = json.loads((project.out / "manifest.json").read_text())
    for run in manifest["runs"]:
        run["seconds"] = 30.0 if run["notebook"] in ("plan", "outcome") else 3.0
    (project.out / "manifest.json").write_text(json.dumps(manifest))
    asked = Request(["tiny"], out=project.out, n_workers=2, is_forced=True)
    found = forecast(asked, project.moments.open_market)
    assert found.seconds == 93.0  # three moments one after the other, and a notebook of the last
    assert found.told().endswith("About 93 s with 2 at once.")
    many = forecast(Request(["tiny"], out=project.out, n_workers=1, is_forced=True), project.moments.open_market)
    assert many.seconds == 3 * 30 + 7 * 3


def test_events_for_other_programs_are_json_lines(project: Project) -> None:
    runner = start_runner(project, "2024-q2")
    output, _ = runner.communicate(timeout=60)
    events = [json.loads(line) for line in output.splitlines()]
    assert {event["event"] for event in events} == {"planned", "started", "finished"}
    done = [event for event in events if event["event"] == "finished"]
    assert {event["status"] for event in done} <= GOOD
    assert events[-1]["event"] == "finished"
    assert max(event["n_runs"] for event in events if event["event"] == "planned") == len(done)


def test_nothing_of_a_batch_is_left_in_the_temporary_folder(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(tempfile.mkdtemp(prefix="t"))  # a short path: sockets allow some hundred characters
    monkeypatch.setenv("TMPDIR", str(own))
    assert start_runner(project).wait(timeout=60) == 0
    assert list(own.iterdir()) == []
    own.rmdir()
