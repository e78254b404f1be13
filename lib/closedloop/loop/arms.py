"""Drawn arms of experiments in 03: compared with each other by every outcome, and held against the draw itself."""

import pandas as pd

from closedloop.evidence.arms import amount_differences, arm_amount_looks, arm_differences, arm_looks, uneven_look
from closedloop.evidence.claims import Origin
from closedloop.loop.arm_outcomes import AMOUNT, experiments, outcomes
from closedloop.loop.comparisons import control_of
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.records import column
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

ARM_RATES = {"accepted_rate": "n_arm_accepted", "qualified_rate": "n_arm_qualified", "won_rate": "n_arm_won"}
_RECORD = {
    "accepted_rate": "leads.sales_accepted_on",
    "qualified_rate": "leads.sales_qualified_on",
    "won_rate": "deals with lead_id and outcome",
    AMOUNT: "deals.won_amount",
}
_ALL_DRAWN = 0.02  # shares that are drawn sum to 1, up to their rounding
_UNEVEN = 0.001  # sizes less likely than this under the draw: leads of an arm got lost, and no comparison is fair


def arms(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    """Every experiment's arms by every outcome, how they differ, and through which channels its leads came."""
    drawn, known = list(experiments(frame)), set[str]()
    if not drawn:
        draft.missing["experiments"] = (
            "No randomised comparison of messages is recorded. Collect `leads.experiment`, `arm` and `arm_rate`: "
            "only drawn arms can show causes."
        )
        return
    for name, leads in drawn:
        origin = Origin("03_leads", "experiments", "leads", *situation.span(column(leads, "created_on")))
        for measure, by in {"n_arm_leads": "arm", "n_drawn_leads": "channel"}.items():
            n = leads[by].value_counts() if by in leads else pd.Series(dtype="int64")
            rows = [{"field": by, "level": level, "estimate": size} for level, size in n[n >= LEAST_SHOWN].items()]
            draft.count(rows, origin, measure, subject=name)
        look = uneven(leads, name, origin)
        draft.looks.append(look)
        if is_fair(look):
            known |= _by_outcomes(draft, situation, name, leads, origin)
        else:
            draft.missing["experiments"] = (
                f"The arms of {name} are not compared: sizes so far from the shares in arm_rate come up less than once "
                f"in {round(1 / _UNEVEN):,d} draws. Find out where leads of an arm got lost."
            )
    lacking = [where for measure, where in _RECORD.items() if measure not in known]
    if lacking:
        draft.missing["arm_outcomes"] = f"Other outcomes of the arms. Record {'; '.join(lacking)}."


def uneven(leads: pd.DataFrame, name: str, origin: Origin) -> pd.DataFrame:
    """The look at whether an experiment's arms are as large as they were drawn; empty where the draw is not told.

    It is told when every arm has one ``arm_rate``, and all of them make 1.
    """
    if "arm_rate" not in leads or leads["arm_rate"].isna().all():
        return pd.DataFrame()
    told = leads.groupby("arm")["arm_rate"].agg(["min", "max"]).astype(float)
    is_told = len(told) > 1 and (told["min"] == told["max"]).all() and abs(told["min"].sum() - 1) <= _ALL_DRAWN
    if not is_told:
        return pd.DataFrame()
    sizes, shares = leads["arm"].value_counts().reindex(told.index), told["min"] / told["min"].sum()
    return uneven_look(sizes, shares, origin, measure="arm_share", experiment=name)


def is_fair(look: pd.DataFrame) -> bool:
    """Can arms of these sizes be compared? ``look``: as of ``uneven``."""
    return look.empty or bool(look["p"].iloc[0] >= _UNEVEN)


def _by_outcomes(draft: Draft, situation: Situation, name: str, leads: pd.DataFrame, origin: Origin) -> set[str]:
    """State and compare one experiment's arms; returns the measures of which something is known."""
    control, threshold = control_of(situation.definition, name), situation.claims.practical_threshold
    known = set()
    for outcome in outcomes(situation, leads):
        table, measure = outcome.by_arm(leads), outcome.measure
        known |= {measure} if outcome.amount is None else {measure, AMOUNT}
        draft.count(table.assign(field="arm", estimate=table["k"]), origin, ARM_RATES[measure], subject=name)
        draft.estimate(rates(table.to_numpy(), "arm"), origin, f"arm_{measure}", subject=name)
        if outcome.days is not None and situation.definition.clock != "order":
            days = {"estimate": outcome.days, "n": int(outcome.hit.notna().sum())}
            draft.count([days], origin, f"arm_{measure}_days", unit="days", subject=name)
        if control is not None and control not in set(table["level"]):
            draft.missing["experiments"] = (
                f"The arms of {name} cannot be compared: what became of its control {control!r} is known of fewer than "
                f"ten leads. Wait for more, or mend [experiments.{name}] in market.toml."
            )
            continue
        draft.looks.append(
            arm_looks(table, origin, measure=measure, experiment=name, control=control, threshold=threshold)
        )
        gaps = arm_differences(table, control)
        draft.estimate(gaps, origin, f"arm_{measure}_difference", unit="points", subject=name, kind="causal")
        if outcome.amount is not None:
            _by_amount(draft, name, outcome.brought(leads), origin, control)
    if not known:
        draft.missing["experiments"] = (
            f"The arms of {name} are logged, but nothing is known yet of what became of their leads."
        )
    return known


def _by_amount(draft: Draft, name: str, brought: pd.DataFrame, origin: Origin, control: str | None) -> None:
    """What a lead of each arm brought, won or not."""
    if brought.empty:
        draft.missing["arm_amounts"] = (
            f"What a lead of each arm of {name} brought is not compared: an arm has fewer than ten leads with a won "
            "amount, or one lead brought more than a third of all."
        )
        return
    draft.looks.append(arm_amount_looks(brought, origin, measure=AMOUNT, experiment=name, control=control))
    gaps = amount_differences(brought, control)
    draft.estimate(gaps, origin, f"arm_{AMOUNT}_difference", unit="amount", subject=name, kind="causal")
