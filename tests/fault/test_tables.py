"""Each canonical table emptied, blanked, of one row or of one level: every page of the market is still there."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closedloop.market.contract import TABLES

from tests import pages
from tests.market.conftest import HEAD, project_at, write_market

PERIOD, SEED = "2024-q2", 11
FIELDS = """
[fields.accounts]
research = ["industry"]
[fields.leads]
creation = ["role"]
[items]
wants_price = "Is the price first?"
wants_speed = "Is speed first?"
wants_care = "Is care first?"
"""
KEPT = {  # what a row cannot be without, by table
    "accounts": ["account_id"],
    "leads": ["lead_id"],
    "respondents": ["respondent_id", "answered_on"],
    "deals": ["deal_id", "outcome"],
    "stage_history": ["deal_id", "change_no", "entered_on", "stage"],
    "materials": ["material_id", "kind"],
    "touches": ["touch_id", "touched_on", "lead_id"],
    "notes": ["note_id", "written_on", "from_team", "kind"],
    "spend": ["spend_id", "starts_on", "spent_amount"],
}
CHANGES = {
    "empty": lambda frame, kept: frame.head(0),
    "blank": lambda frame, kept: frame.assign(**dict.fromkeys(frame.columns.difference(kept), "")),
    "one row": lambda frame, kept: frame.head(1),
    "one level": lambda frame, kept: frame.assign(
        **{name: frame[name].iloc[0] for name in frame.columns.difference(kept) if not name.endswith(("_id", "_on"))}
    ),
}


def market(n: int) -> dict[str, pd.DataFrame]:
    """A market of half a year with all nine tables, ``n`` leads and their deals among them."""
    rng = np.random.default_rng(SEED)
    born = pd.Timestamp("2024-01-02") + pd.to_timedelta(np.sort(rng.integers(0, 150, n)), unit="D")
    day = pd.Series(born.strftime("%Y-%m-%d"))
    ended = pd.Series((born + pd.to_timedelta(rng.integers(3, 60, n), unit="D")).strftime("%Y-%m-%d"))
    outcome = pd.Series(rng.choice(["won", "lost"], n)).where(ended < "2024-06-30", "open")
    lead, deal, account = ([f"{sign}{i}" for i in range(n)] for sign in "LDA")
    industry, role = rng.choice(["retail", "transport", "health"], n), rng.choice(["it", "operations"], n)
    answers = {f"wants_{name}": rng.choice(["yes", "no"], n) for name in ("price", "speed", "care")}
    is_open = outcome == "open"
    return {
        "accounts": pd.DataFrame({"account_id": account, "created_on": day, "industry": industry}),
        "leads": pd.DataFrame(
            {"lead_id": lead, "created_on": day, "account_id": account, "channel": rng.choice(["web", "fair"], n)}
            | {"role": role, "handed_off_on": day, "sales_accepted_on": day.where(rng.random(n) < 0.6, "")}
        ),
        "respondents": pd.DataFrame({"respondent_id": lead, "answered_on": day, "role": role} | answers),
        "deals": pd.DataFrame(
            {"deal_id": deal, "created_on": day, "lead_id": lead, "account_id": account, "stage": "proposal"}
            | {"product": rng.choice(["plan", "gate"], n), "competitor": rng.choice(["rival", "none"], n)}
            | {"rep_id": rng.choice(["rep-1", "rep-2"], n), "outcome": outcome, "closed_on": ended.mask(is_open, "")}
            | {"won_amount": pd.Series(rng.integers(100, 900, n).astype(str)).where(outcome == "won", "")}
            | {"loss_reason": pd.Series(rng.choice(["price", "timing"], n)).where(outcome == "lost", "")}
        ),
        "stage_history": pd.DataFrame({"deal_id": deal, "change_no": 1, "entered_on": day, "stage": "proposal"}),
        "materials": pd.DataFrame(
            {"material_id": ["M1", "M2"], "added_on": "2024-01-01", "kind": ["message", "asset"]}
            | {"title": "Plain", "text": "Said plainly", "topic": ["price", "speed"]}
        ),
        "touches": pd.DataFrame(
            {"touch_id": [f"T{i}" for i in range(n)], "touched_on": day, "lead_id": lead, "deal_id": deal}
            | {"from_team": "sales", "direction": "outbound", "buying_role": rng.choice(["champion", "end_user"], n)}
        ),
        "notes": pd.DataFrame(
            {"note_id": [f"N{i}" for i in range(n)], "written_on": day, "from_team": "sales", "kind": "objection"}
            | {"topic": rng.choice(["price", "speed"], n), "lead_id": lead, "deal_id": deal}
        ),
        "spend": pd.DataFrame(
            {"spend_id": ["S1", "S2", "S3", "S4"], "starts_on": ["2024-01-01", "2024-04-01"] * 2}
            | {"ends_on": ["2024-03-31", "2024-06-30"] * 2, "channel": ["web", "web", "fair", "fair"]}
            | {"spent_amount": "1000.00"}
        ),
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with project_at(tmp_path_factory.mktemp("tables")) as root:
        yield pages.with_notebooks(root)


def texts(root: Path, changed: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The text of every page of a period of the market with these tables."""
    files: dict[str, Any] = {name: frame.to_csv(index=False) for name, frame in changed.items()}
    name = write_market(root, files, more=FIELDS, head=HEAD.replace("2024-q1", PERIOD)).name
    out = root / "runs"
    shutil.rmtree(out, ignore_errors=True)
    found = {now.notebook: pages.pieces_of(now) for now in pages.notebooks(name, PERIOD, out)}
    found |= {kind: pages.document(kind, name, PERIOD, out)[0].pieces for kind in pages.DOCUMENTS}
    return {page: "\n".join(map(repr, pieces)) for page, pieces in found.items()}


