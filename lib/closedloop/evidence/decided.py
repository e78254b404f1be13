"""What a decided deal brings: how often a group's deals are won, times what a won one pays."""

import math

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from closedloop.evidence.amounts import mean_amounts
from closedloop.evidence.rates import shrink_rates

_COLUMNS = ("group", "n", "k", "n_paid", "estimate", "low", "high", "baseline", "beyond", "p", "log_deviation",
            "reason")  # fmt: skip


def won_per_decided(
    is_won: ArrayLike, amount: ArrayLike, group: ArrayLike, level: float = 0.90, threshold: float = 0.10
) -> pd.DataFrame:
    """Won amount per decided deal of each group: its shrunk win rate times its shrunk mean amount.

    One entry a decided deal: is it won (else lost), its amount (money, looked at where it was won), its group. A won
    deal without an amount counts as won, and is taken to pay like the group's others. One row for each group that has
    an amount, in sorted order: group, n (decided), k (won), n_paid (won with an amount), estimate, low, high, baseline
    (of all deals), beyond (posterior probability of a factor over 1 + ``threshold`` from it), p (Student's test of the
    unshrunk logarithm against it) and log_deviation (of the logarithm, for one decided deal of any group). The log
    errors of rate and mean amount are added as independent ones, each side for itself (MOVER); interval, beyond and p
    are NaN where the mean amount has no interval (``reason``). Sources: ``rates.shrink_rates``,
    ``amounts.mean_amounts``.
    """
    deals = pd.DataFrame({"won": np.asarray(is_won, dtype=bool), "amount": np.asarray(amount, dtype=float)})
    deals = deals.assign(group=np.asarray(group, dtype=object)).dropna(subset="group")
    paid = deals[deals["won"] & (deals["amount"] > 0)].assign(log=lambda rows: np.log(rows["amount"]))
    if paid.empty:
        return pd.DataFrame(columns=list(_COLUMNS))
    counted = deals.groupby("group")["won"].agg(n="size", k="sum")
    rates = shrink_rates(counted["k"], counted["n"], level)
    log_variance = scipy.special.polygamma(1, rates.alpha) - scipy.special.polygamma(1, rates.alpha + rates.beta)
    logs = paid.groupby("group")["log"].agg(n_paid="size", mean="mean", variance="var")
    groups = counted.assign(rate=rates.mean, rate_variance=log_variance).join(logs, how="inner")
    money = mean_amounts(paid["amount"], paid["group"], level).set_index("group").loc[groups.index]
    z, share = float(scipy.stats.norm.isf((1 - level) / 2)), float(deals["won"].mean())
    estimate, baseline = groups["rate"] * money["estimate"], share * money["baseline"]
    by_rate = z * np.sqrt(groups["rate_variance"])
    below, above = (np.hypot(by_rate, np.log(money[end] / money["estimate"])) for end in ("low", "high"))
    error, off, gate = (below + above) / (2 * z), np.log(estimate / baseline), math.log1p(threshold)
    table: pd.DataFrame = groups.assign(
        estimate=estimate, low=estimate * np.exp(-below), high=estimate * np.exp(above), baseline=baseline,
        beyond=scipy.special.ndtr((off - gate) / error) + scipy.special.ndtr((-gate - off) / error),
        p=_from_baseline(groups, np.log(baseline / money["factor"])).where(money["low"].notna()),
        log_deviation=math.sqrt((1 - share + money["log_deviation"].iloc[0] ** 2) / share),
        reason=money["reason"],
    )  # fmt: skip
    return table.rename_axis("group").reset_index().loc[:, list(_COLUMNS)]


def _from_baseline(groups: pd.DataFrame, centre: pd.Series) -> pd.Series:
    """Student's test of each group's unshrunk log of rate times typical amount against ``centre``; NaN below two.

    As for amounts, the baseline is taken as given though the group is part of it: that errs on the safe side.
    """
    rate = groups["k"] / groups["n"]
    error = np.sqrt((1 - rate) / groups["k"] + groups["variance"] / groups["n_paid"])
    score = (np.log(rate) + groups["mean"] - centre).abs() / error
    p = 2 * scipy.stats.t.sf(score, np.maximum(groups["n_paid"] - 1, 1))
    return pd.Series(p, index=groups.index).where(groups["n_paid"] > 1)
