"""06 Refinement: what do the outcomes change in the personas? A proposal has to win its duel first."""

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.evidence.claims import Origin
from closedloop.evidence.indicators import is_metric, level_text
from closedloop.evidence.rates import wilson
from closedloop.loop.duel import duel, lagged_rate, predict
from closedloop.loop.edits import FEWEST_DEALS, propose
from closedloop.loop.off_policy import other_orders
from closedloop.loop.persona import PersonaSet, Proposal
from closedloop.loop.persona_changes import changed_by
from closedloop.loop.promises import review_promises
from closedloop.loop.records import decided
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.terms import Verdict

_EARLIER_DEALS = 1_600


def refine(situation: Situation, in_force: PersonaSet, following: str | None) -> tuple[Proposal, Step]:
    """The proposal for the next period and the step that shows how it was reached.

    ``following`` is the name of the next period; None when there is none, or the period is still running.
    """
    draft = Draft("refinement")
    other_orders(draft, situation, in_force)
    reason = _cannot(situation, following)
    if reason:
        draft.missing |= dict.fromkeys(("duel", "promises", "edits", "drift"), reason)
        draft.results |= {"verdict": "cannot tell", "n_edits": 0, "n_watch": 0, "n_deals": 0}
        return Proposal("cannot tell", reason=reason), draft.done()
    closed = decided(situation)
    verdict, play = duel(draft, situation, closed, in_force)
    challenger, edits = propose(situation, closed, in_force)
    draft.closed.append(edits)
    review_promises(draft, situation, closed, in_force)
    _drift(draft, situation, in_force)
    draft.results |= {
        "verdict": verdict,
        "play": play,
        "n_edits": int((edits["verdict"] == Verdict.SUPPORTED).sum()),
        "n_watch": int((edits["verdict"] == Verdict.LEANING).sum()),
    }
    winner = replace(challenger, period=following, origin="refined") if verdict == "improved" and following else None
    if winner:
        winner = replace(winner, changelog=changed_by(edits, in_force, winner, winner.period))
    return Proposal(verdict, winner), draft.done()


def _cannot(situation: Situation, following: str | None) -> str:
    if not situation.view.has("deals"):
        return "No deals are recorded, so outcomes cannot change the personas. Collect `deals` with outcomes."
    if not situation.is_dated:
        return (
            "The source records no dates, so nothing can be checked against a later period. Collect closed_on of deals."
        )
    if following is None:
        return "The period is still running: the duel and the edits wait for its end."
    n = int(situation.in_period(decided(situation)["closed_on"]).sum())
    if n < FEWEST_DEALS:
        return f"{n} deals were won or lost in this period; a duel needs at least {FEWEST_DEALS}."
    return ""


def _origin(cell: str, period: str) -> Origin:
    return Origin("06_refinement", cell, "deals", period, period)


def _drift(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """Has the mix of personas, or the outcome given the persona, moved against what was known before the period?"""
    closed = decided(situation)
    now = situation.in_period(closed["closed_on"])
    before, block = (
        closed[closed["closed_on"] < pd.Timestamp(situation.period.start)].tail(_EARLIER_DEALS),
        closed[now],
    )
    if before.empty or block.empty:
        draft.missing["drift"] = "There is no earlier period to compare with."
        return
    mix = pd.crosstab(
        pd.Series(np.r_[np.zeros(len(before)), np.ones(len(block))]),
        np.r_[in_force.assign(before), in_force.assign(block)],
    )
    rows = []
    if mix.shape[1] > 1:
        statistic, p = scipy.stats.chi2_contingency(mix)[:2]
        rows.append({"level": "mix", "estimate": float(statistic), "p": float(p), "n": len(block)})
    by_persona = _outcome_drift(in_force, block, predict(in_force, block, lagged_rate(before)))
    total = float((by_persona["estimate"] ** 2).sum())
    p_all = float(scipy.stats.chi2.sf(total, len(by_persona)))
    rows.append({"level": "outcome", "estimate": total, "p": p_all, "n": len(block)})
    origin = _origin("drift", situation.period.name)
    draft.estimate([row | {"field": "drift"} for row in rows], origin, "drift_statistic", unit="ratio")
    draft.estimate(by_persona, origin, "persona_drift", unit="ratio")
    unseen = _unseen(in_force, before, block)
    low, high = (float(end) for end in wilson(unseen, len(block)))
    share = {"estimate": unseen / len(block), "low": low, "high": high, "n": len(block)}
    draft.estimate([share | {"field": "drift", "level": "definition"}], origin, "unseen_share")


def _outcome_drift(in_force: PersonaSet, block: pd.DataFrame, expected: NDArray[np.float64]) -> pd.DataFrame:
    """For each persona z = sum(y - p) / sqrt(sum p (1 - p)), with p corrected for as many personas (Bonferroni)."""
    cases = pd.DataFrame({"gap": block["is_won"] - expected, "spread": expected * (1 - expected)}, index=block.index)
    sums = cases.groupby(in_force.assign(block)).agg(["sum", "size"])
    z = sums["gap", "sum"] / np.sqrt(sums["spread", "sum"])
    p = np.minimum(2 * scipy.stats.norm.sf(z.abs()) * len(z), 1.0)
    columns = {"subject": sums.index, "field": "persona", "level": sums.index, "estimate": z.to_numpy(), "p": p}
    return pd.DataFrame(columns | {"n": sums["gap", "size"].to_numpy()})


def _unseen(in_force: PersonaSet, before: pd.DataFrame, block: pd.DataFrame) -> int:
    """How many of the period's deals have a value, in a field of the rule, that was never seen before."""
    fields = [f for f in in_force.rule.fields if f in block and not is_metric(block[f])]
    strange = pd.Series(False, index=block.index)
    for name in fields:
        known = set(level_text(before[name]).dropna())
        text = level_text(block[name])
        strange |= text.notna() & ~text.isin(known)
    return int(strange.sum())
