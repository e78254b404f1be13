"""Drawn arms are compared by whatever became of their leads: small markets with a planted effect, against raw rows."""

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import notebook
from closedloop.loop import turn
from closedloop.validation.arms import ArmAmounts, Arms
from closedloop.validation.market import null_market

from tests.evidence.simulated import FULL
from tests.market.conftest import DEALS, HEAD, project_at, write_market

N = 600
EXTRACTED = pd.Timestamp("2024-06-30")
UNDATED = HEAD.replace('"day"', '"none"').split("[periods]")[0].replace("extracted_on = 2024-06-30\n", "")


def drawn(better: float = 0.45, worse: float = 0.25, seed: int = 5) -> pd.DataFrame:
    """Leads of January to May, half of them in each arm; who gets there does so within 40 days."""
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.repeat(["short", "long"], N // 2))
    born = pd.Timestamp("2024-01-02") + pd.to_timedelta(np.sort(rng.integers(0, 150, N)), unit="D")
    hit = rng.random(N) < np.where(arm == "short", better, worse)
    reached = pd.Series(born + pd.to_timedelta(rng.integers(1, 41, N), unit="D")).where(hit)
    told = {"lead_id": [f"L{i:03d}" for i in range(N)], "created_on": born, "channel": rng.choice(["web", "fair"], N)}
    told |= {"experiment": "opening", "arm": arm, "arm_rate": 0.5, "hit": hit, "reached": reached}
    return pd.DataFrame(told).assign(amount=np.where(hit, rng.lognormal(7, 0.6, N).round(2), np.nan))


def csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, date_format="%Y-%m-%d")


def deals_of(rows: pd.DataFrame, outcome: np.ndarray) -> pd.DataFrame:
    """A deal for each row: won ones bear an amount, open ones no day."""
    is_won = outcome == "won"
    closed = rows["reached"].fillna(rows["created_on"] + pd.Timedelta(days=30)).where(outcome != "open")
    told = {"deal_id": "D" + rows["lead_id"], "created_on": rows["created_on"], "closed_on": closed}
    told |= {"lead_id": rows["lead_id"], "stage": "proposal", "outcome": outcome}
    return pd.DataFrame(told).assign(won_amount=rows["amount"].where(is_won))


def won_market(rows: pd.DataFrame) -> dict[str, str]:
    """Deals won and lost, or still open where the winning day is to come; sales' acceptance is not recorded."""
    is_known = rows["reached"].fillna(rows["created_on"] + pd.Timedelta(days=30)) <= EXTRACTED
    outcome = np.where(rows["hit"], "won", "lost")
    deals = deals_of(rows, np.where(is_known, outcome, "open"))
    return {"leads": csv(rows.drop(columns=["hit", "reached", "amount"])), "deals": csv(deals)}


def qualified_market(rows: pd.DataFrame) -> dict[str, str]:
    """Leads alone, with the day on which sales found an opportunity."""
    told = rows.assign(sales_qualified_on=rows["reached"].where(rows["reached"] <= EXTRACTED))
    return {"leads": csv(told.drop(columns=["hit", "reached", "amount"]))}


def won_only_market(rows: pd.DataFrame) -> dict[str, str]:
    """A table of deals that holds the won ones alone."""
    won = rows[rows["hit"] & (rows["reached"] <= EXTRACTED)]
    leads = rows.drop(columns=["hit", "reached", "amount"])
    return {"leads": csv(leads), "deals": csv(deals_of(won, np.full(len(won), "won")))}


def undated_market(rows: pd.DataFrame) -> dict[str, str]:
    """No day is recorded anywhere."""
    found = {name: pd.read_csv(StringIO(text)) for name, text in won_market(rows).items()}
    return {name: csv(frame.drop(columns=[c for c in frame if c.endswith("_on")])) for name, frame in found.items()}


MARKETS = {"won": won_market, "qualified": qualified_market, "won only": won_only_market, "undated": undated_market}


def written(root: Path, files: dict[str, str], head: str = HEAD) -> None:
    write_market(root, files, head=head, deals=DEALS if "deals" in files else "")


@pytest.fixture(scope="module", params=MARKETS)
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """What is recorded, the period that was planned, and where its pages are."""
    root = tmp_path_factory.mktemp("arms")
    is_dated = request.param != "undated"
    with project_at(root):
        written(root, MARKETS[request.param](drawn()), HEAD if is_dated else UNDATED)
        period = turn.periods("tiny")[-1].name
        turn.plan("tiny", period, root / "out")
        yield request.param, period, root / "out"


