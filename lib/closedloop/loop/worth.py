"""What deals are worth: how long winning takes, for how much, what a decided one brings, and the sales velocity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.evidence.amounts import MOST_OF_ALL, conformal_range, mean_amounts, velocity
from closedloop.evidence.claims import Origin, amount_looks, cycle_looks
from closedloop.evidence.curves import cycle_days
from closedloop.evidence.decided import won_per_decided
from closedloop.evidence.money_looks import decided_looks
from closedloop.evidence.quantiles import quantile
from closedloop.loop.counting import LEAST_SHOWN, levels, rates
from closedloop.loop.records import won
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

SAME_DAY = "Every deal ends on the day it is opened"
PER_DECIDED = "won_amount_per_decided"
LARGE = "large_amount"
_FIELDS = ("persona", "product")
_MOST_NAMED, _TIMES_MEDIAN = 3, 10
Row = dict[str, Any]  # a statement: field, level, estimate, low, high, n
Known = dict[str, tuple[float, float, float]]  # estimate, low and high of all ("") and of each persona


def worth(draft: Draft, situation: Situation, every: pd.DataFrame, ended: pd.DataFrame) -> None:
    """State days, amounts and velocity of deals that ended within the window, and compare personas.

    Products are shown and not compared: that a dearer product makes larger deals is its price list, not a finding.
    """
    won_deals = ended[ended["outcome"] == "won"]
    origin = Origin("05_deals", "cycle", "deals", *situation.span(ended["closed_on"]))
    days = _cycle(draft, situation, won_deals, origin)
    origin = origin._replace(cell="amounts")
    amounts = _amounts(draft, won_deals, origin)
    if amounts and not situation.has_only_won:
        _per_decided(draft, ended[won(ended).notna()], origin)
    speeds = [_velocity(every, ended, level, amounts[level], days[level]) for level in days if level in amounts]
    draft.estimate([row for row in speeds if row], origin, "sales_velocity_per_day", unit="amount")


def _cycle(draft: Draft, situation: Situation, won_deals: pd.DataFrame, origin: Origin) -> Known:
    """Median days to win; means are compared."""
    timed = won_deals.dropna(subset=["age_days"])
    reason = no_days(situation, situation.deals) or _no_cycle(won_deals, timed)
    draft.results["sales_cycle_days"] = None if reason else cycle_days(timed["age_days"], timed["outcome"])["estimate"]
    if reason:
        draft.missing["cycle"] = reason
        return {}
    rows = [{**named, **cycle_days(part["age_days"], part["outcome"])} for named, part in _groups(timed)]
    draft.estimate(rows, origin, "median_cycle_days", unit="days")
    draft.looks.append(cycle_looks(_by_persona(timed, "age_days", "days"), origin))
    return _known(rows)


def no_days(situation: Situation, deals: pd.DataFrame) -> str:
    """Why no deal of the market has an age in days; nothing where some have one."""
    clock = situation.definition.clock
    if clock != "day":
        kept = {"month": "only months", "order": "only the order of deals", "none": "no dates"}[clock]
        return f"The source records {kept}, so how many days a deal takes is unknown: collect the day of both its ends."
    if deals["age_days"].notna().any() or deals.empty:
        return ""
    lacking = [name for name in ("created_on", "closed_on") if deals[name].isna().all()]
    if lacking:
        return f"No deal records {' or '.join(lacking)}, so how many days a deal takes is unknown: collect it."
    return "No deal records both its days, created_on and not before it closed_on: collect both of every deal."


def _no_cycle(won_deals: pd.DataFrame, timed: pd.DataFrame) -> str:
    """Why the won deals do not tell how long winning takes; nothing where they do."""
    if len(won_deals) < LEAST_SHOWN:
        return "Fewer than ten deals were won, too few to show how long winning takes."
    if len(timed) < LEAST_SHOWN:
        return (
            f"Only {len(timed)} of {len(won_deals)} won deals record when they were opened and closed, too few to show "
            "how long winning takes: collect created_on and closed_on of every deal."
        )
    return f"{SAME_DAY}: winning takes no day, and there is nothing to compare." if timed["age_days"].max() == 0 else ""


def _no_amounts(won_deals: pd.DataFrame) -> str:
    """Why the won deals do not tell what a deal is worth; nothing where they do."""
    if len(won_deals) < LEAST_SHOWN:
        return "Fewer than ten deals were won, too few to show what one is worth."
    if "won_amount" not in won_deals or won_deals["won_amount"].isna().all():
        return "No won deal records its amount: collect won_amount of deals."
    n, n_zero = int((won_deals["won_amount"] > 0).sum()), int((won_deals["won_amount"] == 0).sum())
    if n >= LEAST_SHOWN:
        return ""
    if not n:
        return f"Each of the {n_zero} amounts of won deals is 0, which tells no price: collect won_amount of deals."
    zeros = f", {n_zero} have 0" if n_zero else ""
    return f"Only {n} of {len(won_deals)} won deals have an amount above 0{zeros}: collect won_amount of every deal."


def _amounts(draft: Draft, won_deals: pd.DataFrame, origin: Origin) -> Known:
    """Mean and median amount of a won deal, and the range of the next; means are compared.

    Where the mean of all has no interval, the deals that make it are named.
    """
    if reason := _no_amounts(won_deals):
        draft.missing["amounts"] = reason
        return {}
    paid = won_deals[won_deals["won_amount"] > 0].astype({"won_amount": "float64"})
    medians = [{**named, **quantile(part["won_amount"])} for named, part in _groups(paid)]
    draft.estimate(medians, origin, "median_amount", unit="amount")
    means = [*_means(paid, ""), *_means(paid, "persona")]
    products = _means(paid, "product") if "product" in paid else []
    draft.estimate([means[0], *products], origin, "mean_amount", unit="amount")
    if means[0]["reason"]:
        draft.count(_large(paid), origin, LARGE, unit="amount")
    draft.looks.append(amount_looks(_by_persona(paid, "won_amount", "amount"), origin))
    coming = [{**row, **_next(part["won_amount"])} for row, (_, part) in zip(medians, _groups(paid), strict=True)]
    ranges = [row for row in coming if row["field"] in ("", "persona") and np.isfinite(row["low"])]
    draft.estimate(ranges, origin, "next_amount", unit="amount", kind="predictive")
    draft.results |= {f"next_amount_{end}": coming[0][end] for end in ("low", "high")}
    draft.results["median_amount"] = medians[0]["estimate"]
    return _known(means)


def state_by_channel(draft: Draft, situation: Situation, persona: pd.Series) -> None:
    """What a decided deal of each channel brings, of the window's deals: of all, and of every persona's."""
    ended = situation.closed_deals if situation.view.has("deals") else pd.DataFrame()
    if situation.has_only_won or not {"channel", "won_amount"} <= set(ended):
        return
    decided = ended[won(ended).notna()]
    deals = decided.assign(is_won=decided["outcome"] == "won", amount=decided["won_amount"].astype("float64"))
    origin = Origin("03_leads", "channels", "deals", *situation.span(deals["closed_on"]))
    parts = [("market", deals), *((str(name), part) for name, part in deals.groupby(persona[deals.index]))]
    for subject, part in parts:
        rows = _brought(part, levels(part, ["channel"])["channel"], "channel")
        draft.estimate(rows, origin, PER_DECIDED, unit="amount", subject=subject)


def _brought(deals: pd.DataFrame, by: pd.Series, field: str) -> pd.DataFrame:
    """Statements of what a decided deal of each level brings; those of fewer than ten deals are left out."""
    table = won_per_decided(deals["is_won"], deals["amount"], by).rename(columns={"group": "level"})
    return table.loc[table["n"] >= LEAST_SHOWN, ["level", "estimate", "low", "high", "n", "reason"]].assign(field=field)


def _per_decided(draft: Draft, decided: pd.DataFrame, origin: Origin) -> None:
    """What a decided deal brings, won or lost: of all, of personas, which are compared, and of products."""
    deals = decided.assign(is_won=decided["outcome"] == "won", amount=decided["won_amount"].astype("float64"))
    by = _levels(deals)
    stated = {"": pd.Series("", index=deals.index), **{str(name): by[name] for name in by if name != "persona"}}
    for field, told in stated.items():
        draft.estimate(_brought(deals, told, field), origin, PER_DECIDED, unit="amount")
    if "persona" in by:
        compared = deals.assign(field="persona", level=by["persona"])
        draft.looks.append(decided_looks(compared, origin, measure=PER_DECIDED))
    n_unpaid = int((deals["is_won"] & ~(deals["amount"] > 0)).sum())
    if n_unpaid:
        draft.count([{"estimate": n_unpaid, "n": int(deals["is_won"].sum())}], origin, "n_won_without_amount")


def _large(paid: pd.DataFrame) -> pd.DataFrame:
    """The largest won deals, three at most, that are far from the others: their ids and amounts."""
    amounts = paid["won_amount"]
    is_large = (amounts > _TIMES_MEDIAN * amounts.median()) | (amounts > MOST_OF_ALL * amounts.sum())
    named = paid[is_large].nlargest(_MOST_NAMED, "won_amount").rename(columns={"won_amount": "estimate"})
    return named[["estimate"]].assign(field="deal_id", level=named["deal_id"].astype(str), n=len(paid))


def _next(amounts: pd.Series) -> dict[str, float]:
    """The range that holds the next amount nine times of ten."""
    return dict(zip(("low", "high"), conformal_range(amounts), strict=True))


def _means(paid: pd.DataFrame, field: str) -> list[Row]:
    """Mean amounts of all, or of a field's groups of ten or more, drawn together."""
    by = _levels(paid).get(field) if field else pd.Series("", index=paid.index)
    if by is None:
        return []
    table = mean_amounts(paid["won_amount"], by)
    rows = table[table["n"] >= LEAST_SHOWN].assign(field=field, level=table["group"])
    columns = ["field", "level", "estimate", "low", "high", "n", "reason"]
    return [dict(zip(columns, row, strict=True)) for row in rows[columns].itertuples(index=False)]


