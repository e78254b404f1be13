"""Families of claims: few on markets without effects, true ones on markets with, and what maven holds."""

import zipfile
from functools import partial

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.ledger import rate_looks, share_looks
from closedloop.market.warehouse import open_warehouse
from closedloop.period import store
from closedloop.period.leaks import market_leaks
from closedloop.statistics.amounts import conformal_range
from closedloop.workbench.cells import run_cells

from tests.statistics.simulated import (
    ABOUT,
    any_claim,
    claims_of,
    null_amounts,
    null_cycles,
    null_market,
    null_rates,
    null_shares,
    runs,
    share_counts,
)

MAVEN_FIELDS = ("sector", "regional_office", "office_location", "manager", "sales_agent", "product", "account")


@pytest.mark.parametrize(
    ("kind", "looks", "few"),
    [
        ("rates", null_rates, 80),
        ("amounts", null_amounts, 80),
        ("amounts-1.5", partial(null_amounts, deviation=1.5), 40),
        ("amounts-2.0", partial(null_amounts, deviation=2.0), 40),
        ("amounts-mixed", partial(null_amounts, deviation=0.8, times=100.0), 40),
        ("cycles", null_cycles, 80),
        ("mixed", null_market, 40),
    ],
)
def test_a_market_without_effects_rarely_gives_any_claim(validity, kind, looks, few):
    validity(f"null-{kind}", any_claim(looks, few, seed=12))


def test_a_market_without_effects_rarely_gives_a_persona_an_attribute(validity):
    found = np.array(any_claim(null_shares, 40, seed=13))
    validity("null-shares", found)
    validity("null-persona", ~found)


def _planted(rng, effects):
    """Claims about 20 segments of 10-300 deals with a base rate of 30 %, and the true effect of each."""
    n = rng.integers(10, 301, effects.size)
    counts = pd.DataFrame({"field": "f", "level": np.arange(effects.size), "n": n})
    claims = claims_of(rate_looks(counts.assign(k=rng.binomial(n, 0.3 + effects)), ABOUT, measure="win_rate"))
    return (
        (claims["verdict"] == "supported").to_numpy(),
        claims["effect"].to_numpy(),
        effects[claims["level"].astype(int)],
    )


@pytest.mark.parametrize("points", [10, 15])
def test_claims_find_planted_effects_and_few_others(validity, points):
    """Four of 20 segments differ: two up and two down, or (for information) all four up."""
    rng = np.random.default_rng(11)
    both, up = (np.zeros(20), np.zeros(20))
    both[:4], up[:4] = np.array([1, -1, 1, -1]) * points / 100, points / 100
    false, found, wrong_sign, false_one_way = [], [], [], []
    for _ in runs(120):
        supported, estimate, truth = _planted(rng, both)
        total = max(supported.sum(), 1)
        false.append((supported & (truth == 0)).sum() / total)
        wrong_sign.append((supported & (truth * estimate < 0)).sum() / total)
        found.append(supported[truth != 0].mean())
        supported, _, truth = _planted(rng, up)
        false_one_way.append((supported & (truth == 0)).sum() / max(supported.sum(), 1))
    validity(f"fdr-{points}", false)
    validity(f"power-{points}", found)
    validity(f"sign-{points}", wrong_sign)
    validity(f"fdr-one-way-{points}", false_one_way)


def test_claims_about_personas_keep_their_sign_on_the_other_half(validity):
    """Four personas that differ in four of eight attributes: what half of the rows supports, against the others."""
    rng = np.random.default_rng(16)
    kept = []
    for _ in runs(20):
        persona = np.repeat(np.arange(4), [240, 400, 160, 600])
        chances = rng.dirichlet(25 * np.array([0.4, 0.3, 0.2, 0.1]), (4, 8))
        chances[:, 4:] = chances[0, 4:]
        edges = chances.cumsum(axis=-1)[persona]
        attributes = (rng.random((persona.size, 8, 1)) > edges[..., :-1]).sum(axis=-1)
        is_first = np.arange(persona.size) % 2 == 0
        claims = claims_of(share_looks(share_counts(persona[is_first], attributes[is_first]), ABOUT))
        counts = share_counts(persona[~is_first], attributes[~is_first]).astype({"subject": str})
        other = counts.astype({"field": str, "level": str}).set_index(["subject", "field", "level"])
        difference = other["k"] / other["n"] - other["k_rest"] / other["n_rest"]
        supported = claims[claims["verdict"] == "supported"]
        places = pd.MultiIndex.from_frame(supported[["subject", "field", "level"]])
        kept += (np.sign(difference.reindex(places)).to_numpy() == np.sign(supported["effect"].to_numpy())).tolist()
    validity("split-half", kept)


