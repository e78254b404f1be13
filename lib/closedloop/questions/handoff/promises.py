"""Leads that were handed off in a period, whether sales took them, and how soon sales touched them."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from closedloop.errors import ParameterError, allowed
from closedloop.market.definition import Goals
from closedloop.period.counting import LEAST_SHOWN, rates
from closedloop.period.lead_records import ALL_DAYS, has_days, lead_frame, recorded_between, uncovered
from closedloop.period.situation import Situation
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, stating
from closedloop.presentation.sentences import Claim, backed, first, records, value
from closedloop.presentation.tables import Columns, table_of
from closedloop.questions.leads import conversions
from closedloop.statistics.cumulative_incidence import quantile
from closedloop.terms import REJECTED_UNTOUCHED
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import OpenPeriod, opened

_COLLECT = "Collect `leads` with their hand-off, acceptance and rejection, and `touches`."


def handed_off(answer: Answer) -> pd.DataFrame:
    """The leads among the answer's that were handed off in the period; none, and the answer says why, where too few.

    ``touch_days``: from hand-off to the first touch by sales, missing while there is none; ``is_covered``: did it lie
    within the days for which touches are recorded?
    """
    leads, situation = answer.rows, answer.now.situation
    if not situation.view.has("leads"):
        answer.missing[answer.section] = f"No leads are recorded. {_COLLECT}"
        return leads.head(0)
    gone = {"handed_off_on": "hand-off", "sales_accepted_on": "sales acceptance"}
    if absent := [name for column, name in gone.items() if column not in leads]:
        answer.missing[answer.section] = f"The source records no dates of {' and '.join(absent)}. {_COLLECT}"
        return leads.head(0)
    if not answer.is_recorded and len(leads):
        answer.missing[answer.section] = (
            "These rows are no leads of the open period, so nobody knows their touches: choose rows of now.leads() and "
            "keep their index."
        )
        return leads.head(0)
    cohort = leads[situation.in_period(leads["handed_off_on"])]
    if len(cohort) < LEAST_SHOWN:
        answer.missing[answer.section] = "Fewer than ten leads were handed off in this period so far: too few to show."
        return leads.head(0)
    days, begins, ends = touch_days(situation)
    handed = cohort["handed_off_on"]
    return cohort.assign(touch_days=days.reindex(cohort.index), is_covered=~(handed < begins) & ~(handed > ends))


def accepted_rate(cohort: pd.DataFrame) -> list[dict[str, object]]:
    """The share of the decided leads that sales accepted, as a statement; none of fewer than ten."""
    decided = cohort["is_accepted"].dropna()
    return rates([("", decided.sum(), len(decided))], "")


@lru_cache(maxsize=2)  # asked for by every question about the hand-off
def sales_touches(situation: Situation) -> pd.DataFrame:
    """The touches of sales with a lead: lead_id and touched_on; none where the source records no such touch."""
    touches = situation.known("touches")
    sales = touches.reindex(columns=["lead_id", "touched_on", "from_team"]).query("from_team == 'sales'")
    return sales.assign(touched_on=pd.to_datetime(sales["touched_on"])).dropna(subset=["lead_id"])


@lru_cache(maxsize=2)
def touch_days(situation: Situation) -> tuple[pd.Series, pd.Timestamp, pd.Timestamp]:
    """Days from hand-off to the first sales touch of every lead, and the first and last day of the records.

    Missing: never touched so far.
    """
    leads, sales = lead_frame(situation), sales_touches(situation)
    if sales.empty:
        return pd.Series(np.nan, index=leads.index), *ALL_DAYS
    joined = leads[["lead_id", "handed_off_on"]].reset_index().merge(sales[["lead_id", "touched_on"]], on="lead_id")
    after = joined[joined["touched_on"] >= joined["handed_off_on"]]
    first = after.groupby("index")["touched_on"].min().reindex(leads.index)
    recorded = recorded_between(situation, leads["handed_off_on"], first) if has_days(situation) else ALL_DAYS
    return (first - leads["handed_off_on"]).dt.days, *recorded


Figure = dict[str, Any]  # estimate, and low, high, n as far as there are any

_PROMISED = {  # unit, the sign of more than promised, and the table it is observed in
    "n_leads": ("count", 1, "leads"),
    "accepted_rate": ("rate", 1, "leads"),
    "first_touch_days": ("days", -1, "touches"),
    "n_touches": ("ratio", 1, "touches"),
    "won_amount": ("amount", 1, "deals"),
}
_NAMES = {  # what was promised, and by which team
    "n_leads": ("leads handed off", "marketing"),
    "accepted_rate": ("share accepted by sales", "marketing"),
    "first_touch_days": ("median days to the first touch", "sales"),
    "n_touches": ("touches before disqualifying a lead that was touched", "sales"),
    "won_amount": ("won amount", "sales"),
}
_JUST_MISSED, _JUST = "just missed", 0.05  # a promise that lacks at most this part of itself


def goals_of(now: OpenPeriod, given: Mapping[str, Any] | None) -> Goals | None:
    """The goals given, else those of the period in market.toml; errors: ParameterError for one that does not exist."""
    if given is None:
        return now.definition.goals.get(now.period.name)
    try:
        return Goals(**given)
    except ValidationError as error:
        found = ".".join(map(str, error.errors()[0]["loc"]))
        raise ParameterError(f"goals: {found!r} cannot be promised; allowed: {allowed(_PROMISED)}, numbers") from error


def promises(
    leads: pd.DataFrame, deals: pd.DataFrame, goals: Mapping[str, Any] | None = None, *, among: str | None = None
) -> Answer:
    """Both teams' promises for the period against what happened; an effect of 0 or more has kept the promise.

    ``leads`` and ``deals``: every one. ``goals``: n_leads, accepted_rate, first_touch_days, n_touches, won_amount; as
    market.toml says unless given. A promise inside the interval of what was observed is not judged.
    """
    now = opened()
    answer = now.ask("promises", "promises", leads, "leads", show_promises, among=among, goals=goals)
    cohort, agreed = handed_off(answer), goals_of(now, goals)
    if cohort.empty:
        return answer
    if agreed is None:
        answer.missing["promises"] = (
            "No promises are recorded for this period. "
            f'Agree on them and write them under [goals."{now.period.name}"] in market.toml.'
        )
        return answer
    observed = _observed(now, cohort, deals)
    judged = []
    for name, (unit, sign, table) in _PROMISED.items():
        promised, found = getattr(agreed, name), observed[name]
        if promised is None:
            continue
        effect = sign * (found.get("estimate", np.nan) - promised)
        row = {**found, "field": "promise", "level": name, "baseline": float(promised), "effect": effect}
        state = answer.count if unit in ("count", "amount") else answer.estimate
        state([row], answer.origin_now._replace(source_table=table), "promise", unit=unit)
        is_inside = found.get("low", np.nan) <= promised <= found.get("high", np.nan)
        judged += [] if np.isnan(effect) or is_inside else [effect >= 0]
    if judged:
        answer.count([{"estimate": sum(judged), "n": len(judged)}], answer.origin_now, "n_promises_kept")
    return answer


def _observed(now: OpenPeriod, cohort: pd.DataFrame, deals: pd.DataFrame) -> dict[str, Figure]:
    """What happened in the period, by what can be promised; a figure that cannot be told is empty."""
    situation, accepted = now.situation, accepted_rate(cohort)
    found: dict[str, Figure] = {name: {} for name in _PROMISED} | {"n_leads": {"estimate": len(cohort)}}
    if accepted:
        found["accepted_rate"] = accepted[0]
    touches, covered = sales_touches(situation), cohort.loc[cohort["is_covered"], "touch_days"]
    if len(touches) and len(covered) >= LEAST_SHOWN and situation.definition.has_calendar:
        found["first_touch_days"] = quantile(covered.fillna(np.inf), 0.5)
    if len(touches) and "disqualified_on" in cohort:  # touches before a lead that was touched was disqualified
        given_up_on = touches["lead_id"].map(cohort.set_index("lead_id")["disqualified_on"])
        n = touches.loc[touches["touched_on"] <= given_up_on, "lead_id"].value_counts()
        found["n_touches"] = quantile(n) if len(n) >= LEAST_SHOWN else {}
    if "won_amount" in deals:
        amounts = deals.loc[situation.in_period(deals["closed_on"]) & (deals["outcome"] == "won"), "won_amount"]
        found["won_amount"] = {"estimate": float(amounts.sum()), "n": len(amounts)} if amounts.notna().all() else {}
    return found


def show_promises(shown: Evidence, title: str) -> Sequence[Piece]:
    """What each team promised, and what was observed."""
    claims = shown.of("promise")
    if claims.empty:
        return ()

    def promised(row: Mapping[str, Claim]) -> str:
        claim = row["promise"]
        return numbers.written(claim["baseline"], claim["unit"], shown.words.currency)

    columns: Columns = {
        "by": ("by", lambda row: _NAMES[row["promise"]["level"]][1]),
        "promised": ("promised", promised),
        "promise": ("observed", "backed"),
        "kept": ("kept", lambda row: _is_kept(row["promise"])),
    }
    names = {name: text for name, (text, _) in _NAMES.items()}
    listed = table_of(
        *(claims, shown.words, "promise", columns), label=lambda claim: names[claim["level"]], caption=title
    )
    kept = shown.first("n_promises_kept")
    if kept is None:
        return listed, Sentence("No promise could be judged yet.")
    verb = "was" if kept["estimate"] == 1 else "were"
    text = f"{numbers.count(kept['estimate'])} of {numbers.count(kept['n'])} promises that can be judged {verb} kept"
    just = [claim for claim in records(claims) if _is_kept(claim) == _JUST_MISSED]
    text += f"; just missed: {', '.join(names[claim['level']] for claim in just)}" if just else ""
    return listed, stating(f"{text}.", kept, *just)


def _is_kept(claim: Claim) -> str:
    """Was the promise kept, as far as that can be told?"""
    if numbers.is_missing(claim["effect"]):
        return "not judged"
    if not numbers.is_missing(claim["low"]) and claim["low"] <= claim["baseline"] <= claim["high"]:
        return "cannot tell"
    if claim["effect"] >= 0:
        return "yes"
    return _JUST_MISSED if -claim["effect"] <= _JUST * claim["baseline"] else "no"


WAITS = {"first_touch_median_days": 0.5, "first_touch_p90_days": 0.9}
_GROUPS = ("channel", "persona", "rep_id")


def first_touch(
    leads: pd.DataFrame,
    by: Sequence[str] | None = None,
    *,
    goals: Mapping[str, Any] | None = None,
    among: str | None = None,
) -> Answer:
    """Days from hand-off to the first touch by sales, of all and of the groups ``by``; shares not touched so far.

    A lead never touched has waited longer than any, so that forgetting does not shorten a quantile; intervals are those
    of order statistics. ``by``: channel, persona and seller unless given. ``goals``: as of ``promises``; a lead whose
    promised days are not over yet is not judged.
    """
    now = opened()
    answer = now.ask("first_touch", "first_touch", leads, "leads", _show, among=among, by=by, goals=goals)
    answer.headline, situation = waited, now.situation
    answer.results |= {"first_touch_median_days": None, "never_touched_share": None}
    cohort = handed_off(answer)
    if cohort.empty:
        return answer
    origin, (_, begins, ends) = answer.origin_now._replace(source_table="touches"), touch_days(situation)
    answer.count(uncovered(cohort["handed_off_on"], begins, ends, "touches"), origin, "n_uncovered")
    if sales_touches(situation).empty:
        answer.missing["first_touch"] = "No touches of sales are recorded: collect `touches` with team, lead and date."
        return answer
    covered, has_calendar = cohort[cohort["is_covered"]], situation.definition.has_calendar
    agreed = goals_of(now, goals)
    promised = agreed.first_touch_days if agreed else None
    if promised is not None and has_calendar:
        is_over = covered["handed_off_on"] + pd.Timedelta(days=promised) < pd.Timestamp(situation.on)
        days = covered.loc[is_over, "touch_days"]
        answer.estimate(rates([("", (days <= promised).sum(), len(days))], ""), origin, "touched_in_time_share")
    days = covered["touch_days"]
    if len(days) < LEAST_SHOWN:
        answer.missing["first_touch"] = "Fewer than ten leads were handed off while touches were recorded: too few."
        return answer
    for field in ("", *(name for name in by or _GROUPS if name in covered)):
        groups = [(str(level), part) for level, part in days.groupby(covered[field])] if field else [("", days)]
        for measure, q in WAITS.items() if has_calendar else ():
            waits = [quantile(part.fillna(np.inf), q) | {"field": field, "level": level}
                     for level, part in groups if len(part) >= LEAST_SHOWN]  # fmt: skip
            answer.estimate([row for row in waits if not np.isnan(row["estimate"])], origin, measure, unit="days")
        never = rates([(level, part.isna().sum(), len(part)) for level, part in groups], field)
        answer.estimate(never, origin, "never_touched_share")
    median = quantile(days.fillna(np.inf), 0.5)["estimate"] if has_calendar else None
    answer.results |= {"first_touch_median_days": median, "never_touched_share": float(days.isna().mean())}
    return answer


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: Columns = {
        "never_touched_share": ("not touched so far", "backed"),
        "first_touch_median_days": ("median", "backed"),
        "first_touch_p90_days": "nine of ten within",
    }
    rows = shown.of(*columns)
    note = f"{numbers.MISSING}: not reached so far, because too many were not touched yet."
    caption = f"{title} {note}" if title else note
    listed = [table_of(rows, shown.words, "leads", columns, caption=caption, limit=25)] if len(rows) else []
    return *neglected(shown), *listed, *waited(shown), *conversions.left_out(shown, "first_touch")


def neglected(shown: Evidence) -> list[Sentence]:
    """What both teams have to hear first: leads given back that nobody touched, and how many were touched in time."""
    said, cited = [], []
    untouched = first(shown.ledger, measure="n_disagreements", level=REJECTED_UNTOUCHED)
    if untouched is not None:
        of = f"{value(untouched, shown.words)} of {numbers.count(untouched['n'])}"
        said.append(f"{of} rejected leads had no sales touch before")
        cited.append(untouched)
    in_time = first(shown.ledger, measure="touched_in_time_share")
    promised = first(shown.ledger, measure="promise", level="first_touch_days")
    if in_time is not None and promised is not None:
        days = numbers.days(promised["baseline"])
        said.append(f"{backed(in_time, shown.words)} of leads were touched within the promised {days}")
        cited += [in_time, promised]
    return [stating(f"{'; '.join(said)}.", *cited)] if said else []


def waited(shown: Evidence) -> list[Sentence]:
    """How long the median lead waited, and how many were not touched so far."""
    median, never = (shown.first(name, field="") for name in ("first_touch_median_days", "never_touched_share"))
    if never is None:
        return []
    untouched = f"{backed(never, shown.words)} of all had no touch by sales so far"
    if median is None:
        has_days = shown.words.definition.has_calendar
        why = ": too many for a median wait" if has_days else "; how long the others waited cannot be told without days"
        return [stating(f"{untouched}{why}.", never)]
    return [stating(f"The median lead waited {backed(median, shown.words)}; {untouched}.", median, never)]
