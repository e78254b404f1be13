"""What a persona promises in 02, 05, 06 and the playbook, against the bundled market's deals counted with pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.loop import turn
from closedloop.loop.in_force import set_in_force
from closedloop.loop.persona import PersonaSet, read_set
from closedloop.market.warehouse import open_warehouse
from closedloop.notebook import open_run
from scipy.stats import betabinom

PERIOD, BEFORE = "2025-q4", "2025-q3"
WINDOW = ("2024-q4", "2025-q3")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan of the last quarter, and the outcomes of the one before it."""
    found = tmp_path_factory.mktemp("runs")
    turn.look_back("harbor", BEFORE, found)
    turn.plan("harbor", PERIOD, found)
    return found


@pytest.fixture(scope="module")
def in_force(out: Path) -> PersonaSet:
    return read_set(out / "harbor" / PERIOD / "personas.yml")


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


def claims(out: Path, period: str, family: str) -> pd.DataFrame:
    return pd.read_parquet(out / "harbor" / period / f"claims-{family}.parquet")


def test_a_promise_is_of_the_last_four_periods_and_says_so(
    out: Path, in_force: PersonaSet, decided: pd.DataFrame
) -> None:
    table = counted(decided[decided["period"].between(*WINDOW)])
    assert {p.id: (p.n_won, p.n) for p in in_force.personas} == {i: (k, n) for i, k, n in table.itertuples()}
    said = claims(out, PERIOD, "plan").query("measure == 'promised_win_rate'").set_index("level")
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


def test_one_estimator_serves_02_05_and_the_playbook(out: Path) -> None:
    plan, outcome = claims(out, PERIOD, "plan"), claims(out, BEFORE, "outcome")
    promised = plan.query("measure == 'promised_win_rate'").set_index("level")
    for found in (plan.query("notebook == '02_personas'"), outcome.query("notebook == '05_deals'")):
        compared = found.query("measure == 'win_rate' and field == 'persona'").set_index("level").loc[promised.index]
        for name in ("estimate", "low", "high"):
            assert compared[name].to_numpy() == pytest.approx(promised[name].to_numpy(), abs=1e-5)
        assert compared[["n", "first_period", "last_period"]].equals(promised[["n", "first_period", "last_period"]])


def test_every_period_promises_anew_from_its_own_window(out: Path, decided: pd.DataFrame) -> None:
    """The harbor set keeps its rule; each period's rates are those of up to four periods before it."""
    names = sorted(decided["period"].unique())
    seen = set()
    for period in turn.periods("harbor"):
        found = set_in_force("harbor", period.name, out)
        window = [name for name in names if name < period.name][-4:]
        table = counted(decided.assign(persona=found.assign(decided))[decided["period"].isin(window)])
        assert (found.first_period, found.last_period) == (window[0], window[-1])
        assert {p.id: (p.n_won, p.n) for p in found.personas if p.n} == {i: (k, n) for i, k, n in table.itertuples()}
        assert found.deals not in seen
        seen.add(found.deals)


def test_the_pages_show_the_last_promise_what_came_and_the_promise_now(out: Path, decided: pd.DataFrame) -> None:
    before = set_in_force("harbor", BEFORE, out)
    table = counted(decided.assign(persona=before.assign(decided))[decided["period"] == BEFORE])
    plan = claims(out, PERIOD, "plan")
    came = plan.query("measure == 'came_win_rate'").set_index("level")
    assert came["estimate"].to_dict() == pytest.approx((table["sum"] / table["size"]).to_dict())
    assert (came["first_period"] == BEFORE).all() and (came["last_period"] == BEFORE).all()
    last = plan.query("measure == 'promised_before'").set_index("level")
    assert last["n"].to_dict() == {p.id: p.n for p in before.personas}
    page = repr(open_run("sales_playbook", "harbor", PERIOD, out, persona="fast-start").show("numbers"))
    text = page.replace("\N{NO-BREAK SPACE}", " ")
    assert f"n = {last.loc['fast-start', 'n']}) in 2024-q3 to 2025-q2; it was" in text
    k, n = (int(value) for value in table.loc["fast-start"])
    assert f"it was {round(100 * k / n)} %" in text and f"n = {n}) in {BEFORE}; promised now" in text


def test_refinement_says_what_was_promised_and_what_renewal_will_promise(out: Path, in_force: PersonaSet) -> None:
    outcome = claims(out, BEFORE, "outcome").query("notebook == '06_refinement'")
    coming = outcome.query("measure == 'next_win_rate'").set_index("subject")
    assert coming["estimate"].to_dict() == pytest.approx({p.id: p.win_rate for p in in_force.personas}, abs=1e-5)
    assert (coming["first_period"] == WINDOW[0]).all() and (coming["last_period"] == WINDOW[1]).all()
    judged = outcome.query("measure == 'promise_gap'")
    assert (judged["family"] == "promise").all() and len(judged) == len(in_force.personas)
    assert not outcome["measure"].eq("promise_gap")[outcome["family"] == "edit"].any()


def test_a_finding_that_comes_back_says_how_many_of_its_deals_it_had_before(
    out: Path, in_force: PersonaSet, decided: pd.DataFrame
) -> None:
    found = claims(out, BEFORE, "outcome").query("measure == 'win_rate' and field == 'persona' and family == 'outcome'")
    held = found[found["verdict"] == "supported"].set_index("level")
    mine = decided[decided["period"].between(*WINDOW) & (decided["period"] < BEFORE)]
    earlier = mine["persona"].value_counts()
    repeated = held["n_before"].dropna()
    assert len(repeated) >= 2
    assert repeated.astype(int).to_dict() == {name: int(earlier[name]) for name in repeated.index}
    assert found.loc[found["verdict"] != "supported", "n_before"].isna().all()
    lines = repr(open_run("05_deals", "harbor", BEFORE, out).show("findings")).replace("\N{NO-BREAK SPACE}", " ")
    name = repeated.index[0]
    assert f"{earlier[name]} of {held.loc[name, 'n']} deals were in the last confirmation" in lines


def test_a_rival_is_compared_among_the_deals_that_record_whom_we_met(out: Path, decided: pd.DataFrame) -> None:
    window = decided[decided["period"].between(*WINDOW)]
    recorded = window[window["competitor"].notna()]
    found = claims(out, BEFORE, "outcome").query("measure == 'win_rate' and field == 'competitor'").set_index("level")
    by_period = (recorded["outcome"] == "won").groupby(recorded["period"]).mean()
    for name, row in found.iterrows():
        mine = recorded[recorded["competitor"] == name]
        assert row["n"] == len(mine)
        assert row["baseline"] == pytest.approx(by_period[mine["period"]].mean())
        assert abs(row["estimate"] - (mine["outcome"] == "won").mean()) < 0.06
    assert (found["verdict"] != "supported").all()
    shares = claims(out, BEFORE, "outcome").query("measure == 'recorded_share' and field == 'competitor'").iloc[0]
    is_recorded = window["competitor"].notna().groupby(window["outcome"]).mean()
    assert [shares["estimate"], shares["baseline"]] == pytest.approx(is_recorded[["won", "lost"]].tolist())
    page = repr(open_run("battlecard", "harbor", PERIOD, out, competitor="rival-beacon").bottom_line())
    rate = np.mean(recorded["outcome"] == "won")
    assert f"of all that record whom we met {round(100 * rate)}" in page
