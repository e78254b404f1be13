"""Edits of a persona set: what the outcomes so far would change, each tested, the whole family corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from closedloop.personas.changes import changed_by, changes
from closedloop.personas.persona_set import EDITS, GATE, MERGE, RETIRE, SPLIT, PersonaSet, Proposal, write_proposal
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, stating
from closedloop.presentation.persona_words import change_table
from closedloop.presentation.sentences import Claim, backed, where
from closedloop.presentation.tables import Columns, table_of
from closedloop.questions.refinement import splits
from closedloop.questions.refinement.champion_challenger import IMPROVED, Challenger, challenger_of, verdict_of
from closedloop.questions.refinement.splits import FEWEST_DEALS, following, refinable
from closedloop.statistics.segmentation.indicators import level_text
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import SplitRedraw

_BACK: Mapping[str, str] = {  # what would take an edit back
    SPLIT: "later deals show the two alike",
    MERGE: "the split is found again",
    RETIRE: "its share grows again",
}


def edits(
    deals: pd.DataFrame, by: Sequence[str] | None = None, *, least: int | None = None, among: str | None = None
) -> Answer:
    """Every split, merge and retirement of the personas in force, tested on all deals that were decided so far.

    Splits compare a level of a field with the persona's other deals inside the periods (van Elteren's stratified exact
    test); merges and retirements ask whether a difference is small (Schuirmann, 1987). q <= .10 / planned periods is
    permanent. ``by``: fields tried as splits, those of the people unless given; ``least``: decided deals of the period
    below which the set is left alone, 60 unless given. ``made`` of the answer: the challenger.
    """
    now = opened()
    answer = now.ask("edits", "edits", deals, "deals", _show, among=among, by=by, least=least)
    answer.headline = edits_summary
    answer.results |= {"n_edits": 0, "n_watch": 0}
    closed = refinable(answer, FEWEST_DEALS if least is None else least)
    if closed is None:
        return answer
    found = challenger_of(now.situation, closed, now.personas, by, now.notebook)
    answer.fitted = found
    answer.closed.append(found.edits)
    n = found.edits["verdict"].value_counts()
    answer.results |= {"n_edits": int(n.get("supported", 0)), "n_watch": int(n.get("leaning", 0))}
    if answer.is_recorded:
        tried = splits.split_fields(now.situation, closed) if by is None else list(by)
        levels = pd.DataFrame({name: level_text(closed[name]) for name in tried if name in closed})
        days, assigned = closed["closed_on"], now.personas.assign(closed)
        rate = 0.10 / now.situation.claims.planned_periods
        answer.redraws.append(SplitRedraw(closed["deal_id"], assigned, levels, days, GATE, rate))
    return answer


def edits_tested(claims: pd.DataFrame) -> pd.DataFrame:
    """Those of the claims that are edits."""
    return claims[claims["family"].isin(["edit", "simplify"])]


def edits_summary(shown: Evidence) -> list[Sentence]:
    """How many edits of the personas were tested, how many hold and how many are to watch."""
    tested = edits_tested(shown.claims)
    if tested.empty:
        return [Sentence("No edit of the personas could be tested.")]
    held, watched = (int((tested["verdict"] == verdict).sum()) for verdict in ("supported", "leaning"))
    hold = "holds" if held == 1 else "hold"
    text = f"{numbers.count(len(tested))} edits were tested: {held} {hold}, {watched} to watch."
    return [stating(text, tested)]


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    tested = edits_tested(shown.claims)
    named = tested[tested["verdict"].isin(["supported", "leaning"])]
    if named.empty:
        return edits_summary(shown)
    order = named.sort_values(["verdict", "q", "subject", "field", "level"], ascending=[False, *[True] * 4])

    def of(row: Mapping[str, Claim]) -> Claim:
        return next(iter(row.values()))

    is_won = verdict_of(where(shown.ledger, family="duel")) == IMPROVED
    held = "permanent" if is_won else "holds; not made, the duel was not won"

    columns: Columns = {
        "edit": ("edit", lambda row: EDITS[of(row)["measure"]]),
        "now": ("rate", lambda row: backed(of(row), shown.words)),
        "before": ("instead of", lambda row: numbers.rate(of(row)["baseline"])),
        "effect": ("effect", lambda row: numbers.signed_points(of(row)["effect"])),
        "p": ("p", lambda row: numbers.plain(of(row)["p"])),
        "status": ("status", lambda row: held if of(row)["verdict"] == "supported" else "watch"),
        "back": ("goes back if", lambda row: _BACK[EDITS[of(row)["measure"]]]),
    }
    note = "Everything that is not listed is kept as it is."
    caption = f"{title} {note}" if title else note
    return table_of(order, shown.words, "persona and case", columns, caption=caption), *edits_summary(shown)


def next_set(duel: Answer, edited: Answer) -> Answer:
    """The proposal for the next period, of the answers of ``champion_challenger`` and ``edits``; written at the close.

    The challenger is proposed only when it won its duel; then its edits stand in its changelog, each with its claim.
    Where nothing can be told the set in force stays. ``made`` of the answer: the proposal.
    """
    now = opened()
    answer = now.ask("next_set", "next_set", pd.DataFrame(), "deals", _show_next_set)
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


def _show_next_set(shown: Evidence, title: str) -> Sequence[Piece]:
    """What changes against the set in force, and when."""
    coming = shown.result("next_period")
    if not shown.result("is_proposed"):
        said = Sentence(f"The personas in force stay{f' in {coming}' if coming else ''}.")
    elif shown.words.definition.accept == "manual":
        said = Sentence(f"This set is proposed for {coming}; it waits until people accept it (closedloop accept).")
    else:
        said = Sentence(f"This set is in force in {coming}, with rates renewed at its start.")
    return change_table(shown.table("changes"), shown.words, title), said
