"""Drawn arms are compared by whatever became of their leads: small markets with a planted effect, against raw rows."""

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop import arms, funnel
from closedloop.market.warehouse import open_warehouse
from closedloop.validation.market import Cut
from closedloop.workbench.answer import Answer
from closedloop.workbench.redraws import Compared

from tests.market.conftest import DEALS, HEAD, project_at, write_market
from tests.questions.periods import everyone, planning
from tests.statistics.simulated import FULL

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


def compared(out: Path) -> Answer:
    """The arms of the tiny market in its last period, after the families are closed."""
    period = open_warehouse("tiny").periods[-1].name
    now = planning("tiny", period, everyone("tiny"), out)
    found = arms(now.leads(window=False))
    now.close(found)
    return found


def plain(shown: object) -> str:
    return repr(shown).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module", params=MARKETS)
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Answer]]:
    """What is recorded, and the arms as compared."""
    root = tmp_path_factory.mktemp("arms")
    with project_at(root):
        written(root, MARKETS[request.param](drawn()), UNDATED if request.param == "undated" else HEAD)
        yield request.param, compared(root / "out")


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


def causal_of(answer: Answer) -> pd.DataFrame:
    return answer.claims.query("kind == 'causal' and family == 'how they end'")


def test_the_planted_effect_is_found_by_what_is_recorded(market: tuple[str, Answer]) -> None:
    kind, answer = market
    causal = causal_of(answer).set_index("measure")
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


def test_the_page_tells_what_to_use_by_which_outcome_and_what_to_record(market: tuple[str, Answer]) -> None:
    kind, answer = market
    page, table = plain(answer), expected(kind)
    assert "Use “short” instead of “long” in fair, web" in page
    assert "Use “short” instead of “long”" in plain(answer.now.bottom_line())
    assert "No randomised comparison" not in page
    by = "sales qualified" if kind == "qualified" else "won"
    assert f"Opening: arms are compared by {by}" in page
    assert ("Who came too late to have had that time counts in no arm" in page) == (kind != "undated")
    assert ("within" in page.split("arms are compared by")[1].split(".")[0]) == (kind != "undated")
    assert f"n = {table['n'].min()} in the smaller arm" in page
    assert "leads.sales_accepted_on" in page.split("Record ")[-1]
    assert ("deals with lead_id and outcome" in page) == (kind == "qualified")


def test_each_comparison_of_arms_can_be_made_again(market: tuple[str, Answer]) -> None:
    """What the self-test gets holds the leads that were compared: their arms, outcomes and amounts."""
    kind, answer = market
    causal = causal_of(answer).set_index("measure")
    redraws = {redraw.measure: redraw for redraw in answer.redraws}
    assert set(redraws) == set(causal.index)
    for measure, redraw in redraws.items():
        assert (redraw.table, redraw.experiment, redraw.control) == ("leads", "opening", None)
        assert redraw.ids.is_unique
        each = redraw.hit if redraw.amount is None else redraw.hit * redraw.amount
        by_arm = each.groupby(redraw.arms).mean()
        claim = causal.loc[measure]
        assert by_arm["short"] - by_arm["long"] == pytest.approx(claim["effect"]), kind


def test_leads_are_followed_where_only_won_deals_are_recorded(market: tuple[str, Answer]) -> None:
    kind, answer = market
    if kind != "won only":
        return
    now = answer.now
    found = funnel(now.leads(), outcome="won")
    assert found.missing["won"].startswith("Only won deals are recorded")
    rates = found.compared.set_index("level")
    assert set(rates.index) == {"fair", "web"} and set(rates["measure"]) == {"usual_conversion_rate"}
    (redraw,) = found.redraws
    assert rates["n"].sum() == len(redraw.ids) == len(redraw.leads.is_won)
    rows, day = drawn(), pd.Timestamp("2024-07-01")
    followed = rows.set_index("lead_id").loc[redraw.ids]
    assert redraw.leads.is_won.tolist() == (followed["hit"] & (followed["reached"] < day)).tolist()
    usual = found.stated.set_index("measure").loc["usual_days", "estimate"]
    assert usual == redraw.until
    within = (followed["reached"] - followed["created_on"]).dt.days <= usual
    seen = (day - pd.Timedelta(days=1) - followed["created_on"]).dt.days >= usual
    share = found.stated.query("measure == 'usual_conversion_rate'").iloc[0]
    assert share["estimate"] == pytest.approx((within & followed["hit"])[seen].mean(), abs=0.03)


def test_arms_of_sizes_that_no_draw_gives_are_told_and_not_compared(tmp_path: Path) -> None:
    rows = drawn()
    lost = rows.index[(rows["arm"] == "long")][::3]  # every third lead of one arm is missing from the records
    with project_at(tmp_path):
        written(tmp_path, won_market(rows.drop(index=lost).reset_index(drop=True)))
        answer = compared(tmp_path / "out")
        claims, told = answer.claims, plain(answer)
    assert claims[(claims["kind"] == "causal")].empty
    (share,) = claims[claims["measure"] == "arm_share"].to_dict("records")
    assert (share["family"], share["verdict"], share["level"]) == ("recording", "supported", "long")
    assert [share["estimate"], share["baseline"]] == pytest.approx([200 / 500, 0.5])
    assert "Opening, arm: long – fewer of the leads than were drawn into it: 40 % against 50 % drawn" in told
    assert "The arms of opening are not compared" in told
    assert "Use “" not in told


def test_arms_of_one_rate_give_nothing_to_use(tmp_path: Path) -> None:
    with project_at(tmp_path):
        written(tmp_path, won_market(drawn(0.3, 0.3, seed=14)))
        answer = compared(tmp_path / "out")
        claims, told = causal_of(answer), plain(answer)
    assert claims["verdict"].tolist() == ["refused", "refused"], "ten points of 30 % need about 350 leads an arm"
    assert "0 show no detectable difference, 1 cannot be told" in told
    assert "Use “" not in told and "because of it" not in told
    assert "Opening: arms are compared by won within" in told


def test_arms_without_any_outcome_are_logged_all_the_same(tmp_path: Path) -> None:
    """The page does not ask for what is there: it names the outcomes to record."""
    rows = drawn().drop(columns=["hit", "reached", "amount"])
    with project_at(tmp_path):
        written(tmp_path, {"leads": csv(rows)})
        told = plain(compared(tmp_path / "out"))
    assert "nothing is known yet of what became of their leads" in told
    assert "leads.sales_accepted_on; leads.sales_qualified_on; deals with lead_id and outcome; deals.won_amount" in told
    assert "No randomised comparison" not in told


def test_arms_that_do_not_differ_are_rarely_told_apart(tmp_path: Path, validity: Callable[..., None]) -> None:
    """By won leads and by what they brought, with who was won drawn anew."""
    found = []
    for seed in range(11, 31 if FULL else 13):
        with project_at(tmp_path / str(seed)):
            written(tmp_path / str(seed), won_market(drawn(0.3, 0.3, seed)))
            warehouse = open_warehouse("tiny")
            cut = Cut(warehouse)
            asked = compared(tmp_path / str(seed) / "out")
            cut.add("03_leads", warehouse.periods[-1], Compared.of("03_leads", [asked]))
            market = cut.done()
        (family,) = market.families
        assert [part.is_amount for part in family.parts] == [False, True]
        p = np.concatenate([part.tested(market.world).p for part in family.parts])
        assert sorted(p) == pytest.approx(sorted(causal_of(asked)["p"]))
        found += [family.n_claims(market.null_world(number)) > 0 for number in range(150)]
    validity("null-arms", found)
