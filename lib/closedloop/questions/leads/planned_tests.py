"""Which test would settle an open question: for every line to watch the cheapest draw, or how long to wait."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import Origin
from closedloop.market.periods import FOREVER
from closedloop.period.comparisons import CONVERSION, LEAD_HITS, MESSAGES, handed_off
from closedloop.period.situation import Situation
from closedloop.presentation import advice as in_sentences
from closedloop.presentation.blocks import Listing, Note, Piece
from closedloop.statistics.proportions import trial
from closedloop.workbench import store
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened

_WON = ("win_rate", CONVERSION)
# measures of leads: a lead can be drawn before them
_DRAWN = {**LEAD_HITS, "persona_accepted_rate": "is_accepted", "qualified_rate": "is_qualified"}
_DRAWABLE = (*MESSAGES, "arm")  # what a team can give to a lead by lot; who a lead is cannot be drawn
_DAYS = 7.0
_FIGURES = {
    "draw": {"test_arm_leads": "per_arm", "test_harm_difference": "harm", "test_weeks": "weeks"},
    "wait": {"wait_records": "more", "wait_weeks": "weeks"},
}


def planned_tests(
    leads: pd.DataFrame, deals: pd.DataFrame, *, most_weeks: int = 104, among: str | None = None
) -> Answer:
    """For each line that leans but does not hold: arms, leads and weeks of the cheapest test, or how long to wait.

    Sizes find the difference that the data point to in eight of ten tests and err in one of ten (METHODS 10). ``leads``
    and ``deals`` of the window tell how many come in a week. What takes more than ``most_weeks`` is left open. Lines
    are those of this notebook and of 02; they are known when the families are closed, and then the answer is filled.
    """
    answer = opened().ask("planned_tests", "tests", leads, "leads", _show, among=among, most_weeks=most_weeks)
    ended = answer.now.rows(deals, "deals")[0]
    answer.conclude = partial(_plan, deals=ended, most_weeks=most_weeks)
    return answer


def _plan(answer: Answer, judged: pd.DataFrame, deals: pd.DataFrame, most_weeks: int) -> None:
    """State a plan for every open line of the judged claims, and say which are left out."""
    situation = answer.now.situation
    claims = pd.concat([judged, store.read_claims(answer.now.folder, "02_personas")], ignore_index=True)
    open_lines = claims[(claims["verdict"] == "leaning") & claims["measure"].isin([*_WON, *_DRAWN])]
    if open_lines.empty:
        answer.missing["tests"] = "No line of this plan leans either way: there is nothing to settle by a test."
        return
    if not situation.definition.has_calendar:
        recorded = "an order and no days" if situation.is_dated else "no dates"
        answer.missing["tests"] = (
            f"The source records {recorded}, so nobody can say how long a test would take. Collect the dates of leads."
        )
        return
    flow = _Flow(situation, answer.rows, deals)
    plans = pd.DataFrame([flow.plan({str(k): v for k, v in claim.items()}) for claim in open_lines.to_dict("records")])
    plans = plans[plans["weeks"].notna()]
    cheapest = plans.sort_values("weeks", kind="stable").drop_duplicates(["subject", "field", "level"])
    first, last = str(open_lines["first_period"].min()), str(open_lines["last_period"].max())
    origin = Origin(answer.now.notebook, answer.section, "leads", first, last)
    _state(answer, origin, cheapest[cheapest["weeks"] <= most_weeks])
    n_long, n_unknown = int((cheapest["weeks"] > most_weeks).sum()), len(open_lines) - len(plans)
    longest = "two years" if most_weeks == 104 else f"{most_weeks} weeks"
    left_out = [f"{n_long} that would need more than {longest} of records to settle"] if n_long else []
    left_out += [f"{n_unknown} of which no records come in from which to tell how long"] if n_unknown else []
    if left_out:
        answer.missing["tests"] = f"Lines are left out: {' and '.join(left_out)}."


def _state(answer: Answer, origin: Origin, plans: pd.DataFrame) -> None:
    """Every plan as figures of the line that it would settle."""
    answer.results["n_tests_planned"] = int((plans["kind"] == "draw").sum())
    for (subject, kind, measure), part in plans.groupby(["subject", "kind", "measure"], sort=False):
        rows = part[["field", "level", "n"]]
        sought = rows.assign(estimate=part["other"], baseline=part["usual"])
        answer.estimate(sought, origin, f"sought_{measure}", subject=str(subject))
        for name, column in _FIGURES[str(kind)].items():
            unit = "rate" if column == "harm" else "count"
            answer.count(rows.assign(estimate=part[column]), origin, name, unit=unit, subject=str(subject))


class _Flow:
    """How many records of each kind are decided in a week, and how long the outcome of one takes."""

    def __init__(self, situation: Situation, leads: pd.DataFrame, deals: pd.DataFrame) -> None:
        self.leads, self.deals = leads, deals
        when = handed_off(leads) if len(leads) else deals["closed_on"]
        on = pd.Timestamp(situation.on) if situation.on < FOREVER else when.max()
        start = max(situation.window_start, when.min())
        self.weeks = max((on - start).days, 1) / _DAYS
        self.wait = {
            "is_accepted": self._reaching("sales_accepted_on"),
            "is_qualified": self._reaching("sales_qualified_on"),
            "is_won": _median_weeks(deals["closed_on"] - deals["created_on"]) if len(deals) else 0.0,
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
        per_week, planned = self._counted(claim) / self.weeks, trial(usual, other)
        weeks = 2 * planned.n_per_arm / per_week + self.wait[_DRAWN[measure]] if per_week else np.nan
        return line | {"kind": "draw", "per_arm": planned.n_per_arm, "harm": planned.harm, "weeks": _whole(weeks)}

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


def _median_weeks(waits: pd.Series) -> float:
    median = waits.dt.days.median()
    return 0.0 if pd.isna(median) else max(float(median), 0.0) / _DAYS


def _whole(number: float) -> float:
    return float(np.ceil(number))


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    note = "Sizes find the difference that the data point to in eight of ten tests, and err in one of ten without any."
    return Listing(in_sentences.planned_tests(shown.claims, shown.words)), Note(note)
