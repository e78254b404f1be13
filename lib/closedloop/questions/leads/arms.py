"""What experiments showed, by every outcome that the market records; and which test would settle what is open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.arms import arm_differences, arm_looks, uneven_look
from closedloop.claims.ledger import Origin
from closedloop.market.periods import FOREVER
from closedloop.period import store
from closedloop.period.counting import LEAST_SHOWN, as_numbers, column, rates
from closedloop.period.lead_records import (
    CONVERSION,
    LEAD_HITS,
    MESSAGES,
    OF_ALL_DRAWN,
    control_of,
    first_won,
    handed_off,
)
from closedloop.period.situation import Situation
from closedloop.presentation import advice
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence
from closedloop.presentation.sentences import joined, named, records, sentence, where
from closedloop.presentation.tables import Column, table_of
from closedloop.presentation.words import measure_of
from closedloop.questions.leads.call_list import CALL_LIST
from closedloop.statistics.amounts import MOST_OF_ALL
from closedloop.statistics.cumulative_incidence import days_to_most
from closedloop.statistics.proportions import trial
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import comparison, no_leads
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ArmRedraw

AMOUNT = "won_amount_per_lead"
_DAYS = {"accepted_rate": "sales_accepted_on", "qualified_rate": "sales_qualified_on"}
_STATUSES = {"accepted_rate": ("sales_accepted", "sales_qualified"), "qualified_rate": ("sales_qualified",)}


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment's leads in one respect; the series have the leads' index.

    ``hit``: 1, 0, or missing while nobody can tell. ``days``: what every counted lead had to get there; None where
    leads count as they were decided, or as far as they have come. ``amount``: money won, 0 where nothing is; None
    where no amounts are recorded.
    """

    measure: str
    hit: pd.Series
    days: float | None = None
    amount: pd.Series | None = None

    def by_arm(self, leads: pd.DataFrame) -> pd.DataFrame:
        """Level, k and n of every arm of which ten leads or more are told."""
        known = pd.DataFrame({"level": leads["arm"].astype("str"), "hit": self.hit}).dropna()
        table = known.groupby("level")["hit"].agg(k="sum", n="count").reset_index().astype({"k": float})
        return table[table["n"] >= LEAST_SHOWN].reset_index(drop=True)

    def brought(self, leads: pd.DataFrame) -> pd.DataFrame:
        """Level and amount of each told lead of such an arm; empty where means of amounts would say nothing.

        That is so with fewer than ten paying leads in an arm, or where one brought more than a third of all.
        """
        amount = self.hit * (0.0 if self.amount is None else self.amount)
        rows = pd.DataFrame({"level": leads["arm"].astype("str"), "amount": amount}).dropna()
        rows = rows[rows["level"].isin(self.by_arm(leads)["level"])]
        n_paying = (rows["amount"] > 0).groupby(rows["level"]).sum().min()
        is_fit = n_paying >= LEAST_SHOWN and rows["amount"].max() <= MOST_OF_ALL * rows["amount"].sum()
        return rows if is_fit else rows.head(0)


