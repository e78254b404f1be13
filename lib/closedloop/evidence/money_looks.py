"""Comparisons of money, before their family is closed: what a decided deal brings, and what a success costs."""

import numpy as np
import pandas as pd

from closedloop.evidence.costs import compare_costs
from closedloop.evidence.decided import won_per_decided
from closedloop.evidence.looks import LOOK_COLUMNS, Origin, meta_of, require_columns, typed


def decided_looks(deals: pd.DataFrame, origin: Origin, *, measure: str, threshold: float = 0.10) -> pd.DataFrame:
    """Looks at the won amount per decided deal of every level of one field against that of all (``won_per_decided``).

    ``deals``: one row a decided deal, with field, level, is_won and amount. One level gives no look.
    """
    require_columns(deals, ("field", "level", "is_won", "amount"))
    rows = deals.dropna(subset=["level"])
    table = won_per_decided(rows["is_won"], rows["amount"], rows["level"].astype(str), threshold=threshold)
    if len(table) < 2:
        return typed([], LOOK_COLUMNS)
    told = table.rename(columns={"group": "level"}).assign(
        field=rows["field"].iloc[0], effect=table["estimate"] - table["baseline"], subject="market"
    )
    return typed(told.assign(**meta_of(origin, measure, "amount", "descriptive")), LOOK_COLUMNS)


def cost_looks(
    spending: pd.DataFrame,
    origin: Origin,
    *,
    measure: str,
    subject: str = "market",
    threshold: float = 0.10,
    least: int = 1,
    level: float = 0.90,
) -> pd.DataFrame:
    """Looks at what a success costs in every level of a field against all other levels together (``compare_costs``).

    ``spending``: one row a level, with field, level, k successes of n cases and the money ``spent``; levels without
    money are left out, those with fewer than ``least`` cases count among the others but are not looked at. ``n`` are
    the cases; without a success nothing can be compared.
    """
    require_columns(spending, ("field", "level", "k", "n", "spent"))
    rows = spending[spending["spent"] > 0]
    if len(rows) < 2 or not rows["k"].sum() > 0:
        return typed([], LOOK_COLUMNS)
    costs = compare_costs(rows["k"], rows["n"], rows["spent"], level, threshold)
    worst = np.where(np.isnan(costs.estimate), costs.low, costs.estimate)  # without a success: its least cost
    deviation = np.sqrt(rows["n"] / rows["k"].clip(lower=1.0))  # of the log of a rate of few successes, for one case
    looks = rows[["field", "level", "n"]].assign(
        **costs._asdict(), effect=worst - costs.baseline, log_deviation=deviation, subject=subject
    )
    return typed(looks[rows["n"] >= least].assign(**meta_of(origin, measure, "amount", "descriptive")), LOOK_COLUMNS)