def claims_of(period: str, out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "tiny" / period / "claims-plan.parquet")


def page(which: str, section: str, period: str, out: Path) -> str:
    return repr(notebook.open_run(which, "tiny", period, out).show(section)).replace("\N{NO-BREAK SPACE}", " ")


def expected(kind: str) -> pd.DataFrame:
    """k and n of both arms, from the raw rows: by the days that nine of ten needed, else so far."""
    rows = drawn()
    if kind == "undated":
        is_known = rows["reached"].fillna(rows["created_on"] + pd.Timedelta(days=30)) <= EXTRACTED
        told = rows[is_known]
        return told.groupby("arm")["hit"].agg(k="sum", n="size")
    day = pd.Timestamp("2024-07-01")
    seen = rows["reached"].where(rows["reached"] < day)
    wait = (seen - rows["created_on"]).dt.days
    days = waited(rows, seen, day)
    old = rows[rows["created_on"] + pd.Timedelta(days=days) <= day]
    return (wait[old.index] <= days).groupby(old["arm"]).agg(k="sum", n="size")


def waited(rows: pd.DataFrame, seen: pd.Series, day: pd.Timestamp) -> int:
    """The first day by which nine of ten of all that Kaplan and Meier's curve ever holds were there."""
    age = (seen.fillna(day) - rows["created_on"]).dt.days
    left, curve = 1.0, {}
    for at in sorted(age[seen.notna()].unique()):
        left *= 1 - ((age == at) & seen.notna()).sum() / (age >= at).sum()
        curve[at] = 1 - left
    return next(at for at, share in curve.items() if share >= 0.9 * (1 - left) - 1e-12)


def test_the_planted_effect_is_found_by_what_is_recorded(market: tuple[str, str, Path]) -> None:
    kind, period, out = market
    causal = claims_of(period, out).query("kind == 'causal' and family == 'plan'").set_index("measure")
    rate = "qualified_rate" if kind == "qualified" else "won_rate"
    assert set(causal.index) == ({rate} if kind == "qualified" else {rate, "won_amount_per_lead"})
    claim, table = causal.loc[rate], expected(kind)
    assert (claim["verdict"], claim["level"], claim["against"], claim["subject"]) == (
        "supported", "short", "long", "opening"
    )  # fmt: skip
    rates = table["k"] / table["n"]
    assert [claim["estimate"], claim["baseline"]] == pytest.approx([rates["short"], rates["long"]])
    assert claim["n"] == table["n"].min()
    if kind != "qualified":
        assert causal.loc["won_amount_per_lead", "verdict"] == "supported"


def test_the_page_tells_what_to_use_by_which_outcome_and_what_to_record(market: tuple[str, str, Path]) -> None:
    kind, period, out = market
    told, table = page("03_leads", "experiments", period, out), expected(kind)
    assert "Use “short” instead of “long” in fair, web" in told
    assert "No randomised comparison" not in told
    by = "sales qualified" if kind == "qualified" else "won"
    assert f"Opening: arms are compared by {by}" in told
    assert ("Who came too late to have had that time counts in no arm" in told) == (kind != "undated")
    assert ("within" in told.split("arms are compared by")[1].split(".")[0]) == (kind != "undated")
    assert f"(n = {table['n'].min()} in the smaller arm" in told or f"n = {table['n'].min()} in the smaller arm" in told
    assert "leads.sales_accepted_on" in told.split("Record ")[-1]
    assert ("deals with lead_id and outcome" in told) == (kind == "qualified")


def test_the_brief_tells_the_arm_to_use_and_asks_for_no_log(market: tuple[str, str, Path]) -> None:
    _, period, out = market
    run = notebook.open_run("campaign_brief", "tiny", period, out)
    assert "Use “short” instead of “long”" in repr(run.bottom_line())
    assert "Log randomised comparisons" not in repr(run.show("message"))
    assert "because of it" in repr(run.show("message"))


