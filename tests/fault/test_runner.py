"""The runner is killed, stopped or started twice, and things change between its runs."""

import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from closedloop.batch.desk import Forecast, Request, forecast
from closedloop.batch.ledger import Limits, locked
from closedloop.errors import LockedError
from closedloop.market.warehouse import read_again

from tests.batch.conftest import COMPETITOR, PARAMETERS

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
    assert project.manifest["tiny/2024-q1/06_refinement"]["status"] == "ok"
    assert (project.out / "index.html").exists()


def test_a_signal_stops_the_opening_of_a_market_as_well(project: Project) -> None:
    (project.root / "modules" / "tiny_world.py").write_text(
        "import time\n"
        "def open_market(market, out, is_stopped, later):\n"
        '    print(\'{"event": "opening"}\', flush=True)\n'
        "    while not is_stopped():\n"
        "        time.sleep(0.05)\n"
        "    return []\n"
    )
    runner = start_runner(project)
    processes = wait_for(runner, "opening", "")
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(timeout=30) == 143
    assert orphans(processes) == []


def test_a_killed_runner_leaves_no_process_and_loses_no_finished_run(project: Project) -> None:
    project.notebook("notebooks/05_deals", "import time; time.sleep(60)")
    runner = start_runner(project)
    processes = wait_for(runner, "finished", "tiny/2024-q1/06_refinement")
    runner.kill()
    runner.wait(timeout=10)
    assert orphans(processes) == []
    project.notebook("notebooks/05_deals", "print('short')")
    project.run()
    found = statuses(project)
    assert (found["q1/06_refinement"], found["q1/05_deals"]) == ("cached", "ok")
    assert project.computed.count("tiny/2024-q1/06_refinement") == 1


def test_what_a_killed_runner_was_writing_is_removed(project: Project) -> None:
    project.run(periods=["2024-q2"])
    part = project.out / "tiny" / "2024-q2" / ".01_research.ipynb-abc.part"
    own = part.with_name(".notes")
    for path in (part, own):
        path.write_text("{")
    project.run(periods=["2024-q2"])
    assert (part.exists(), own.exists()) == (False, True)


N_KILLS = 20 if os.environ.get("CLOSEDLOOP_FULL") else 4


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
    seen = {id_: {digest for name, digest in run["inputs"].items() if "tiny@" in name} for id_, run in runs.items()}
    return {id_ for id_, run in runs.items() if run["status"] in GOOD and seen[id_] & set(world)}


def test_a_second_runner_is_refused_and_names_the_first(project: Project) -> None:
    with locked(project.out), pytest.raises(LockedError, match=f"in use by process {os.getpid()}"):
        project.run()
    assert project.computed == []


def test_the_lock_of_a_killed_runner_is_free(project: Project) -> None:
    project.world(sleeps="2024-q1/06_refinement")
    runner = start_runner(project)
    processes = wait_for(runner, "started", "tiny/2024-q1/06_refinement")
    runner.kill()
    runner.wait()
    assert orphans(processes) == []
    project.world(sleeps="")
    assert project.run().exit_code == 0


@pytest.mark.parametrize(("way", "status"), [("breaks", "failed"), ("dies", "died"), ("sleeps", "timed_out")])
def test_a_notebook_that_ends_badly_skips_all_that_needs_it_and_nothing_else(
    project: Project, way: str, status: str
) -> None:
    project.run()
    project.world(**{way: "2024-q1/06_refinement"}, data=["a", "c"])
    summary = project.run(limits=Limits(run_seconds=3), in_processes=True)
    found = statuses(project)
    assert summary.exit_code == 1
    assert found["q1/06_refinement"] == status
    assert {id_ for id_, one in found.items() if one == "skipped"} == LAST
    assert (found["q1/05_deals"], found["q1/sales_playbook-planner"]) == ("ok", "cached")
    cause = f"needs tiny/2024-q1/06_refinement, which ended as {status}"
    assert summary.entries["tiny/2024-q2/02_personas"].cause == cause
    project.world(**{way: ""})
    assert project.run().exit_code == 0


# what has changed runs again, and nothing else


def changed(project: Project, **request: object) -> set[str]:
    """The runs of another batch that were not cached."""
    return {id_.removeprefix("tiny/2024-") for id_, e in project.run(**request).entries.items() if e.status != "cached"}


CARD = "battlecard-acme-inc-c40fac"
NAMES = ("01_research", "02_personas", "sales_playbook-planner", CARD)
LAST = {f"q2/{name}" for name in NAMES}
OUTCOMES = {"q1/05_deals", "q1/06_refinement"}
ALL = LAST | {f"q1/{name}" for name in NAMES} | OUTCOMES


def test_a_changed_input_notebook_parameter_or_lock_runs_exactly_what_depends_on_it(
    project: Project, tmp_path: Path
) -> None:
    assert changed(project) == ALL
    assert changed(project) == set()
    project.world(data=["a", "c"])  # rows that only the end of the first period may see, and the second one
    assert changed(project) == OUTCOMES | LAST
    project.notebook("notebooks/05_deals", "print('changed')")
    assert changed(project) == {"q1/05_deals"}  # nothing that it left for others is another
    project.notebook("playbooks/battlecard", "1", parameters=f"{PARAMETERS}{COMPETITOR}n: int = 1  # how many\n")
    cards = {id_ for id_ in ALL if "battlecard" in id_}
    assert changed(project) == cards
    own: dict[str, object] = {"out": tmp_path / "own"}
    assert changed(project, **own) == ALL
    assert changed(project, settings={"n": "2"}, **own) == cards
    assert changed(project, settings={"n": "2"}, **own) == set()
    (project.root / "requirements.lock").write_text("pandas==3\n")
    assert changed(project) == ALL


