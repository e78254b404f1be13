"""07 Review: the period on one page for both teams."""

import pandas as pd

from closedloop.loop.persona import PersonaSet, Proposal
from closedloop.loop.persona_changes import changes
from closedloop.loop.step import Draft, Step
from closedloop.terms import Verdict

_VERDICTS = (Verdict.SUPPORTED, Verdict.LEANING, Verdict.INDISTINGUISHABLE, Verdict.REFUSED)


def review(in_force: PersonaSet, proposal: Proposal, steps: dict[str, Step], claims: pd.DataFrame) -> Step:
    """Changes, verdicts and gaps of the period; all figures of its page are the other steps' claims."""
    draft = Draft("review")
    handoff, refinement = steps["handoff"], steps["refinement"]
    if "promises" in handoff.missing:
        draft.missing["promises"] = handoff.missing["promises"]
    draft.tables["changes"] = changes(in_force, proposal.personas or in_force)
    verdicts = claims.loc[claims["family"] == "outcome", "verdict"].value_counts()
    draft.results |= {f"n_{verdict}": int(verdicts.get(str(verdict), 0)) for verdict in _VERDICTS}
    draft.results |= {"duel": refinement.results.get("verdict"), "n_looks": int(verdicts.sum())}
    return draft.done()
