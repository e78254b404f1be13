"""The runner: what runs, in which order, what a failure stops, and what is current."""

import json
from pathlib import Path

import pytest
from closedloop.batch.ledger import Entry
from closedloop.errors import ParameterError

from .conftest import Project

BATTLECARD = "battlecard-acme-inc-c40fac"  # c40fac: first digits of the SHA-256 of "Acme, Inc."
IDS = {
    "tiny/2024-q1/plan",
    "tiny/2024-q1/outcome",
    "tiny/2024-q2/plan",
    "tiny/2024-q1/01_research",
    "tiny/2024-q2/01_research",
    "tiny/2024-q1/05_deals",
    "tiny/2024-q1/sales_playbook-planner",
    "tiny/2024-q2/sales_playbook-planner",
    f"tiny/2024-q1/{BATTLECARD}",
    f"tiny/2024-q2/{BATTLECARD}",
}
MOMENTS = ["tiny/2024-q1/plan", "tiny/2024-q1/outcome", "tiny/2024-q2/plan"]


def _statuses(entries: dict[str, Entry]) -> dict[str, str]:
    return {id_.removeprefix("tiny/2024-"): str(entry.status) for id_, entry in entries.items()}


def test_another_name_of_a_persona_renders_again_and_computes_nothing(project: Project) -> None:
    project.run()
    names = project.root / "data" / "tiny" / "personas" / "names.toml"
    names.parent.mkdir(parents=True)
    names.write_text('planner = "Planners"\n')
    again = _statuses(dict(project.run().entries))
    assert {id_ for id_, status in again.items() if status == "cached"} == {"q1/plan", "q1/outcome", "q2/plan"}
    assert project.computed == MOMENTS
    assert set(_statuses(dict(project.run().entries)).values()) == {"cached"}


def test_everything_runs_once_then_only_what_has_changed(project: Project) -> None:
    first = project.run(for_real=True)
    assert (set(first.entries), first.exit_code, first.bad) == (IDS, 0, {})
    assert project.computed == MOMENTS
    assert project.manifest["tiny/2024-q1/01_research"]["results"] == {"n": 3}
    assert project.manifest["tiny/2024-q1/05_deals"]["results"] == {"period": "2024-q1"}
    assert _statuses(dict(first.entries))["q1/01_research"] == "ok_with_warnings"
    assert first.entries["tiny/2024-q1/01_research"].cause == "1 section without evidence"
    assert first.entries["tiny/2024-q1/plan"].results == {
        "personas": ["planner"],
        "competitors": ["Acme, Inc."],
        "missing": {"research": 1},
    }
    for id_ in IDS:
        for path in first.entries[id_].outputs:
            assert (project.out / path).is_file()
    playbook = json.loads((project.out / "tiny/2024-q1/sales_playbook-planner.ipynb").read_text())
    assert playbook["cells"][3]["outputs"][0]["text"] == ["planner\n"]

    assert set(_statuses(dict(project.run().entries)).values()) == {"cached"}
    assert set(_statuses(dict(project.run(periods=["latest"]).entries)).values()) == {"cached"}
    assert project.computed == MOMENTS

    project.notebook("notebooks/05_deals", "print('changed')")
    project.world(data=["a", "c"])  # rows that only 2024-q1's outcome and 2024-q2 may see
    again = _statuses(dict(project.run().entries))
    current = {"q1/plan", "q1/01_research", "q1/sales_playbook-planner", f"q1/{BATTLECARD}"}
    assert {id_ for id_, status in again.items() if status == "cached"} == current
    assert project.computed == [*MOMENTS, *MOMENTS[1:]]


def test_force_runs_again_what_is_current(project: Project) -> None:
    project.run(periods=["2024-q2"])
    summary = project.run(periods=["2024-q2"], is_forced=True)
    assert project.computed == MOMENTS[1:] * 2
    assert "cached" not in _statuses(dict(summary.entries)).values()


def test_documents_of_personas_that_are_gone_are_retired(project: Project) -> None:
    project.run(periods=["2024-q2"])
    old = project.out / "tiny/2024-q2/sales_playbook-planner.html"
    assert old.exists()
    project.world(personas=["builder"], data=["a", "c"])
    project.run(periods=["2024-q2"])
    assert not old.exists()
    assert "tiny/2024-q2/sales_playbook-planner" not in project.manifest
    assert "sales_playbook-builder.html" in (project.out / "index.html").read_text()


def test_a_failing_notebook_stops_nothing_else(project: Project) -> None:
    project.notebook("notebooks/01_research", "1/0", "print('later')")
    summary = project.run(periods=["2024-q2"], for_real=True)
    assert summary.exit_code == 1
    assert list(summary.bad) == ["tiny/2024-q2/01_research"]
    entry = project.manifest["tiny/2024-q2/01_research"]
    assert (entry["status"], entry["cause"]) == ("failed", "cell 4: ZeroDivisionError: division by zero")
    assert "This cell was not run." in (project.out / "tiny/2024-q2/01_research.html").read_text()
    assert "division by zero" in (project.out / "index.html").read_text()


def test_markets_share_a_folder(project: Project) -> None:
    project.run("one", periods=["2024-q2"])
    project.run("two", periods=["2024-q2"])
    assert {run["market"] for run in project.manifest.values()} == {"one", "two"}
    index = (project.out / "index.html").read_text()
    assert 'href="one/2024-q2/01_research.html"' in index
    assert 'href="two/2024-q2/01_research.html"' in index


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (
            {"periods": ["2020-q1"]},
            ParameterError,
            "period = '2020-q1' does not exist in tiny; allowed: latest, 2024-q1",
        ),
        ({"settings": {"colour": "red"}}, ParameterError, "no notebook has a parameter 'colour'"),
    ],
)
def test_wrong_use_is_refused_before_anything_runs(
    project: Project, request_: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        project.run(**request_)
    assert project.computed == []


def test_no_partial_file_stays(project: Project) -> None:
    project.run(periods=["2024-q2"])
    hidden = [path.name for path in Path(project.out).rglob(".*") if path.is_file()]
    assert hidden == [".lock"]
