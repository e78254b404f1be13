"""Documents are opened from what the notebooks left: which periods, which claims, whom they are about, and in sight."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop import open_document
from closedloop.documents.document import Document
from closedloop.errors import ParameterError
from closedloop.period import store
from closedloop.period.store import read_frame, write_frame
from closedloop.presentation.page import notebook_html
from closedloop.workbench import cells
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

MARKET, BEFORE, PERIOD = "harbor", "2024-q1", "2024-q2"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which a document was opened, so that all that it reads is there."""
    folder = tmp_path_factory.mktemp("runs")
    open_document(MARKET, PERIOD, out=folder)
    return folder


def pages(out: Path) -> Iterator[Document]:
    """Every document of the period."""
    first = open_document(MARKET, PERIOD, out=out)
    for persona in first.dossier.choices("persona"):
        yield open_document(MARKET, PERIOD, about=persona, out=out)
        yield open_document(MARKET, PERIOD, "campaign_brief", about=persona, out=out)
    for competitor in first.dossier.choices("competitor"):
        yield open_document(MARKET, PERIOD, "battlecard", about=competitor, out=out)


def test_a_document_reads_the_plan_of_its_period_and_the_outcomes_of_the_one_before(out: Path) -> None:
    dossier = open_document(MARKET, PERIOD, out=out).dossier
    assert dossier.sources[["notebook", "period"]].to_numpy().tolist() == [
        *([name, BEFORE] for name in ("04 handoff", "05 deals", "06 refinement")),
        *([name, PERIOD] for name in ("01 research", "02 personas", "03 leads")),
    ]
    assert set(dossier.plan["period"]) == {PERIOD} and set(dossier.outcome["period"]) == {BEFORE}
    kept = [len(read_frame(out / MARKET / PERIOD / "claims" / f"{name}.parquet")) for name in store.PLANNING]
    assert dossier.sources["n_claims"].tolist()[3:] == kept and len(dossier.plan) == sum(kept)
    assert dossier.sources["digest"].str.fullmatch("[0-9a-f]{12}").all()


def test_what_is_missing_or_out_of_date_is_made_first_in_the_order_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def ensure(notebook: str, market: str, period: str, out: Path) -> None:
        asked.append((notebook, period))
        if notebook == "03_leads":
            raise InterruptedError(market, out)

    monkeypatch.setattr(cells, "ensure", ensure)
    with pytest.raises(InterruptedError):
        open_document(MARKET, "latest", "campaign_brief", out=tmp_path)
    assert asked == [
        *((name, "2025-q4") for name in ("04_handoff", "05_deals", "06_refinement")),
        *((name, "2026-q1") for name in store.PLANNING),
    ], "latest is the period that runs"
    asked.clear()
    with pytest.raises(InterruptedError):
        open_document(MARKET, BEFORE, out=tmp_path)
    assert asked == [(name, BEFORE) for name in store.PLANNING], "nothing ended before the first period"


