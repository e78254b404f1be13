"""The self-test: null worlds keep what they must and lose what they must, and count what the loop would claim."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.evidence.arms import arm_looks
from closedloop.evidence.claims import Origin, close_family
from closedloop.evidence.rules import Rule
from closedloop.loop import turn
from closedloop.loop.counting import RARE, counts
from closedloop.loop.drift import RATE, compared
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.market.definition import read_definition
from closedloop.market.warehouse import open_warehouse
from closedloop.validation.arms import Arms
from closedloop.validation.drift import Drifting
from closedloop.validation.market import null_market
from closedloop.validation.rates import Comparison, Family, NullMarket, Promise, Review
from closedloop.validation.refinement import look_at
from closedloop.validation.self_test import FILE, one_world, self_test, told
from closedloop.validation.worlds import DEALS, Pool, Tally

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
    world = pool.shuffled("deals", np.random.default_rng(1))
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
    pool, mixed = cut.pools[DEALS], cut.shuffled(np.random.default_rng(2))[DEALS]
    won = sorted((mixed[pool.groups == group] == 1).sum() for group in np.unique(pool.groups))
    assert won == sorted((known["outcome"] == "won").groupby(by_quarter).sum())


def test_leads_are_shuffled_among_those_decided(cut: NullMarket) -> None:
    pool = cut.pools["accepted_rate 2024-q3"]
    handed = _records()[0]
    before = handed[pd.to_datetime(handed["created_on"]) + pd.Timedelta(days=2) < pd.Timestamp(2024, 7, 1)]
    assert len(pool.outcomes) == len(before)
    assert pool.shuffled("x", np.random.default_rng(3))["x"].sum() == pool.outcomes.sum() == before["accepted"].sum()


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


# the loop's own claims


@pytest.mark.parametrize("period", ["2024-q2", "2024-q3", "2024-q4"])
def test_in_the_real_world_the_families_are_the_loops_own(cut: NullMarket, tiny: Path, period: str) -> None:
    plan, outcome = turn.plan("tiny", period, tiny), turn.look_back("tiny", period, tiny)
    _same_claims(cut, {"plan": plan, "cost": plan, "outcome": outcome}, period)


def _same_claims(cut: NullMarket, folders: dict[str, Path], period: str) -> None:
    """The looks and the supported claims of a period's families are those that the loop wrote."""
    for name, folder in folders.items():
        family = next(f for f in cut.families if (f.period, f.name) == (period, name))
        moment = "outcome" if name == "outcome" else "plan"
        written = pd.read_parquet(folder / f"claims-{moment}.parquet").query("family == @name")
        made = family.supported(cut.world)
        p = [value for _, tested, _ in made for value in tested.p]
        assert sorted(p) == pytest.approx(sorted(written["p"])) and len(p) > 0
        found = [
            (part.measure, part.subject, part.tally.field[row], part.tally.level[row], effect)
            for part, tested, effects in made
            for row, effect in zip(tested.index, effects, strict=True)
            if not np.isnan(effect)
            and part.tally.field[row] != "rep_id"  # sellers' effects are those of crossed groups
        ]
        wanted = written[(written["verdict"] == "supported") & (written["field"] != "rep_id")]
        columns = ["measure", "subject", "field", "level", "effect"]
        assert [tuple(row[:4]) for row in sorted(found)] == sorted(map(tuple, wanted[columns[:4]].to_numpy()))
        assert sum(row[4] for row in found) == pytest.approx(wanted["effect"].sum())


