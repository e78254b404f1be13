"""Which period of a new market runs first: earlier deals are history, from which is learned."""

from collections import Counter
from datetime import date

import pandas as pd

from closedloop.market.definition import Periods
from closedloop.market.periods import period_of
from closedloop.onboarding.draft import Draft

_HISTORY, _FEWEST_CLOSED = 4, 20  # periods before the first one that runs; deals of a period that teaches anything
_FIRST_OF = 3  # of the periods, where there are few
_ENDS = {
    "deals": ("won_on", "lost_on", "closed_on", "close_on", "created_on"),
    "leads": ("created_on",),
    "respondents": ("answered_on",),
}


def first_period(draft: Draft) -> tuple[Periods, date]:
    """How long a market's periods are and which one runs first, and the day on which that one begins."""
    starts = next((int(row["value"]) for row in draft.answers["dates"].rows if row["setting"] == "year_starts"), 1)
    days = [day.date() for day in _closing_days(draft)]
    for length in ("quarter", "half", "year"):
        periods = Periods(first="-", length=length, year_starts=starts)
        counts = Counter(period_of(day, periods) for day in days)
        able = sorted(period for period, n in counts.items() if n >= _FEWEST_CLOSED)
        if len(able) >= _FIRST_OF:
            first = able[min(_HISTORY, len(able) // _FIRST_OF)]
            break
    else:
        first = period_of(max(days, default=date(2024, 1, 1)), periods)
    return periods.model_copy(update={"first": first.name}), first.start


def _closing_days(draft: Draft) -> list[pd.Timestamp]:
    """The days on which deals ended, else leads came or people answered; no forecasts."""
    for table, roles in _ENDS.items():
        found, known = list[pd.Timestamp](), [role for role in roles if draft.column(table, role)]
        last = max(filter(pd.notna, draft.days(table, "created_on")), default=None) if "created_on" in known else None
        for role in known:
            found += [day for day in draft.days(table, role) if pd.notna(day) and (last is None or day <= last)]
            if found and role != "won_on":  # what was won and what was lost stand in two columns
                return found
    return []
