"""Does the lead score earn its place? Leads of many periods, of which sales works a third, in the order of the score.

The share of the oracle's lift: win rate of the worked leads above that of all, over the same if the truth were known.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.proportions import shrink_rates
from closedloop.statistics.scoring.lift import lift, lift_gain
from closedloop.statistics.scoring.scores import fit_score
from scipy.special import expit, logit

from tests.statistics.simulated import FULL

N_HISTORY, N_LEADS, N_WORKED, N_DRAWN = 300, 600, 200, 20
SPREAD, N_PERIODS, DRIFT_AT = 0.5, 10, 6
LAYOUTS = {"one": (22,), "five": (6, 5, 4, 4, 3)}  # 22 levels: of one field, or of five
N_RUNS = {"one": (8, 240), "five": (8, 80)}  # few, and in the full run: one field's shares scatter more


@dataclass
class World:
    """Leads with fields of the given numbers of levels; every level moves the log-odds of a win."""

    sizes: tuple[int, ...]
    rng: np.random.Generator
    effects: list = field(default_factory=list)

    def drawn(self):
        """New effects: the market as it is from now on."""
        self.effects = [SPREAD * self.rng.standard_normal(size) for size in self.sizes]

    def leads(self, n):
        """Fields, true win rates and outcomes of new leads."""
        codes = [self.rng.integers(0, size, n) for size in self.sizes]
        chance = expit(logit(0.3) + sum(effect[code] for effect, code in zip(self.effects, codes, strict=True)))
        x = pd.DataFrame({f"field_{i}": code.astype(str) for i, code in enumerate(codes)})
        return x, chance, (self.rng.random(n) < chance).astype(int)


def static_rates(x, y):
    """The personas of the first day: one a level of the first field, with the win rates that history promises."""
    table = pd.DataFrame({"level": x["field_0"], "y": y}).groupby("level")["y"].agg(["sum", "size"])
    return dict(zip(table.index, shrink_rates(table["sum"], table["size"]).mean, strict=True))


def one_run(sizes, seed):
    """(periods, 2) share of the oracle's lift by the score and by the first day's personas; (periods,) its points."""
    rng = np.random.default_rng(seed)
    world = World(sizes, rng)
    world.drawn()
    x, _, y = world.leads(N_HISTORY)
    static, known, shares, lifts = static_rates(x, y), [(x, y)], [], []
    for period in range(1, N_PERIODS + 1):
        if period == DRIFT_AT:
            world.drawn()
        rows, outcomes = pd.concat([x for x, _ in known], ignore_index=True), np.concatenate([y for _, y in known])
        when = pd.Series(np.arange(len(outcomes)))
        score = fit_score(rows, outcomes, when, rng=rng, models=("base rate", "lagged base rate", "logistic"))
        x, chance, y = world.leads(N_LEADS)
        order = score.order(x)
        plain = np.argsort(-(x["field_0"].map(static).fillna(0.3) + 1e-9 * rng.random(N_LEADS)).to_numpy())
        above = lambda rows, p=chance: p[rows[:N_WORKED]].mean() - p.mean()  # noqa: E731
        best = above(np.argsort(-chance))
        shares.append((above(order) / best, above(plain) / best))
        lifts.append(above(order) - above(plain))
        ranked, rest = order[: N_WORKED - N_DRAWN], order[N_WORKED - N_DRAWN :]
        worked = rng.permutation(np.concatenate([ranked, rng.permutation(rest)[:N_DRAWN]]))
        known.append((x.iloc[worked], y[worked]))
    return np.array(shares), np.array(lifts)


def test_lift_counts_the_chosen_of_every_block_and_gives_ties_nothing():
    y, p, block = [1, 1, 0, 0, 1, 0], [0.9, 0.8, 0.2, 0.1, 0.5, 0.5], list("aaaabb")
    assert lift(y, p, block, 0.5) == pytest.approx((1 + 1 + 0.5 * (1 + 0)) / 3 - 0.5)
    assert lift(y, np.full(6, 0.3), block, 0.5) == pytest.approx(0.0)
    assert lift(y, p, block, 1.0) == pytest.approx(0.0)
    assert np.isnan(lift([], [], []))
    with pytest.raises(ParameterError, match="capacity = 0; allowed: above 0, up to 1"):
        lift(y, p, block, 0)


def test_a_gain_in_lift_is_found_and_none_straddles_zero():
    rng = np.random.default_rng(5)
    truth = rng.random(900)
    y, block = (rng.random(900) < truth).astype(float), np.repeat(["1", "2", "3"], 300)
    better = lift_gain(y, rng.random(900), truth, block, rng=rng)
    same = lift_gain(y, truth, truth + 0.3 * rng.random(900), block, rng=rng)
    assert better.low > 0.15
    assert better.low < better.estimate < better.high
    assert same.high < better.low


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_score_learns_fast_is_never_worse_than_personas_that_stay_and_follows_a_market_that_moves(validity, layout):
    found = [one_run(LAYOUTS[layout], seed) for seed in range(N_RUNS[layout][FULL])]
    shares, points = np.array([share for share, _ in found]), np.array([lift for _, lift in found])
    validity(f"lift-{layout}-2", shares[:, 1, 0])
    validity(f"lift-{layout}-4", shares[:, 3, 0])
    worst = points[:, 1:].mean(axis=0).argmin() + 1
    validity(f"lift-{layout}-static", 100 * points[:, worst])
    validity(f"lift-{layout}-drift", shares[:, DRIFT_AT + 3, 0])
    validity(f"lift-{layout}-static-share", shares[:, 1, 1])
