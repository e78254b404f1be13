"""The persona set of the next period: the challenger where it won, else the set in force."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from closedloop.documents.persona_diff import change_table
from closedloop.documents.pieces import Piece, Sentence
from closedloop.loop.persona import PersonaSet, Proposal, write_proposal
from closedloop.loop.persona_changes import changed_by, changes
from closedloop.questions.answer import Answer
from closedloop.questions.challenger import Challenger
from closedloop.questions.champion_challenger import IMPROVED
from closedloop.questions.evidence import Evidence
from closedloop.questions.period import opened
from closedloop.questions.refinable import following


def next_set(duel: Answer, edited: Answer) -> Answer:
    """The proposal for the next period, of the answers of ``champion_challenger`` and ``edits``; written at the close.

    The challenger is proposed only when it won its duel; then its edits stand in its changelog, each with its claim.
    Where nothing can be told the set in force stays. ``made`` of the answer: the proposal.
    """
    now = opened()
    answer = now.ask("next_set", "next_set", pd.DataFrame(), "deals", _show)
    coming, verdict = following(now), str(duel.results["verdict"])
    proposal = Proposal(verdict, reason=duel.missing.get(duel.section, ""))
    if edited.fitted is not None:
        proposal = proposal_of(verdict, edited.fitted, now.personas, coming.name if coming else None)
    answer.fitted = proposal
    answer.tables["changes"] = changes(now.personas, proposal.personas or now.personas)
    answer.results |= {"next_period": coming.name if coming else None, "is_proposed": proposal.personas is not None}

    def leave(folder: Path) -> None:
        write_proposal(folder / "proposal.yml", proposal)

    answer.leave = leave
    return answer


def proposal_of(verdict: str, challenger: Challenger, in_force: PersonaSet, coming: str | None) -> Proposal:
    """What refinement concludes for the period ``coming``; without one, or without a duel won, it proposes no set."""
    if verdict != IMPROVED or coming is None:
        return Proposal(verdict)
    won = replace(challenger.personas, period=coming, origin="refined")
    return Proposal(verdict, replace(won, changelog=changed_by(challenger.edits, in_force, won, coming)))


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    """What changes against the set in force, and when."""
    coming = shown.result("next_period")
    if not shown.result("is_proposed"):
        said = Sentence(f"The personas in force stay{f' in {coming}' if coming else ''}.")
    elif shown.words.definition.accept == "manual":
        said = Sentence(f"This set is proposed for {coming}; it waits until people accept it (closedloop accept).")
    else:
        said = Sentence(f"This set is in force in {coming}, with rates renewed at its start.")
    return change_table(shown.table("changes"), shown.words, title), said
