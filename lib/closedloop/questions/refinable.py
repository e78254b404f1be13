"""Can the outcomes of a period change the personas at all? What 06 needs before it duels, edits or looks for drift."""

import pandas as pd

from closedloop.loop.records import ONLY_WON, by_close
from closedloop.market.periods import Period
from closedloop.questions.answer import Answer
from closedloop.questions.period import OpenPeriod

FEWEST_DEALS = 60  # decided in a period: with fewer the set is left alone
_FOREIGN = "These rows are no deals of the open period: choose rows of now.deals() and keep their index."


def following(now: OpenPeriod) -> Period | None:
    """The period for which a set can be proposed; None while this one is running, and for the last one."""
    every = now.situation.warehouse.periods
    place = every.index(now.period) + 1
    return None if now.period.running or place == len(every) else every[place]


def refinable(answer: Answer, least: int) -> pd.DataFrame | None:
    """The answer's decided deals by the day they closed; None, and it says why, where nothing can be told of them."""
    now, deals = answer.now, answer.rows
    is_foreign = bool(len(deals)) and not answer.is_recorded
    closed = pd.DataFrame() if is_foreign or "outcome" not in deals else by_close(deals)
    reason = _FOREIGN if is_foreign else _why_not(now, deals, closed, least)
    if reason:
        answer.missing[answer.section] = reason
        return None
    return closed


def _why_not(now: OpenPeriod, deals: pd.DataFrame, closed: pd.DataFrame, least: int) -> str:
    """What stands in the way; nothing where the period can be judged."""
    if not now.situation.view.has("deals"):
        return "No deals are recorded, so outcomes cannot change the personas. Collect `deals` with outcomes."
    if not now.situation.is_dated:
        return (
            "The source records no dates, so nothing can be checked against a later period. Collect closed_on of deals."
        )
    if closed.empty and len(deals) and (deals["outcome"] == "won").any():
        return f"{ONLY_WON} Without lost deals neither duel, edits nor drift can be told."
    if following(now) is None:
        return "The period is still running: the duel and the edits wait for its end."
    n = int(now.situation.in_period(closed["closed_on"]).sum()) if len(closed) else 0
    return f"{n} deals were won or lost in this period; a duel needs at least {least}." if n < least else ""
