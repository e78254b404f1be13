"""Which test would settle an open question: for every line to watch the cheapest draw, or how long to wait."""

from typing import Any

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.trials import trial
from closedloop.loop.comparisons import CONVERSION, LEAD_HITS, MESSAGES, handed_off, lead_window
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.market.periods import FOREVER

_WON = ("win_rate", CONVERSION)
# measures of leads: a lead can be drawn before them
_DRAWN = {**LEAD_HITS, "persona_accepted_rate": "is_accepted", "qualified_rate": "is_qualified"}
_DRAWABLE = (*MESSAGES, "arm")  # what a team can give to a lead by lot; who a lead is cannot be drawn
_MOST_WEEKS = 104
_DAYS = 7.0
_FIGURES = {
    "draw": {"test_arm_leads": "per_arm", "test_harm_difference": "harm", "test_weeks": "weeks"},
    "wait": {"wait_records": "more", "wait_weeks": "weeks"},
}


def planned_tests(situation: Situation, in_force: PersonaSet, claims: pd.DataFrame) -> Step:
    """For each "leaning" line of the plan: arms, leads and weeks of the cheapest test, or how long to wait for it.

    ``claims``: those of the plan, judged. A level that is open in several measures is tested by the one that needs
    the fewest weeks. What needs more than two years of records is left open.
    """
    draft = Draft("leads")
    open_lines = claims[(claims["verdict"] == "leaning") & claims["measure"].isin([*_WON, *_DRAWN])]
    if open_lines.empty:
        draft.missing["tests"] = "No line of this plan leans either way: there is nothing to settle by a test."
        return draft.done()
    if not situation.definition.has_calendar:
        recorded = "an order and no days" if situation.is_dated else "no dates"
        draft.missing["tests"] = (
            f"The source records {recorded}, so nobody can say how long a test would take. Collect the dates of leads."
        )
        return draft.done()
    flow = _Flow(situation, in_force)
    plans = pd.DataFrame([flow.plan({str(k): v for k, v in claim.items()}) for claim in open_lines.to_dict("records")])
    plans = plans[plans["weeks"].notna()]
    cheapest = plans.sort_values("weeks", kind="stable").drop_duplicates(["subject", "field", "level"])
    first, last = open_lines["first_period"].min(), open_lines["last_period"].max()
    _state(draft, str(first), str(last), cheapest[cheapest["weeks"] <= _MOST_WEEKS])
    n_long, n_unknown = int((cheapest["weeks"] > _MOST_WEEKS).sum()), len(open_lines) - len(plans)
    left_out = [f"{n_long} that would need more than two years of records to settle"] if n_long else []
    left_out += [f"{n_unknown} of which no records come in from which to tell how long"] if n_unknown else []
    if left_out:
        draft.missing["tests"] = f"Lines are left out: {' and '.join(left_out)}."
    return draft.done()


class _Flow:
    """How many records of each kind are decided in a week, and how long the outcome of one takes."""

    def __init__(self, situation: Situation, in_force: PersonaSet) -> None:
        leads = lead_frame(situation) if situation.view.has("leads") else pd.DataFrame()
        self.leads = lead_window(situation, leads.assign(persona=in_force.assign(leads))) if len(leads) else leads
        self.deals = situation.closed_deals if situation.view.has("deals") else pd.DataFrame()
        when = handed_off(self.leads) if len(self.leads) else self.deals["closed_on"]
        on = pd.Timestamp(situation.on) if situation.on < FOREVER else when.max()
        start = max(situation.window_start, when.min())
        self.weeks = max((on - start).days, 1) / _DAYS
        self.wait = {
            "is_accepted": self._reaching("sales_accepted_on"),
            "is_qualified": self._reaching("sales_qualified_on"),
            "is_won": _median_weeks(self.deals["closed_on"] - self.deals["created_on"]) if len(self.deals) else 0.0,
        }

    def _reaching(self, day: str) -> float:
        return _median_weeks(self.leads[day] - handed_off(self.leads)) if day in self.leads else 0.0

    def plan(self, claim: dict[str, Any]) -> dict[str, Any]:
        """A line's identity and rates with ``per_arm``, ``harm`` and ``weeks`` of a test, or ``more`` and ``weeks``."""
        measure, usual = str(claim["measure"]), float(np.clip(claim["baseline"], 0.01, 0.99))
        other = float(np.clip(usual + claim["effect"], 0.005, 0.995))
        line = {name: claim[name] for name in ("measure", "subject", "field", "level", "n")}
        line |= {"usual": usual, "other": other}
        if claim["field"] not in _DRAWABLE or measure not in _DRAWN:
            return line | self._waiting(claim)
        return line | _drawn(usual, other, self._counted(claim) / self.weeks, self.wait[_DRAWN[measure]])

    def _counted(self, claim: dict[str, Any]) -> int:
        """The leads that would count: those decided on, and where arms are followed for some time all that come."""
        measure = str(claim["measure"])
        if claim["field"] == "arm" and measure in ("qualified_rate", "won_rate"):
            return len(self.leads)
        whose = self.leads["persona"] == claim["subject"] if measure == "persona_accepted_rate" else slice(None)
        return int(self.leads.loc[whose, _DRAWN[measure]].notna().sum())

    def _waiting(self, claim: dict[str, Any]) -> dict[str, Any]:
        """What the present comparison lacks to see a difference as large as it seems to be (precision grows with n)."""
        needed = claim["n"] * (claim["visible_difference"] / abs(claim["effect"])) ** 2 if claim["effect"] else np.nan
        more, per_week = max(needed - claim["n"], 0.0), claim["n"] / self.weeks
        return {"kind": "wait", "more": _whole(more), "weeks": _whole(more / per_week) if per_week else np.nan}


def _drawn(usual: float, other: float, per_week: float, wait: float) -> dict[str, Any]:
    """The test of two arms: leads that arrive ``per_week``, outcomes that come ``wait`` weeks later."""
    planned = trial(usual, other)
    weeks = 2 * planned.n_per_arm / per_week + wait if per_week else np.nan
    return {"kind": "draw", "per_arm": planned.n_per_arm, "harm": planned.harm, "weeks": _whole(weeks)}


def _median_weeks(waits: pd.Series) -> float:
    median = waits.dt.days.median()
    return 0.0 if pd.isna(median) else max(float(median), 0.0) / _DAYS


def _whole(number: float) -> float:
    return float(np.ceil(number))


def _state(draft: Draft, first: str, last: str, plans: pd.DataFrame) -> None:
    """Every plan as figures of the line that it would settle."""
    origin = Origin("03_leads", "tests", "leads", first, last)
    draft.results |= {"n_tests_planned": int((plans["kind"] == "draw").sum())}
    for (subject, kind, measure), part in plans.groupby(["subject", "kind", "measure"], sort=False):
        rows = part[["field", "level", "n"]]
        sought = rows.assign(estimate=part["other"], baseline=part["usual"])
        draft.estimate(sought, origin, f"sought_{measure}", subject=str(subject))
        for name, column in _FIGURES[str(kind)].items():
            unit = "rate" if column == "harm" else "count"
            draft.count(rows.assign(estimate=part[column]), origin, name, unit=unit, subject=str(subject))