@pytest.mark.parametrize("control", [None, "b"])
def test_drawn_arms_are_looked_at_as_the_loop_looks_at_them(control: str | None) -> None:
    rng = np.random.default_rng(12)
    arm = rng.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2])
    world = {"accepted": (rng.random(600) < np.where(arm == "a", 0.75, 0.5)).astype(float)}
    part = Arms("accepted", np.arange(600), Tally.of(pd.DataFrame({"arm": arm})), "rate", 0.03, "opening", control)
    tested = part.tested(world)
    effects = part.effects(tested, np.zeros(len(tested.p)))
    table = pd.DataFrame({"level": arm, "hit": world["accepted"]}).groupby("level")["hit"].agg(k="sum", n="count")
    at = Origin("03_leads", "experiments", "leads", "all", "all")
    wanted = arm_looks(table.reset_index(), at, measure="rate", experiment="opening", control=control)
    assert part.tally.level[tested.index].tolist() == wanted["level"].tolist()
    assert tested.p.tolist() == pytest.approx(wanted["p"].tolist())
    held = close_family(wanted.assign(p=0.0), family="plan", market="m", period="p")["verdict"] == "supported"
    assert effects[held].tolist() == pytest.approx(wanted.loc[held, "effect"].tolist())
    assert np.isnan(effects[~held]).all() and held.any()


def test_a_real_difference_is_gone_in_null_worlds(cut: NullMarket) -> None:
    last = next(f for f in cut.families if (f.period, f.name) == ("2024-q3", "outcome"))
    real = {
        (part.tally.field[i], part.tally.level[i])
        for part, tested, effects in last.supported(cut.world)
        for i, effect in zip(tested.index, effects, strict=True)
        if effect > 0
    }
    assert {("size", "large"), ("rep_id", "rep-1")} <= real
    found = [one_world(cut, number) for number in range(40)]
    number = cut.families.index(last)
    assert sum(world.supported[number] > 0 for world in found) <= 8
    assert np.mean([world.n_edits > 0 for world in found]) <= 0.15


def _flat(n: int = 2000, n_fields: int = 12) -> NullMarket:
    """A market of one period where nothing makes a difference."""
    rng = np.random.default_rng(5)
    by = pd.DataFrame({f"f{j}": rng.choice(list("abcd"), n) for j in range(n_fields)})
    pool = Pool((rng.random(n) < 0.5).astype(float), np.zeros(n, dtype=np.int64))
    part = Comparison(DEALS, np.arange(n), pool.groups, Tally.of(by), "win_rate", 0.03)
    family = Family("all", "outcome", (part,))
    return NullMarket("flat", {DEALS: pool}, (family,), (), 0)


def test_what_differs_between_periods_is_no_claim() -> None:
    groups = np.repeat([0, 1], 500)
    rng = np.random.default_rng(6)
    outcomes = (rng.random(1000) < np.where(groups == 1, 0.8, 0.3)).astype(float)
    by = pd.DataFrame({"end": np.where(groups == 1, "yes", "no")})
    part = Comparison(DEALS, np.arange(1000), groups, Tally.of(by), "win_rate", 0.03)
    family = Family("all", "outcome", (part,))
    market = NullMarket("m", {DEALS: Pool(outcomes, groups)}, (family,), (), None)
    assert one_world(market, 0).supported == (0,)
    pooled = replace(market, families=(replace(family, comparisons=(replace(part, groups=np.zeros_like(groups)),)),))
    assert one_world(pooled, 0).supported == (2,)


# edits


def _review(promise: float) -> tuple[NullMarket, Review]:
    """One persona, promised that win rate; 400 deals won at .4 in one period."""
    rng = np.random.default_rng(7)
    rows = np.arange(400)
    outcomes = np.repeat([1.0, 0.0], [160, 240])
    everyone = Persona(
        "everyone", "Everyone", win_rate=promise, low=promise - 0.08, high=promise + 0.08, n=100, is_assumed=False
    )
    in_force = PersonaSet("m", "p", "committed", Rule((), "everyone", ()), (everyone,), base_rate=promise)
    splits = Tally.of(pd.DataFrame({"everyone site": rng.choice(["port", "store"], 400)}))
    now = Tally.of(pd.DataFrame({"persona": ["everyone"] * 400}))
    none = Promise(np.empty(0, np.int64), np.empty(0, object), np.empty(0, np.int64))
    review = Review("p", in_force, none, rows, np.zeros_like(rows), np.ones(400, bool), splits, now, 0.0125)
    pool = Pool(outcomes, np.zeros(400, dtype=np.int64))
    family = Family("p", "outcome", ())
    return NullMarket("m", {DEALS: pool}, (family,), (review,), None), review


