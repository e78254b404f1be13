"""Speed to lead: how long a lead waits for the first touch by sales, and how many are never touched."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Column, backed, first, table_of, value
from closedloop.documents.pieces import Piece, Sentence, stating
from closedloop.evidence.quantiles import quantile
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.records import uncovered
from closedloop.questions import conversions
from closedloop.questions.answer import Answer
from closedloop.questions.evidence import Evidence
from closedloop.questions.goals import goals_of
from closedloop.questions.handed_off import handed_off, sales_touches, touch_days
from closedloop.questions.period import opened
from closedloop.terms import REJECTED_UNTOUCHED

WAITS = {"first_touch_median_days": 0.5, "first_touch_p90_days": 0.9}
_GROUPS = ("channel", "persona", "rep_id")


def first_touch(
    leads: pd.DataFrame,
    by: Sequence[str] | None = None,
    *,
    goals: Mapping[str, Any] | None = None,
    among: str | None = None,
) -> Answer:
    """Days from hand-off to the first touch by sales, of all and of the groups ``by``; shares never touched.

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
    columns: dict[str, str | tuple[str, Column]] = {
        "never_touched_share": ("never touched", "backed"),
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
        said.append(f"{of} rejected leads had no sales touch")
        cited.append(untouched)
    in_time = first(shown.ledger, measure="touched_in_time_share")
    promised = first(shown.ledger, measure="promise", level="first_touch_days")
    if in_time is not None and promised is not None:
        days = numbers.days(promised["baseline"])
        said.append(f"{backed(in_time, shown.words)} of leads were touched within the promised {days}")
        cited += [in_time, promised]
    return [stating(f"{'; '.join(said)}.", *cited)] if said else []


def waited(shown: Evidence) -> list[Sentence]:
    """How long the median lead waited, and how many were never touched."""
    median, never = (shown.first(name, field="") for name in ("first_touch_median_days", "never_touched_share"))
    if never is None:
        return []
    untouched = f"{backed(never, shown.words)} of all were never touched by sales"
    if median is None:
        has_days = shown.words.definition.has_calendar
        why = ": too many for a median wait" if has_days else "; how long the others waited cannot be told without days"
        return [stating(f"{untouched}{why}.", never)]
    return [stating(f"The median lead waited {backed(median, shown.words)}; {untouched}.", median, never)]
