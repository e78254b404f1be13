"""The index: what is on it, in which order, escaped."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from closedloop.batch.ledger import Entry
from closedloop.batch.report import write_index
from closedloop.claims.ledger import STATEMENT_COLUMNS, Origin, estimated, outside, typed
from closedloop.market.definition import read_definition
from closedloop.period.store import write_frame
from closedloop.terms import Status


def _entry(id_: str, status: Status = Status.OK, cause: str = "", **parameters: str) -> Entry:
    market, period, stem = id_.split("/")
    outputs = {f"{id_}.ipynb": "", f"{id_}.html": "", f"{market}/{period}/documents/{stem}.html": ""}
    return Entry(id_, market, period, stem.split("-")[0], parameters, status, cause, outputs=outputs)


ENTRIES = [
    _entry("m/2024-q1/01_research"),
    _entry("m/2024-q1/06_refinement"),
    _entry("m/2024-q2/05_deals", Status.FAILED, "cell 4: <b>KeyError</b>"),
    _entry("m/2024-q2/sales_playbook-planner", persona="planner"),
    _entry("m/2024-q2/01_research", Status.OK_WITH_WARNINGS, "1 section without evidence"),
]


def test_the_index_shows_bad_runs_first_then_the_newest_period(tmp_path: Path) -> None:
    html = write_index(tmp_path, ENTRIES).read_text()
    assert "5 runs of 1 market." in html
    assert "1 needs attention." in html
    links = re.findall(r'<a href="(m/[^"]+)">([^<]+)</a>', html)
    assert links == [
        ("m/2024-q2/05_deals.html", "m/2024-q2/05_deals"),
        ("m/2024-q2/01_research.html", "01_research".replace("_", " ")),
        ("m/2024-q2/sales_playbook-planner.html", "sales playbook · planner"),
        ("m/2024-q2/05_deals.html", "05 deals"),
        ("m/2024-q1/01_research.html", "01 research"),
        ("m/2024-q1/06_refinement.html", "06 refinement"),
    ]
    assert "<b>KeyError" not in html
    assert "cell 4: &lt;b&gt;KeyError" in html


def test_a_good_batch_says_so(tmp_path: Path) -> None:
    html = write_index(tmp_path, ENTRIES[:2]).read_text()
    assert "All succeeded." in html
    assert "What needs attention" not in html


def test_an_empty_folder_has_an_index(tmp_path: Path) -> None:
    assert "0 runs of 0 markets." in write_index(tmp_path, []).read_text()


def test_the_only_script_is_the_one_that_the_policy_names(tmp_path: Path) -> None:
    import base64
    import hashlib

    html = write_index(tmp_path, ENTRIES).read_text()
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src &#39;sha256-{digest}&#39;" in html


def test_the_index_tells_no_time(tmp_path: Path) -> None:
    timed = [Entry("m/p/x", "m", "p", "x", {}, Status.OK, seconds=seconds, peak_mb=seconds) for seconds in (1.0, 2.0)]
    pages = [write_index(tmp_path / str(entry.seconds), [entry]).read_bytes() for entry in timed]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(("accept", "waits"), [("manual", True), ("auto", False)])
def test_a_proposal_waits_until_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str, waits: bool
) -> None:
    folder = _market(tmp_path, monkeypatch, accept)
    proposal = tmp_path / "runs" / "m" / "2024-q1" / "proposal.yml"
    proposal.parent.mkdir(parents=True)
    proposal.write_text("period: 2024-q2\npersonas: []\n")
    assert ("closedloop accept m 2024-q1" in write_index(tmp_path / "runs", ENTRIES).read_text()) is waits
    (folder / "personas").mkdir()
    (folder / "personas" / "2024-q2.yml").write_text("")
    assert "closedloop accept" not in write_index(tmp_path / "runs", ENTRIES).read_text()


def _market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str = "auto") -> Path:
    folder = tmp_path / "data" / "m"
    folder.mkdir(parents=True)
    (folder / "market.toml").write_text(
        f'title = "<M>"\nlicence = "CC0"\ncurrency = "EUR"\nclock = "none"\naccept = "{accept}"\n'
        '[sources.a]\nfile = "a.csv"\n'
    )
    monkeypatch.setenv("CLOSEDLOOP_ROOT", str(tmp_path))
    read_definition.cache_clear()
    return folder


def test_a_market_whose_definition_broke_since_stays_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _market(tmp_path, monkeypatch)
    (folder / "market.toml").write_text("title = ")
    assert "<h2" in write_index(tmp_path / "runs", ENTRIES).read_text()


SELF_TEST = {
    "market": "m",
    "worlds": 200,
    "data": {"period": "2024-q1", "moment": "plan", "fingerprint": "f1"},
    "null": {"any_claim_rate": 0.035, "expected_false_lines": 0.07},
    "planted": [{"effect": 0.05, "found_rate": 0.2}, {"effect": 0.1, "found_rate": 0.4}],
}
NOT_RUN = "not run yet on these data: <code>closedloop self-test m</code>"


def _self_tested(out: Path, **null: float) -> str:
    (out / "m").mkdir(exist_ok=True)
    (out / "m" / "self-test.json").write_text(json.dumps(SELF_TEST | {"null": SELF_TEST["null"] | null}))
    return write_index(out, ENTRIES[:2]).read_text()


def test_the_index_asks_for_a_self_test_until_there_is_one(tmp_path: Path) -> None:
    assert NOT_RUN in write_index(tmp_path, ENTRIES[:2]).read_text()
    html = _self_tested(tmp_path)
    assert (
        "in 200 shuffled markets, where nothing differs, 3.5% of the families of claims stated a difference, " in html
    )
    assert "0.07 lines a period; a difference of 10 points is found 40% of the time at this size." in html
    assert NOT_RUN not in html


def test_the_index_says_when_a_self_test_missed_its_aim(tmp_path: Path) -> None:
    assert "32.0% of the families of claims stated a difference (the aim is 10% or less)" in _self_tested(
        tmp_path, any_claim_rate=0.32
    )


@pytest.mark.parametrize(("fingerprint", "is_shown"), [("f1", True), ("f2", False)])
def test_a_self_test_of_other_data_is_not_shown(tmp_path: Path, fingerprint: str, is_shown: bool) -> None:
    _self_tested(tmp_path)
    entries = [*ENTRIES, replace(ENTRIES[1], inputs={"data/m@start": fingerprint})]
    html = write_index(tmp_path, [entry for entry in entries if entry is not ENTRIES[1]]).read_text()
    assert ("in 200 shuffled markets" in html) is is_shown
    assert (NOT_RUN in html) is not is_shown


def test_the_index_tells_what_a_backtest_of_the_same_data_said(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    kept = {"data": SELF_TEST["data"], "headline": "1,559 deals of 7 periods: score over no personas: better."}
    (tmp_path / "m" / "backtest.json").write_text(json.dumps(kept))
    assert "<strong>Backtest:</strong> 1,559 deals of 7 periods" in write_index(tmp_path, ENTRIES[:2]).read_text()
    other = replace(ENTRIES[1], inputs={"data/m@start": "f2"})
    assert "1,559" not in write_index(tmp_path, [ENTRIES[0], other]).read_text()


THIRDS = {"first_third_win_rate": (0.61, 100), "research_third_win_rate": (0.5, 100), "decided_win_rate": (0.44, 300)}


def _reviewed(out: Path, period: str, last: str) -> Entry:
    """A review that left how many deals were won of those ranked first in ``last``."""
    origin = Origin("07_review", "first_third", "deals", last, last)
    rows = [
        row
        for measure, (rate, n) in THIRDS.items()
        for about in ({}, {"field": "period", "level": last})
        for row in estimated([about | {"estimate": rate, "low": 0.4, "high": 0.7, "n": n}], origin, measure=measure)
    ]
    claims = outside(typed(rows, STATEMENT_COLUMNS), market="m", period=period)
    write_frame(out / "m" / period / "claims" / "07_review.parquet", claims)
    return _entry(f"m/{period}/07_review")


def test_the_index_shows_how_many_of_the_deals_ranked_first_were_won(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _market(tmp_path, monkeypatch)
    entries = [_reviewed(tmp_path, "2024-q1", "2024-q1"), _reviewed(tmp_path, "2024-q2", "2024-q2")]
    html = write_index(tmp_path, entries).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "<strong>Ranked first, and won:</strong> In 2024-q2 61 of 100 (61 %) of the deals were won" in html
    assert "132 of 300 (44 %) in all: observed, not caused by the ranking, and not tested against each other." in html
    assert "Period by period, as known at the end of 2024-q2" in html
    assert "61 of 100 (40–70 %)" in html
    failed = replace(entries[1], status=Status.FAILED)
    assert "as known at the end of 2024-q1" in write_index(tmp_path, [entries[0], failed]).read_text()
    assert "Ranked first" not in write_index(tmp_path, [failed]).read_text()
