"""What an onboarded export claims is what the bundled market claims of the same deals."""

import re
import shutil
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest
from closedloop import amounts, open_period, outcomes, win_rates
from closedloop.market.definition import read_definition
from closedloop.market.files import root as project_root

from tests.onboarding import exports
from tests.onboarding.conftest import answered
from tests.onboarding.exports import GERMANY, PLAIN, Habits, Market

MARKET, PERIOD = "harbor", "2024-q3"  # the same name: what is drawn at random takes its seed from it
OURS = {
    **{"number_of_sites": "sites", "integrated": "is_integrated"},
    **{"first_sales_touch": "first_touch", "job_function": "role"},
}
FIELDS = ["product", "competitor", "region", "site_type", "throughput", "automation", "channel", "sites",
          "is_integrated", "first_touch", "role", "is_quarter_end"]  # fmt: skip
KEY = ["measure", "field", "level", "among"]
OF_NOTES = {"loss_reason_agreement", "buyer_loss_share", "n_buyer_losses"}  # which the exports do not hold
FIGURES = ["estimate", "low", "high", "baseline", "effect", "n", "p", "q", "verdict"]


def claims(without: Collection[str] = ()) -> pd.DataFrame:
    """The claims of the market called harbor on its deals, without personas: they need its survey."""
    now = open_period(MARKET, PERIOD, "ended", notebook="05_deals", window=3)
    deals, everything = now.deals(), now.deals(ended=False)
    names = {name: theirs for name, theirs in OURS.items() if name in deals}
    for name, theirs in names.items():
        deals[theirs] = deals.pop(name)
        now.declare(theirs, known_at="creation")
    outcomes(everything)
    outcomes(everything, "curve")
    outcomes(deals, "loss_reasons")
    fields = [name for name in FIELDS if name in deals and name not in without]
    win_rates(deals, by=fields, among="all")
    amounts(deals, "money", by="product", every=everything, among="all")
    amounts(deals, "days", by="product", among="all")
    now.close()
    return now.claims[now.claims["subject"] == "market"].set_index(KEY).sort_index()


@pytest.fixture(scope="module")
def bundled() -> Path:
    return project_root() / "data" / MARKET


@pytest.fixture
def own(root: Path, bundled: Path, request: pytest.FixtureRequest) -> pd.DataFrame:
    """The bundled market's claims, as far as the system tells: where it knows won and lost only, both ends are lost."""
    place = root / "data" / MARKET
    shutil.copytree(bundled, place)
    definition = (place / "market.toml").read_text().replace('first = "2024-q1"', f'first = "{PERIOD}"')
    is_pipedrive = request.node.callspec.params["system"] == "pipedrive"
    if is_pipedrive:
        definition = definition.replace('outcomes = ["won", "lost", "no_decision"]', 'outcomes = ["won", "lost"]')
        select = (place / "deals.sql").read_text()
        assert re.search(r"\boutcome\b", select)
        ends = "replace(outcome, 'no_decision', 'lost') as outcome"
        (place / "deals.sql").write_text(f"select * replace ({ends}) from ({select.rstrip().rstrip(';')})")
    (place / "market.toml").write_text(definition)
    found = claims(without=("role",) if is_pipedrive else ())  # it exports no leads
    shutil.rmtree(place)
    shutil.rmtree(root / "runs")
    read_definition.cache_clear()
    return found


@pytest.mark.parametrize(
    ("system", "habits", "least"),
    [("salesforce", PLAIN, 90), ("hubspot", GERMANY, 90), ("pipedrive", PLAIN, 60)],
    ids=["salesforce", "hubspot in German", "pipedrive"],
)
def test_an_export_gives_the_bundled_markets_claims(
    root: Path,
    truth: Market,
    own: pd.DataFrame,
    system: str,
    habits: Habits,
    least: int,
) -> None:
    getattr(exports, system)(truth, root / "exports", habits)
    answered(root / "exports", market=MARKET)
    place = root / "data" / MARKET / "market.toml"
    place.write_text(re.sub(r'first = "[^"]+"', f'first = "{PERIOD}"', place.read_text()))
    found = claims()
    both = own.index.intersection(found.index)
    assert len(both) >= least
    ours, theirs = (claims_.loc[both, FIGURES].astype(object) for claims_ in (own, found))
    differ = (ours.ne(theirs) & ~(ours.isna() & theirs.isna())).any(axis=1)
    assert not differ.any(), pd.concat([ours[differ], theirs[differ]], keys=["own", "export"]).to_string()
    measures, exported = (set(one.index.get_level_values("measure")) for one in (own, found))
    assert measures - OF_NOTES <= exported
