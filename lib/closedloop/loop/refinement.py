"""06 Refinement: what do the outcomes change in the personas? A proposal has to win its duel first."""

from dataclasses import replace

from closedloop.loop.drift import review_drift
from closedloop.loop.duel import duel
from closedloop.loop.edits import FEWEST_DEALS, propose
from closedloop.loop.off_policy import other_orders
from closedloop.loop.persona import PersonaSet, Proposal
from closedloop.loop.persona_changes import changed_by
from closedloop.loop.promises import review_promises
from closedloop.loop.records import ONLY_WON, decided
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.terms import Verdict


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
    verdict = duel(draft, situation, closed, in_force)
    challenger, edits = propose(situation, closed, in_force)
    draft.closed.append(edits)
    review_promises(draft, situation, closed, in_force)
    review_drift(draft, situation, in_force)
    draft.results |= {
        "verdict": verdict,
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
    closed = decided(situation)
    if closed.empty and (situation.deals["outcome"] == "won").any():
        return f"{ONLY_WON} Without lost deals neither duel, edits nor drift can be told."
    if following is None:
        return "The period is still running: the duel and the edits wait for its end."
    n = int(situation.in_period(closed["closed_on"]).sum())
    if n < FEWEST_DEALS:
        return f"{n} deals were won or lost in this period; a duel needs at least {FEWEST_DEALS}."
    return ""
