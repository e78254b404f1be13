"""What a persona promises in 02, 05, 06 and the playbook, against the bundled market's deals counted with pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market.warehouse import open_warehouse
from closedloop.period import store
from closedloop.personas.persona_set import PersonaSet
from closedloop.workbench.cells import ensure, run_cells, set_in_force
from closedloop.workbench.period import OpenPeriod
from scipy.stats import betabinom

from tests import pages
from tests.documents.ledger import plain

PERIOD, BEFORE = "2025-q1", "2024-q4"
WINDOW = ("2024-q1", "2024-q4")


@pytest.fixture(scope="module")
def in_force(out: Path) -> PersonaSet:
    return set_in_force("harbor", PERIOD, out)


@pytest.fixture(scope="module")
def plan(out: Path, in_force: PersonaSet) -> pd.DataFrame:
    """The claims of 02 of the period."""
    ensure("02_personas", "harbor", PERIOD, out)
    return store.read_claims(out / "harbor" / PERIOD, "02_personas")


@pytest.fixture(scope="module")
def ended(out: Path) -> OpenPeriod:
    """05 of the period before as its cells leave it."""
    return run_cells(store.notebook_path("05_deals"), {"market": "harbor", "period": BEFORE, "out": str(out)})


@pytest.fixture(scope="module")
def decided(in_force: PersonaSet) -> pd.DataFrame:
    """Every won or lost deal with the period of its close and its persona, from the records as they are."""
    warehouse = open_warehouse("harbor")
    accounts = warehouse.frame("accounts").drop(columns=["created_on"])
    leads = warehouse.frame("leads")[["lead_id", "account_id", "role"]]
    deals = warehouse.frame("deals").merge(leads, on="lead_id", how="left", suffixes=("", "_of_lead"))
    deals["account_id"] = deals["account_id"].fillna(deals["account_id_of_lead"])
    deals = deals.merge(accounts, on="account_id", how="left")
    deals = deals[deals["outcome"].isin(["won", "lost"])]
    closed = pd.to_datetime(deals["closed_on"]).dt
    period = closed.year.astype(str) + "-q" + closed.quarter.astype(str)
    return deals.assign(period=period, persona=in_force.assign(deals))


def counted(deals: pd.DataFrame) -> pd.DataFrame:
    """k and n of every persona."""
    return (deals["outcome"] == "won").groupby(deals["persona"]).agg(["sum", "size"])


def test_a_promise_is_of_the_last_four_periods_and_says_so(
    plan: pd.DataFrame, in_force: PersonaSet, decided: pd.DataFrame
) -> None:
    table = counted(decided[decided["period"].between(*WINDOW)])
    assert {p.id: (p.n_won, p.n) for p in in_force.personas} == {i: (k, n) for i, k, n in table.itertuples()}
    said = plan.query("measure == 'promised_win_rate'").set_index("level")
    assert (said["first_period"] == WINDOW[0]).all() and (said["last_period"] == WINDOW[1]).all()
    assert said["n"].to_dict() == table["size"].to_dict()
    assert (said["estimate"] - posterior_means(table)[said.index]).abs().max() < 0.01


def posterior_means(table: pd.DataFrame) -> pd.Series:
    """Rates that share a beta law whose mean and spread are integrated over, each group's by brute force."""
    k, n = (table[name].to_numpy(float)[:, None, None] for name in ("sum", "size"))
    mu, m = np.linspace(0.01, 0.99, 197)[:, None], np.geomspace(1, 3000, 150)[None, :]
    spread = 1 / np.sqrt(mu * (1 - mu) * (m + 1))  # of the logits
    weight = np.exp(betabinom(n, mu * m, (1 - mu) * m).logpmf(k).sum(axis=0) - spread**2 / 2) * spread
    rates = (k + mu * m) / (n + m)
    return pd.Series((rates * weight).sum(axis=(1, 2)) / weight.sum(), index=table.index)


def test_one_estimator_serves_02_05_and_the_playbook(plan: pd.DataFrame, ended: OpenPeriod) -> None:
    promised = plan.query("measure == 'promised_win_rate'").set_index("level")
    for found in (plan, ended.claims):
        rates = found.query("measure == 'win_rate' and field == 'persona' and family != 'none'")
        compared = rates.set_index("level").loc[promised.index]
        for name in ("estimate", "low", "high"):
            assert compared[name].to_numpy() == pytest.approx(promised[name].to_numpy(), abs=1e-5)
        assert compared[["n", "first_period", "last_period"]].equals(promised[["n", "first_period", "last_period"]])


