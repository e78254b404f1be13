"""The runner: what runs, in which order, what a failure stops, and what is current."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from closedloop.batch.ledger import Entry
from closedloop.errors import ParameterError

from .conftest import CALL, PARAMETERS, RESULTS, Project

CARD = "battlecard-acme-inc-c40fac"  # c40fac: first digits of the SHA-256 of "Acme, Inc."
NAMES = ("01_research", "02_personas", "sales_playbook-planner", CARD)
FIRST = {f"tiny/2024-q1/{name}" for name in (*NAMES, "05_deals", "06_refinement")}
LAST = {f"tiny/2024-q2/{name}" for name in NAMES}


def _statuses(entries: dict[str, Entry]) -> dict[str, str]:
    return {id_.removeprefix("tiny/2024-"): str(entry.status) for id_, entry in entries.items()}


def test_everything_runs_once_then_only_what_has_changed(project: Project) -> None:
    first = project.run(in_processes=True)
    assert (set(first.entries), first.exit_code, first.bad) == (FIRST | LAST, 0, {})
    assert len(project.computed) == 10
    assert project.manifest["tiny/2024-q1/05_deals"]["results"] == {"period": "2024-q1", "n_missing": 0}
    assert first.entries["tiny/2024-q1/02_personas"].results["competitors"] == ["Acme, Inc."]
    research = first.entries["tiny/2024-q1/01_research"]
    assert (str(research.status), research.cause) == ("ok_with_warnings", "1 section without evidence")
    assert "tiny/2024-q1/proposal.yml" in first.entries["tiny/2024-q1/06_refinement"].outputs
    for entry in first.entries.values():
        assert {path.rpartition(".")[2] for path in entry.outputs} >= {"ipynb", "html"}
        assert [path for path in entry.outputs if not (project.out / path).is_file()] == []
    playbook = json.loads((project.out / "tiny/2024-q1/sales_playbook-planner.ipynb").read_text())
    assert playbook["cells"][4]["outputs"][0]["text"] == ["planner\n"]
    assert 'out = "runs"' in "".join(playbook["cells"][2]["source"])

    assert set(_statuses(dict(project.run().entries)).values()) == {"cached"}
    assert set(_statuses(dict(project.run(periods=["latest"]).entries)).values()) == {"cached"}
    assert len(project.computed) == 10


def test_a_set_is_made_before_the_next_period_reads_it(project: Project) -> None:
    project.run(n_workers=1)
    order = [name.removeprefix("tiny/2024-") for name in project.computed]
    assert order[0] == "q1/06_refinement"  # the beginning of the longest chain
    assert order.index("q2/01_research") < order.index("q2/02_personas") < order.index("q2/sales_playbook")
    assert order.index("q1/05_deals") < order.index("q2/sales_playbook")


def test_a_set_that_stays_the_same_stops_the_chain(project: Project) -> None:
    """06 runs again, and lets the same set in."""
    project.run()
    project.notebook("notebooks/05_deals", "'another'")
    (project.out / "tiny/2024-q1/06_refinement.html").unlink()
    again = _statuses(dict(project.run().entries))
    assert {id_ for id_, status in again.items() if status != "cached"} == {"q1/05_deals", "q1/06_refinement"}


def test_other_cells_of_06_run_everything_again(project: Project) -> None:
    """They make the persona sets, on which every notebook's own account says that it depends."""
    project.run()
    project.notebook("notebooks/06_refinement", CALL % ("06_refinement", ""))
    assert "cached" not in _statuses(dict(project.run().entries)).values()


def test_force_runs_again_what_is_current(project: Project) -> None:
    project.run(only=["05_deals"])
    summary = project.run(only=["05_deals"], is_forced=True)
    assert project.computed == ["tiny/2024-q1/05_deals"] * 2
    assert set(_statuses(dict(summary.entries)).values()) == {"ok"}


def test_documents_of_personas_that_are_gone_are_retired(project: Project) -> None:
    project.run(periods=["2024-q2"])
    old = project.out / "tiny/2024-q2/sales_playbook-planner.html"
    assert old.exists()
    project.world(personas=["builder"], data=["a", "c"])
    project.run(periods=["2024-q2"])
    assert not old.exists()
    assert "tiny/2024-q2/sales_playbook-planner" not in project.manifest
    assert "sales_playbook-builder.html" in (project.out / "index.html").read_text()


def test_a_failing_notebook_says_so_and_takes_its_claims_back(project: Project) -> None:
    claims = project.out / "tiny/2024-q2/claims/01_research.parquet"
    claims.parent.mkdir(parents=True)
    claims.write_bytes(b"of an earlier run")
    project.notebook("notebooks/01_research", "1/0", "print('later')")
    summary = project.run(periods=["2024-q2"], only=["01_research"], in_processes=True)
    assert summary.exit_code == 1
    entry = project.manifest["tiny/2024-q2/01_research"]
    assert (entry["status"], entry["cause"]) == ("failed", "cell 4: ZeroDivisionError: division by zero")
    page = (project.out / "tiny/2024-q2/01_research.html").read_text()
    body = page.partition("<main")[2]
    assert body.index("Not finished: cell 4: ZeroDivisionError: division by zero. Nothing on") < body.index("<h1")
    assert "This cell was not run." in page
    assert "division by zero" in (project.out / "index.html").read_text()
    assert not claims.exists()