@pytest.fixture(scope="module")
def whole(project: Path) -> Callable[[int], dict[str, str]]:
    """The pages of the market as it is, with that many leads."""
    return cache(lambda n: texts(project, market(n)))


_ALWAYS = ("empty", "blank")
_CHANGED = [
    pytest.param(table, change, marks=() if change in _ALWAYS else pytest.mark.slow)
    for table in TABLES
    for change in CHANGES
]
UNTOUCHED = {  # pages that say nothing of a table of this market
    "accounts": ("03_leads", "04_handoff", "06_refinement", "battlecard"),
    "leads": ("06_refinement", "battlecard"),
    "respondents": ("03_leads", "04_handoff", "05_deals", "06_refinement", "07_review", "battlecard"),
    "deals": ("04_handoff",),
    "stage_history": (*pages.NOTEBOOKS, "campaign_brief", "battlecard"),
    "materials": pages.NOTEBOOKS,
    "touches": ("01_research", "02_personas", "03_leads", "05_deals", "06_refinement", "battlecard"),
    "notes": ("01_research", "03_leads", "04_handoff", "05_deals", "06_refinement"),
    "spend": ("01_research", "02_personas", "04_handoff", "05_deals", "06_refinement", "07_review", "battlecard"),
}
SAID = {  # what its absence makes a page say
    ("leads", "empty"): ("03_leads", "No leads were known: collect `leads`"),
    ("respondents", "blank"): (
        "01_research",
        "The survey is blank: none of its 33 rows answers any of its 3 questions",
    ),
    ("deals", "empty"): ("05_deals", "No deals are recorded up to that day: collect `deals` with dates and outcomes."),
    ("deals", "blank"): ("05_deals", "No deal records created_on or closed_on, so how many days a deal takes"),
    ("materials", "empty"): ("sales_playbook", "Write a text of kind value_proposition (materials)."),
    ("touches", "empty"): (
        "04_handoff",
        "No touches of sales are recorded: collect `touches` with team, lead and date.",
    ),
    ("touches", "blank"): (
        "04_handoff",
        "No touches of sales are recorded: collect `touches` with team, lead and date.",
    ),
    ("notes", "empty"): ("sales_playbook", "Let sales log remarks (notes)"),
    ("spend", "empty"): ("03_leads", "No spend is recorded"),
}


@pytest.mark.parametrize(("table", "change"), _CHANGED)
def test_a_table_with_nothing_in_it_stops_no_page(
    project: Path, whole: Callable[[int], dict[str, str]], table: str, change: str
) -> None:
    n = 60 if table == "respondents" else 45  # fewer than fifty rows are not cut into segments, which takes long
    tables, before = market(n), whole(n)
    found = texts(project, tables | {table: CHANGES[change](tables[table], KEPT[table])})
    assert [name for name in UNTOUCHED[table] if found[name] != before[name]] == []
    page, told = SAID.get((table, change), ("07_review", ""))
    assert told in found[page]
