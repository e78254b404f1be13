"""Scores: the measures against outside figures, the choice of a model, and the bars on real data."""

import itertools
import zipfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.scoring.accuracy import (
    auc,
    auc_within,
    auc_within_interval,
    brier,
    calibration_slope,
    calibration_table,
    ece,
    log_loss,
    paired_bootstrap,
)
from closedloop.statistics.scoring.learners import HALF_LIVES, Design, RateHistory, clock_fields, learn
from closedloop.statistics.scoring.scores import fit_score
from sklearn import metrics

from tests.statistics.simulated import runs

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def rng(seed=0):
    return np.random.default_rng(seed)


def signal(n=1500, seed=1, strength=1.5):
    """Rows of which one category moves the outcome, and two columns do not."""
    draw = rng(seed)
    x = pd.DataFrame(
        {
            "channel": draw.choice(["partner", "web", "fair"], n),
            "region": draw.choice(["north", "south"], n),
            "n_sites": np.where(draw.random(n) < 0.1, np.nan, draw.integers(1, 9, n)),
        }
    )
    y = (draw.random(n) < 1 / (1 + np.exp(0.8 - strength * (x["channel"] == "partner")))).astype(int)
    return x, y, pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) // 5, "D"))


def test_measures_agree_with_scikit_learn():
    draw = rng(3)
    y, p = draw.integers(0, 2, 300), draw.random(300).round(2)
    assert brier(y, p) == pytest.approx(metrics.brier_score_loss(y, p))
    cut = np.clip(p, 1e-6, 1 - 1e-6)
    assert log_loss(y, p) == pytest.approx(metrics.log_loss(y, cut))
    assert auc(y, p) == pytest.approx(metrics.roc_auc_score(y, p))


def test_auc_within_counts_pairs_of_one_block_only():
    y = [1, 0, 0, 1, 1, 0, 0, 0]
    p = [0.9, 0.1, 0.95, 0.5, 0.2, 0.2, 0.7, 0.9]
    block = [1, 1, 1, 2, 2, 2, 2, 3]
    # block 1: 1 of 2 pairs; block 2: (.5 over .2) + (.2 ties .2) / 2 = 1.5 of 4 pairs; block 3 has no pair
    assert auc_within(y, p, block) == pytest.approx(2.5 / 6)


def test_a_moving_base_rate_earns_nothing_within_periods():
    block = np.repeat(np.arange(20), 100)
    rate = np.linspace(0.1, 0.9, 20)[block]
    y = (rng(1).random(2000) < rate).astype(int)
    assert auc(y, rate) > 0.7
    assert auc_within(y, rate, block) == 0.5


def test_undefined_measures_are_missing():
    one_sided = np.ones(4)
    p = np.array([0.2, 0.4, 0.6, 0.8])
    assert np.isnan(auc(one_sided, p))
    assert np.isnan(calibration_slope(one_sided, p))
    assert np.isnan(calibration_slope([0, 1], [0.5, 0.5]))
    assert np.isnan([brier([], []), log_loss([], []), ece([], []), auc([], [])]).all()
    assert calibration_table([], []).empty
    assert np.isnan(paired_bootstrap([1], [0.5], [0.6], rng=rng()).low)


@pytest.mark.parametrize(("y", "p", "message"), [([0, 2], [0.1, 0.2], "0 and 1"), ([0, 1], [0.1], "shapes")])
def test_wrong_outcomes_are_refused(y, p, message):
    with pytest.raises(ParameterError, match=message):
        brier(y, p)


