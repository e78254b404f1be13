"""The index and the audit page: what is on them, in which order, escaped."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.batch.ledger import Entry
from closedloop.batch.report import write_audit, write_index
from closedloop.loop.leaks import LEAK_COLUMNS
from closedloop.market.audit import Audit
from closedloop.market.definition import read_definition
from closedloop.market.warehouse import open_warehouse
from closedloop.terms import Status

from tests.market.conftest import project_at, write_market

NO_LEAKS = pd.DataFrame(columns=list(LEAK_COLUMNS))


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


def test_the_audit_page_shows_every_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _market(tmp_path, monkeypatch)
    tables = pd.DataFrame({"table": ["deals"], "n_rows": [12], "n_set_aside": [2], "first_on": ["None"]})
    columns = pd.DataFrame({"table": ["deals"], "column": ["<x>"], "known": ["stage"], "null_share": [0.125]})
    actions = pd.DataFrame({"table": ["deals"], "action": ["set aside"], "n": [2], "lines": [list(range(3, 15))]})
    html = write_audit(tmp_path, read_definition("m"), Audit(tables, columns, actions), NO_LEAKS).read_text()
    assert "&lt;M&gt;" in html
    assert '<td class="number">12</td><td class="number">2</td><td>–</td>' in html
    assert '<td>&lt;x&gt;</td><td>stage</td><td class="number">12.5%</td>' in html
    assert "<td>3, 4, 5, 6, 7, 8, 9, 10, 11, 12 …</td>" in html
    assert (tmp_path / "m" / "audit.html").exists()


def test_a_market_whose_definition_broke_since_stays_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _market(tmp_path, monkeypatch)
    (folder / "market.toml").write_text("title = ")
    assert "<h2" in write_index(tmp_path / "runs", ENTRIES).read_text()


def test_the_audit_page_shows_values_lines_and_what_is_allowed(tmp_path: Path) -> None:
    text = 'id,opened,result,paid,why\nD1,2024-01-02,won,"12,5o",\nD2,2024-01-03,lost,,too dear\n'
    select = (
        "select id as deal_id, opened::date as created_on, result as outcome, as_amount(paid) as won_amount,"
        " nullif(why, '') as loss_reason from raw.deals"
    )
    with project_at(tmp_path):
        write_market(tmp_path, {"deals": text.encode()}, {"deals": select})
        warehouse = open_warehouse("tiny")
        html = write_audit(tmp_path, warehouse.definition, warehouse.audit, NO_LEAKS).read_text()
    rows = [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    (unread,) = (row for row in rows if "unreadable" in row)
    (listed,) = (row for row in rows if "not in list" in row)
    for part in ("won_amount", "unreadable as an amount", "&#39;12,5o&#39;", "1,234.50", "deals.csv", "|2|"):
        assert part in unread
    for part in ("loss_reason", "&#39;too dear&#39;", "price, budget, timing", "deals.csv", "|3|"):
        assert part in listed
    assert "won without won_amount" not in html


def test_a_clean_audit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _market(tmp_path, monkeypatch)
    tables = pd.DataFrame({"table": ["deals"], "n_rows": [12]})
    nothing = pd.DataFrame({"table": [], "action": [], "n": []})
    html = write_audit(tmp_path, read_definition("m"), Audit(tables, tables, nothing), NO_LEAKS).read_text()
    assert html.count("Nothing to report.") == 1
    assert html.count("No column looks like a leak.") == 1


def test_the_audit_page_names_columns_that_know_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _market(tmp_path, monkeypatch)
    tables = pd.DataFrame({"table": ["deals"], "n_rows": [12]})
    leak = {"table": "deals", "column": "<result>", "known": "creation", "finding": "alarm", "n": 90,
            "auc_within": 0.8888, "auc_within_low": 0.8611, "auc_within_high": 0.9311, "open_filled_share": np.nan,
            "won_filled_share": 0.5, "lost_filled_share": 1.0, "why": "tells", "advice": "Move it."}  # fmt: skip
    html = write_audit(tmp_path, read_definition("m"), Audit(tables, tables, tables), pd.DataFrame([leak])).read_text()
    assert "<td>&lt;result&gt;</td><td>creation</td><td>alarm</td>" in html
    assert '<td class="number">0.89</td>' in html
    assert '<td class="number">–</td><td class="number">50.0%</td><td class="number">100.0%</td>' in html
    assert "<td>Move it.</td>" in html
    assert "0.86" not in html
    assert "No column looks like a leak." not in html


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
    assert "0.07 lines a report; a difference of 10 points is found 40% of the time at this size." in html
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
