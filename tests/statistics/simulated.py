"""What the simulations of this folder share: how many runs, where looks come from, and null markets."""

import os
from collections.abc import Callable

import numpy as np
import pandas as pd
from closedloop.claims.ledger import Origin, amount_looks, close_family, cycle_looks, rate_looks, share_looks, stacked
from closedloop.statistics.stratified import Adjusted, adjusted_difference

FULL = bool(os.environ.get("CLOSEDLOOP_FULL"))
ABOUT = Origin("05_deals", "comparisons", "deals", "1", "4")
Looks = Callable[[np.random.Generator], pd.DataFrame]


def runs(few: int) -> range:
    """The repetitions of a simulation: ten times as many in the full run."""
    return range(few * 10 if FULL else few)


def claims_of(looks: pd.DataFrame) -> pd.DataFrame:
    """The looks as one closed family."""
    return close_family(looks, family="how they end", market="simulated", period="4")


def adjusted_of(cases: pd.DataFrame, level: float = 0.90) -> Adjusted:
    """Cases (group, stratum, won), or cells of them (group, stratum, k, n), compared inside their strata."""
    rows = cases.assign(k=cases["won"].astype(float), n=1.0) if "won" in cases else cases
    strata, sides = rows["stratum"].dropna().unique(), (True, False)
    cells = pd.MultiIndex.from_product([sides, strata])
    sums = rows.groupby(["group", "stratum"])[["k", "n"]].sum().reindex(cells, fill_value=0).astype(float)
    k1, k0, n1, n0 = (sums[name].to_numpy().reshape(2, -1)[side] for name in ("k", "n") for side in (0, 1))
    return adjusted_difference(k1, n1, k0, n0, level)


def any_claim(looks: Looks, few: int, seed: int) -> list[bool]:
    """Whether each of many null markets gives a supported claim."""
    rng = np.random.default_rng(seed)
    return [bool((claims_of(looks(rng))["verdict"] == "supported").any()) for _ in runs(few)]


def null_rates(rng: np.random.Generator) -> pd.DataFrame:
    """60 looks: 12 fields of five levels with 10-300 deals each."""
    n = rng.integers(10, 301, 60)
    field, level = np.divmod(np.arange(60), 5)
    counts = pd.DataFrame({"field": field, "level": level, "k": rng.binomial(n, 0.3), "n": n})
    return rate_looks(counts, ABOUT, measure="win_rate")


def null_shares(rng: np.random.Generator) -> pd.DataFrame:
    """128 looks: four personas of one population, eight attributes of four levels."""
    persona = np.repeat(np.arange(4), [120, 200, 80, 300])
    attributes = rng.choice(4, (persona.size, 8), p=[0.4, 0.3, 0.2, 0.1])
    return share_looks(share_counts(persona, attributes), ABOUT)


def share_counts(persona: np.ndarray, attributes: np.ndarray, n_levels: int = 4) -> pd.DataFrame:
    """Counts of every level (0 to ``n_levels`` - 1) of every column in every persona, as ``share_looks`` takes them."""
    rows = []
    for field, values in enumerate(attributes.T):
        table = np.array([np.bincount(values[persona == name], minlength=n_levels) for name in np.unique(persona)])
        for (name, level), k in np.ndenumerate(table):
            rows.append((name, field, level, k, table[name].sum(), table[:, level].sum() - k))
    counts = pd.DataFrame(rows, columns=["subject", "field", "level", "k", "n", "k_rest"])
    return counts.assign(n_rest=persona.size - counts["n"])


def null_amounts(rng: np.random.Generator, deviation: float = 0.9, times: float = 1.0) -> pd.DataFrame:
    """40 looks: 400 amounts of one population, one in fifty ``times`` as large; eight fields of five levels."""
    amount = np.exp(9 + deviation * rng.standard_normal(400)) * np.where(rng.random(400) < 0.02, times, 1)
    return amount_looks(_by_fields({"amount": amount}, rng), ABOUT)


def null_cycles(rng: np.random.Generator) -> pd.DataFrame:
    """40 looks: 400 sales cycles of one population in whole days, eight fields of five levels."""
    return cycle_looks(_by_fields({"days": np.floor(rng.exponential(60, 400))}, rng), ABOUT)


def _by_fields(values: dict[str, np.ndarray], rng: np.random.Generator, n_fields: int = 8) -> pd.DataFrame:
    """One row a value and field, with a level that means nothing."""
    frame = pd.DataFrame(values)
    return pd.concat([frame.assign(field=f, level=rng.integers(0, 5, len(frame))) for f in range(n_fields)])


def null_market(rng: np.random.Generator, n: int = 800) -> pd.DataFrame:
    """One family of one market, as a period closes it: win rates, amounts, cycles, and the personas' shares.

    Six fields of four levels, a yes/no field and four personas; nothing depends on anything.
    """
    fields = pd.DataFrame({f"field {j}": rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]) for j in range(6)})
    fields = fields.assign(is_quarter_end=rng.integers(0, 2, n), persona=rng.integers(0, 4, n))
    deals = fields.assign(won=rng.random(n) < 0.3, amount=np.exp(9 + 0.9 * rng.standard_normal(n)))
    deals["days"] = np.floor(rng.exponential(60, n))
    long = deals.melt(["won", "amount", "days"], list(fields), var_name="field", value_name="level")
    counts = long.groupby(["field", "level"])["won"].agg(k="sum", n="size").reset_index()
    shares = share_counts(fields["persona"].to_numpy(), fields.filter(like="field").to_numpy())
    won = long[long["won"]]
    looks = [rate_looks(counts, ABOUT, measure="win_rate"), amount_looks(won, ABOUT), cycle_looks(won, ABOUT)]
    return stacked([*looks, share_looks(shares, ABOUT)])
