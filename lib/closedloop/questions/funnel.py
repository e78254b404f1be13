"""How far leads come: how many reached each status, and which share of those at the status before it."""

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from closedloop.documents.findings import backed
from closedloop.documents.pieces import Piece, stating
from closedloop.documents.wording import records
from closedloop.loop.comparisons import handed_off
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.questions.answer import Answer
from closedloop.questions.comparison import level_of, status_bars
from closedloop.questions.evidence import Evidence
from closedloop.questions.gaps import no_leads
from closedloop.questions.period import opened

_STATUSES = {
    "marketing_qualified": "marketing_qualified_on",
    "handed_off": "handed_off_on",
    "sales_accepted": "sales_accepted_on",
    "sales_qualified": "sales_qualified_on",
}


def funnel(leads: pd.DataFrame, *, among: str | None = None) -> Answer:
    """How many of the ``leads`` reached each status, and which share of those at the status before it (Wilson).

    Leads that came before deals were recorded may have been won, and do not count where the won ones do.
    """
    now = opened()
    answer = now.ask("funnel", "funnel", leads, "leads", _show, among=among)
    if no_leads(answer):
        return answer
    rows = answer.rows
    answer.results["n_leads"] = len(rows)
    if len(rows) < LEAST_SHOWN:
        answer.missing["funnel"] = (
            f"{len(rows)} leads of the last periods were known, fewer than {LEAST_SHOWN}: collect `leads` of earlier "
            "periods as well."
        )
        return answer
    reached = {"inquiry": pd.Series(True, index=rows.index)}
    reached |= {name: rows[day].notna() for name, day in _STATUSES.items() if day in rows}
    if rows["is_won"].notna().any() and not now.situation.has_only_won:
        reached["won"] = rows["is_won"].fillna(False).astype(bool)
    origin = answer.origin(handed_off(rows))
    totals = [
        {"field": "status", "level": name, "estimate": hit.sum(), "n": len(rows)} for name, hit in reached.items()
    ]
    answer.count(totals, origin, "n_reached")
    known = {"won": rows["is_followed"]}
    steps = [
        (name, (hit & before).sum(), (before & known.get(name, True)).sum())
        for (_, before), (name, hit) in pairwise(reached.items())
    ]
    answer.estimate(rates(steps, "status"), origin, "conversion_rate")
    return answer


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    shares = shown.of("conversion_rate")
    caption = "Percent: share of the status before, with its 90 % interval."
    picture = status_bars(shown.of("n_reached"), shares, shown.words, title or "How far do leads come?", caption)
    if shares.empty:
        return (picture,)
    narrow = records(shares.sort_values("estimate", kind="stable").head(1))[0]
    text = f"The narrowest step is to {level_of(shown.words)(narrow)}: {backed(narrow, shown.words)}."
    return picture, stating(text, narrow)
