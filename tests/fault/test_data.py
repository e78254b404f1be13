"""Data as they come: the audit tells what was done to them, the loop ends with remarks, and nothing is invented."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.market.conftest import DEALS, HEAD, select_of

ROOT = Path(__file__).resolve().parents[2]
LEADS = "lead_id,created_on,channel,handed_off_on,sales_accepted_on,size"
DEAL = "deal_id,created_on,closed_on,lead_id,outcome,won_amount,stage"


def rows(n: int, outcome: str = "") -> tuple[list[str], list[str]]:
    """``n`` leads of half a year and their deals: won and lost in turn, or all with one outcome."""
    leads, deals = [LEADS], [DEAL]
    for i in range(n):
        day = f"2024-{1 + i % 6:02d}-{1 + i % 27:02d}"
        leads.append(f"L{i},{day},{'web' if i % 3 else 'fair'},{day},{day},{'big' if i % 2 else 'small'}")
        how = outcome or ("won" if i % 3 else "lost")
        closed, amount = ("" if how == "open" else day), ("100.00" if how == "won" else "")
        deals.append(f"D{i},{day},{closed},L{i},{how},{amount},proposal")
    return leads, deals


def _markets() -> dict[str, tuple[bytes, bytes]]:
    """The raw files (leads, deals) of one market for each kind of trouble."""
    leads, deals = rows(60)
    found = {
        "empty": ([LEADS], [DEAL]),
        "one-row": rows(1),
        "all-open": rows(40, "open"),
        "all-lost": rows(40, "lost"),
        "gaps": (
            [leads[0], *(f"{line.rsplit(',', 1)[0]},{'NaN' if i % 2 else ''}" for i, line in enumerate(leads[1:]))],
            [deals[0], *(line.replace("100.00", "") for line in deals[1:])],
        ),
        "twice": ([*leads, *leads[1:4]], [*deals, *deals[1:6]]),
        "future": (leads, [*deals, "D99,2031-01-05,2031-02-01,L1,won,5.00,proposal"]),
        "commas": (leads, [line.replace("100.00", '"1,234.50"') for line in deals]),
    }
    texts = {name: tuple("\n".join(part).encode() + b"\n" for part in parts) for name, parts in found.items()}
    mixed = (texts["twice"][0].replace(b"fair", "café".encode("cp1252")), texts["future"][1])
    return {**texts, "mixed": mixed}  # type: ignore[dict-item]


MARKETS = _markets()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The run folder of one real batch over all these markets."""
    root = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "playbooks", "requirements.lock"):
        (root / name).symlink_to(ROOT / name)
    for name, (leads, deals) in MARKETS.items():
        folder = root / "data" / name
        folder.mkdir(parents=True)
        (folder / "leads.csv").write_bytes(leads)
        (folder / "deals.csv").write_bytes(deals)
        (folder / "leads.sql").write_text(select_of("leads", LEADS))
        plain = select_of("deals", DEAL)
        (folder / "deals.sql").write_text(plain.replace('"won_amount"::', "replace(won_amount, ',', '')::"))
        sources = "".join(f'[sources.{table}]\nfile = "{table}.csv"\n' for table in ("leads", "deals"))
        fields = '[fields.leads]\ncreation = ["size"]\n'
        (folder / "market.toml").write_text(f"{HEAD}{DEALS}{sources}{fields}")
    command = [sys.executable, "-m", "closedloop.cli", "run", *MARKETS, "--json"]
    done = subprocess.run(
        command, env=os.environ | {"CLOSEDLOOP_ROOT": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    yield root / "runs"


def entries(runs: Path, market: str) -> dict[str, dict[str, Any]]:
    """The ledger's runs of a market by period and name."""
    stored = json.loads((runs / "manifest.json").read_text())["runs"]
    return {run["id"].partition("/")[2]: run for run in stored if run["market"] == market}


@pytest.mark.parametrize("market", MARKETS)
def test_the_loop_ends_and_says_what_it_could_not_answer(runs: Path, market: str) -> None:
    found = entries(runs, market)
    assert {run["status"] for run in found.values()} <= {"ok", "ok_with_warnings"}
    periods = {run["period"] for run in found.values()}
    assert len(periods) == {"empty": 1, "one-row": 2}.get(market, 3)  # periods without a row are not there
    remarks = {run["period"] for run in found.values() if "without evidence" in run["cause"]}
    assert remarks == periods
    pages = [(runs / market / f"{id_}.html").read_text() for id_ in found if "03_leads" in id_ or "05_deals" in id_]
    assert all("collect" in page.lower() for page in pages)


@pytest.mark.parametrize("market", ["empty", "one-row", "all-open", "all-lost"])
def test_where_nothing_can_be_known_nothing_is_claimed(runs: Path, market: str) -> None:
    for path in (runs / market).glob("*/claims.parquet"):
        claims = pd.read_parquet(path)
        assert not claims["verdict"].isin(["supported", "leaning"]).any()
    deals = [run["results"] for run in entries(runs, market).values() if run["notebook"] == "05_deals"]
    assert {found.get("win_rate") for found in deals} <= {None, 0.0, 1.0}


@pytest.mark.parametrize(
    ("market", "told"),
    [
        ("twice", ["repeated", "set aside"]),
        ("future", ["after extracted_on"]),
        ("gaps", ["null share", "100.0%"]),
        ("mixed", ["characters that the declared encoding does not hold"]),
        ("empty", [">0<"]),
    ],
)
def test_the_audit_tells_what_was_done(runs: Path, market: str, told: list[str]) -> None:
    page = (runs / market / "audit.html").read_text().lower()
    assert [text for text in told if text not in page] == []


def test_rows_that_came_twice_count_once(runs: Path) -> None:
    table = pd.read_parquet(next((runs / ".warehouse" / "twice").glob("*/tables/deals.parquet")))
    assert len(table) == 60


def test_thousands_separators_are_numbers(runs: Path) -> None:
    table = pd.read_parquet(next((runs / ".warehouse" / "commas").glob("*/tables/deals.parquet")))
    assert set(table["won_amount"].dropna().astype(float)) == {1234.5}
