"""04 Hand-off: what did each team promise the other, and was it kept?"""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.quantiles import quantile
from closedloop.loop.counting import LEAST_SHOWN, rates, shares
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import ALL_DAYS, has_days, lead_frame, recorded_between, uncovered
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.market.warehouse import fetched
from closedloop.terms import ACCEPTED_UNTOUCHED, REJECTED_UNTOUCHED

Figure = dict[str, Any]  # estimate, and low, high, n as far as there are any

_PROMISED = {  # unit, the sign of more than promised, and the table it is observed in
    "n_leads": ("count", 1, "leads"),
    "accepted_rate": ("rate", 1, "leads"),
    "first_touch_days": ("days", -1, "touches"),
    "n_touches": ("ratio", 1, "touches"),
    "won_amount": ("amount", 1, "deals"),
}
_WAITS = (("first_touch_median_days", 0.5), ("first_touch_p90_days", 0.9))
_COLLECT = "Collect `leads` with their hand-off, acceptance and rejection, and `touches`."
_STEPS = ("sales_accepted_on", "sales_qualified_on", "recycled_on", "disqualified_on")


def handoff(situation: Situation, in_force: PersonaSet) -> Step:
    """The period's handed-off leads: how far they came, how soon they were touched, and where the teams disagree."""
    draft = Draft("handoff")
    if not situation.view.has("leads"):
        _nothing(draft, f"No leads are recorded. {_COLLECT}")
        return draft.done()
    frame = lead_frame(situation)
    if "handed_off_on" not in frame or "sales_accepted_on" not in frame:
        _nothing(draft, f"The source records no dates of hand-off and sales acceptance. {_COLLECT}")
        return draft.done()
    cohort = frame[situation.in_period(frame["handed_off_on"])]
    if len(cohort) < LEAST_SHOWN:
        _nothing(draft, "Fewer than ten leads were handed off in this period so far: too few to show.")
        return draft.done()
    cohort = cohort.assign(persona=in_force.assign(cohort))
    days, (begins, ends) = _touch_days(situation, frame)
    handed = cohort["handed_off_on"]
    cohort = cohort.assign(touch_days=days[cohort.index], is_covered=~(handed < begins) & ~(handed > ends))
    draft.count(uncovered(handed, begins, ends, "touches"), _of_touches(situation), "n_uncovered")
    accepted = _waterfall(draft, situation, cohort)
    touched = _first_touch(draft, situation, cohort)
    _in_time(draft, situation, cohort)
    _rejections(draft, situation, cohort)
    _disagreements(draft, situation, frame, cohort, in_force)
    _promises(draft, situation, cohort, {"accepted_rate": accepted, "first_touch_days": touched})
    return draft.done()


def _origin(situation: Situation, cell: str) -> Origin:
    return Origin("04_handoff", cell, "leads", situation.period.name, situation.period.name)


def _nothing(draft: Draft, why: str) -> None:
    draft.missing |= dict.fromkeys(
        ("waterfall", "first_touch", "rejections", "disagreements", "promises", "questions"), why
    )
    draft.results |= {
        "n_handed_off": None,
        "accepted_rate": None,
        "first_touch_median_days": None,
        "never_touched_share": None,
    }


def _waterfall(draft: Draft, situation: Situation, cohort: pd.DataFrame) -> Figure:
    """How many of the cohort reached each status so far; returns the share accepted of those decided."""
    days = [day for day in _STEPS if day in cohort]
    n = {"handed_off": len(cohort), **{day.removesuffix("_on"): int(cohort[day].notna().sum()) for day in days}}
    n["waiting"] = int(cohort[days].isna().all(axis=1).sum())
    origin, whole = _origin(situation, "waterfall"), len(cohort)
    rows = [{"field": "status", "level": name, "estimate": count, "n": whole} for name, count in n.items()]
    draft.count(rows, origin, "n_reached")
    draft.estimate(rates([(name, k, whole) for name, k in n.items()][1:], "status"), origin, "reached_share")
    decided = cohort["is_accepted"].dropna()
    accepted = rates([("", decided.sum(), len(decided))], "")
    draft.estimate(accepted, origin, "accepted_rate")
    draft.results |= {
        "n_handed_off": whole,
        "accepted_rate": float(decided.mean()) if accepted else None,
        "n_decided": len(decided),
    }
    return accepted[0] if accepted else {}


@lru_cache(maxsize=2)  # asked for by every section
def _sales_touches(situation: Situation) -> pd.DataFrame:
    """The touches of sales with a lead: lead_id and touched_on; none where the source records no such touch."""
    touches = fetched(situation.view.known("touches")) if situation.view.has("touches") else pd.DataFrame()
    sales = touches.reindex(columns=["lead_id", "touched_on", "from_team"]).query("from_team == 'sales'")
    return sales.assign(touched_on=pd.to_datetime(sales["touched_on"])).dropna(subset=["lead_id"])


