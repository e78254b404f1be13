"""What would another order of calling have been worth? Told only from a list whose drawn places were logged."""

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.off_policy import LEAST_EFFECTIVE, RuleValue, rule_value, taken_first
from closedloop.loop.counting import rates
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.questions.call_list import CALL_LIST

AS_CALLED, BY_PERSONAS, AT_RANDOM = "as called", "by the personas' promise", "at random"
_COLUMNS = ["field", "level", "estimate", "low", "high", "n"]
_NO_LOG = (
    "The value of another order of calling is not identified: the outcomes known are those of leads that an order "
    "chose. Call the drawn records of the list as well, and log the random slot (leads.experiment, arm, arm_rate)."
)
_NONE_DRAWN = (
    "The value of another order of calling is not identified: {n} leads of the list were decided in this period, and "
    "none of them was drawn. Call the drawn records of the list as well."
)
_ALIKE = "The personas in force promise alike, so they give no order of calling whose value could be told."


def other_orders(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """State what calling by the personas' promise, and at random, would have won, beside what was called.

    Judged on leads logged from the list to call whose outcome became known in the period, after the personas in force
    had made their promise: each stands for 1 / ``arm_rate`` of those who waited. Without a drawn lead among them
    nothing is identified, and that is said.
    """
    log = _log(situation)
    if not (log["arm_rate"] < 1).any():
        draft.missing["off_policy"] = _NO_LOG if log.empty else _NONE_DRAWN.format(n=len(log))
        return
    y, logged = log["is_won"].to_numpy(float), log["arm_rate"].to_numpy(float)
    orders = {AT_RANDOM: rule_value(y, logged, np.ones(len(log)))}
    promise = in_force.assign(log).map(in_force.deviations()).fillna(0.0)
    if promise.nunique() > 1:
        orders[BY_PERSONAS] = rule_value(y, logged, taken_first(promise, logged, len(log)))
    else:
        draft.missing["off_policy"] = _ALIKE
    _state(draft, situation, orders, log)


def _log(situation: Situation) -> pd.DataFrame:
    """Leads logged from the list with a probability and an outcome that was not yet known at the period's start."""
    nothing = pd.DataFrame({"arm_rate": [], "is_won": []})
    columns = situation.view.known("leads").columns if situation.is_dated and situation.view.has("leads") else ()
    if not {"experiment", "arm_rate"} <= set(columns):
        return nothing
    leads = lead_frame(situation)
    known = leads[leads["experiment"].eq(CALL_LIST).fillna(False).astype(bool) & leads["is_won"].notna()]
    log = known[known["arm_rate"].gt(0) & known["arm_rate"].le(1)]
    if log.empty:
        return nothing
    before = lead_frame(Situation.planning(situation.warehouse, situation.period))
    return log[~log["lead_id"].isin(before.loc[before["is_won"].notna(), "lead_id"])]


def _state(draft: Draft, situation: Situation, orders: dict[str, RuleValue], log: pd.DataFrame) -> None:
    """Every order's rate of won leads, and how many leads its part of the log is worth; a refused one has no rate."""
    origin = Origin("06_refinement", "off_policy", "leads", situation.period.name, situation.period.name)
    called = float(log["is_won"].mean())
    rows = [
        {"field": "order", "level": name, "estimate": v.estimate, "low": v.low, "high": v.high, "n": v.n}
        for name, v in orders.items()
        if not v.is_refused
    ]
    draft.estimate(rates([(AS_CALLED, log["is_won"].sum(), len(log))], "order"), origin, "order_won_rate")
    looks = gain_looks(pd.DataFrame(rows, columns=_COLUMNS).assign(baseline=called), origin, measure="order_won_rate",
                       unit="rate")  # fmt: skip
    draft.looks.append(looks)
    sizes = [
        {"field": "order", "level": name, "estimate": v.effective_n, "n": v.n, "baseline": LEAST_EFFECTIVE}
        for name, v in orders.items()
    ]
    draft.estimate(sizes, origin, "effective_sample", unit="count", kind="predictive")
