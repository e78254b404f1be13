"""A market that only has an order, and one without dates, get no calendar anywhere: claims, lists, pages, check."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from closedloop.market.warehouse import open_warehouse
from closedloop.period import store
from closedloop.period.leaks import market_leaks
from closedloop.presentation.page import audit_html

from tests import pages
from tests.market.conftest import project_at, write_market
from tests.market.order import order_market

CALENDAR = re.compile(r"\b(?:19|20)\d\d-\d\d(?:-\d\d)?\b|\bquarter|\bmonth of|\bweekday", re.IGNORECASE)


def shown(market: str, period: str, out: Path) -> dict[str, str]:
    """What each page shows, as text: every notebook, and a document of each kind."""
    found = {now.notebook: [now, *pages.pieces_of(now)] for now in pages.notebooks(market, period, out)}
    found |= {name: pages.document(name, market, period, out)[0].pieces for name in pages.DOCUMENTS}
    texts = {}
    for name, pieces in found.items():
        text = " ".join(piece._repr_html_() for piece in pieces)
        text = re.sub(r"<(style|svg)[^>]*>.*?</\1>", " ", text, flags=re.DOTALL)
        texts[name] = html.unescape(re.sub(r"<[^>]+>", " ", text))
    return texts


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project of an order market, the notebooks of its periods p002 and p003 run."""
    with project_at(tmp_path_factory.mktemp("queue")) as root:
        order_market(pages.with_notebooks(root))
        for period in ("p002", "p003"):
            assert len(list(pages.notebooks("tiny", period, root / "runs"))) == 7
        yield root


def files(root: Path) -> dict[str, str]:
    """What is written for people of a computed period, by file."""
    folder = root / "runs" / "tiny"
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in sorted(folder.rglob("*.csv"))}


def test_claims_of_an_order_expire_on_no_day(queue: Path) -> None:
    claims = store.read_claims(queue / "runs" / "tiny" / "p003", *pages.NOTEBOOKS)
    assert len(claims) > 20
    assert claims["expires_on"].isna().all()
    assert "is_quarter_end" not in set(claims["field"])
    durations = claims[claims["unit"] == "days"]
    assert durations["measure"].tolist() == ["promise"] and durations["estimate"].isna().all()  # the team's word only
    assert set(claims["first_period"]) | set(claims["last_period"]) <= {"p001", "p002", "p003", "p004"}


def test_lists_of_an_order_hold_positions(queue: Path) -> None:
    written = files(queue)
    lists = {name: text for name, text in written.items() if name.endswith("call-list.csv")}
    assert lists and not any("wake-up" in name for name in written)
    for text in lists.values():
        head, first, *_ = text.splitlines()
        assert "created_position" in head and "created_on" not in head and "age_days" not in head
        record = dict(zip(head.split(","), first.split(","), strict=False))
        assert record["record_id"] == f"L{record['created_position']}"
    assert [name for name, text in written.items() if CALENDAR.search(text)] == []


@pytest.mark.parametrize("period", ["p003", "p002"])
def test_pages_of_an_order_show_no_calendar(queue: Path, period: str) -> None:
    found = shown("tiny", period, queue / "runs")
    assert {name: CALENDAR.findall(text) for name, text in found.items() if CALENDAR.search(text)} == {}
    assert f"Next review: when {period} has ended." in found["02_personas"]
    assert "how long the others waited cannot be told without days" in found["04_handoff"]
    assert "median lead waited" not in found["04_handoff"]


def test_the_audit_of_an_order_shows_positions(queue: Path) -> None:
    warehouse = open_warehouse("tiny")
    tables = warehouse.audit.tables.set_index("table")
    assert tables.loc["leads", ["first_on", "last_on"]].tolist() == [
        "position 1",
        "position 622",
    ]  # lead 620 was accepted two later
    page = audit_html(warehouse.definition, warehouse.audit, market_leaks(warehouse))
    assert CALENDAR.findall(page) == []
    assert "position 628" in page  # up to where the data go


def test_a_market_without_dates_shows_no_calendar(tmp_path: Path) -> None:
    head = 'title = "Undated"\nlicence = "CC0-1.0"\ncurrency = "EUR"\nclock = "none"\n'
    rows = [f"D{i},{('web', 'fair')[i % 2]},{('won', 'lost')[i % 5 > i % 2]}" for i in range(300)]
    with project_at(tmp_path) as root:
        table = {"deals": "\n".join(["deal_id,channel,outcome", *rows])}
        write_market(pages.with_notebooks(root), table, head=head)
        found = shown("tiny", "all", root / "runs")
        assert {name: CALENDAR.findall(text) for name, text in found.items() if CALENDAR.search(text)} == {}
        assert [name for name, text in files(root).items() if CALENDAR.search(text)] == []
        assert open_warehouse("tiny").audit.tables["first_on"].isna().all()
