"""What the personas in force promised of a period, what came of it, and what the next period will promise."""

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.evidence.claims import Origin, close_family, typed
from closedloop.evidence.looks import LOOK_COLUMNS
from closedloop.evidence.promises import beta_of, predictive_midp
from closedloop.evidence.rates import wilson
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import PersonaSet, promises, renewed
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

Floats = NDArray[np.float64]
GATE = 0.05  # a difference of rates that is worth a change
MEASURE = "promise_gap"


def review_promises(draft: Draft, situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> None:
    """State what was promised, judge it by the deals decided in the period, and state what renewal will promise."""
    judged = kept_promises(situation, closed, in_force)
    draft.closed.append(judged)
    said = [row | {"subject": row["level"], "field": "", "level": ""} for row in promises(in_force)]
    said = [row for row in said if row["subject"] in set(judged["subject"])]
    if not said:
        draft.missing["promises"] = (
            f"No persona with a promised win rate had {LEAST_SHOWN} deals that were won or lost in this period."
            if promises(in_force)
            else "No persona in force promises a win rate: too few deals had been won or lost when it was planned."
        )
    origin = Origin("06_refinement", "promises", "deals", in_force.first_period, in_force.last_period)
    draft.estimate(said, origin, "promised_win_rate", kind="predictive")
    coming = renewed(in_force, situation)
    rows = [row | {"subject": row["level"], "field": "", "level": ""} for row in promises(coming)]
    origin = origin._replace(first_period=coming.first_period, last_period=coming.last_period)
    draft.estimate(rows, origin, "next_win_rate", kind="predictive")


def kept_promises(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> pd.DataFrame:
    """Claims of the family ``promise``: each promised win rate beside the deals decided in the period.

    Supported: not kept. The promise is itself only known within its interval, and p counts that.
    """
    now = situation.in_period(closed["closed_on"])
    table = closed.loc[now, "is_won"].groupby(in_force.assign(closed)[now]).agg(["sum", "size"]).astype(float)
    said = {p["level"]: (p["estimate"], p["low"], p["high"]) for p in promises(in_force)}
    promised = pd.DataFrame.from_dict(said, orient="index", columns=["promise", "low", "high"], dtype=float)
    table = table.join(promised).dropna()
    table = table[table["size"] >= LEAST_SHOWN]
    k, n, promise = (table[name].to_numpy() for name in ("sum", "size", "promise"))
    low, high = wilson(k, n)
    origin = Origin("06_refinement", "promises", "deals", situation.period.name, situation.period.name)
    looks = pd.DataFrame(
        {
            "subject": table.index,
            "estimate": k / n,
            "low": low,
            "high": high,
            "baseline": promise,
            "effect": k / n - promise,
            "n": n,
            "p": promise_p(k, n, promise, table["low"].to_numpy(), table["high"].to_numpy()),
            "beyond": beyond_promise(k, n, promise),
        }
    ).assign(**origin._asdict(), measure=MEASURE, unit="rate", kind="descriptive", within="", field="", level="")
    return close_family(
        typed(looks, LOOK_COLUMNS),
        family="promise",
        market=situation.market,
        period=situation.period.name,
        smallest_worth=situation.claims.smallest_worth,
        expires_on=situation.expires_on,
    )


def promise_p(k: Floats, n: Floats, promise: Floats, low: Floats, high: Floats) -> Floats:
    """p value of the deals against a promise that knew the rate only within ``low`` and ``high``."""
    return predictive_midp(k, n, *beta_of(promise, low, high))


def beyond_promise(k: Floats, n: Floats, promised: Floats | float) -> Floats:
    """Posterior probability that the rate is more than the gate away from the promise (uniform prior)."""
    edges = np.clip([promised - GATE, promised + GATE], 0, 1)
    below, upto = (scipy.stats.beta.cdf(edge, k + 1, n - k + 1) for edge in edges)
    return np.asarray(1 - (upto - below), dtype=float)