@pytest.mark.parametrize("promise", [0.41, 0.7, 0.1])
def test_a_promise_that_the_market_left_is_not_falsely_called_broken(promise: float) -> None:
    """The deals are won at .4: the first promise was kept, and it is right to say that the others were not."""
    market, _ = _review(promise)
    found = one_world(market, 0)
    assert (found.n_edits, found.n_promises) == (0, 0)


def test_a_promise_that_was_kept_may_be_called_broken_of_one_persona() -> None:
    market, review = _review(0.4)
    half = Tally.of(pd.DataFrame({"persona": np.repeat(["everyone", "other"], 200)}))
    market = replace(market, reviews=(replace(review, now=half),))
    world = {DEALS: np.repeat([1.0, 0.0, 1.0, 0.0], [120, 80, 40, 160])}  # .6 here, .4 in all
    assert look_at(market, world, np.random.default_rng(8)).n_promises == 1


def test_a_split_is_false_whatever_it_says() -> None:
    market, review = _review(0.4)
    is_port = review.splits.member.toarray()[list(review.splits.level).index("port")] > 0
    world = {DEALS: np.where(is_port, np.arange(400) % 10 < 7, np.arange(400) % 10 < 1).astype(float)}
    found = look_at(market, world, np.random.default_rng(8))
    assert found.n_edits >= 2


# planted effects


def test_a_large_effect_is_found_at_a_large_n_and_a_small_one_at_a_small_n_is_not() -> None:
    large, small = _flat(n=20_000), _flat(n=160)
    found = [[one_world(market, i).planted for i in range(20)] for market in (large, small)]
    assert all(world[0.15][0] for world in found[0])
    assert sum(world[0.05][0] for world in found[1]) <= 1
    assert all(20 < n < 60 for world in found[1] for _, n in world.values())


def test_an_effect_without_room_is_not_planted() -> None:
    rare = np.zeros(400)
    rare[:4] = 1.0
    by = pd.DataFrame({"f": np.arange(400) % 20 == 0}).replace({True: "few", False: "most"})
    part = Comparison(DEALS, np.arange(400), np.zeros(400, dtype=np.int64), Tally.of(by.astype(str)), "win_rate", 0.03)
    pool = Pool(rare, np.zeros(400, dtype=np.int64))
    market = NullMarket("m", {DEALS: pool}, (Family("all", "outcome", (part,)),), (), 0)
    n = {size for i in range(20) for _, size in one_world(market, i).planted.values()}
    assert n == {20}  # a rise of the small level is all that a rate of 1 % has room for


# the report


@pytest.fixture(scope="module")
def report(tiny: Path) -> dict:
    return self_test("tiny", tiny, n_worlds=20, n_workers=2)


def test_the_report_has_its_figures(report: dict) -> None:
    null = report["null"]
    assert (report["market"], report["worlds"]) == ("tiny", 20)
    for name in ("any_claim", "any_edit", "any_promise"):
        assert 0 <= null[f"{name}_low"] <= null[f"{name}_rate"] <= null[f"{name}_high"] <= 1
    assert null["any_claim_rate"] <= null["worst_family"]["any_claim_rate"]
    assert {(f["period"], f["family"]) for f in null["families"]} >= {("2024-q2", "plan"), ("2024-q3", "outcome")}
    assert [planted["effect"] for planted in report["planted"]] == [0.05, 0.10, 0.15]
    for planted in report["planted"]:
        sizes = [part["median_n"] for part in planted["by_size"]]
        assert sizes == sorted(sizes)
        assert planted["n_worlds"] == sum(part["n_worlds"] for part in planted["by_size"]) == 20
    assert report["planted"][2]["found_rate"] >= report["planted"][0]["found_rate"]


