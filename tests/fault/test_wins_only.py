"""Markets that record won deals alone: no win rate anywhere, and leads followed until they are won instead."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.period.store import read_claims
from closedloop.validation.market import null_market
from closedloop.workbench.answer import ENDING

from tests.market.conftest import HEAD, project_at, select_of
from tests.statistics.simulated import FULL

ROOT = Path(__file__).resolve().parents[2]
N_LEADS, PERIOD = 4_000, "2024-q4"
LAST = pd.Timestamp("2024-12-31")
BEGINS = pd.Timestamp("2023-07-03")
FIELDS = '\n[fields.leads]\ncreation = ["region", "size", "n_staff"]\n'
CHANCE = {"search": 0.12, "mail": 0.03}


def leads_and_deals() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two years of leads; search wins 12 % and mail 3 % of them, 50 days later on average, and nothing else matters."""
    rng = np.random.default_rng(7)
    came = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 731, N_LEADS)), unit="D")
    leads = pd.DataFrame(
        {
            "lead_id": [f"L{i}" for i in range(N_LEADS)],
            "created_on": came,
            "channel": rng.choice(["search", "mail"], N_LEADS),
            "region": rng.choice(["north", "south", "east", "west"], N_LEADS),
            "size": rng.choice(["small", "middle", "big"], N_LEADS),
            "n_staff": rng.integers(1, 500, N_LEADS),
        }
    )
    is_won = rng.random(N_LEADS) < leads["channel"].map(CHANCE)
    closed = came + pd.to_timedelta(np.round(rng.gamma(2.0, 25.0, N_LEADS)) + 1, unit="D")
    deals = leads[["lead_id"]].assign(
        deal_id=[f"D{i}" for i in range(N_LEADS)],
        closed_on=closed,
        outcome="won",
        won_amount=np.round(rng.lognormal(9.0, 0.5, N_LEADS), 2),
    )
    return leads, deals[is_won & (closed <= LAST)]


def write(folder: Path, leads: pd.DataFrame, deals: pd.DataFrame, outcomes: str) -> None:
    folder.mkdir(parents=True)
    for name, frame in (("leads", leads), ("deals", deals)):
        frame.to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.sql").write_text(select_of(name, ",".join(frame.columns)))
    head = HEAD.replace("2024-06-30", "2024-12-31").replace("2024-q1", "2023-q1")
    sources = "".join(f'[sources.{table}]\nfile = "{table}.csv"\n' for table in ("leads", "deals"))
    (folder / "market.toml").write_text(f"{head}\n[deals]\nstages = []\noutcomes = {outcomes}\n{sources}{FIELDS}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with a market that declares its wins only, and one that does not and recorded them from July on."""
    root = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "playbooks", "requirements.lock"):
        (root / name).symlink_to(ROOT / name)
    leads, deals = leads_and_deals()
    write(root / "data" / "declared", leads, deals, '["won"]')
    write(root / "data" / "late", leads, deals[deals["closed_on"] >= BEGINS], '["won", "lost"]')
    yield root