def _of_touches(situation: Situation) -> Origin:
    return _origin(situation, "first_touch")._replace(source_table="touches")


def _touch_days(situation: Situation, leads: pd.DataFrame) -> tuple[pd.Series, tuple[pd.Timestamp, pd.Timestamp]]:
    """Days from hand-off to the first sales touch, missing: never touched so far; first and last day of the records."""
    sales = _sales_touches(situation)
    if sales.empty:
        return pd.Series(np.nan, index=leads.index), ALL_DAYS
    joined = leads[["lead_id", "handed_off_on"]].reset_index().merge(sales[["lead_id", "touched_on"]], on="lead_id")
    after = joined[joined["touched_on"] >= joined["handed_off_on"]]
    first = after.groupby("index")["touched_on"].min().reindex(leads.index)
    recorded = recorded_between(situation, leads["handed_off_on"], first) if has_days(situation) else ALL_DAYS
    return (first - leads["handed_off_on"]).dt.days, recorded


def _first_touch(draft: Draft, situation: Situation, cohort: pd.DataFrame) -> Figure:
    """Days to the first touch, of all and by channel, persona and representative; returns the median of all."""
    if _sales_touches(situation).empty:
        draft.missing["first_touch"] = "No touches of sales are recorded: collect `touches` with team, lead and date."
        draft.results |= {"first_touch_median_days": None, "never_touched_share": None}
        return {}
    cohort = cohort[cohort["is_covered"]]
    origin, days = _of_touches(situation), cohort["touch_days"]
    if len(days) < LEAST_SHOWN:
        draft.missing["first_touch"] = "Fewer than ten leads were handed off while touches were recorded: too few."
        draft.results |= {"first_touch_median_days": None, "never_touched_share": None}
        return {}
    for field in ("", *(name for name in ("channel", "persona", "rep_id") if name in cohort)):
        parts = [(str(level), part) for level, part in days.groupby(cohort[field])] if field else [("", days)]
        for measure, q in _WAITS if situation.definition.has_calendar else ():
            draft.estimate(_waits(field, parts, q), origin, measure, unit="days")
        never = rates([(level, part.isna().sum(), len(part)) for level, part in parts], field)
        draft.estimate(never, origin, "never_touched_share")
    median = _wait(days, 0.5) if situation.definition.has_calendar else {}
    draft.results |= {
        "first_touch_median_days": median.get("estimate"),
        "never_touched_share": float(days.isna().mean()),
    }
    return median


def _in_time(draft: Draft, situation: Situation, cohort: pd.DataFrame) -> None:
    """Share of the leads touched within the promised days; one whose days are not over yet is not judged."""
    goals = situation.definition.goals.get(situation.period.name)
    promised = goals.first_touch_days if goals else None
    if promised is None or not situation.definition.has_calendar or _sales_touches(situation).empty:
        return
    is_over = cohort["handed_off_on"] + pd.Timedelta(days=promised) < pd.Timestamp(situation.on)
    days = cohort.loc[is_over & cohort["is_covered"], "touch_days"]
    origin = _of_touches(situation)
    draft.estimate(rates([("", (days <= promised).sum(), len(days))], ""), origin, "touched_in_time_share")


def _wait(days: pd.Series, q: float) -> Figure:
    """A quantile of waiting times, in which a lead never touched has waited longer than any."""
    return quantile(days.fillna(np.inf), q)


def _waits(field: str, parts: list[tuple[str, pd.Series]], q: float) -> list[Figure]:
    """Statements of the waits of groups; where it has no end so far there is nothing to state."""
    found = [{**_wait(part, q), "field": field, "level": level} for level, part in parts if len(part) >= LEAST_SHOWN]
    return [row for row in found if not np.isnan(row["estimate"])]


def _rejections(draft: Draft, situation: Situation, cohort: pd.DataFrame) -> None:
    """Why sales gave leads back; reasons named fewer than ten times count in the total and are not stated."""
    refused = cohort[cohort["is_accepted"].eq(False).fillna(False)]
    if "rejection_reason" not in cohort:
        draft.missing["rejections"] = (
            "No reasons are recorded: collect `leads.rejection_reason` from a short closed list."
        )
        return
    if len(refused) < LEAST_SHOWN:
        draft.missing["rejections"] = f"Sales gave {len(refused)} leads back; {LEAST_SHOWN} are needed to show reasons."
        return
    table = shares(refused["rejection_reason"].fillna("(not recorded)"), "rejection_reason")
    if table.empty:
        draft.missing["rejections"] = "Every reason was named fewer than ten times, too seldom to be shown."
    origin = _origin(situation, "rejections")
    draft.estimate(table, origin, "rejection_share")
    draft.count(table.drop(columns=["low", "high"]).assign(estimate=table["k"]), origin, "n_rejected")