def experiments(leads: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The leads of every experiment whose arms were drawn; the list to call has places that were ranked."""
    if {"experiment", "arm"} <= set(leads):
        drawn = leads.dropna(subset=["experiment", "arm"])
        for name, part in drawn[drawn["experiment"] != CALL_LIST].groupby("experiment"):
            yield str(name), part


def outcomes(situation: Situation, leads: pd.DataFrame) -> list[Outcome]:
    """Every outcome that is known of an experiment's ``leads`` (as of ``lead_frame``) and that any of them had.

    Accepted: of the leads that sales decided on, where it gave some back. Else within the days that nine of ten needed
    who got there, of all leads that are at least as old: who is too young counts in no arm. Where no day is recorded,
    as far as all leads have come; who has an open deal is left out.
    """
    deals = situation.deals if situation.view.has("deals") else pd.DataFrame()
    deals = deals.dropna(subset=["lead_id"]) if "lead_id" in deals else pd.DataFrame()
    days = {name: leads[day] for name, day in _DAYS.items() if day in leads}  # on which each lead got there
    so_far = {name: day.notna().astype(float) for name, day in days.items()}
    if "status" in leads and not days:
        told = leads["status"].notna()
        so_far = {name: as_numbers(leads["status"].isin(there).where(told)) for name, there in _STATUSES.items()}
    if len(deals):
        is_won, is_open = (
            leads["lead_id"].isin(deals.loc[deals["outcome"] == outcome, "lead_id"]) for outcome in ("won", "open")
        )
        so_far["won_rate"] = as_numbers(is_won.where(is_won | ~is_open))
        days |= {"won_rate": first_won(deals, leads)} if deals["closed_on"].notna().any() else {}
    found = {measure: Outcome(measure, hit) for measure, hit in so_far.items()}
    if situation.is_dated:
        born = column(leads, "created_on").fillna(handed_off(leads))
        timed = {measure: _in_time(situation, measure, born, day) for measure, day in days.items()}
        found |= {measure: outcome for measure, outcome in timed.items() if outcome is not None}
    if leads["is_accepted"].nunique() > 1:
        found["accepted_rate"] = Outcome("accepted_rate", as_numbers(leads["is_accepted"]))
    if "won_rate" in found and "won_amount" in deals and deals["won_amount"].notna().any():
        paid = deals[deals["outcome"] == "won"].groupby("lead_id")["won_amount"].sum().astype(float)
        amount = paid.reindex(leads["lead_id"]).fillna(0.0).set_axis(leads.index)
        found["won_rate"] = replace(found["won_rate"], amount=amount)
    return [outcome for outcome in found.values() if (outcome.hit > 0).any()]


def _in_time(situation: Situation, measure: str, born: pd.Series, reached: pd.Series) -> Outcome | None:
    """Who got there in time, of those who had it; None where no lead has both days."""
    today = pd.Timestamp(situation.on) if situation.on < FOREVER else max(born.max(), reached.max())
    age = (reached.fillna(today) - born).dt.days
    known = age >= 0
    days = days_to_most(age[known], np.where(reached[known].notna(), "won", "open"))
    if not np.isfinite(days):
        return None
    is_old = known & (born + timedelta(days=days) <= today)
    return Outcome(measure, (reached.notna() & (age <= days)).astype(float).where(is_old), days)


_RECORD = {
    "accepted_rate": "leads.sales_accepted_on",
    "qualified_rate": "leads.sales_qualified_on",
    "won_rate": "deals with lead_id and outcome",
    AMOUNT: "deals.won_amount",
}
_NO_EXPERIMENT = (
    "No randomised comparison of messages is recorded. Collect `leads.experiment`, `arm` and `arm_rate`: "
    "only drawn arms can show causes."
)
_ALL_DRAWN = 0.02  # shares that are drawn sum to 1, up to their rounding
_UNEVEN = 0.001  # sizes less likely than this under the draw: leads of an arm got lost, and no comparison is fair
_GIVES = 0.10  # of amounts: the factor less 1 that is taken to matter


def arms(leads: pd.DataFrame, *, threshold: float | None = None, among: str | None = None) -> Answer:
    """Every experiment's arms by every outcome: the only place where a cause is shown, since arms are drawn by lot.

    Rates of arms are compared exactly, amounts by permutation (METHODS 5); the control is market.toml's, else two arms
    stand against each other. Arms of sizes that the draw does not give are not compared. ``leads``: all that are known.
    """
    answer = opened().ask("arms", "experiments", leads, "leads", _show, among=among, threshold=threshold)
    answer.headline = _headline
    if no_leads(answer):
        return answer
    drawn, known = list(experiments(answer.rows)), set[str]()
    if not drawn:
        answer.missing["experiments"] = _NO_EXPERIMENT
        return answer
    for name, part in drawn:
        origin = answer.origin(column(part, "created_on"))
        for measure, by in {"n_arm_leads": "arm", "n_drawn_leads": "channel"}.items():
            n = part[by].value_counts() if by in part else pd.Series(dtype="int64")
            rows = [{"field": by, "level": level, "estimate": size} for level, size in n[n >= LEAST_SHOWN].items()]
            answer.count(rows, origin, measure, subject=name)
        sizes = uneven(part, name, origin)
        if len(sizes):
            answer.compare(sizes)
        if sizes.empty or sizes["p"].iloc[0] >= _UNEVEN:
            known |= _by_outcomes(answer, name, part, origin, threshold)
        else:
            answer.missing["experiments"] = (
                f"The arms of {name} are not compared: sizes so far from the shares in arm_rate come up less than once "
                f"in {round(1 / _UNEVEN):,d} draws. Find out where leads of an arm got lost."
            )
    lacking = [place for measure, place in _RECORD.items() if measure not in known]
    if lacking:
        answer.missing["arm_outcomes"] = f"Other outcomes of the arms. Record {'; '.join(lacking)}."
    return answer


def uneven(leads: pd.DataFrame, name: str, origin: Origin) -> pd.DataFrame:
    """The comparison of an experiment's sizes with its draw; empty where the draw is not recorded.

    It is recorded when every arm has one ``arm_rate``, and all of them make 1.
    """
    if "arm_rate" not in leads or leads["arm_rate"].isna().all():
        return pd.DataFrame()
    rate = leads.groupby("arm")["arm_rate"].agg(["min", "max"]).astype(float)
    is_recorded = len(rate) > 1 and (rate["min"] == rate["max"]).all() and abs(rate["min"].sum() - 1) <= _ALL_DRAWN
    if not is_recorded:
        return pd.DataFrame()
    sizes, shares = leads["arm"].value_counts().reindex(rate.index), rate["min"] / rate["min"].sum()
    return uneven_look(sizes, shares, origin, measure="arm_share", experiment=name)


def _by_outcomes(answer: Answer, name: str, leads: pd.DataFrame, origin: Origin, threshold: float | None) -> set[str]:
    """State and compare one experiment's arms; returns the measures of which something is known."""
    situation, known = answer.now.situation, set[str]()
    control, gate = control_of(situation.definition, name), threshold or situation.claims.practical_threshold
    for outcome in outcomes(situation, leads):
        table, measure = outcome.by_arm(leads), outcome.measure
        known |= {measure} if outcome.amount is None else {measure, AMOUNT}
        answer.count(table.assign(field="arm", estimate=table["k"]), origin, advice.ARM_RATES[measure], subject=name)
        answer.estimate(rates(table.to_numpy(), "arm"), origin, f"arm_{measure}", subject=name)
        if outcome.days is not None and situation.definition.clock != "order":
            days = {"estimate": outcome.days, "n": int(outcome.hit.notna().sum())}
            answer.count([days], origin, f"arm_{measure}_days", unit="days", subject=name)
        if control is not None and control not in set(table["level"]):
            answer.missing["experiments"] = (
                f"The arms of {name} cannot be compared: what became of its control {control!r} is known of fewer than "
                f"ten leads. Wait for more, or mend [experiments.{name}] in market.toml."
            )
            continue
        told = leads[outcome.hit.notna() & leads["arm"].astype("str").isin(table["level"])]
        drawn = ("leads", told["lead_id"], told["arm"], handed_off(told), outcome.hit[told.index])
        compared = arm_looks(table, origin, measure=measure, experiment=name, control=control, threshold=gate)
        answer.compare(compared, ArmRedraw(*drawn, measure, gate, name, control))
        gaps = arm_differences(table, control)
        answer.estimate(gaps, origin, f"arm_{measure}_difference", unit="points", subject=name, kind="causal")
        if outcome.amount is not None:
            redraw = ArmRedraw(*drawn, AMOUNT, _GIVES, name, control, outcome.amount[told.index])
            _by_amount(answer, outcome, leads, origin, redraw)
    if not known:
        answer.missing["experiments"] = (
            f"The arms of {name} are logged, but nothing is known yet of what became of their leads."
        )
    return known


def _by_amount(answer: Answer, outcome: Outcome, leads: pd.DataFrame, origin: Origin, redraw: ArmRedraw) -> None:
    """What a lead of each arm brought, won or not."""
    brought, name, control = outcome.brought(leads), redraw.experiment, redraw.control
    if brought.empty:
        answer.missing["arm_amounts"] = (
            f"What a lead of each arm of {name} brought is not compared: an arm has fewer than ten leads with a won "
            "amount, or one lead brought more than a third of all."
        )
        return
    looks = arm_looks(brought, origin, measure=AMOUNT, experiment=name, control=control, threshold=_GIVES)
    answer.compare(looks, redraw)
    gaps = arm_differences(brought, control)
    answer.estimate(gaps, origin, f"arm_{AMOUNT}_difference", unit="amount", subject=name, kind="causal")


def _headline(shown: Evidence) -> list[Sentence]:
    return advice.winners(shown.claims, shown.words)[:1]


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_arm_leads": "leads drawn",
        "arm_accepted_rate": ("accepted (90 % interval)", "backed"),
        "n_arm_accepted": "accepted leads",
        "arm_qualified_rate": ("qualified (90 % interval)", "backed"),
        "arm_won_rate": ("won (90 % interval)", "backed"),
    }
    claims, words = shown.claims, shown.words
    listed = table_of(shown.of(*columns), words, "experiment and arm", columns)
    causal = where(claims, kind="causal").loc[lambda claims: claims["family"] != "none"]
    lost = Sentence("Leads of an arm may be lost: find out why before you rely on the comparison.")
    uneven = records(where(shown.of("arm_share"), verdict="supported"))  # arms that are not as large as they were drawn
    said = [*advice.winners(claims, words), *(joined([sentence(claim, words), lost]) for claim in uneven)]
    said += advice.compared_by(claims, words)
    judged: list[Piece] = []
    for measure in causal["measure"].unique():
        compared = where(causal, measure=measure)
        name = measure_of(named(records(compared.head(1))[0])).name
        asked = f"{title or 'What did the experiments show?'} {name}"
        judged += comparison(compared, shown, asked, name)
    return *((Listing(said),) if said else ()), listed, *judged


