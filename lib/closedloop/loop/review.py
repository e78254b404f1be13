"""07 Review: the period on one page for both teams."""

from typing import Any

import pandas as pd

from closedloop.loop.persona import PersonaSet, Proposal, changes
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.terms import Verdict


def review(
    situation: Situation,
    in_force: PersonaSet,
    proposal: Proposal,
    steps: dict[str, Step],
    claims: pd.DataFrame,
) -> Step:
    """Promises, changes and asks of the period, from the other steps' figures and the closed family of claims."""
    draft = Draft("review")
    handoff, refinement = steps["handoff"], steps["refinement"]
    if "promises" in handoff.missing:
        draft.missing["promises"] = handoff.missing["promises"]
    draft.tables["changes"] = changes(in_force, proposal.personas or in_force)
    draft.tables["asks"] = _asks(situation, steps, claims)
    verdicts = claims["verdict"].value_counts()
    draft.results |= {
        f"n_{verdict}": int(verdicts.get(str(verdict), 0))
        for verdict in (Verdict.SUPPORTED, Verdict.LEANING, Verdict.INDISTINGUISHABLE, Verdict.REFUSED)
    }
    draft.results |= {"duel": refinement.results.get("verdict"), "n_looks": len(claims)}
    if "promises" in refinement.tables:
        kept = refinement.tables["promises"]["is_kept"]
        draft.results |= {"n_persona_promises": len(kept), "n_persona_promises_kept": int(kept.sum())}
    return draft.done()


def _asks(situation: Situation, steps: dict[str, Step], claims: pd.DataFrame) -> pd.DataFrame:
    """What each team asks of the other, from figures alone; at most three a team."""
    asks: list[tuple[str, str]] = []
    asks += [("sales", text) for text in _sales_asks(steps["handoff"])]
    asks += [("marketing", text) for text in _marketing_asks(steps["handoff"], steps["deals"])]
    table = pd.DataFrame(asks, columns=["team", "ask"])
    return table.groupby("team", sort=False).head(3).reset_index(drop=True)


def _sales_asks(handoff: Step) -> list[str]:
    found = []
    rejections = handoff.tables.get("rejections")
    if rejections is not None and len(rejections):
        top = rejections.iloc[0]
        found.append(
            f'Screen for "{top["reason"]}" before hand-off: '
            f"{top['n']} of {rejections['n'].sum()} rejected leads had this reason."
        )
    return found


def _marketing_asks(handoff: Step, deals: Step) -> list[str]:
    found = []
    disagreements: Any = handoff.tables.get("disagreements")
    for row in () if disagreements is None else disagreements.itertuples():
        if row.n and "never touched" in row.kind:
            found.append(f"Touch every accepted lead: {row.n} of {row.n_of} accepted leads were never touched.")
    reasons = deals.tables.get("loss_reasons")
    if reasons is not None and not (reasons["source"] == "buyer").any():
        found.append("Ask some buyers why they did not buy: so far only the reps' reasons are recorded.")
    if "loss_reasons" in deals.missing and deals.results.get("n_lost"):
        found.append("Record why deals are lost: no reason is recorded, so materials cannot answer it.")
    return found