def _disagreements(
    draft: Draft, situation: Situation, frame: pd.DataFrame, cohort: pd.DataFrame, in_force: PersonaSet
) -> None:
    """Where the teams' verdicts differ: how many leads, out of how many."""
    accepted = cohort["is_accepted"].eq(True).fillna(False)
    returned = frame["recycled_on"].notna() if "recycled_on" in frame else pd.Series(False, index=frame.index)
    later_won = returned & frame["is_won"].eq(True).fillna(False)
    rows = [("rejected or recycled, yet won later", later_won.sum(), returned.sum())]
    if not _sales_touches(situation).empty:
        covered = cohort[cohort["is_covered"]]
        rejected, is_untouched = covered["is_accepted"].eq(False).fillna(False), covered["touch_days"].isna()
        taken = accepted[covered.index]
        rows.insert(0, (REJECTED_UNTOUCHED, (rejected & is_untouched).sum(), rejected.sum()))
        rows.append((ACCEPTED_UNTOUCHED, (taken & is_untouched).sum(), taken.sum()))
    rows += _fit_against_verdict(cohort, in_force)
    told = [{"field": "kind", "level": kind, "estimate": k, "n": n} for kind, k, n in rows if n >= LEAST_SHOWN]
    draft.count(told, _origin(situation, "disagreements"), "n_disagreements")
    if not told:
        draft.missing["disagreements"] = "Fewer than ten leads were accepted or given back: too few to show."


def _fit_against_verdict(cohort: pd.DataFrame, in_force: PersonaSet) -> list[tuple[str, int, int]]:
    """Decided leads on whose persona the set in force and sales differ: kind, how many, of how many such leads.

    A persona fits when its promised win rate lies above the market's with its whole interval, and does not when below;
    of one whose rate rests on fewer than ten deals nobody can tell.
    """
    base, decided = in_force.base_rate, cohort[cohort["is_accepted"].notna()]
    known = [p for p in in_force.personas if p.low is not None and p.high is not None and not p.is_assumed]
    fits = decided[decided["persona"].isin([p.id for p in known if base is not None and (p.low or 0) > base])]
    misfits = decided[decided["persona"].isin([p.id for p in known if base is not None and (p.high or 1) < base])]
    accepted = {name: int(part["is_accepted"].sum()) for name, part in (("fits", fits), ("misfits", misfits))}
    return [
        ("of a persona that wins more often, yet given back", len(fits) - accepted["fits"], len(fits)),
        ("of a persona that wins less often, yet accepted", accepted["misfits"], len(misfits)),
    ]


def _promises(draft: Draft, situation: Situation, cohort: pd.DataFrame, figures: dict[str, Figure]) -> None:
    """Both teams' promises for the period against what happened; an effect of 0 or more has kept the promise."""
    goals = situation.definition.goals.get(situation.period.name)
    if goals is None:
        draft.missing["promises"] = (
            "No promises are recorded for this period. "
            f'Agree on them and write them under [goals."{situation.period.name}"] in market.toml.'
        )
        return
    observed = figures | {"n_leads": {"estimate": len(cohort)}, "won_amount": _won_amount(situation)}
    observed["n_touches"] = _touches_before_giving_up(situation, cohort)
    judged = []
    for name, (unit, sign, table) in _PROMISED.items():
        promised, found = getattr(goals, name), observed[name]
        if promised is not None:
            effect = sign * (found.get("estimate", np.nan) - promised)
            row = {**found, "field": "promise", "level": name, "baseline": float(promised), "effect": effect}
            told = draft.count if unit in ("count", "amount") else draft.estimate
            told([row], _origin(situation, "promises")._replace(source_table=table), "promise", unit=unit)
            judged += [effect >= 0] if _is_decided(row) else []
    if judged:
        draft.count([{"estimate": sum(judged), "n": len(judged)}], _origin(situation, "promises"), "n_promises_kept")


def _is_decided(promise: Figure) -> bool:
    """Is there a figure, and does it lie off the promise with its whole interval?"""
    if np.isnan(promise["effect"]):
        return False
    return not promise.get("low", np.nan) <= promise["baseline"] <= promise.get("high", np.nan)


def _won_amount(situation: Situation) -> Figure:
    """What was won in the period."""
    if not situation.view.has("deals") or "won_amount" not in situation.deals:
        return {}
    amounts = situation.deals.loc[situation.in_period(situation.deals["closed_on"]), "won_amount"].dropna()
    return {"estimate": float(amounts.sum()), "n": len(amounts)}


def _touches_before_giving_up(situation: Situation, cohort: pd.DataFrame) -> Figure:
    """Median number of sales touches of leads that were touched and given up."""
    sales = _sales_touches(situation)
    if sales.empty or "disqualified_on" not in cohort:
        return {}
    n = sales["lead_id"].value_counts()
    given_up = cohort.loc[cohort["disqualified_on"].notna() & cohort["touch_days"].notna(), "lead_id"]
    return quantile(given_up.map(n).fillna(0)) if len(given_up) >= LEAST_SHOWN else {}
