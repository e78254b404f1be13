"""Which leads become won ones where only won deals are recorded: what was not won yet is not lost, but still open."""

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.conversions import Followed, compare_conversions, usual_days
from closedloop.evidence.looks import LOOK_COLUMNS, meta_of, stacked, typed
from closedloop.loop.comparisons import CONVERSION, lead_levels
from closedloop.loop.counting import LEAST_SHOWN, RARE
from closedloop.loop.records import ONLY_WON, came, deal_records, first_won, has_days
from closedloop.loop.situation import Situation

NOT_FOLLOWED = (
    f"{ONLY_WON} Until then leads can be followed until they are won, where it is recorded when they came "
    "(leads.created_on), and which deal is of which lead (deals.lead_id)."
)
TOO_FEW = f"{ONLY_WON} Until then leads are followed until they are won; fewer than ten were so far."


class Cohorts(NamedTuple):
    """Leads that were followed from their coming, one row each; ``until``: the days by which they are compared."""

    rows: pd.DataFrame
    leads: Followed
    until: float

    def by(self, situation: Situation) -> pd.DataFrame:
        """The levels that they are compared by: the fields known when they came, and the persona."""
        return lead_levels(situation, self.rows)


def cohorts(situation: Situation, frame: pd.DataFrame) -> Cohorts | None:
    """The leads of ``frame`` (as of ``lead_frame``, with the persona) that came in the window or just before it.

    Left out are those that came when no deals were recorded. None where it is not recorded when leads came and were
    won, or fewer than ten were won.
    """
    if not situation.view.has("deals") or not has_days(situation):
        return None
    deals, (_, ends) = situation.deals, deal_records(situation)
    if "lead_id" not in deals:
        return None
    last = min(pd.Timestamp(situation.last_day), ends)
    won_on = first_won(deals, frame)
    is_won = won_on <= last
    seen, days = (last - came(frame)).dt.days, (won_on.where(is_won, last) - came(frame)).dt.days
    is_in = frame["is_followed"] & (seen >= 0) & (days >= 0)
    every = _followed(situation, frame, is_won, days, seen, is_in)
    if every.is_won.sum() < LEAST_SHOWN:
        return None
    until = usual_days(every)
    is_in &= ~(came(frame) < situation.window_start - timedelta(days=until))
    leads = _followed(situation, frame, is_won, days, seen, is_in)
    return Cohorts(frame[is_in], leads, until) if leads.is_won.sum() >= LEAST_SHOWN else None


def _followed(situation: Situation, frame: pd.DataFrame, *parts: pd.Series) -> Followed:
    is_won, days, seen, is_in = parts
    cohort = pd.factorize(situation.names_of(came(frame)[is_in]))[0].astype(np.int64)
    numbers = (part[is_in].to_numpy(dtype=float) for part in (days, seen))
    return Followed(next(numbers), is_won[is_in].to_numpy(dtype=bool), next(numbers), cohort)


def looks(situation: Situation, found: Cohorts, by: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Each level of the columns ``by`` against all leads that came in the same periods."""
    threshold = situation.claims.practical_threshold
    known = came(found.rows) < pd.Timestamp(situation.previous.on) if situation.previous else None
    parts = []
    for name in by:
        table = compare_conversions(
            found.leads, by[name], found.until, least=LEAST_SHOWN, rare=RARE, threshold=threshold
        )
        before = table["level"].map(known.groupby(by[name]).sum()) if known is not None else None
        parts.append(table.assign(field=str(name), n_before=before))
    meta = meta_of(origin, CONVERSION, "rate", "descriptive") | {"subject": "market"}
    return stacked(typed(part.assign(**meta), LOOK_COLUMNS) for part in parts)
