"""How often honest columns are named, and planted leaks missed: simulated markets, 200 with CLOSEDLOOP_FULL=1."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from closedloop.statistics.scoring.leaks import Cases, judge_columns
from scipy.special import expit

from tests.statistics.simulated import FULL

Rows = dict[str, object]
Plant = Callable[[np.random.Generator, np.ndarray], Rows]


def market(rng: np.random.Generator, plant: Plant) -> tuple[Cases, list[str]]:
    """400 to 3,000 decided deals over four or eight periods whose rates differ, and the names of what was planted.

    Six honest fields, two of them with gaps: alone they reach .68 to .74, together about .78.
    """
    n, n_periods = int(rng.choice([400, 800, 1500, 3000])), int(rng.choice([4, 8]))
    period = np.sort(rng.integers(0, n_periods, n))
    size, origin, fit = rng.choice(3, n, p=[0.3, 0.5, 0.2]), rng.integers(0, 6, n), rng.normal(size=n)
    is_known = rng.random(n) < 0.5
    worth = 1.2 * np.array([-1, 0, 1.2])[size] + 0.7 * fit + 0.5 * is_known + 0.5 * rng.normal(size=6)[origin]
    base = rng.normal(0, 0.3, n_periods) + rng.uniform(-1.2, 0.3)
    is_won = rng.random(n) < expit(base[period] + worth)
    rows: Rows = {
        "size": pd.Series(np.array(["s", "m", "l"])[size]).where(rng.random(n) < 0.9),
        "origin": origin.astype(str),
        "fit": fit,
        "is_known": pd.Series(is_known, dtype="boolean").where(rng.random(n) < 0.8),
        "sites": rng.lognormal(size=n),
        "region": rng.integers(0, 8, n).astype(str),
    }
    planted = plant(rng, is_won)
    won, at = pd.Series(is_won, dtype="boolean"), pd.Series(period)
    return Cases(pd.DataFrame(rows | planted), won, won.isna(), at, at), list(planted)


def nothing(rng: np.random.Generator, is_won: np.ndarray) -> Rows:
    return {}


def alone(rng: np.random.Generator, is_won: np.ndarray) -> Rows:
    """Two normals 1.6 apart: AUC Phi(1.6 / root 2) = .87."""
    return {"late": rng.normal(size=is_won.size) + 1.6 * is_won}


def in_threes(rng: np.random.Generator, is_won: np.ndarray) -> Rows:
    """Each AUC Phi(1.092 / root 2) = .78, correlated up to .4 given the outcome; one cut into four levels."""
    shared, other = np.sqrt(rng.uniform(0, 0.4)), rng.normal(size=is_won.size)
    own = [rng.normal(size=is_won.size) for _ in range(3)]
    late = [shared * other + np.sqrt(1 - shared**2) * part + 1.092 * is_won for part in own]
    levels = np.searchsorted([-0.5, 0.3, 1.1], late[2]).astype(str)
    return {"late_1": late[0], "late_2": late[1], "late_3": levels}


def in_gaps(rng: np.random.Generator, is_won: np.ndarray) -> Rows:
    """One filled for 85 % of won and 35 % of lost, one for 30 % of won alone."""
    levels = rng.choice(list("rst"), is_won.size)
    return {
        "often": pd.Series(levels).where(rng.random(is_won.size) < np.where(is_won, 0.85, 0.35)),
        "only": pd.Series(levels).where(is_won & (rng.random(is_won.size) < 0.3)),
    }


def shares_named(plant: Plant) -> tuple[list[bool], list[float]]:
    """Of each market whether an honest column was named, and the share of the planted ones that were."""
    honest, caught = [], []
    for run in range(200 if FULL else 8):
        cases, planted = market(np.random.default_rng([run, 11]), plant)
        found = judge_columns(cases, list(cases.rows), known_early=list(cases.rows))
        named = set(found.loc[found["why"] != "", "column"])
        honest.append(bool(named - set(planted)))
        caught.append(len(named & set(planted)) / max(len(planted), 1))
    return honest, caught


def test_honest_columns_are_hardly_ever_named(validity):
    validity("leak-null", shares_named(nothing)[0])


def test_planted_leaks_are_named_alone_in_threes_and_by_their_gaps(validity):
    validity("leak-alone", shares_named(alone)[1])
    validity("leak-threes", shares_named(in_threes)[1])
    validity("leak-gaps", shares_named(in_gaps)[1])