@pytest.fixture(scope="module")
def runs(root: Path) -> Path:
    """The run folder of a batch over both."""
    command = [sys.executable, "-m", "closedloop.cli", "run", "declared", "late", "--period", PERIOD, "--json"]
    done = subprocess.run(
        command, env=os.environ | {"CLOSEDLOOP_ROOT": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    return root / "runs"


def claims(runs: Path, market: str) -> pd.DataFrame:
    return pd.read_parquet(runs / market / PERIOD / "claims.parquet")


def page(runs: Path, market: str, name: str) -> str:
    """The text of a page, without its code, figures and tags."""
    text = next((runs / market / PERIOD).glob(f"{name}*.html")).read_text()
    text = re.sub(r"<(style|script|svg|pre|code)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def share_won(market: str, channel: str, days: float) -> float:
    """1 - Kaplan & Meier from the raw rows, of all leads that came while deals were recorded."""
    leads, deals = leads_and_deals()
    leads = leads[leads["channel"] == channel]
    if market == "late":
        leads, deals = leads[leads["created_on"] >= BEGINS], deals[deals["closed_on"] >= BEGINS]
    won_on = deals.set_index("lead_id")["closed_on"].reindex(leads["lead_id"]).set_axis(leads.index)
    age = (won_on.fillna(LAST) - leads["created_on"]).dt.days
    still = 1.0
    for day in sorted(age[won_on.notna() & (age <= days)].unique()):
        still *= 1 - ((age == day) & won_on.notna()).sum() / (age >= day).sum()
    return 1 - still


@pytest.mark.parametrize("market", ["declared", "late"])
def test_no_page_and_no_claim_tells_a_win_rate(runs: Path, market: str) -> None:
    found = claims(runs, market)
    told = found["measure"].str.contains("win_rate|won_rate|promise|duel|drift|per_decided|won_by", regex=True)
    assert set(found.loc[told, "measure"]) <= {"lead_won_rate"}  # won so far of all, beside those still open
    for path in (runs / market / PERIOD).glob("*.html"):
        text = page(runs, market, path.stem)
        assert not re.search(r"\d+ won of won", text)
        assert not re.search(r"\d+ won of \d+ decided", text)
        assert not re.search(r"100 % (\([^)]*\) )?of decided deals", text)
        assert "treat all alike" not in text
    entries = json.loads((runs / "manifest.json").read_text())["runs"]
    rates = {run["results"].get("win_rate") for run in entries if run["market"] == market}
    assert rates == {None}


@pytest.mark.parametrize("market", ["declared", "late"])
def test_the_pages_say_what_is_missing_and_how_to_record_it(runs: Path, market: str) -> None:
    for name in ("02_personas", "03_leads", "05_deals", "06_refinement"):
        text = page(runs, market, name)
        assert "Only won deals are recorded, so no win rate can be told" in text
        assert "deals.outcome, deals.closed_on" in text
    for name in ("campaign_brief", "sales_playbook"):
        assert "Win rate: not known, because only won deals are recorded" in page(runs, market, name)
    assert "No column looks like a leak" not in page(runs, market, "03_leads")


@pytest.mark.parametrize("market", ["declared", "late"])
def test_the_channel_that_matters_is_found_and_nothing_else(runs: Path, market: str) -> None:
    for notebook in ("03_leads", "05_deals"):
        found = claims(runs, market).loc[lambda rows, name=notebook: rows["notebook"] == name]
        looked = found[(found["measure"] == "usual_conversion_rate") & (found["family"] == ENDING)]
        assert set(looked["field"]) == {"channel", "region", "size", "n_staff"}
        held = looked[looked["verdict"] == "supported"]
        assert sorted(held["level"]) == ["mail", "search"]


def test_the_shares_are_those_of_the_raw_rows_and_of_what_was_planted(runs: Path) -> None:
    for market in ("declared", "late"):
        found = claims(runs, market).query("notebook == '05_deals'")
        days = found.query("measure == 'usual_days'")["estimate"].iloc[0]
        looked = found.query("measure == 'usual_conversion_rate' and field == 'channel'").set_index("level")
        for channel, chance in CHANCE.items():
            row = looked.loc[channel]
            assert row["estimate"] == pytest.approx(
                share_won(market, channel, days), abs=0.012
            )  # other cohorts as well
            planted = chance * (1 - np.exp(-days / 25) * (1 + days / 25))  # gamma, shape 2, mean 50
            assert row["low"] - 0.01 <= planted <= row["high"] + 0.01


@pytest.mark.parametrize("name", ["03_leads", "05_deals", "07_review", "campaign_brief", "sales_playbook"])
def test_readers_see_which_channel_wins(runs: Path, name: str) -> None:
    text = page(runs, "declared", name)
    told = r"Channel: search – won within the usual time more often: (\d+) % against (\d+) % of all leads that came"
    found = re.search(told, text)
    assert found
    assert 9 <= int(found[1]) <= 12
    assert 6 <= int(found[2]) <= 8


def test_a_channel_without_spend_is_judged_by_its_conversions(runs: Path) -> None:
    text = page(runs, "declared", "03_leads")
    assert re.search(
        r"Search – use: no spend is recorded; drawn toward all, \d+ % \([^)]*\) of its leads were won within the usual "
        r"time, against \d+ % of all leads that came in like periods",
        text,
    )
    assert "Mail – stop: no spend is recorded" in text


def test_leads_from_before_the_records_are_told_and_left_out(runs: Path) -> None:
    leads, deals = leads_and_deals()
    begins = deals.loc[deals["closed_on"] >= BEGINS, "closed_on"].min()
    n = int((leads["created_on"] < begins).sum())
    text = page(runs, "late", "05_deals")
    assert f"Deals are recorded from {begins:%Y-%m-%d} on; the {n:,} leads from before are left out." in text
    assert "are left out" not in page(runs, "declared", "05_deals").replace("from before are left", "")


def test_null_worlds_count_these_comparisons_and_hardly_any_makes_a_claim(root: Path, runs: Path) -> None:
    with project_at(root):
        cut = null_market("declared", runs, (), [PERIOD])
        written = read_claims(runs / "declared" / PERIOD, "05_deals")
        (family,) = (one for one in cut.families if (one.notebook, one.name) == ("05_deals", ENDING))
        assert family.n_compared(cut.world) == (written["family"] == ENDING).sum() > 0
        assert family.n_claims(cut.world) >= 2  # search and mail
        worlds = [cut.null_world(number) for number in range(100 if FULL else 20)]
    made = [[one.n_claims(world) > 0 for one in cut.families if one.name == ENDING] for world in worlds]
    assert np.mean(made) <= 0.10
