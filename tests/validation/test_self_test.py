"""The self-test: null worlds keep what they must and lose what they must, and count what the notebooks would claim."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.claims.arms import arm_looks
from closedloop.claims.ledger import Origin, close_family, share_looks
from closedloop.errors import ParameterError
from closedloop.market.definition import read_definition
from closedloop.market.warehouse import open_warehouse
from closedloop.period.counting import counts, share_counts
from closedloop.period.store import read_claims
from closedloop.questions.refinement.drift import RATE, compared
from closedloop.statistics.segmentation.indicators import ranked_answers
from closedloop.terms import RARE
from closedloop.validation.families import Family, NullMarket, Unrepeated, planted
from closedloop.validation.market import null_market
from closedloop.validation.outcomes import Arms, Associations, Comparison, Drifting, Shares
from closedloop.validation.procedures import Promises, Splits
from closedloop.validation.self_test import FILE, in_words, self_test
from closedloop.validation.worlds import DEALS, Money, Pool, Tally
from closedloop.workbench.answer import DRIFT, ENDING, WHO
from closedloop.workbench.redraws import Compared, Learned, RateRedraw, ScoreRedraw, read_compared, write_compared

from tests.conftest import ROOT

TOML = """title = "Tiny market"
licence = "CC0"
currency = "EUR"
clock = "day"
extracted_on = 2024-11-15
[periods]
first = "2024-q2"
length = "quarter"
[sources.leads]
file = "leads.csv"
[sources.deals]
file = "deals.csv"
[sources.spend]
file = "spend.csv"
[deals]
stages = []
outcomes = ["won", "lost", "no_decision"]
[fields.leads]
creation = ["site", "size"]
"""
LEADS = """select lead_id, created_on::date as created_on, created_on::date as handed_off_on, channel, site, size,
  nullif(experiment, '') as experiment, nullif(arm, '') as arm, 0.5 as arm_rate,
  case when accepted = '1' then created_on::date + 2 end as sales_accepted_on,
  case when accepted = '0' then created_on::date + 2 end as recycled_on from raw.leads"""
DEALS_SQL = """select deal_id, lead_id, created_on::date as created_on, rep_id, outcome,
  closed_on::date as closed_on from raw.deals"""
SPEND = """select channel || month as spend_id, (month || '-01')::date as starts_on, last_day(starts_on) as ends_on,
  channel, spent::decimal(18,2) as spent_amount from raw.spend"""
N_LEADS = 1600


def _records() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leads, and the deals of accepted ones: large sites win more, and rep-1 wins more; channels are all alike."""
    rng = np.random.default_rng(11)
    created = pd.Timestamp(2024, 1, 2) + pd.to_timedelta(np.sort(rng.integers(0, 300, N_LEADS)), unit="D")
    drawn = rng.random(N_LEADS) < 0.3
    leads = pd.DataFrame(
        {
            "lead_id": [f"L{i}" for i in range(N_LEADS)],
            "created_on": created.date,
            "channel": rng.choice(["fair", "web", "partner"], N_LEADS),
            "site": rng.choice(["port", "store"], N_LEADS),
            "size": rng.choice(["large", "small"], N_LEADS),
            "experiment": np.where(drawn, "subject-line", ""),
            "arm": np.where(drawn, rng.choice(["a", "b"], N_LEADS), ""),
            "accepted": (rng.random(N_LEADS) < 0.7).astype(int),
        }
    )
    taken = leads[leads["accepted"] == 1]
    rep = rng.choice(["rep-1", "rep-2", "rep-3"], len(taken))
    chance = 0.25 + 0.3 * (taken["size"] == "large").to_numpy() + 0.15 * (rep == "rep-1")
    outcome = np.where(rng.random(len(taken)) < chance, "won", rng.choice(["lost", "lost", "no_decision"], len(taken)))
    deals = pd.DataFrame({"lead_id": taken["lead_id"], "created_on": taken["created_on"], "rep_id": rep})
    closed = pd.to_datetime(deals["created_on"]) + pd.to_timedelta(rng.integers(5, 30, len(deals)), unit="D")
    return leads, deals.assign(deal_id="D" + deals["lead_id"], outcome=outcome, closed_on=closed.dt.date)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with one market; its run folder."""
    root = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "playbooks"):
        (root / name).symlink_to(ROOT / name)
    folder = root / "data" / "tiny"
    folder.mkdir(parents=True)
    leads, deals = _records()
    leads.to_csv(folder / "leads.csv", index=False)
    deals.to_csv(folder / "deals.csv", index=False)
    months = [f"2024-{month:02d}" for month in range(1, 12)]
    spent = {"fair": 9000, "web": 3000, "partner": 2900}
    spend = [
        {"channel": channel, "month": month, "spent": money} for channel, money in spent.items() for month in months
    ]
    pd.DataFrame(spend).to_csv(folder / "spend.csv", index=False)
    texts = {"market.toml": TOML, "leads.sql": LEADS, "deals.sql": DEALS_SQL, "spend.sql": SPEND}
    for name, text in texts.items():
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOSEDLOOP_ROOT", str(root))
        read_definition.cache_clear()
        open_warehouse.cache_clear()
        yield root / "runs"
    read_definition.cache_clear()
    open_warehouse.cache_clear()


@pytest.fixture(scope="module")
def cut(tiny: Path) -> NullMarket:
    return null_market("tiny", tiny)


# what a null world keeps, and what it loses


def test_shuffling_keeps_what_each_period_got() -> None:
    outcomes = np.array([1, 1, 0, np.nan, 0, 0, 1, 0, np.nan, 1.0] * 20)
    pool = Pool(outcomes, np.repeat([0, 1, 2, 3], 50))
    days = np.arange(200.0)
    pool = replace(pool, sizes={"days": days})
    world = pool.shuffled("deals", "a seed")
    mixed = world["deals"]
    assert np.array_equal(outcomes[world["deals days"].astype(int)], mixed, equal_nan=True), "sizes move along"
    for group in range(4):
        own = pool.groups == group
        assert np.array_equal(np.sort(mixed[own]), np.sort(outcomes[own]), equal_nan=True)
    assert not np.array_equal(mixed, outcomes, equal_nan=True)


def test_the_period_of_the_close_is_what_outcomes_are_shuffled_in(cut: NullMarket) -> None:
    deals = _records()[1]
    known = deals[pd.to_datetime(deals["closed_on"]) <= pd.Timestamp(2024, 11, 15)]
    by_quarter = pd.to_datetime(known["closed_on"]).dt.quarter
    pool, mixed = cut.pools[DEALS], cut.null_world(2)[DEALS]
    won = sorted((mixed[pool.groups == group] == 1).sum() for group in np.unique(pool.groups))
    assert won == sorted((known["outcome"] == "won").groupby(by_quarter).sum())


def test_leads_are_shuffled_among_those_decided(cut: NullMarket) -> None:
    pool = cut.pools[f"is_accepted {date(2024, 7, 1)}"]
    handed = _records()[0]
    before = handed[pd.to_datetime(handed["created_on"]) + pd.Timedelta(days=2) < pd.Timestamp(2024, 7, 1)]
    assert len(pool.outcomes) == len(before)
    assert pool.shuffled("x", "a seed")["x"].sum() == pool.outcomes.sum() == before["accepted"].sum()


def test_a_world_is_settled_by_its_number_and_the_pools_name() -> None:
    pool = Pool(np.arange(50.0), np.zeros(50, dtype=np.int64))
    both, one = NullMarket("m", {"a": pool, "b": pool}, ()), NullMarket("m", {"b": pool}, ())
    assert np.array_equal(both.null_world(3)["b"], one.null_world(3)["b"])
    assert not np.array_equal(both.null_world(3)["a"], both.null_world(3)["b"])
    assert not np.array_equal(one.null_world(4)["b"], one.null_world(3)["b"])


def test_won_leads_fall_on_the_money_wherever_it_is_spent() -> None:
    spent = np.repeat([1.0, 9.0], 500)  # the second half costs nine times as much, and so brings nine in ten
    money = Money(np.repeat([1.0, 0.0], [200, 800]), np.zeros(1000, dtype=np.int64), {"spent": spent})
    worlds = [money.shuffled("m", str(number))["m"] for number in range(50)]
    assert {world.sum() for world in worlds} == {200.0}
    assert np.mean([world[500:].sum() for world in worlds]) == pytest.approx(180, abs=3)


def test_counting_by_a_product_equals_counting_by_groups() -> None:
    rng = np.random.default_rng(4)
    by = pd.DataFrame({"a": rng.choice(["x", "y", RARE, None], 300), "b": rng.choice(["u", "v", "w"], 300)})
    groups = rng.integers(0, 4, 300)
    hit = pd.Series(rng.choice([0.0, 1.0, np.nan], 300))
    tally = Tally.of(by)
    k, n = tally.counts(hit.to_numpy())
    found = pd.DataFrame({"field": tally.field, "level": tally.level, "k": k, "n": n})
    parts = tally.counts_by(hit.to_numpy(), groups)
    assert np.array_equal([part.sum(axis=1) for part in parts], [k, n])
    only = tally.counts(hit.where(groups == 2).to_numpy())
    assert np.array_equal([part[:, 2] for part in parts], only)
    found = found[found["n"] > 0].fillna({"level": "-"}).sort_values(["field", "level"]).to_numpy()
    wanted = counts(by, ["a", "b"], hit, pd.Series(groups)).fillna({"level": "-"}).sort_values(["field", "level"])
    wanted = wanted[["field", "level", "k", "n"]].to_numpy()
    assert (found == wanted).all()


# the notebooks' own claims


def _same_claims(cut: NullMarket, out: Path) -> None:
    """The tests and the supported claims of every family are those that the notebooks wrote."""
    assert sum(family.n_compared(cut.world) for family in cut.families) > 50
    for family in cut.families:
        written = read_claims(out / cut.name / family.period, family.notebook)
        written = written[written["family"] == family.name]
        made = family.supported(cut.world)
        learned = {part.measure for part, _, _ in made if isinstance(part, Unrepeated)}
        p = np.concatenate([tests.p for part, tests, _ in made if not isinstance(part, Unrepeated)])
        wanted = written[~written["measure"].isin(learned)]["p"].to_numpy(dtype=float)
        # a promise is read from a set that is written with six digits
        assert np.allclose(np.sort(p), np.sort(wanted), atol=1e-4, equal_nan=True)
        if not learned:  # else the family's q values hang on a p value that is not made again
            n = sum(int((~np.isnan(effects)).sum()) for _, _, effects in made)
            assert n == (written["verdict"] == "supported").sum(), (family.notebook, family.name)
        rates = [
            (part.measure, part.subject, str(part.tally.field[row]), str(part.tally.level[row]))
            for part, tests, effects in made
            if isinstance(part, Comparison) and not learned
            for row, effect in zip(tests.index, effects, strict=True)
            if not np.isnan(effect) and part.gate is None
        ]
        held = written[(written["verdict"] == "supported") & (written["within"] == "") & (written["field"] != "rep_id")]
        rows = held[held["measure"].isin({rate[0] for rate in rates})][["measure", "subject", "field", "level"]]
        assert sorted(rates) == sorted(map(tuple, rows.to_numpy()))


def test_in_the_real_world_the_families_are_the_notebooks_own(cut: NullMarket, tiny: Path) -> None:
    found = {(family.period, family.notebook, family.name) for family in cut.families}
    assert {("2024-q2", "03_leads", ENDING), ("2024-q3", "05_deals", ENDING)} <= found
    _same_claims(cut, tiny)


@pytest.mark.parametrize("control", [None, "b"])
def test_drawn_arms_are_compared_as_the_notebooks_compare_them(control: str | None) -> None:
    rng = np.random.default_rng(12)
    arm = rng.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2])
    world = {"accepted": (rng.random(600) < np.where(arm == "a", 0.75, 0.5)).astype(float)}
    code = pd.factorize(arm, sort=True)[0]
    part = Arms("accepted", code, ("a", "b", "c"), 0.03, control)
    tests = part.tested(world)
    effects = part.effects(tests, np.zeros(len(tests.p)))
    table = pd.DataFrame({"level": arm, "hit": world["accepted"]}).groupby("level")["hit"].agg(k="sum", n="count")
    at = Origin("03_leads", "experiments", "leads", "all", "all")
    wanted = arm_looks(table.reset_index(), at, measure="rate", experiment="opening", control=control)
    assert tests.p.tolist() == pytest.approx(wanted["p"].tolist())
    held = close_family(wanted.assign(p=0.0), family=ENDING, market="m", period="p")["verdict"] == "supported"
    assert effects[held].tolist() == pytest.approx(wanted.loc[held, "effect"].tolist())
    assert np.isnan(effects[~held]).all() and held.any()


@pytest.mark.parametrize("is_weighted", [False, True])
def test_shares_are_compared_as_the_notebooks_compare_them(is_weighted: bool) -> None:
    rng = np.random.default_rng(13)
    groups = pd.Series(rng.choice(["a", "b", "c"], 500))
    wish = np.where(rng.random(500) < np.where(groups == "a", 0.8, 0.3), "yes", "no")
    rows = pd.DataFrame({"wish": wish, "town": rng.choice(["x", "y", "z", None], 500)}, dtype="str")
    weights = pd.Series(rng.choice([0.5, 1.0, 2.0], 500)) if is_weighted else None
    codes, names = pd.factorize(groups, sort=True)
    given = None if weights is None else weights.to_numpy()
    part = Shares("rows", Tally.of(rows), codes, tuple(names), given)
    tests = part.tested({"rows": np.arange(500.0)})
    wanted = share_looks(share_counts(rows, groups, weights), Origin("02", "attributes", "people", "p", "p"))
    assert sorted(tests.p) == pytest.approx(sorted(wanted["p"])) and len(tests.p) == 3 * 4  # of a yes and a no, yes
    found = part.effects(tests, np.where(tests.p < 0.01, 0.0, 1.0))
    held = close_family(wanted, family=WHO, market="m", period="p").query("p < 0.01 and verdict == 'supported'")
    assert sorted(found[~np.isnan(found)]) == pytest.approx(sorted(held["effect"])) and len(held) >= 2
    dealt = [part.tested(Pool(np.arange(500.0), np.zeros(500, int)).shuffled("rows", str(i))).p for i in range(40)]
    assert np.mean([p.min() < 0.05 / 12 for p in dealt]) <= 0.15, "dealt out anew, no group differs"


def test_answers_that_go_together_do_not_once_each_is_dealt_out_alone() -> None:
    rng = np.random.default_rng(14)
    mood = rng.random(400)
    items = pd.DataFrame({name: (mood + 0.5 * rng.random(400) > 0.75).astype(int) for name in "abc"})
    answers, owner = ranked_answers(items)
    part = Associations(("a", "b", "c"), answers, owner, 3)
    kept, order = {name: np.arange(400.0) for name in "abc"}, Pool(np.arange(400.0), np.zeros(400, dtype=np.int64))
    real = part.tested(kept)
    assert real.effect.max() == pytest.approx(items.corr("spearman").where(~np.eye(3, dtype=bool)).max().max())
    assert (real.p < 1e-6).all()
    dealt = [part.tested({k: v for name in "abc" for k, v in order.shuffled(name, str(i)).items()}) for i in range(40)]
    assert np.mean([tests.p.min() < 0.05 for tests in dealt]) <= 0.15


def test_a_real_difference_is_gone_in_null_worlds(cut: NullMarket) -> None:
    last = next(f for f in cut.families if (f.period, f.notebook, f.name) == ("2024-q3", "05_deals", ENDING))
    real = {
        (part.tally.field[i], part.tally.level[i])
        for part, tested, effects in last.supported(cut.world)
        if isinstance(part, Comparison)
        for i, effect in zip(tested.index, effects, strict=True)
        if effect > 0
    }
    assert {("size", "large"), ("rep_id", "rep-1")} <= real
    worlds = [cut.null_world(number) for number in range(40)]
    assert sum(last.n_claims(world) > 0 for world in worlds) <= 8
    edits = [family for family in cut.families if family.name == "edit"]
    assert np.mean([any(family.n_claims(world) for family in edits) for world in worlds]) <= 0.15


def _flat(n: int = 2000, n_fields: int = 12) -> NullMarket:
    """A market of one period where nothing makes a difference."""
    rng = np.random.default_rng(5)
    by = pd.DataFrame({f"f{j}": rng.choice(list("abcd"), n) for j in range(n_fields)})
    pool = Pool((rng.random(n) < 0.5).astype(float), np.zeros(n, dtype=np.int64))
    part = Comparison(DEALS, np.arange(n), pool.groups, Tally.of(by), "win_rate", 0.03)
    return NullMarket("flat", {DEALS: pool}, (Family("all", "05_deals", ENDING, (part,)),), 0)


def test_what_differs_between_periods_is_no_claim() -> None:
    groups = np.repeat([0, 1], 500)
    rng = np.random.default_rng(6)
    outcomes = (rng.random(1000) < np.where(groups == 1, 0.8, 0.3)).astype(float)
    by = pd.DataFrame({"end": np.where(groups == 1, "yes", "no")})
    part = Comparison(DEALS, np.arange(1000), groups, Tally.of(by), "win_rate", 0.03)
    pool = Pool(outcomes, groups)
    world = NullMarket("m", {DEALS: pool}, ()).null_world(0)
    assert Family("all", "05_deals", ENDING, (part,)).n_claims(world) == 0
    pooled = replace(part, groups=np.zeros_like(groups))
    assert Family("all", "05_deals", ENDING, (pooled,)).n_claims(world) == 2


# edits


def _promises(promise: float, personas: np.ndarray) -> tuple[Family, dict[str, np.ndarray]]:
    """100 earlier deals won at that rate, then 400 of the period that are won at .4; all of these personas."""
    hit = np.concatenate([np.arange(100) < 100 * promise, np.arange(400) < 160]).astype(float)
    is_now = np.arange(500) >= 100
    groups, own = is_now.astype(np.int64), np.concatenate([np.resize(np.unique(personas), 100), personas])
    tally = Tally.of(pd.DataFrame({"persona": own.astype(str)}))
    part = Promises(DEALS, np.arange(500), groups, tally, ~is_now, is_now, 0.05)
    return Family("p", "06_refinement", "promise", (part,)), {DEALS: hit}


@pytest.mark.parametrize("promise", [0.41, 0.7, 0.1])
def test_a_promise_that_the_market_left_is_not_falsely_called_broken(promise: float) -> None:
    """The deals are won at .4: the first promise was kept, and it is right to say that the others were not."""
    family, world = _promises(promise, np.repeat("everyone", 400))
    assert family.n_claims(world) == 0
    part = family.parts[0]
    assert part.promised(world)[0] == pytest.approx([promise], abs=0.02)


def test_a_promise_that_was_kept_may_be_called_broken_of_one_persona() -> None:
    family, world = _promises(0.4, np.repeat(["everyone", "other"], 200))
    world[DEALS][100:] = np.repeat([1.0, 0.0, 1.0, 0.0], [120, 80, 40, 160])  # .6 here, .2 there, .4 in all
    assert family.n_claims(world) == 2


def test_a_split_is_false_whatever_it_says() -> None:
    site = np.random.default_rng(7).choice(["port", "store"], 400)
    tally = Tally.of(pd.DataFrame({"everyone site": site}))
    rows = np.arange(400)
    family = Family("p", "06", "edit", (Splits(DEALS, rows, np.zeros_like(rows), tally, 0.05, 0.0125),))
    flat = {DEALS: np.repeat([1.0, 0.0], [160, 240])}
    apart = {DEALS: np.where(site == "port", rows % 10 < 7, rows % 10 < 1).astype(float)}
    assert (family.n_claims(flat), family.n_claims(apart)) == (0, 2)


# planted effects


def test_a_large_effect_is_found_at_a_large_n_and_a_small_one_at_a_small_n_is_not() -> None:
    large, small = _flat(n=20_000), _flat(n=160)
    found = [[planted(market, i) for i in range(20)] for market in (large, small)]
    assert all(world[0.15].is_found for world in found[0])
    assert sum(world[0.05].is_found for world in found[1]) <= 1
    assert all(20 < one.n < 60 for world in found[1] for one in world.values())


def test_an_effect_without_room_is_not_planted() -> None:
    rare = np.zeros(400)
    rare[:4] = 1.0
    by = pd.DataFrame({"f": np.arange(400) % 20 == 0}).replace({True: "few", False: "most"})
    part = Comparison(DEALS, np.arange(400), np.zeros(400, dtype=np.int64), Tally.of(by.astype(str)), "win_rate", 0.03)
    pool = Pool(rare, np.zeros(400, dtype=np.int64))
    market = NullMarket("m", {DEALS: pool}, (Family("all", "05_deals", ENDING, (part,)),), 0)
    n = {one.n for i in range(20) for one in planted(market, i).values()}
    assert n == {20}  # a rise of the small level is all that a rate of 1 % has room for


# the report


def test_what_differs_by_ten_points_is_not_said_to_be_alike(report: dict) -> None:
    alike = {round(100 * row["effect"]): row["alike_rate"] for row in report["planted"]}
    assert alike[10] <= 0.10
    assert alike[15] == 0


def test_drift_in_null_worlds_is_that_of_periods_drawn_anew() -> None:
    rng = np.random.default_rng(4)
    n = 900
    deals = pd.DataFrame({"persona": rng.choice(["a", "b"], n), "period": np.repeat(["q1", "q2", "q3"], n // 3)})
    moved = deals.assign(is_won=rng.random(n) < np.where(deals["period"] == "q3", 0.2, 0.6))
    wanted = compared(moved, ["q1", "q2", "q3"], ["a", "b"], 0.03)[RATE][1].p
    own = Pool(pd.factorize(moved["period"])[0].astype(float), np.zeros(n, dtype=np.int64))
    persona = pd.factorize(moved["persona"], sort=True)[0]
    part = Drifting("periods", persona, moved["is_won"].to_numpy(dtype=float), (2, 3), RATE, 0.03)
    assert part.tested({"periods": own.outcomes}).p == pytest.approx(wanted) and wanted.max() < 1e-6, "it really moved"
    family = Family("q3", "06_refinement", DRIFT, (part,))
    assert np.mean([family.n_claims(own.shuffled("periods", str(i))) > 0 for i in range(100)]) <= 0.08


# what is kept beside the claims


@pytest.mark.usefixtures("python_texts")
def test_what_a_notebook_compared_is_read_as_it_was_kept(tmp_path: Path) -> None:
    ids, days = pd.Series(["D1", "D2", "D3"]), pd.Series(pd.to_datetime(["2024-01-02", None, "2024-03-04"]))
    by = pd.DataFrame({"size": ["large", None, RARE]}, dtype="str")
    rate = RateRedraw("deals", ids, by, days, "won", "win_rate", 0.03, late=["size"])
    score = ScoreRedraw("deals", ids, by, pd.Series([1, 0, 1]), days, "score_auc")
    write_compared(tmp_path, "05_deals", Compared([rate, score, rate], {"05_deals: mine": "a test of the records"}))
    write_compared(tmp_path, "05_deals", Compared([rate, score], {"05_deals: mine": "a test of the records"}))
    found = read_compared(tmp_path, "05_deals")
    read, learned = found.redraws
    pd.testing.assert_series_equal(read.ids, ids, check_names=False)
    pd.testing.assert_series_equal(read.days, days, check_names=False, check_dtype=False)
    pd.testing.assert_frame_equal(read.by, by)
    assert (read.table, read.measure, read.threshold, read.within) == ("deals", "win_rate", 0.03, None)
    assert read.late == ["size"]
    assert learned == Learned("score_auc")
    assert found.left_out == {"05_deals: mine": "a test of the records"}


# the report


@pytest.fixture(scope="module")
def report(tiny: Path) -> dict:
    return self_test("tiny", tiny, n_worlds=20, n_workers=2, n_learned=2)


def test_the_report_has_its_figures(report: dict) -> None:
    null = report["null"]
    assert (report["market"], report["worlds"]) == ("tiny", 20)
    for name in ("any_claim", "any_edit", "any_promise"):
        assert 0 <= null[f"{name}_low"] <= null[f"{name}_rate"] <= null[f"{name}_high"] <= 1
    assert null["any_claim_rate"] <= null["worst_family"]["any_claim_rate"]
    found = {(f["period"], f["notebook"], f["family"]) for f in null["families"]}
    assert found >= {
        ("2024-q2", "03_leads", ENDING),
        ("2024-q3", "05_deals", ENDING),
        ("2024-q2", "06_refinement", "edit"),
    }
    own = [one["any_claim_rate"] for one in null["notebooks"]]
    assert null["any_claim_rate"] == pytest.approx(np.mean(own)) and len(own) >= 3
    lines = sum(one["false_lines"] for one in null["notebooks"])
    assert null["expected_false_lines"] == pytest.approx(lines / null["n_periods"])
    assert report["learned"]["worlds"] == 2
    assert [effect["effect"] for effect in report["planted"]] == [0.05, 0.10, 0.15]
    for effect in report["planted"]:
        sizes = [part["median_n"] for part in effect["by_size"]]
        assert sizes == sorted(sizes)
        assert effect["n_worlds"] == sum(part["n_worlds"] for part in effect["by_size"]) == 20
    assert report["planted"][2]["found_rate"] >= report["planted"][0]["found_rate"]


def test_the_same_market_gives_the_same_bytes_on_any_number_of_cores(report: dict, tiny: Path) -> None:
    first = (tiny / "tiny" / FILE).read_bytes()
    assert json.loads(first) == report
    self_test("tiny", tiny, n_worlds=20, n_workers=1, n_learned=2)
    assert (tiny / "tiny" / FILE).read_bytes() == first


def test_the_words_say_what_the_figures_say(report: dict) -> None:
    text = in_words(report)
    assert f"{report['null']['any_claim_rate']:.1%}" in text
    assert f"10 points: found {report['planted'][1]['found_rate']:.0%} of the time" in text
    undated = report | {"null": report["null"] | {"any_edit_rate": None}}
    assert "Personas are not refined here" in in_words(undated)


def test_what_cannot_be_tested_is_refused(tiny: Path) -> None:
    with pytest.raises(ParameterError, match=r"market = 'nowhere' does not exist; allowed: tiny"):
        self_test("nowhere", tiny)
    with pytest.raises(ParameterError, match=r"worlds = 3 says nothing; allowed: 10 or more"):
        self_test("tiny", tiny, n_worlds=3)


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The project's own markets."""
    monkeypatch.delenv("CLOSEDLOOP_ROOT", raising=False)
    for cached in (read_definition, open_warehouse):
        cached.cache_clear()
    yield
    for cached in (read_definition, open_warehouse):
        cached.cache_clear()


