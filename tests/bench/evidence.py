"""Speeds of the estimators, each beside a plain reference on the same data in the same run: `make bench`.

A time says nothing without its machine, so no test asserts one; what is compared is the ratio.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from closedloop.claims.ledger import Origin, close_family, rate_looks
from closedloop.period.counting import counts, levels
from closedloop.statistics.cumulative_incidence import CAUSES, win_curve
from closedloop.statistics.proportions import _grid, shrink_rates
from scipy import stats
from sksurv.nonparametric import cumulative_incidence_competing_risks
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

from tests.bench.validity import machine

ORIGIN = Origin("05_deals", "comparisons", "deals", "1", "4")


def best(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Milliseconds of the fastest of several runs, and what it gave."""
    seconds, result = [], None
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return 1000 * min(seconds), result


def beside(what: str, ours: tuple[float, Any], name: str, theirs: tuple[float, Any], same: str) -> None:
    """One line: both times, their ratio, and how far the results agree."""
    ratio = theirs[0] / ours[0]
    print(f"{what}: {ours[0]:,.1f} ms; {name}: {theirs[0]:,.1f} ms ({ratio:,.1f} times as long); {same}")


def integrated_in_loops(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Posterior means of ``shrink_rates``' own model and grid, one beta-binomial probability at a time."""
    mu, m, log_prior = _grid(k, n)
    log_weight, means = log_prior.copy(), np.zeros((*log_prior.shape, k.size))
    for i, j in np.ndindex(log_prior.shape):
        a, b = mu[i, j] * m[j], (1 - mu[i, j]) * m[j]
        for group in range(k.size):
            log_weight[i, j] += stats.betabinom.logpmf(k[group], n[group], a, b)
            means[i, j, group] = (k[group] + a) / (n[group] + a + b)
    weight = np.exp(log_weight - log_weight.max())
    return np.einsum("ij,ijg->g", weight / weight.sum(), means)


def mixed_model(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Posterior mean rates by statsmodels' Bayesian mixed logistic regression (variational), from rows of cases."""
    group = np.repeat(np.arange(k.size), n.astype(int))
    won = np.concatenate([np.arange(size) < hits for hits, size in zip(k, n, strict=True)]).astype(float)
    members = np.eye(k.size)[group]
    model = BinomialBayesMixedGLM(won, np.ones((won.size, 1)), members, np.zeros(k.size, int), vcp_p=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit_vb()
    return 1 / (1 + np.exp(-fit.fe_mean[0] - fit.vc_mean))


def rates_of_groups(rng: np.random.Generator) -> None:
    """60 groups: the loop gives the same numbers, the mixed model another spread prior and so near ones."""
    n = np.exp(rng.uniform(np.log(10), np.log(300), 60)).astype(int).astype(float)
    k = rng.binomial(n.astype(int), 1 / (1 + np.exp(0.85 - 0.4 * rng.standard_normal(60)))).astype(float)
    ours = best(lambda: shrink_rates(k, n), 20)
    for name, work in (
        ("the same grid in loops of scipy", integrated_in_loops),
        ("statsmodels' mixed model", mixed_model),
    ):
        theirs = best(lambda work=work: work(k, n), 1)
        gap = np.abs(ours[1].mean - theirs[1]).max()
        beside("shrink_rates, 60 groups", ours, name, theirs, f"means differ by {gap:.1g} at most")


def curves(rng: np.random.Generator) -> None:
    """10,000 deals of three causes, in whole days."""
    days, codes = np.floor(rng.exponential(90, 10_000)), rng.integers(0, 4, 10_000)
    outcome = np.array(["open", *CAUSES], dtype=object)[codes]
    ours = best(lambda: win_curve(days, outcome), 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = best(
            lambda: cumulative_incidence_competing_risks(codes, days, conf_level=0.90, conf_type="log-log"), 5
        )
    won = ours[1].query("cause == 'won'")["estimate"].to_numpy()
    gap = np.abs(won - theirs[1][1][1]).max()
    beside("win_curve, 10,000 deals", ours, "scikit-survival", theirs, f"curves differ by {gap:.1g} at most")


def claims_of_a_period(rng: np.random.Generator) -> None:
    """10,000 deals of 20 fields with six levels: counting, shrinking, testing and closing, beside bare crosstabs."""
    deals = pd.DataFrame({f"field_{j:02d}": rng.choice(list("abcdef"), 10_000) for j in range(20)})
    won = pd.Series(rng.random(10_000) < 0.3, dtype="boolean")
    quarter = pd.Series(rng.choice(["q1", "q2", "q3", "q4"], 10_000))

    def ours() -> pd.DataFrame:
        by = levels(deals, list(deals.columns))
        looks = rate_looks(counts(by, list(by.columns), won, quarter), ORIGIN, measure="win_rate")
        return close_family(looks, family="how they end", market="bench", period="4")

    def tested() -> list[float]:
        return [stats.chi2_contingency(pd.crosstab(deals[name], won), correction=False).pvalue for name in deals]

    found = best(ours, 5)
    beside(
        "claims of a period, 10,000 deals x 20 fields",
        found,
        "a crosstab and chi-square of each",
        best(tested, 5),
        f"{len(found[1])} claims",
    )


def main() -> None:
    """Print the machine and every comparison."""
    print("\n".join(machine()))
    rng = np.random.default_rng(7)
    for bench in (rates_of_groups, curves, claims_of_a_period):
        bench(rng)


if __name__ == "__main__":
    main()