def test_in_the_real_world_the_self_test_looks_at_the_same_arms(market: tuple[str, str, Path], tmp_path: Path) -> None:
    _, period, out = market
    cut = null_market("tiny", tmp_path)
    family = next(found for found in cut.families if (found.period, found.name) == (period, "plan"))
    wanted = claims_of(period, out).query("kind == 'causal' and family == 'plan'").set_index("measure")
    arms = {part.measure: part for part in family.arms}
    assert set(arms) == set(wanted.index)
    for measure, part in arms.items():
        assert isinstance(part, ArmAmounts if measure == "won_amount_per_lead" else Arms)
        tested = part.tested(cut.world)
        assert tested.p.tolist() == pytest.approx([wanted.loc[measure, "p"]])
        assert part.effects(tested, tested.p).tolist() == pytest.approx([wanted.loc[measure, "effect"]])


def test_arms_of_sizes_that_no_draw_gives_are_told_and_not_compared(tmp_path: Path) -> None:
    rows = drawn()
    lost = rows.index[(rows["arm"] == "long")][::3]  # every third lead of one arm is missing from the records
    with project_at(tmp_path):
        written(tmp_path, won_market(rows.drop(index=lost).reset_index(drop=True)))
        period = turn.periods("tiny")[-1].name
        turn.plan("tiny", period, tmp_path / "out")
        claims = claims_of(period, tmp_path / "out")
        told = page("03_leads", "experiments", period, tmp_path / "out")
    assert claims[(claims["kind"] == "causal")].empty
    (share,) = claims[claims["measure"] == "arm_share"].to_dict("records")
    assert (share["family"], share["verdict"], share["level"]) == ("plan recording", "supported", "long")
    assert [share["estimate"], share["baseline"]] == pytest.approx([200 / 500, 0.5])
    assert "Opening, arm: long – fewer of the leads than were drawn into it: 40 % against 50 % drawn" in told
    assert "The arms of opening are not compared" in told
    assert "Use “" not in told


def test_arms_that_do_not_differ_are_rarely_told_apart(tmp_path: Path, validity) -> None:
    """By won leads and by what they brought, with who was won drawn anew."""
    rng, found = np.random.default_rng(3), []
    for seed in range(11, 31 if FULL else 13):
        with project_at(tmp_path / str(seed)):
            written(tmp_path / str(seed), won_market(drawn(0.3, 0.3, seed)))
            period = turn.periods("tiny")[-1].name
            cut = null_market("tiny", tmp_path / str(seed) / "null")
        family = next(part for part in cut.families if (part.period, part.name) == (period, "plan"))
        only = replace(family, comparisons=(), sizes=())
        assert len(only.arms) == 2
        for _ in range(150):
            told = only.supported(cut.shuffled(rng))
            found.append(any(not np.isnan(effects).all() for _, _, effects in told))
    validity("null-arms", found)


def test_arms_of_one_rate_give_nothing_to_use(tmp_path: Path) -> None:
    with project_at(tmp_path):
        written(tmp_path, won_market(drawn(0.3, 0.3, seed=14)))
        period = turn.periods("tiny")[-1].name
        turn.plan("tiny", period, tmp_path / "out")
        claims = claims_of(period, tmp_path / "out").query("kind == 'causal' and family == 'plan'")
        told = page("03_leads", "experiments", period, tmp_path / "out")
    assert claims["verdict"].tolist() == ["refused", "refused"], "ten points of 30 % need about 350 leads an arm"
    assert "0 show no detectable difference, 1 cannot be told" in told
    assert "Use “" not in told and "because of it" not in told
    assert "Opening: arms are compared by won within" in told


def test_arms_without_any_outcome_are_logged_all_the_same(tmp_path: Path) -> None:
    """The page does not ask for what is there: it names the outcomes to record."""
    rows = drawn().drop(columns=["hit", "reached", "amount"])
    with project_at(tmp_path):
        written(tmp_path, {"leads": csv(rows)})
        period = turn.periods("tiny")[-1].name
        turn.plan("tiny", period, tmp_path / "out")
        told = page("03_leads", "experiments", period, tmp_path / "out")
        brief = page("campaign_brief", "message", period, tmp_path / "out")
    assert "nothing is known yet of what became of their leads" in told
    assert "leads.sales_accepted_on; leads.sales_qualified_on; deals with lead_id and outcome; deals.won_amount" in told
    assert "No randomised comparison" not in told
    assert "Arms are logged, but not compared yet" in brief and "Log randomised comparisons" not in brief