def test_calibration_worked_out_by_hand():
    y, p = [0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    table = calibration_table(y, p, bins=2)
    assert table[["bin", "n"]].to_numpy().tolist() == [[1, 3], [2, 3]]
    assert table["predicted"].tolist() == pytest.approx([0.2, 0.7])
    assert table["observed"].tolist() == pytest.approx([1 / 3, 1])
    assert (table["low"] < table["observed"]).all()
    assert ece(y, p, bins=2) == pytest.approx((0.1333333 + 0.3) / 2)


def test_calibration_slope_is_that_of_statsmodels():
    import statsmodels.api as sm

    draw = rng(5)
    logit = draw.normal(size=800)
    y = (draw.random(800) < 1 / (1 + np.exp(-0.5 * logit))).astype(int)
    expected = sm.Logit(y, sm.add_constant(logit)).fit(disp=False).params[1]
    assert calibration_slope(y, 1 / (1 + np.exp(-logit))) == pytest.approx(expected, abs=1e-3)


def test_interval_of_the_auc_covers_its_truth():
    truth = 0.7602  # chance that N(1, 1) exceeds N(0, 1): Phi(1 / sqrt 2)
    inside = []
    for seed in range(300):
        draw = rng(seed)
        y = draw.integers(0, 2, 150)
        found = auc_within_interval(y, draw.normal(size=150) + y, np.zeros(150))
        inside.append(found.low <= truth <= found.high)
    assert 0.85 <= np.mean(inside) <= 0.95


def test_paired_bootstrap_favours_the_better_and_straddles_the_same():
    draw = rng(2)
    good = draw.uniform(0.05, 0.95, 500)
    y = (draw.random(500) < good).astype(int)
    flat = np.full(500, y.mean())
    gain = paired_bootstrap(y, flat, good, rng=rng())
    assert gain.estimate == pytest.approx(log_loss(y, flat) - log_loss(y, good))
    assert 0 < gain.low < gain.estimate < gain.high
    same = paired_bootstrap(y, good, good, rng=rng())
    assert (same.estimate, same.low, same.high) == (0, 0, 0)
    ranked = paired_bootstrap(y, flat, good, rng=rng(), measure="auc_within", block=np.arange(500) // 100)
    assert ranked.low > 0.2


def test_lagged_rates_know_only_what_is_older_than_the_lag():
    y = np.array([1.0, 0, 1, 1, 0, 1])
    rates = RateHistory.of(y, None, 2).lagged()
    assert rates[:3].tolist() == [[0.5] * len(HALF_LIVES)] * 3
    for place, half_life in enumerate(HALF_LIVES):  # ten rows at one half, and what is known, the latest weighing most
        keep = 0.5 ** (1 / half_life)
        known = [(5 + 1) / 11, (5 + keep) / (11 + keep), (5 + keep**2 + 1) / (11 + keep + keep**2)]
        assert rates[3:, place].tolist() == pytest.approx(known)
    changed = RateHistory.of(np.r_[y[:3], 1 - y[3:]], None, 2).lagged()
    assert changed.tolist() == rates.tolist()


def test_a_design_knows_gaps_and_unseen_levels():
    seen = pd.DataFrame({"a": ["x", None, "y", "y"], "b": [1.0, 2.0, 3.0, np.nan], "c": [True, False, True, True]})
    matrix = Design.of(seen).matrix(pd.DataFrame({"a": ["new", None], "b": [2.0, np.nan], "c": [None, True]}))
    # a: missing, x, y; b: standardised and its gap; c: false, true
    assert matrix.tolist() == [[0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0, 1]]
    with pytest.raises(ParameterError, match=r"\['b', 'c'\] are absent"):
        Design.of(seen).matrix(seen[["a"]])
    with pytest.raises(ParameterError, match=r"\['on'\] are dates"):
        Design.of(pd.DataFrame({"on": pd.to_datetime(["2024-01-01"])}))


def test_fields_that_only_tell_the_time_are_found():
    n = 2000
    x = pd.DataFrame(
        {
            "month": np.arange(n) // 180,
            "index": 100 + 0.01 * np.arange(n) + rng(1).normal(0, 0.1, n),
            "channel": rng(2).choice(["a", "b"], n),
            "season": np.where(rng(3).random(n) < np.arange(n) / n, "s", "w"),
        }
    )
    assert clock_fields(x) == ["month", "index"]
    assert clock_fields(x.head(30)) == []


def test_a_signal_is_found_and_explained():
    x, y, when = signal()
    score = fit_score(x, y, when, rng=rng())
    assert score.verdict == "usable"
    assert score.model in ("logistic", "boosting")
    chosen = score.quality.set_index("model").loc[score.model]
    assert chosen["auc_within_low"] > 0.6
    assert chosen["gain_low"] > 0
    assert len(score.held_out_y) == len(score.held_out_p) == 600
    rows = pd.DataFrame({"channel": ["partner", "web"], "region": ["north"] * 2, "n_sites": [4.0, np.nan]})
    p = score.predict(rows)
    assert p[0] == pytest.approx(1 / (1 + np.exp(0.8 - 1.5)), abs=0.08)
    assert p[1] == pytest.approx(1 / (1 + np.exp(0.8)), abs=0.08)
    best = score.reasons(pd.DataFrame({"channel": ["partner"], "region": ["north"], "n_sites": [4.0]}))[0]
    usual = x["channel"].value_counts().idxmax()
    expected = ("channel", "partner") if usual != "partner" else None
    assert (best[0][:2] if best else None) == expected


def test_points_are_the_difference_against_the_usual_level():
    x, y, when = signal()
    x["channel"] = x["channel"].where((x["channel"] == "partner") | (rng(9).random(len(x)) < 0.2), "web")
    score = fit_score(x, y, when, rng=rng())
    row = pd.DataFrame({"channel": ["partner"], "region": ["north"], "n_sites": [4.0]})
    field, level, points = score.reasons(row)[0][0]
    assert (field, level) == ("channel", "partner")
    assert points == pytest.approx(float((score.predict(row) - score.predict(row.assign(channel="web")))[0]))
    assert score.reasons(row.assign(channel="web"), most=1)[0] == [] or abs(points) > 0.2


def test_noise_gives_no_score(validity):
    verdicts = []
    for seed in runs(15):
        x, _, when = signal(600, seed)
        verdicts.append(fit_score(x, rng(10_000 + seed).integers(0, 2, 600), when, rng=rng(seed)).verdict)
    validity("noise-score", [v == "no usable signal" for v in verdicts])


def test_a_rate_that_drifts_is_no_signal_of_the_fields():
    x, _, when = signal(2000)
    y = (rng(4).random(2000) < np.linspace(0.1, 0.8, 2000)).astype(int)
    score = fit_score(x, y, when, rng=rng())
    assert score.verdict == "no usable signal"
    lagged = score.quality.set_index("model").loc["lagged base rate"]
    assert lagged["log_loss"] < score.quality.set_index("model").loc["base rate", "log_loss"]


def test_duplicates_do_not_leak_across_folds():
    draw = rng(6)
    x = pd.DataFrame({f"f{j}": draw.choice(list("abcdef"), 150) for j in range(6)})
    y = pd.Series(draw.integers(0, 2, 150))
    twice = pd.concat([x, x], ignore_index=True)
    score = fit_score(twice, pd.concat([y, y]), None, rng=rng())
    assert score.verdict == "no usable signal"
    assert score.quality.set_index("model").loc["boosting", "auc"] < 0.65


@pytest.mark.parametrize("y", [[0] * 60, [1] * 60, [0, 1] * 8])
def test_one_outcome_or_few_rows_give_no_score(y):
    x, _, when = signal(len(y))
    score = fit_score(x, y, when, rng=rng())
    assert score.verdict == "no usable signal"
    assert score.model in ("base rate", "lagged base rate")
    assert np.isfinite(score.predict(x, when)).all()


def test_wrong_shapes_are_refused():
    x, y, when = signal(50)
    with pytest.raises(ParameterError, match="50 rows have 49 outcomes"):
        fit_score(x, y[:49], when, rng=rng())
    with pytest.raises(ParameterError, match="outcomes must be 0 or 1"):
        fit_score(x, y + 1, when, rng=rng())
    with pytest.raises(ParameterError, match="1 rows have no time"):
        fit_score(x, y, when.where(when.index > 0), rng=rng())


def test_row_order_does_not_matter_and_the_seed_repeats():
    x, y, when = signal(600)
    when = pd.Series(np.arange(600))
    mixed = rng(3).permutation(600)
    one = fit_score(x, y, when, rng=rng(1))
    two = fit_score(x.iloc[mixed], np.asarray(y)[mixed], when.iloc[mixed], rng=rng(1))
    pd.testing.assert_frame_equal(one.quality, two.quality)
    assert one.predict(x).tolist() == two.predict(x).tolist()


LAG_ROWS, MOST_ROWS = 50, 15_000


@dataclass(frozen=True)
class Refitted:
    """Outcomes, predictions made before them and lagged base rates, from the row of the first fit on."""

    y: np.ndarray
    p: np.ndarray
    lagged_rate: np.ndarray
    first: int


def refitted(x, y, refit_at):
    """Every row from the first refit on, predicted by the model that was fitted last before it (Dawid, 1984)."""
    rates = RateHistory.of(y.astype(float), None, LAG_ROWS).lagged()
    chances, first, draw = [], refit_at[0], rng()
    for begin, end in itertools.pairwise([*refit_at, len(x)]):
        seen = slice(max(0, begin - LAG_ROWS - MOST_ROWS), max(begin - LAG_ROWS, 1))
        learned = learn("logistic", x.iloc[seen], y[seen].astype(float), rates[seen], 2000.0, draw)
        chances.append(learned.predict(x.iloc[begin:end], rates[begin:end]))
    lagged = learn("lagged base rate", x, y, rates, 2000.0, draw).predict(x, rates)
    return Refitted(y[first:], np.concatenate(chances), lagged[first:], first)


def bank(mirror):
    """Fields, outcomes, and the rows at which quarters start; rows are in order of time."""
    with (
        zipfile.ZipFile(mirror / "bank" / "bank+marketing.zip") as outer,
        zipfile.ZipFile(outer.open("bank-additional.zip")) as inner,
        inner.open("bank-additional/bank-additional-full.csv") as file,
    ):
        rows = pd.read_csv(file, sep=";")
    x = rows.drop(columns=["y", "duration"]).assign(pdays=rows["pdays"].where(rows["pdays"] != 999))
    run = (rows["month"] != rows["month"].shift()).cumsum()
    year = np.select([run <= 7, run <= 17], [2008, 2009], 2010)
    quarter = 4 * year + rows["month"].map(MONTHS.index).to_numpy() // 3
    return x, (rows["y"] == "yes").to_numpy(int), np.flatnonzero(np.diff(quarter)) + 1


@pytest.fixture(scope="module")
def bank_refitted(mirror):
    """Predictions of the last 20 %, refitted every 412 rows."""
    x, y, _ = bank(mirror)
    return refitted(x, y, range(len(x) - len(x) // 5, len(x), 412))


@pytest.mark.real
@pytest.mark.parametrize("regime", ["bank", "bank-quarter"])
def test_the_bank_score_reaches_its_bars(validity, mirror, bank_refitted, regime):
    """The last 20 %, refitted every 412 rows or at quarter starts."""
    tested, first = bank_refitted, bank_refitted.first
    if regime == "bank-quarter":
        x, y, quarters = bank(mirror)
        tested = refitted(x, y, [quarters[quarters <= first].max(), *quarters[quarters > first]])
    asked = slice(first - tested.first, None)
    found_y, found_p, n = tested.y[asked], tested.p[asked], len(tested.y[asked])
    block = np.arange(n) // 412
    validity(f"{regime}-auc", auc(found_y, found_p), n=n)
    validity(f"{regime}-brier", brier(found_y, found_p), n=n)
    validity(f"{regime}-ece", ece(found_y, found_p), n=n)
    validity(f"{regime}-within", auc_within(found_y, found_p, block), n=n)
    lagged = tested.lagged_rate[asked]
    assert auc(found_y, lagged) > 0.70  # knows no customer, and looks good
    assert auc_within(found_y, lagged, block) < 0.5


@pytest.mark.real
def test_refining_the_bank_score_beats_freezing_it_at_half_time(validity, mirror, bank_refitted):
    """Both around one lagged base rate, as in a duel: the gain counts inside blocks, and pooled stands beside it."""
    x, y, _ = bank(mirror)
    frozen = refitted(x, y, [len(x) // 2])
    old, n = frozen.p[bank_refitted.first - frozen.first :], len(bank_refitted.y)
    pair = (bank_refitted.y, old, bank_refitted.p)
    assert log_loss(*pair[::2]) < log_loss(*pair[:2])
    inside = paired_bootstrap(*pair, rng=rng(), measure="auc_within", block=np.arange(n) // 412)
    validity("bank-refined", inside.low, n=n)
    validity("bank-refined-pooled", paired_bootstrap(*pair, rng=rng(), measure="auc_within").low, n=n)


def test_a_base_rate_ranks_nothing_without_dates() -> None:
    """Each fold's base rate is lower the more of its rows were won: among folds it would rank the wrong way round."""
    x = pd.DataFrame({"size": np.arange(120) % 7, "row": np.arange(120)})
    score = fit_score(x, (np.arange(120) % 3 == 0).astype(int), None, rng=rng())
    rows = score.quality.set_index("model")
    assert rows.loc["base rate", ["auc", "auc_within"]].tolist() == [0.5, 0.5]


@pytest.mark.real
def test_b2b_deals_are_ranked_without_the_leak_of_duplicates(validity, mirror):
    deals = pd.read_csv(mirror / "b2b" / "B2B_sales_data.csv", sep=";")
    score = fit_score(deals.drop(columns="Status"), (deals["Status"] == "Won").astype(int), None, rng=rng())
    assert score.verdict == "usable"
    validity("b2b-auc", score.quality.set_index("model").loc[score.model, "auc"], n=len(deals))


@pytest.mark.real
def test_maven_has_no_usable_signal(validity, mirror):
    with zipfile.ZipFile(mirror / "maven" / "CRM+Sales+Opportunities.zip") as archive:
        names = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        read = lambda name: pd.read_csv(archive.open(names[name]))  # noqa: E731
        deals, accounts, teams = read("sales_pipeline.csv"), read("accounts.csv"), read("sales_teams.csv")
    deals = deals.merge(accounts, on="account", how="left").merge(teams, on="sales_agent", how="left")
    deals = deals[deals["deal_stage"].isin(["Won", "Lost"])]
    fields = [
        "sales_agent",
        "product",
        "sector",
        "revenue",
        "employees",
        "office_location",
        "regional_office",
        "manager",
    ]
    won = (deals["deal_stage"] == "Won").astype(int)
    dated = pd.to_datetime(deals["engage_date"])
    scores = [fit_score(deals[fields], won, when, rng=rng()) for when in (dated, None)]
    within = [score.quality.set_index("model").loc["logistic", "auc_within"] for score in scores]
    assert within == pytest.approx([0.5, 0.5], abs=0.04)
    validity("maven-signal", sum(score.verdict != "no usable signal" for score in scores), n=len(deals))