def _groups(frame: pd.DataFrame) -> list[tuple[Row, pd.DataFrame]]:
    """All together, and every group of ten or more: field and level, and its rows."""
    by = _levels(frame)
    parts = [({"field": name, "level": str(level)}, part) for name in by for level, part in frame.groupby(by[name])]
    return [({"field": "", "level": ""}, frame), *parts]


def _levels(frame: pd.DataFrame) -> pd.DataFrame:
    """The fields that are compared, as levels; a field with one level says what all together says."""
    by = levels(frame, [name for name in _FIELDS if name in frame])
    return by.loc[:, by.nunique() > 1]


def _by_persona(frame: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """A row for each deal that is compared: field, level and the deal's value."""
    return levels(frame, ["persona"]).set_axis(["level"], axis=1).assign(field="persona", **{name: frame[column]})


def _known(rows: Sequence[Row]) -> Known:
    return {row["level"]: (row["estimate"], row["low"], row["high"]) for row in rows if row["field"] in ("", "persona")}


def _velocity(every: pd.DataFrame, ended: pd.DataFrame, persona: str, amount: Any, days: Any) -> Row:
    """Money that the open deals make a day, of all or of a persona; empty with fewer than ten open or decided."""
    mine = every if not persona else every[every["persona"].astype("str") == persona]
    hit = won(mine.loc[mine.index.intersection(ended.index)]).dropna()
    n_open, rate = int((mine["outcome"] == "open").sum()), rates([("", hit.sum(), len(hit))], "")
    if n_open < LEAST_SHOWN or not rate:
        return {}
    found = velocity(n_open, _known(rate)[""], amount, days)
    field = "persona" if persona else ""
    return {"field": field, "level": persona, **found, "n": len(hit)} if np.isfinite(found["estimate"]) else {}