def test_a_changed_set_runs_again_all_that_is_made_of_it(project: Project) -> None:
    project.run()
    project.world(proposes={"06_refinement": "another set of "})
    (project.out / "tiny/2024-q1/proposal.yml").unlink()
    assert changed(project) == {"q1/06_refinement"} | LAST


def test_changed_code_of_the_package_runs_everything(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(project) == ALL
    monkeypatch.setattr("closedloop.batch.desk.package_code", lambda: "other")
    assert changed(project) == ALL
    monkeypatch.setattr("closedloop.period.store.computing_code", lambda: "other")
    assert changed(project) == ALL


def test_changed_words_and_settings_of_a_market_run_it_again(project: Project) -> None:
    assert changed(project) == ALL
    definition = project.root / "data" / "tiny" / "market.toml"
    definition.write_text(definition.read_text() + '[labels]\nsector = "line of business"\n')
    read_again()
    assert changed(project) == ALL
    names = project.root / "data" / "tiny" / "personas" / "names.toml"
    names.parent.mkdir(parents=True)
    names.write_text('planner = "Planners"\n')
    assert changed(project) == ALL
    assert changed(project) == set()


def test_a_committed_set_runs_again_its_period_and_later_ones(project: Project) -> None:
    assert changed(project) == ALL
    committed = project.root / "data" / "tiny" / "personas" / "2024-q2.yml"
    committed.parent.mkdir(parents=True)
    committed.write_text("period: 2024-q2\n")
    assert changed(project) == LAST


def test_an_output_that_somebody_changed_or_removed_is_made_again(project: Project) -> None:
    project.run()
    (project.out / "tiny/2024-q2/01_research.html").write_text("other")
    (project.out / "tiny/2024-q1/05_deals.ipynb").unlink()
    assert changed(project) == {"q2/01_research", "q1/05_deals"}


def test_the_same_bytes_made_anew_stop_the_chain(project: Project) -> None:
    """A notebook that runs again and leaves the same does not make its readers run again."""
    project.run()
    (project.out / "tiny/2024-q1/proposal.yml").unlink()
    assert changed(project) == {"q1/06_refinement"}


# what is asked for


def test_only_runs_the_named_notebooks_and_those_that_they_read(project: Project) -> None:
    assert changed(project, only=["05_deals"]) == {"q1/05_deals"}
    assert changed(project, only=["01_research"]) == {"q1/01_research", "q1/06_refinement", "q2/01_research"}
    cards = {id_ for id_ in ALL if "battlecard" in id_}
    assert changed(project, only=["battlecard"]) == cards | {"q1/02_personas", "q2/02_personas"}
    kept = project.out / f"tiny/2024-q1/{CARD}.html"
    assert changed(project, only=["05_deals"]) == set()
    assert kept.exists()


def test_since_failure_runs_what_did_not_succeed_and_what_waited_for_it(project: Project) -> None:
    project.run()
    project.world(breaks="2024-q1/06_refinement", data=["x", "y"])
    project.run(only=["02_personas"])
    project.world(breaks="", data=["v", "w"])  # all of it would run again
    failed = {"q1/06_refinement", "q2/01_research", "q2/02_personas"}
    assert changed(project, only_failed=True) == failed
    assert changed(project, only_failed=True) == set()
    assert changed(project) == ALL - failed  # what succeeded before stayed as it was, until somebody asks for all


def told(project: Project, **request: object) -> Forecast:
    """What a batch would do."""
    asked = Request(["tiny"], **{"out": project.out, "n_workers": 2} | request)  # type: ignore[arg-type]
    return forecast(asked, project.open_market)


def due(project: Project, **request: object) -> set[str]:
    """The runs that a batch would make."""
    return {id_.removeprefix("tiny/2024-") for id_ in told(project, **request).due}


def test_a_dry_run_says_what_a_run_then_does(project: Project) -> None:
    assert due(project) == {id_ for id_ in ALL if "-" not in id_[3:]}
    assert told(project).grown == ()  # 02 has named nobody yet
    assert not (project.out / "manifest.json").exists()
    assert project.computed == []
    project.run()
    assert due(project) == set()
    assert due(project, is_forced=True) == ALL
    assert due(project, only=["05_deals"], is_forced=True) == {"q1/05_deals"}
    project.world(data=["a", "c"])
    assert due(project) == OUTCOMES | LAST == changed(project)
    summary = told(project)
    assert summary.as_text().startswith("10 runs: 10 are current, 0 would run.\n4 of them are documents")
    assert summary.as_json()["seconds"] == 0


def test_a_dry_run_expects_the_seconds_of_last_time(project: Project) -> None:
    project.run()
    manifest = json.loads((project.out / "manifest.json").read_text())
    for run in manifest["runs"]:
        run["seconds"] = 30.0 if run["notebook"] == "06_refinement" else 3.0
    (project.out / "manifest.json").write_text(json.dumps(manifest))
    found = told(project, is_forced=True)
    assert found.seconds == 30 + 3 * 3  # the set, and three notebooks one after the other
    assert found.as_text().endswith("About 39 s with 2 at once.")
    assert told(project, is_forced=True, n_workers=1).seconds == 30 + 9 * 3


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