@pytest.fixture(scope="module")
def maven(mirror):
    """Closed deals of the Maven file with all that is recorded about them, as published."""
    with zipfile.ZipFile(mirror / "maven" / "CRM+Sales+Opportunities.zip") as archive:
        tables = {}
        for name in archive.namelist():
            if name.endswith(".csv"):
                with archive.open(name) as file:
                    tables[name.rsplit("/", 1)[-1]] = pd.read_csv(file)
    deals = tables["sales_pipeline.csv"].query("deal_stage in ['Won', 'Lost']")
    deals = deals.merge(tables["accounts.csv"], on="account", how="left")
    deals = deals.merge(tables["sales_teams.csv"], on="sales_agent", how="left")
    closed_on = pd.to_datetime(deals["close_date"])
    return deals.assign(
        won=deals["deal_stage"] == "Won", closed_on=closed_on, is_quarter_end=closed_on.dt.month % 3 == 0
    )


@pytest.mark.real
def test_the_maven_file_gives_its_one_large_effect_and_nothing_else(maven):
    """METHODS 0.1: no signal in any field of deals, accounts or teams; quarter-ends 80.7 % against 52.3 %."""
    long = maven.melt("won", [*MAVEN_FIELDS, "is_quarter_end"], var_name="field", value_name="level")
    counts = long.astype({"level": str}).groupby(["field", "level"])["won"].agg(k="sum", n="size").reset_index()
    claims = claims_of(rate_looks(counts, ABOUT, measure="win_rate"))
    assert set(claims["field"]) == {*MAVEN_FIELDS, "is_quarter_end"}
    supported = claims[claims["verdict"] == "supported"].set_index("level")
    assert set(supported["field"]) == {"is_quarter_end"}
    assert supported["n"].to_dict() == {"False": 4137, "True": 2574}
    assert supported["estimate"].to_dict() == pytest.approx({"False": 0.523, "True": 0.807}, abs=0.002)


@pytest.mark.real
def test_the_maven_market_claims_its_quarter_ends_and_no_other_rate(validity, tmp_path):
    """How deals end in every period, as 05 closes the family."""
    warehouse = open_warehouse("maven")
    periods = [period.name for period in warehouse.periods if warehouse.has_begun(period)]
    path = store.notebook_path("05_deals")
    asked = [run_cells(path, {"market": "maven", "period": name, "out": str(tmp_path)}) for name in periods]
    claims = pd.concat([now.claims for now in asked])
    rates = claims[claims["unit"].isin(["rate", "points"]) & (claims["family"] == "how they end")]
    assert {"sector", "rep_team", "product", "is_quarter_end"} <= set(rates["field"])
    supported = rates[rates["verdict"] == "supported"]
    is_quarter_end = supported["field"] == "is_quarter_end"
    validity("maven-others", int((~is_quarter_end).sum()), n=len(rates))
    plain = supported[is_quarter_end & (supported["within"].fillna("") == "")]
    table = plain.pivot_table(index="period", columns="level", values="estimate")
    assert table.index.tolist() == periods
    validity("maven-quarter-end", 100 * float((table["yes"] - table["no"]).iloc[-1]), n=int(plain["n"].iloc[-2:].sum()))


@pytest.mark.real
def test_the_range_of_maven_amounts_holds_in_the_next_quarter(validity, maven):
    """Ratios to the product's list level, learnt to the middle of 2017-q3, checked on what closed later."""
    won = maven.query("won")
    past, mid, after = (
        won[won["closed_on"].between(*span)]
        for span in (("2017-01-01", "2017-06-30"), ("2017-07-01", "2017-09-15"), ("2017-09-16", "2017-12-31"))
    )
    typical = past.groupby("product")["close_value"].median()
    ratio_mid, ratio_after = ((part["close_value"] / part["product"].map(typical)).dropna() for part in (mid, after))
    low, high = conformal_range(ratio_mid)
    validity("conformal-maven", ratio_after.between(low, high).mean(), n=len(ratio_after))


@pytest.mark.real
def test_the_leak_detector_names_the_calls_duration_and_hardly_any_honest_column(validity):
    tables = {market: market_leaks(open_warehouse(market)) for market in ("harbor", "bank", "b2b", "maven")}
    found = {
        (market, row.column) for market, table in tables.items() for row in table[table["finding"] != ""].itertuples()
    }
    validity("leak-bank", int(("bank", "call_seconds") in found), n=1)
    validity("leak-honest", len(found - {("bank", "call_seconds")}), n=len(tables))