def test_what_needs_a_failed_notebook_is_skipped_with_the_cause(project: Project) -> None:
    project.run()
    project.world(breaks="2024-q1/02_personas", data=["x", "b"])
    summary = project.run()
    found = _statuses(dict(summary.entries))
    assert found["q1/02_personas"] == "failed"
    assert {id_ for id_, status in found.items() if status == "skipped"} == {"q1/sales_playbook-planner", f"q1/{CARD}"}
    cause = "needs tiny/2024-q1/02_personas, which ended as failed"
    assert summary.entries["tiny/2024-q1/sales_playbook-planner"].cause == cause
    assert (found["q1/01_research"], found["q2/02_personas"]) == ("ok_with_warnings", "cached")


@pytest.mark.parametrize("slow", ["02_personas", "05_deals"], ids=["failed before 02 ended", "failed after it"])
def test_a_document_of_which_any_source_failed_is_skipped(project: Project, slow: str) -> None:
    """Documents are known when 02 has ended, and need 05 of the period before as well."""
    project.world(breaks="2024-q1/05_deals")
    if slow == "05_deals":
        project.run(only=["02_personas"])  # so that 02 is current, and its documents are known before 05 begins
    found = _statuses(dict(project.run(n_workers=1).entries))
    assert {id_ for id_, status in found.items() if status == "skipped"} == {"q2/sales_playbook-planner", f"q2/{CARD}"}
    assert found["q1/05_deals"] == "failed"
    assert not any(name.startswith(("tiny/2024-q2/sales", "tiny/2024-q2/battle")) for name in project.computed)


def test_claims_of_a_period_are_one_table_for_readers(project: Project) -> None:
    write = (
        "import closedloop.period.store as s, pathlib, pandas as pd\n"
        "folder = pathlib.Path('%s') / market / period\n"
        "frame = s.read_claims(None).assign().reindex(range(%d)).assign(notebook='%s', n=7)\n"
        "s.write_frame(folder / 'claims' / '%s.parquet', frame)"
    )
    for name, n in (("01_research", 2), ("05_deals", 3)):
        project.notebook(f"notebooks/{name}", write % (project.out, n, name, name))
    project.run(only=["01_research", "05_deals"], in_processes=True)
    first = pd.read_parquet(project.out / "tiny/2024-q1/claims.parquet")
    assert list(first["notebook"]) == ["01_research"] * 2 + ["05_deals"] * 3
    assert list(pd.read_csv(project.out / "tiny/2024-q2/claims.csv")["notebook"]) == ["01_research"] * 2


def test_set_parameters_reach_every_notebook_that_has_them(project: Project, tmp_path: Path) -> None:
    more = "from typing import Optional\n" + PARAMETERS + "by: Optional[list] = None  # fields\n"
    for name in ("01_research", "05_deals"):
        project.notebook(f"notebooks/{name}", RESULTS % "'by': by", parameters=more)
    own = tmp_path / "own"
    project.run(settings={"by": "region,size"}, only=["01_research", "05_deals"], out=own, in_processes=True)
    runs = json.loads((own / "manifest.json").read_text())["runs"]
    assert {run["notebook"]: run["results"].get("by") for run in runs} == {
        "01_research": ["region", "size"],
        "05_deals": ["region", "size"],
        "06_refinement": None,
    }
    with pytest.raises(ParameterError, match="--set by: other settings than the market's own never feed"):
        project.run(settings={"by": "region,size"})


def test_markets_share_a_folder(project: Project) -> None:
    project.run("one", periods=["2024-q2"])
    project.run("two", periods=["2024-q2"])
    assert {run["market"] for run in project.manifest.values()} == {"one", "two"}
    index = (project.out / "index.html").read_text()
    assert 'href="one/2024-q2/01_research.html"' in index
    assert 'href="two/2024-q2/01_research.html"' in index


def test_the_index_is_written_again_when_something_that_it_shows_is_newer(project: Project) -> None:
    index = project.run(periods=["2024-q1"]).index
    before = index.stat()
    assert project.run(periods=["2024-q1"]).index.stat().st_ino == before.st_ino  # nothing has changed
    report = project.out / "tiny" / "backtest.json"
    report.write_text(json.dumps({"data": {"period": "2024-q1", "fingerprint": ""}, "headline": "none yet"}))
    os.utime(report, (before.st_mtime + 5, before.st_mtime + 5))
    assert project.run(periods=["2024-q1"]).index.stat().st_ino != before.st_ino


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"periods": ["2020-q1"]}, "period = '2020-q1' does not exist in tiny; allowed: latest, 2024-q1"),
        ({"settings": {"colour": "red"}}, "no notebook has a parameter 'colour'"),
        ({"only": ["06_x"]}, "notebook = '06_x' does not exist; allowed: 01_research"),
    ],
)
def test_wrong_use_is_refused_before_anything_runs(project: Project, request_: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        project.run(**request_)
    assert project.computed == []


def test_no_partial_file_stays(project: Project) -> None:
    project.run(periods=["2024-q2"])
    hidden = [path.name for path in Path(project.out).rglob(".*") if path.is_file()]
    assert hidden == [".lock"]


def test_a_page_says_that_its_data_changed_since_it_was_last_made(project: Project) -> None:
    notice = "Made again: what is recorded of this period has changed since the page was last made."
    pages = [project.out / f"tiny/2024-{name}.html" for name in ("q1/05_deals", "q1/01_research")]
    project.run()
    assert not any(notice in page.read_text() for page in pages)
    project.world(data=["a", "c"])  # rows that only the end of the first period may see, and the second one
    project.run()
    assert [notice in page.read_text() for page in pages] == [True, False]