def test_every_period_promises_anew_from_its_own_window(out: Path, decided: pd.DataFrame) -> None:
    """The harbor set keeps its rule; each period's rates are those of up to four periods before it."""
    names = sorted(decided["period"].unique())
    seen = set()
    periods = [period.name for period in open_warehouse("harbor").periods if period.name <= PERIOD]
    for period in periods:
        found = set_in_force("harbor", period, out)
        window = [name for name in names if name < period][-4:]
        table = counted(decided.assign(persona=found.assign(decided))[decided["period"].isin(window)])
        assert (found.first_period, found.last_period) == (window[0], window[-1])
        assert {p.id: (p.n_won, p.n) for p in found.personas if p.n} == {i: (k, n) for i, k, n in table.itertuples()}
        assert found.deals not in seen
        seen.add(found.deals)


def test_the_pages_show_the_last_promise_what_came_and_the_promise_now(
    out: Path, plan: pd.DataFrame, decided: pd.DataFrame
) -> None:
    before = set_in_force("harbor", BEFORE, out)
    table = counted(decided.assign(persona=before.assign(decided))[decided["period"] == BEFORE])
    came = plan.query("measure == 'came_win_rate'").set_index("level")
    assert came["estimate"].to_dict() == pytest.approx((table["sum"] / table["size"]).to_dict())
    assert (came["first_period"] == BEFORE).all() and (came["last_period"] == BEFORE).all()
    last = plan.query("measure == 'promised_before'").set_index("level")
    assert last["n"].to_dict() == {p.id: p.n for p in before.personas}
    playbook, _ = pages.document("sales_playbook", "harbor", PERIOD, out, "fast-start")
    text = plain(list(playbook.pieces))
    assert f"n = {last.loc['fast-start', 'n']}) in 2023-q4 to 2024-q3; it was" in text
    k, n = (int(value) for value in table.loc["fast-start"])
    assert f"it was {round(100 * k / n)} %" in text and f"n = {n}) in {BEFORE}; promised now" in text


def test_promises_are_judged_in_a_family_of_their_own(out: Path, in_force: PersonaSet) -> None:
    left = store.read_claims(out / "harbor" / BEFORE, "06_refinement")
    coming = left.query("measure == 'next_win_rate'").set_index("subject")
    assert coming["estimate"].to_dict() == pytest.approx({p.id: p.win_rate for p in in_force.personas}, abs=1e-5)
    assert (coming["first_period"] == WINDOW[0]).all() and (coming["last_period"] == WINDOW[1]).all()
    judged = left.query("measure == 'promise_gap'")
    assert (judged["family"] == "promise").all() and len(judged) == len(in_force.personas)
    assert not left["measure"].eq("promise_gap")[left["family"] == "edit"].any()


def test_a_finding_that_comes_back_says_how_many_of_its_deals_it_had_before(
    ended: OpenPeriod, decided: pd.DataFrame
) -> None:
    found = ended.claims.query("measure == 'win_rate' and field == 'persona' and family == 'how they end'")
    held = found[found["verdict"] == "supported"].set_index("level")
    known = decided.assign(persona=ended.personas.assign(decided))
    mine = known[known["period"].between(*WINDOW) & (known["period"] < BEFORE)]
    earlier = mine["persona"].value_counts()
    repeated = held["n_before"].dropna()
    assert len(repeated) >= 2
    assert repeated.astype(int).to_dict() == {name: int(earlier[name]) for name in repeated.index}
    lines = plain(next(list(answer.pieces()) for answer in ended.answers.values() if answer.verb == "win_rates"))
    name = repeated.index[0]
    assert f"{earlier[name]} of {held.loc[name, 'n']} deals were known a period ago" in lines


def test_a_rival_is_compared_among_the_deals_that_record_whom_we_met(
    out: Path, ended: OpenPeriod, decided: pd.DataFrame
) -> None:
    window = decided[decided["period"].between(*WINDOW)]
    recorded = window[window["competitor"].notna()]
    found = ended.claims.query("measure == 'win_rate' and field == 'competitor'").set_index("level")
    by_period = (recorded["outcome"] == "won").groupby(recorded["period"]).mean()
    for name, row in found.iterrows():
        mine = recorded[recorded["competitor"] == name]
        assert row["n"] == len(mine)
        assert row["baseline"] == pytest.approx(by_period[mine["period"]].mean())
        assert abs(row["estimate"] - (mine["outcome"] == "won").mean()) < 0.06
    assert (found["verdict"] != "supported").all()
    shares = ended.claims.query("measure == 'recorded_share' and field == 'competitor'").iloc[0]
    is_recorded = window["competitor"].notna().groupby(window["outcome"]).mean()
    assert [shares["estimate"], shares["baseline"]] == pytest.approx(is_recorded[["won", "lost"]].tolist())
    card, _ = pages.document("battlecard", "harbor", PERIOD, out, "rival-beacon")
    rate = np.mean(recorded["outcome"] == "won")
    assert f"of all that record whom we met {round(100 * rate)}" in plain(list(card.pieces))
