"""The audit page: every count, value and line of what was done to the rows, escaped."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market.definition import Definition, read_definition
from closedloop.market.staging.audit import Audit
from closedloop.market.warehouse import open_warehouse
from closedloop.period.leaks import LEAK_COLUMNS
from closedloop.presentation.page import audit_html

from tests.market.conftest import project_at, write_market

NOTHING = [pd.DataFrame()] * 2
NO_LEAKS = pd.DataFrame(columns=list(LEAK_COLUMNS))
TOML = 'title = "<M>"\nlicence = "CC0"\ncurrency = "EUR"\nclock = "none"\n[sources.a]\nfile = "a.csv"\n'


def _market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Definition:
    folder = tmp_path / "data" / "m"
    folder.mkdir(parents=True)
    (folder / "market.toml").write_text(TOML)
    monkeypatch.setenv("CLOSEDLOOP_ROOT", str(tmp_path))
    read_definition.cache_clear()
    return read_definition("m")


def test_the_audit_page_shows_every_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = pd.DataFrame({"table": ["deals"], "n_rows": [12], "n_set_aside": [2], "first_on": ["None"]})
    columns = pd.DataFrame({"table": ["deals"], "column": ["<x>"], "known": ["stage"], "null_share": [0.125]})
    actions = pd.DataFrame({"table": ["deals"], "action": ["set aside"], "n": [2], "lines": [list(range(3, 15))]})
    html = audit_html(_market(tmp_path, monkeypatch), Audit(tables, columns, actions, *NOTHING), NO_LEAKS)
    assert "&lt;M&gt;" in html
    assert '<td class="number">12</td><td class="number">2</td><td>–</td>' in html
    assert '<td>&lt;x&gt;</td><td>stage</td><td class="number">12.5%</td>' in html
    assert "<td>3, 4, 5, 6, 7, 8, 9, 10, 11, 12 …</td>" in html


def test_the_audit_page_shows_values_lines_and_what_is_allowed(tmp_path: Path) -> None:
    text = 'id,opened,result,paid,why\nD1,2024-01-02,won,"12,5o",\nD2,2024-01-03,lost,,too dear\n'
    select = (
        "select id as deal_id, opened::date as created_on, result as outcome, as_amount(paid) as won_amount,"
        " nullif(why, '') as loss_reason from raw.deals"
    )
    with project_at(tmp_path):
        write_market(tmp_path, {"deals": text.encode()}, {"deals": select})
        warehouse = open_warehouse("tiny")
        html = audit_html(warehouse.definition, warehouse.audit, NO_LEAKS)
    rows = [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    (unread,) = (row for row in rows if "unreadable" in row)
    (listed,) = (row for row in rows if "no meaning in values.csv" in row)
    for part in ("won_amount", "unreadable as an amount", "&#39;12,5o&#39;", "1,234.50", "deals.csv", "|2|"):
        assert part in unread
    for part in ("loss_reason", "&#39;too dear&#39;", "price, budget, timing", "deals.csv", "|3|"):
        assert part in listed
    assert "won without won_amount" not in html


def test_a_clean_audit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = pd.DataFrame({"table": ["deals"], "n_rows": [12]})
    nothing = pd.DataFrame({"table": [], "action": [], "n": []})
    html = audit_html(_market(tmp_path, monkeypatch), Audit(tables, tables, nothing, *NOTHING), NO_LEAKS)
    assert html.count("Nothing to report.") == 2
    assert html.count("No check of the whole data found anything; single rows are below.") == 1
    assert html.count("No column looks like a leak.") == 1


def test_the_audit_page_names_columns_that_know_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = pd.DataFrame({"table": ["deals"], "n_rows": [12]})
    leak = {"table": "deals", "column": "<result>", "known": "creation", "finding": "alarm", "n": 90,
            "auc_within": 0.8888, "auc_within_low": 0.8611, "auc_within_high": 0.9311, "open_filled_share": np.nan,
            "won_filled_share": 0.5, "lost_filled_share": 1.0, "why": "tells", "advice": "Move it."}  # fmt: skip
    html = audit_html(_market(tmp_path, monkeypatch), Audit(tables, tables, tables, *NOTHING), pd.DataFrame([leak]))
    assert "<td>&lt;result&gt;</td><td>creation</td><td>alarm</td>" in html
    assert '<td class="number">0.89</td>' in html
    assert '<td class="number">–</td><td class="number">50.0%</td><td class="number">100.0%</td>' in html
    assert "<td>Move it.</td>" in html
    assert "0.86" not in html
    assert "No column looks like a leak." not in html