_WON = ("win_rate", CONVERSION)
# measures of leads: a lead can be drawn before them
_DRAWN = {**LEAD_HITS, "persona_accepted_rate": "is_accepted", "qualified_rate": "is_qualified"}
_DRAWABLE = (*MESSAGES, "arm")  # what a team can give to a lead by lot; who a lead is cannot be drawn
_WEEK = 7.0  # days
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
    answer = opened().ask("planned_tests", "tests", leads, "leads", _show_tests, among=among, most_weeks=most_weeks)
    ended = answer.now.rows(deals, "deals")[0]
    answer.conclude = partial(_plan, deals=ended, most_weeks=most_weeks)
    return answer


def _plan(answer: Answer, judged: pd.DataFrame, deals: pd.DataFrame, most_weeks: int) -> None:
    """State a plan for every open line of the judged claims, and say which are left out."""
    situation = answer.now.situation
    claims = pd.concat([judged, store.read_claims(answer.now.folder, "02_personas")], ignore_index=True)
    open_lines = claims[(claims["verdict"] == "leaning") & claims["measure"].isin([*_WON, *_DRAWN])]
    if open_lines.empty:
        answer.missing["tests"] = "No rate of this plan leans either way: there is nothing of it to settle by a test."
        return
    if not situation.definition.has_calendar:
        recorded = "an order and no days" if situation.is_dated else "no dates"
        answer.missing["tests"] = (
            f"The source records {recorded}, so nobody can say how long a test would take. Collect the dates of leads."
        )
        return
    plans = _plans(situation, open_lines, answer.rows, deals)
    cheapest = plans.sort_values("weeks", kind="stable").drop_duplicates(["subject", "field", "level"])
    first, last = str(open_lines["first_period"].min()), str(open_lines["last_period"].max())
    origin = Origin(answer.now.notebook, answer.section, "leads", first, last)
    _state_plans(answer, origin, cheapest[cheapest["weeks"] <= most_weeks])
    n_long, n_unknown = int((cheapest["weeks"] > most_weeks).sum()), len(open_lines) - len(plans)
    longest = "two years" if most_weeks == 104 else f"{most_weeks} weeks"
    left_out = [f"{n_long} that would need more than {longest} of records to settle"] if n_long else []
    left_out += [f"{n_unknown} of which no records come in from which to tell how long"] if n_unknown else []
    if left_out:
        answer.missing["tests"] = f"Lines are left out: {' and '.join(left_out)}."


