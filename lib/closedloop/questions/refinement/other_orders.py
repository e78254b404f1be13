"""What another order of calling than the one that was would have been worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import gain_looks
from closedloop.period.counting import rates
from closedloop.period.lead_records import lead_frame
from closedloop.period.situation import Situation
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, stating
from closedloop.presentation.sentences import Claim, backed, records
from closedloop.presentation.tables import Columns, table_of
from closedloop.questions.leads.call_list import CALL_LIST
from closedloop.statistics.scoring.accuracy import LEAST_EFFECTIVE, rule_value, taken_first
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import OrderRedraw

AS_CALLED, BY_PERSONAS, AT_RANDOM = "as called", "by the personas' promise", "at random"
_COLUMNS = ["field", "level", "estimate", "low", "high", "n"]
_NO_LOG = (
    "The value of another order of calling is not identified: the outcomes known are those of leads that an order "
    "chose. A list that holds fewer than wait has drawn places: call those as well, and log them "
    "(leads.experiment, arm, arm_rate)."
)
_NONE_DRAWN = (
    "The value of another order of calling is not identified: {n} leads of the list were decided in this period, and "
    "none of them was drawn. Where fewer are listed than wait, some places are drawn: call those as well."
)
_ALIKE = "The personas in force promise alike, so they give no order of calling whose value could be told."


def other_orders(leads: pd.DataFrame, *, among: str | None = None) -> Answer:
    """What calling by the personas' promise, and at random, would have won, beside what was called.

    Judged on leads logged from the list to call whose outcome became known in the period, after the personas in force
    had made their promise: each stands for 1 / ``arm_rate`` of those who waited (self-normalised inverse propensities).
    Without a drawn lead among them, or when the log is worth fewer than 50 leads, no value is given.
    """
    now = opened()
    answer = now.ask("other_orders", "off_policy", leads, "leads", _show_orders, among=among)
    log = _log(now.situation, answer.rows)
    if not (log["arm_rate"] < 1).any():
        answer.missing["off_policy"] = _NO_LOG if log.empty else _NONE_DRAWN.format(n=len(log))
        return answer
    y, logged = log["is_won"].to_numpy(float), log["arm_rate"].to_numpy(float)
    orders = {AT_RANDOM: rule_value(y, logged, np.ones(len(log)))}
    promise = now.personas.assign(log).map(now.personas.deviations()).fillna(0.0)
    if promise.nunique() > 1:
        orders[BY_PERSONAS] = rule_value(y, logged, taken_first(promise, logged, len(log)))
    else:
        answer.missing["off_policy"] = _ALIKE
    origin = answer.origin_now
    rows = [
        {"field": "order", "level": name, "estimate": v.estimate, "low": v.low, "high": v.high, "n": v.n}
        for name, v in orders.items()
        if not v.is_refused
    ]
    answer.estimate(rates([(AS_CALLED, log["is_won"].sum(), len(log))], "order"), origin, "order_won_rate")
    told = pd.DataFrame(rows, columns=_COLUMNS).assign(baseline=float(log["is_won"].mean()))
    redraw = OrderRedraw(log["lead_id"], log["arm_rate"], promise) if answer.is_recorded else None
    answer.compare(gain_looks(told, origin, measure="order_won_rate", unit="rate"), redraw)
    sizes = [
        {"field": "order", "level": name, "estimate": v.effective_n, "n": v.n, "baseline": LEAST_EFFECTIVE}
        for name, v in orders.items()
    ]
    answer.estimate(sizes, origin, "effective_sample", unit="count", kind="predictive")
    return answer


def _log(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Leads logged from the list with a probability and an outcome that was not yet known at the period's start."""
    nothing = pd.DataFrame({"arm_rate": [], "is_won": []})
    if not situation.is_dated or not {"lead_id", "experiment", "arm_rate"} <= set(leads.columns):
        return nothing
    known = leads[leads["experiment"].eq(CALL_LIST).fillna(False).astype(bool) & leads["is_won"].notna()]
    log = known[known["arm_rate"].gt(0) & known["arm_rate"].le(1)]
    if log.empty:
        return nothing
    before = lead_frame(Situation.planning(situation.warehouse, situation.period))
    return log[~log["lead_id"].isin(before.loc[before["is_won"].notna(), "lead_id"])]


def _show_orders(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("order_won_rate", "effective_sample")
    if claims.empty:
        return ()

    def won(row: Mapping[str, Claim]) -> str:
        return backed(row["order_won_rate"], shown.words) if "order_won_rate" in row else "cannot tell"

    columns: Columns = {
        "order_won_rate": ("won", won),
        "effective_sample": "leads that the log is worth",
    }
    name = level_of(shown.words)
    listed = table_of(claims, shown.words, "order of calling", columns, label=name, caption=title)
    said, called = [], shown.first("order_won_rate", level=AS_CALLED)
    for size in records(shown.of("effective_sample")):
        order, found = f"Calling {size['level']}", shown.first("order_won_rate", level=size["level"])
        if found is None or called is None:
            of, needed = numbers.count(size["estimate"]), numbers.count(size["baseline"])
            said.append(stating(f"{order}: cannot tell; the log is worth {of} leads, {needed} are needed.", size))
            continue
        more = "more" if found["effect"] > 0 else "fewer"
        shows = f"{more} would have been won" if found["verdict"] == Verdict.SUPPORTED else "no difference is shown"
        beside = f"{backed(found, shown.words)} won, against {backed(called, shown.words)} as called"
        said.append(stating(f"{order}: {beside}: {shows}.", found, called))
    return listed, Listing(said)