def test_the_same_market_gives_the_same_bytes_on_any_number_of_cores(report: dict, tiny: Path) -> None:
    first = (tiny / "tiny" / FILE).read_bytes()
    assert json.loads(first) == report
    self_test("tiny", tiny, n_worlds=20, n_workers=1)
    assert (tiny / "tiny" / FILE).read_bytes() == first


def test_the_words_say_what_the_figures_say(report: dict) -> None:
    text = told(report)
    assert f"{report['null']['any_claim_rate']:.1%}" in text
    assert f"10 points: found {report['planted'][1]['found_rate']:.0%} of the time" in text
    undated = report | {"null": report["null"] | {"any_edit_rate": None}}
    assert "Personas are not refined here" in told(undated)


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
    families = {(f["period"], f["family"]): f for f in found["null"]["families"]}
    assert set(families) == {(f"2017-q{n}", family) for n in (2, 3, 4) for family in ("outcome", "drift")}
    assert families["2017-q4", "outcome"]["n_looks"] == 61  # amounts in bands
    assert found["null"]["any_edit_rate"] == 0.0
    assert 0.2 < found["planted"][2]["found_rate"] <= 1.0
    assert found["planted"][2]["by_size"][2]["found_rate"] > found["planted"][0]["by_size"][0]["found_rate"]


@pytest.mark.parametrize(
    ("market", "n_worlds"),
    [
        pytest.param("maven", 200, marks=[pytest.mark.real, pytest.mark.slow]),
        pytest.param("b2b", 200, marks=[pytest.mark.real, pytest.mark.slow]),
        pytest.param("harbor", 100, marks=pytest.mark.slow),
        pytest.param("bank", 60, marks=[pytest.mark.real, pytest.mark.slow]),
    ],
)
@pytest.mark.usefixtures("bundled")
def test_a_market_where_nothing_differs_is_rarely_told_otherwise(
    market: str, n_worlds: int, tmp_path: Path, validity: Callable[..., None]
) -> None:
    null = self_test(market, tmp_path, n_worlds=n_worlds)["null"]
    validity(f"self-test-{market}", null["any_claim_rate"], n=n_worlds)
    if null["n_refinements"]:
        validity(f"self-test-{market}-edits", null["any_edit_rate"], n=n_worlds)
        validity(f"self-test-{market}-promises", null["any_promise_rate"], n=n_worlds)


@pytest.mark.slow
@pytest.mark.usefixtures("bundled")
def test_the_bundled_markets_families_are_the_loops_own(tmp_path: Path) -> None:
    cut = null_market("harbor", tmp_path)
    for period in ("2024-q1", "2025-q4"):
        folder = turn.plan("harbor", period, tmp_path)
        turn.look_back("harbor", period, tmp_path)
        _same_claims(cut, {"plan": folder, "cost": folder, "outcome": folder}, period)


def test_drift_in_null_worlds_is_that_of_periods_drawn_anew(cut: NullMarket) -> None:
    assert {drift.name for drift in cut.drifts} <= {"drift", "drift mix"}
    rng = np.random.default_rng(4)
    n = 900
    deals = pd.DataFrame({"persona": rng.choice(["a", "b"], n), "period": np.repeat(["q1", "q2", "q3"], n // 3)})
    moved = deals.assign(is_won=rng.random(n) < np.where(deals["period"] == "q3", 0.2, 0.6))
    drifting = Drifting("q3", RATE, "drift", moved, ["q1", "q2", "q3"], ["a", "b"], 0.03)
    assert drifting.n_looks == 2
    assert compared(moved, ["q1", "q2", "q3"], ["a", "b"], 0.03)[RATE][1].p.max() < 1e-6, "it has really moved"
    assert np.mean([drifting.supported(rng) > 0 for _ in range(100)]) <= 0.16


def test_what_differs_by_ten_points_is_not_said_to_be_alike(tiny: Path) -> None:
    report = self_test("tiny", tiny, n_worlds=20, n_workers=1)
    planted = {round(100 * row["effect"]): row["alike_rate"] for row in report["planted"]}
    assert planted[10] <= 0.10
    assert planted[15] == 0
