"""In a real browser the pages ask for nothing, run nothing of a buyer's text, and can be searched."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from closedloop.batch.ledger import Entry
from closedloop.batch.report import write_index
from closedloop.presentation.page import notebook_html
from closedloop.terms import Status
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytestmark = pytest.mark.system
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
PAYLOADS = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<svg onload=\"document.title = 'owned'\"></svg>",
    '<iframe srcdoc="<script>parent.document.title = 1</script>"></iframe>',
    '<img src="https://example.com/a.png"><link rel="stylesheet" href="https://example.com/a.css">',
    "<style>@import url(https://example.com/b.css); body { background: url(https://example.com/c.png) }</style>",
    '<meta http-equiv="refresh" content="0;url=https://example.com/">',
    "```mermaid\ngraph TD; A-->B\n```\n$$x$$",
)


@pytest.fixture
def browser() -> Iterator[Any]:
    """A page of the system's Chromium."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this system")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium.new_page()
        chromium.close()


def test_hostile_text_does_nothing_and_nothing_is_requested(browser: Any, tmp_path: Path) -> None:
    outputs = [new_output("display_data", {kind: text}) for text in PAYLOADS for kind in ("text/html", "text/markdown")]
    cells = [new_markdown_cell(text) for text in PAYLOADS]
    cells.append(new_code_cell("", outputs=outputs))
    path = tmp_path / "page.html"
    path.write_text(notebook_html(new_notebook(cells=cells), "Deals"))
    requests: list[str] = []
    dialogs: list[str] = []
    browser.on("request", lambda request: requests.append(request.url))
    browser.on("dialog", lambda dialog: dialogs.append(dialog.message))
    browser.goto(path.as_uri())
    browser.wait_for_timeout(500)
    assert requests == [path.as_uri()]
    assert dialogs == []
    assert browser.title() == "Deals"
    assert browser.locator("script, iframe, svg, style:not(head style)").count() == 0


def test_the_index_can_be_searched(browser: Any, tmp_path: Path) -> None:
    stems = (("2024-q1", "01_research"), ("2024-q2", "01_research"), ("2024-q2", "05_deals"))
    entries = [Entry(f"m/{p}/{n}", "m", p, n, {}, Status.OK, outputs={f"m/{p}/{n}.html": ""}) for p, n in stems]
    browser.goto(write_index(tmp_path, entries).as_uri())
    rows = browser.locator("details tr[data-text]:visible")
    assert rows.count() == 2  # only the newest period is open
    browser.fill("#query", "RESEARCH  2024-q1")
    assert browser.locator("#found").inner_text() == "1 run"
    assert rows.all_inner_texts() == ["01 research\tok\t"]
    browser.fill("#query", "")
    assert rows.count() == 2
    assert browser.locator("#found").inner_text() == ""