def test_claims_on_chosen_records_are_in_no_document(out: Path, tmp_path: Path) -> None:
    path = out / MARKET / PERIOD / "claims" / "02_personas.parquet"
    before = read_frame(path)
    some = before.head(2).assign(among="deals by a partner", claim_id=["chosen-1", "chosen-2"])
    write_frame(path, pd.concat([before, some], ignore_index=True))
    try:
        dossier = open_document(MARKET, PERIOD, out=out).dossier
    finally:
        write_frame(path, before)
    assert not dossier.ledger["claim_id"].str.startswith("chosen").any()
    assert set(before["claim_id"]) <= set(dossier.ledger["claim_id"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"market": "atlantis"}, r"market = 'atlantis' does not exist; allowed: b2b, bank, harbor, maven"),
        ({"market": "../harbor"}, r"market = '../harbor' is no name"),
        ({"period": "2031-q1"}, r"period = '2031-q1' does not exist; allowed: latest, 2024-q1"),
        ({"period": 2031}, r"period = '2031' does not exist; allowed: latest, 2024-q1"),
        ({"period": ["2025-q3"]}, r"period = \['2025-q3'\] is of type list; allowed: text"),
        (
            {"notebook": "flyer"},
            r"notebook = 'flyer' does not exist; allowed: sales_playbook, campaign_brief, battlecard",
        ),
    ],
)
def test_wrong_parameters_are_refused_with_what_is_allowed(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        open_document(**{"market": MARKET, "period": PERIOD, **asked}, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_persona_or_competitor_is_refused_with_the_ones_there_are(out: Path) -> None:
    personas = "allowed: fast-start, low-price, compliance, multi-site"
    with pytest.raises(ParameterError, match=f"persona = 'nobody' is unknown in this period; {personas}"):
        open_document(MARKET, PERIOD, about="nobody", out=out)
    with pytest.raises(ParameterError, match=r"competitor = 'x' is unknown .* allowed: rival-anchor, .*no_decision"):
        open_document(MARKET, PERIOD, "battlecard", about="x", out=out)
    assert open_document(MARKET, PERIOD, "battlecard", out=out).dossier.chosen == "rival-anchor"
    assert open_document(MARKET, PERIOD, "campaign_brief", about="low-price", out=out).dossier.chosen == "low-price"


def test_a_document_closes_with_a_file_of_what_it_cites(out: Path) -> None:
    page = open_document(MARKET, PERIOD, "battlecard", about="no_decision", out=out)
    page.glance()
    page.met()
    closed = page.close()
    saved = pd.read_csv(out / MARKET / PERIOD / "documents" / "battlecard-no_decision.csv")
    assert saved["claim_id"].tolist() == page.claims["claim_id"].tolist()
    assert set(saved["subject"]) == {"no_decision"} and closed.results["n_cited"] == len(saved) > 10
    deals = page.dossier.plan.query("measure == 'n_met' and subject == 'no_decision'")["estimate"].item()
    assert closed.results["n_deals"] == deals


@pytest.mark.system("chromium")
def test_every_glance_is_wholly_in_sight_and_prints_on_one_page(out: Path, chromium: Path, tmp_path: Path) -> None:
    """At a width of 1280 it ends within the first 700 pixels; on A4 (96 pixels an inch) on the first page."""
    from playwright.sync_api import sync_playwright

    bottoms: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        screen = browser.new_page(viewport={"width": 1280, "height": 700})
        paper = browser.new_page(viewport={"width": 680, "height": 1000})
        paper.emulate_media(media="print")
        for page in pages(out):
            name = f"{page.notebook}-{page.dossier.chosen}"
            path = tmp_path / f"{name}.html"
            path.write_text(exported(page), "utf-8")
            screen.goto(path.as_uri())
            paper.goto(path.as_uri())
            bottoms[name] = screen.evaluate("document.querySelector('article.glance').getBoundingClientRect().bottom")
            bottoms[f"{name} on paper"] = (
                paper.evaluate("document.querySelector('article.glance').getBoundingClientRect().bottom") * 700 / 1000
            )
            assert screen.evaluate("document.documentElement.scrollWidth") <= 1280
        browser.close()
    assert len(bottoms) == 2 * (2 * 4 + 4)
    assert {name: bottom for name, bottom in bottoms.items() if not 100 < bottom <= 700} == {}


def exported(page: Document) -> str:
    """The page of a document's first cells, as the batch exports it."""
    source = (Path(__file__).parents[2] / "playbooks" / f"{page.notebook}.ipynb").read_text("utf-8")
    title = re.findall(r'"(# [^"]+?)\\n"', source)[0]
    question = re.findall(r'"([^"]+\?)"', source)[0]
    html = page.glance()._repr_html_()
    shown = new_code_cell("page.glance()", outputs=[new_output("display_data", {"text/html": html})])
    notebook = new_notebook(cells=[new_markdown_cell(f"{title}\n\n{question}"), shown])
    return notebook_html(notebook, title.removeprefix("# "), is_document=True)
