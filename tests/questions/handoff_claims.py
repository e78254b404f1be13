"""Hand-made claims of 04 handoff, as its verbs leave them."""

import pandas as pd
from closedloop.claims.ledger import Origin
from closedloop.terms import REJECTED_UNTOUCHED

from tests.documents.ledger import Draft, rates, totals, whole


def handoff() -> pd.DataFrame:
    """Fifty leads, handed off and promised."""

    def at(cell: str) -> Origin:
        return Origin("04_handoff", cell, "leads", "2025-q1", "2025-q1")

    reasons = rates("rejection_reason", too_early=(0.6, 0.5, 0.7, 100), no_need=(0.4, 0.3, 0.5, 100))
    kinds = totals("kind", 40, **{"rejected, yet won later": 3, "accepted, yet not touched so far": 0})
    kinds += totals("kind", 18, **{REJECTED_UNTOUCHED: 9})
    kept = {"field": "promise", "level": "n_leads", "estimate": 120, "baseline": 100, "effect": 20}
    inside = {"field": "promise", "level": "accepted_rate", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 45}
    unknown = {"field": "promise", "level": "first_touch_days", "baseline": 2}
    draft = Draft()
    draft.count(totals("status", 50, handed_off=50, waiting=5), at("waterfall"), "n_reached")
    draft.estimate(rates("status", waiting=(0.1, 0.05, 0.2, 50)), at("waterfall"), "reached_share")
    draft.estimate(whole(0.6, 0.49, 0.7, 45), at("waterfall"), "accepted_rate")
    draft.estimate(whole(4, 3, 5, 50), at("first_touch"), "first_touch_median_days", unit="days")
    draft.estimate(whole(0.25, 0.16, 0.36, 50), at("first_touch"), "never_touched_share")
    draft.estimate(whole(0.3, 0.2, 0.42, 48), at("first_touch"), "touched_in_time_share")
    draft.estimate(reasons, at("rejections"), "rejection_share")
    draft.count(totals("rejection_reason", 100, too_early=60, no_need=40), at("rejections"), "n_rejected")
    draft.count(kinds, at("disagreements"), "n_disagreements")
    draft.count([kept], at("promises"), "promise")
    draft.estimate([inside | {"baseline": 0.6, "effect": -0.1}], at("promises"), "promise")
    draft.estimate([unknown], at("promises"), "promise", unit="days")
    draft.count([{"estimate": 1, "n": 2}], at("promises"), "n_promises_kept")
    return draft.claims()


CLAIMS = handoff()