def _state_plans(answer: Answer, origin: Origin, plans: pd.DataFrame) -> None:
    """Every plan as figures of the line that it would settle."""
    answer.results["n_tests_planned"] = int((plans["kind"] == "draw").sum())
    for (subject, kind, measure), part in plans.groupby(["subject", "kind", "measure"], sort=False):
        rows = part[["field", "level", "n"]]
        sought = rows.assign(estimate=part["other"], baseline=part["usual"])
        answer.estimate(sought, origin, f"sought_{measure}", subject=str(subject))
        for name, figure in _FIGURES[str(kind)].items():
            unit = "rate" if figure == "harm" else "count"
            answer.count(rows.assign(estimate=part[figure]), origin, name, unit=unit, subject=str(subject))


def _plans(situation: Situation, lines: pd.DataFrame, leads: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    """Each line's identity and rates with ``per_arm``, ``harm`` and ``weeks`` of a test, or ``more`` and ``weeks``."""
    handed = handed_off(leads) if len(leads) else pd.Series(dtype="datetime64[us]")
    when = handed if len(leads) else deals["closed_on"]
    on = pd.Timestamp(situation.on) if situation.on < FOREVER else when.max()
    n_weeks = max((on - max(situation.window_start, when.min())).days, 1) / _WEEK
    waits = {"is_won": deals["closed_on"] - deals["created_on"]} if len(deals) else {}
    days = {"is_accepted": "sales_accepted_on", "is_qualified": "sales_qualified_on"}
    waits |= {outcome: leads[day] - handed for outcome, day in days.items() if day in leads}
    medians = {outcome: wait.dt.days.median() for outcome, wait in waits.items()}
    wait_weeks = {outcome: max(float(days), 0.0) / _WEEK for outcome, days in medians.items() if pd.notna(days)}
    found: list[dict[str, Any]] = []
    for claim in records(lines):
        measure, usual = str(claim["measure"]), float(np.clip(claim["baseline"], 0.01, 0.99))
        other = float(np.clip(usual + claim["effect"], 0.005, 0.995))
        line = {name: claim[name] for name in ("measure", "subject", "field", "level", "n")}
        line |= {"usual": usual, "other": other}
        if claim["field"] in _DRAWABLE and measure in _DRAWN:
            # the leads that would count: those decided on, and where arms are followed for some time all that come
            is_all = claim["field"] == "arm" and measure in OF_ALL_DRAWN
            whose = leads["persona"] == claim["subject"] if measure == "persona_accepted_rate" else slice(None)
            n = len(leads) if is_all else int(leads.loc[whose, _DRAWN[measure]].notna().sum())
            drawn = trial(usual, other)
            weeks = 2 * drawn.n_per_arm / (n / n_weeks) + wait_weeks.get(_DRAWN[measure], 0.0) if n else np.nan
            found.append(
                line | {"kind": "draw", "per_arm": drawn.n_per_arm, "harm": drawn.harm, "weeks": np.ceil(weeks)}
            )
            continue
        # what the present comparison lacks to see a difference as large as it seems to be (precision grows with n)
        n, effect = claim["n"], claim["effect"]
        more = max(n * (claim["visible_difference"] / abs(effect)) ** 2 - n, 0.0) if effect else np.nan
        found.append(
            line | {"kind": "wait", "more": np.ceil(more), "weeks": np.ceil(more / (n / n_weeks)) if n else np.nan}
        )
    plans = pd.DataFrame(found)
    return plans[plans["weeks"].notna()]


def _show_tests(shown: Evidence, title: str) -> Sequence[Piece]:
    note = "Sizes find the difference that the data point to in eight of ten tests, and err in one of ten without any."
    return Listing(advice.planned_tests(shown.claims, shown.words)), Note(note)