@pytest.mark.real
@pytest.mark.usefixtures("bundled")
def test_maven_shows_effects_where_it_has_the_deals_for_them(tmp_path: Path) -> None:
    found = self_test("maven", tmp_path, n_worlds=10, n_workers=1)
    families = {(f["period"], f["notebook"], f["family"]): f["n_comparisons"] for f in found["null"]["families"]}
    assert {("2017-q2", "05_deals", ENDING), ("2017-q4", "05_deals", ENDING)} <= set(families)
    assert found["null"]["any_edit_rate"] == 0.0
    assert 0.2 < found["planted"][2]["found_rate"] <= 1.0
    assert found["planted"][2]["by_size"][2]["found_rate"] > found["planted"][0]["by_size"][0]["found_rate"]


@pytest.mark.parametrize(
    ("market", "n_worlds"),
    [
        pytest.param("maven", 200, marks=[pytest.mark.real, pytest.mark.slow]),
        pytest.param("b2b", 200, marks=[pytest.mark.real, pytest.mark.slow]),
        pytest.param("harbor", 200, marks=pytest.mark.slow),
        pytest.param("bank", 200, marks=[pytest.mark.real, pytest.mark.slow]),
    ],
)
@pytest.mark.usefixtures("bundled")
def test_a_market_where_nothing_differs_is_rarely_told_otherwise(
    market: str, n_worlds: int, tmp_path: Path, validity: Callable[..., None]
) -> None:
    null = self_test(market, tmp_path, n_worlds=n_worlds, n_learned=0)["null"]
    validity(f"self-test-{market}", null["any_claim_rate"], n=n_worlds)
    validity(f"self-test-{market}-lines", null["expected_false_lines"], n=n_worlds)
    validity(f"self-test-{market}-lines-end", null["false_lines_by_family"][ENDING], n=n_worlds)
    validity(f"self-test-{market}-worst", max(one["any_claim_high"] for one in null["notebooks"]), n=n_worlds)
    if null["n_refinements"]:
        validity(f"self-test-{market}-edits", null["any_edit_rate"], n=n_worlds)
        validity(f"self-test-{market}-promises", null["any_promise_rate"], n=n_worlds)


@pytest.mark.slow
@pytest.mark.usefixtures("bundled")
def test_the_bundled_markets_families_are_the_notebooks_own(tmp_path: Path) -> None:
    cut = null_market("harbor", tmp_path, (), ["2025-q4"])
    assert {family.notebook[:2] for family in cut.families} == {"01", "02", "03", "05", "06"}
    _same_claims(cut, tmp_path)
