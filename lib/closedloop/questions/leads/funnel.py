"""How far leads come: how many reached each status, and which share of those at the status before it."""

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from closedloop.period.comparisons import handed_off
from closedloop.period.counting import LEAST_SHOWN, rates
from closedloop.presentation.blocks import Piece, stating
from closedloop.presentation.findings import Column, backed, table_of, value
from closedloop.presentation.sentences import records
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of, no_leads, status_bars
from closedloop.workbench.period import opened

_STATUSES = {
    "marketing_qualified": "marketing_qualified_on",
    "handed_off": "handed_off_on",
    "sales_accepted": "sales_accepted_on",
    "sales_qualified": "sales_qualified_on",
}


def funnel(leads: pd.DataFrame, by: str | None = None, *, among: str | None = None) -> Answer:
    """How many of the ``leads`` reached each status, and which share of those at the status before it (Wilson).

    ``by`` a field: how far the leads of each group came instead, accepted of those decided on, won so far of all, and
    still open; groups under ten leads are not shown. Leads that came before deals were recorded may have been won, and
    do not count where the won ones do.
    """
    now = opened()
    answer = now.ask("funnel", "funnel", leads, "leads", _show_groups if by else _show, among=among, by=by)
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
    if by:
        _groups(answer, by)
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


def _groups(answer: Answer, by: str) -> None:
    """How far the leads of each group came."""
    rows = answer.rows
    parts = [(str(name), part) for name, part in rows.groupby(by) if len(part) >= LEAST_SHOWN]
    origin = answer.origin(handed_off(rows))
    answer.count([{"field": by, "level": name, "estimate": len(part)} for name, part in parts], origin, "n_leads")
    judged = [(name, part["is_accepted"].dropna()) for name, part in parts]
    answer.estimate(rates([(name, hit.sum(), len(hit)) for name, hit in judged], by), origin, "lead_accepted_rate")
    if rows["is_won"].notna().any():
        parts = [(name, part[part["is_followed"]]) for name, part in parts]
        came = [(name, part["is_won"].fillna(False).sum(), len(part)) for name, part in parts]
        still = [(name, part["is_won"].isna().sum(), len(part)) for name, part in parts]
        answer.estimate(rates(came, by), origin, "lead_won_rate")
        answer.estimate(rates(still, by), origin, "lead_open_rate")


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    shares = shown.of("conversion_rate")
    caption = "Percent: share of the status before, with its 90 % interval."
    picture = status_bars(shown.of("n_reached"), shares, shown.words, title or "How far do leads come?", caption)
    if shares.empty:
        return (picture,)
    narrow = records(shares.sort_values("estimate", kind="stable").head(1))[0]
    text = f"The narrowest step is to {level_of(shown.words)(narrow)}: {backed(narrow, shown.words)}."
    return picture, stating(text, narrow)


def _show_groups(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_leads": "leads",
        "lead_accepted_rate": ("accepted, of those decided on", "backed"),
        "lead_won_rate": ("won so far, of all", "backed"),
        "lead_open_rate": "not decided yet, of all",
    }
    label = level_of(shown.words)
    listed = table_of(shown.claims, shown.words, "group", columns, label=label, caption=title)
    still_open = shown.of("lead_open_rate").sort_values("estimate", ascending=False, kind="stable")
    most = records(still_open.head(1))
    return listed, *(
        stating(f"Not decided yet: up to {value(row, shown.words)}, of {label(row)}.", row) for row in most
    )
