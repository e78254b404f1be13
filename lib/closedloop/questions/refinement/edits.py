"""Edits of a persona set: what the outcomes so far would change, each tested, the whole family corrected."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from closedloop.period.situation import Situation
from closedloop.personas.changes import changed_by, changes
from closedloop.personas.persona_set import (
    EDITS,
    GATE,
    MERGE,
    RETIRE,
    SPLIT,
    Change,
    PersonaSet,
    estimate,
)
from closedloop.personas.proposal import Proposal, write_proposal
from closedloop.personas.signals import WITHDRAWN, Refined, Signal
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, stating
from closedloop.presentation.persona_words import change_table, edit_told, words_for
from closedloop.presentation.sentences import Claim, backed, records
from closedloop.presentation.tables import Columns, table_of
from closedloop.presentation.words import Words
from closedloop.questions.refinement import splits
from closedloop.questions.refinement.champion_challenger import CANNOT_TELL, KEEPS_OUT, kept_out
from closedloop.questions.refinement.signal_tests import changelog_of
from closedloop.questions.refinement.splits import FEWEST_DEALS, following, refinable, simplified
from closedloop.statistics.level_effects import Level
from closedloop.statistics.segmentation.indicators import level_text
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import SplitRedraw

_BACK: Mapping[str, str] = {  # what would take an edit back
    SPLIT: "later deals show the two alike",
    MERGE: "the split is found again",
    RETIRE: "its share grows again",
}


@dataclass(frozen=True)
class Challenger:
    """A persona set as the deals known so far would have it, and the claims of every edit that was tested."""

    personas: PersonaSet
    edits: pd.DataFrame


def challenger_of(
    situation: Situation,
    closed: pd.DataFrame,
    in_force: PersonaSet,
    fields: Sequence[str] | None = None,
    notebook: str = "06_refinement",
    signals: Collection[Level] = (),
) -> Challenger:
    """The challenger learned from ``closed`` deals, with its permanent edits made; and claims of all edits tested.

    Claims (``CLAIM_COLUMNS``, family ``edit``): subject the persona; measure ``win_rate`` a split, and those of
    ``merges``; supported is permanent, leaning on watch. Only rules are edited: rates are renewed every period.
    ``fields``: tried as splits; all of the people known at creation unless given. ``signals``: of all personas; a level
    that is one, or was, splits no persona.
    """
    tried = splits.split_fields(situation, closed) if fields is None else [name for name in fields if name in closed]
    claims = splits.split_claims(situation, closed, in_force, tried, notebook, signals)
    changed, undone = simplified(situation, closed, in_force, notebook)
    made = claims[(claims["verdict"] == Verdict.SUPPORTED) & claims["subject"].isin(changed.ids)]
    for edit in _surest(made).itertuples():
        changed = splits.with_split(changed, str(edit.subject), str(edit.field), str(edit.level))
    changed = replace(changed, fields=tuple(dict.fromkeys([*in_force.fields, *changed.rule.fields])))
    if changed.rule != in_force.rule:
        changed = replace(changed, rule_error=None, guess_error=None, rule_n=None, rule_periods=())
    wholes = {*made["subject"], *undone.loc[undone["verdict"] == Verdict.SUPPORTED, "level"]}
    changed, recent = _with_shares(changed, closed, wholes), situation.in_window(closed, closed["closed_on"])
    with_rates = estimate(changed, recent, situation.names_of(recent["closed_on"]))
    return Challenger(with_rates, pd.concat([claims, undone], ignore_index=True))


def _surest(made: pd.DataFrame) -> pd.DataFrame:
    """Of each persona the surest of its splits: one is made at a time."""
    return made.sort_values(["q", "subject", "field", "level"]).drop_duplicates("subject")


def _with_shares(changed: PersonaSet, closed: pd.DataFrame, wholes: set[str]) -> PersonaSet:
    """The set with the share of the ``wholes``' deals that have the level they are called by, as far as deals hold it.

    What was cut out of a persona or went back to it may have had that level more often, or less often, than the rest.
    """
    assigned = changed.assign(closed)
    personas = []
    for persona in changed.personas:
        if persona.id in wholes and persona.level and persona.field in closed:
            has_level = level_text(closed.loc[assigned == persona.id, persona.field]).dropna() == persona.level
            persona = replace(persona, share=float(has_level.mean()) if len(has_level) else None)
        personas.append(persona)
    return replace(changed, personas=tuple(personas))


def edits(
    deals: pd.DataFrame,
    signalled: Answer | None = None,
    by: Sequence[str] | None = None,
    *,
    least: int | None = None,
    among: str | None = None,
) -> Answer:
    """Every split, merge and retirement of the personas in force, tested on all deals that were decided so far.

    Splits compare a level of a field with the persona's other deals inside the periods (van Elteren's stratified exact
    test); merges and retirements ask whether a difference is small (Schuirmann, 1987). q <= .02 / planned periods is a
    permanent split, .10 / planned periods the others. ``signalled``: the answer of ``signal_tests``, whose levels split
    no persona. ``by``: fields tried as splits, those of the people unless given; ``least``: decided deals of the period
    below which the set is left alone, 60 unless given. ``fitted`` of the answer: the challenger.
    """
    now = opened()
    answer = now.ask("edits", "edits", deals, "deals", _show, among=among, by=by, least=least)
    answer.headline = edits_summary
    answer.results |= {"n_edits": 0, "n_watch": 0}
    closed = refinable(answer, FEWEST_DEALS if least is None else least)
    if closed is None:
        return answer
    followed: Refined | None = signalled.fitted if signalled is not None else None
    signals = [one.what for one in followed.signals] if followed else []
    found = challenger_of(now.situation, closed, now.personas, by, now.notebook, signals)
    answer.fitted = found
    answer.closed.append(found.edits)
    n = found.edits["verdict"].value_counts()
    answer.results |= {"n_edits": int(n.get("supported", 0)), "n_watch": int(n.get("leaning", 0))}
    if answer.is_recorded:
        tried = splits.split_fields(now.situation, closed) if by is None else list(by)
        levels = splits.split_levels(closed, [name for name in tried if name in closed], signals)
        days, assigned = closed["closed_on"], now.personas.assign(closed)
        rate = splits.split_rate(now.situation)
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
    were = f"{numbers.plural(len(tested), 'edit')} {'was' if len(tested) == 1 else 'were'}"
    text = f"{were} tested: {held} {hold}, {watched} to watch."
    return [stating(text, tested)]


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    tested = edits_tested(shown.claims)
    named = tested[tested["verdict"].isin(["supported", "leaning"])]
    if named.empty:
        return edits_summary(shown)
    order = named.sort_values(["verdict", "q", "subject", "field", "level"], ascending=[False, *[True] * 4])

    def of(row: Mapping[str, Claim]) -> Claim:
        return next(iter(row.values()))

    surest = _surest(tested[(tested["verdict"] == "supported") & (tested["measure"] == splits.SPLIT_RATE)])
    why = kept_out(shown.ledger)
    held = f"holds; not made: {why}" if why else "permanent"

    def status(claim: Claim) -> str:
        if claim["verdict"] != "supported":
            return "watch"
        is_later = claim["measure"] == splits.SPLIT_RATE and claim["claim_id"] not in set(surest["claim_id"])
        return "holds; not made now: another split of the persona is surer" if is_later else held

    columns: Columns = {
        "edit": ("edit", lambda row: EDITS[of(row)["measure"]]),
        "now": ("rate", lambda row: _edited(of(row), shown.words)[0]),
        "before": ("instead of", lambda row: _edited(of(row), shown.words)[1]),
        "effect": ("effect", lambda row: numbers.signed_points(of(row)["effect"])),
        "p": ("p", lambda row: numbers.plain(of(row)["p"])),
        "status": ("status", lambda row: status(of(row))),
        "back": ("goes back if", lambda row: _BACK[EDITS[of(row)["measure"]]]),
    }
    note = "Everything that is not listed is kept as it is. Rates of a split are those of like periods; that of a "
    note += "retirement is the persona's share of all deals."
    caption = f"{title} {note}" if title else note
    return table_of(order, shown.words, "persona and case", columns, caption=caption), *edits_summary(shown)


def _edited(claim: Claim, words: Words) -> tuple[str, str]:
    """The rate of an edit and the one that it is held against, with decimals where both would read the same."""
    now, before = numbers.rates_apart(claim["estimate"], claim["baseline"])
    return backed(claim, words).replace(numbers.rate(claim["estimate"]), now, 1), before


def next_set(duel: Answer, signalled: Answer, edited: Answer) -> Answer:
    """The proposal for the next period, of ``champion_challenger``, ``signal_tests``, ``edits``; written at the close.

    What refinement did so far is not shown to be worse: the challenger's edits and the new signals enter, each with its
    claim in the changelog. Where it is worse nothing enters and the newest signals leave; where that cannot be told
    nothing enters. What came of the signals in force is kept in any case. ``fitted`` of the answer: the proposal.
    """
    now = opened()
    answer = now.ask("next_set", "next_set", pd.DataFrame(), "deals", _show_next_set)
    coming, verdict = following(now), str(duel.results["log_loss"])
    proposal = Proposal(verdict, reason=duel.missing.get(duel.section, ""))
    if edited.fitted is not None and coming is not None:
        found: Refined | None = signalled.fitted
        signals = found.signals if found else now.personas.signals
        made = proposal_of(verdict, edited.fitted, signals, signalled.judged, now.personas, coming.name)
        proposal = replace(made, reason=proposal.reason)
    answer.fitted = proposal
    answer.tables["changes"] = changes(now.personas, proposal.personas or now.personas)
    entries = proposal.personas.changelog[len(now.personas.changelog) :] if proposal.personas else ()
    answer.tables["entries"] = pd.DataFrame([vars(entry) for entry in entries])
    names = words_for(now.definition, proposal.personas or now.personas, now.personas).names
    answer.tables["next_names"] = pd.DataFrame({"persona": names.keys(), "name": names.values()}, dtype="str")
    answer.results |= {"next_period": coming.name if coming else None, "is_proposed": bool(entries)}
    answer.results["nothing_enters"] = "" if edited.fitted is None else KEEPS_OUT.get(verdict, "")

    def leave(folder: Path) -> None:
        write_proposal(folder / "proposal.yml", proposal)

    answer.leave = leave
    return answer


def proposal_of(
    verdict: str,
    challenger: Challenger,
    found: Sequence[Signal],
    claims: pd.DataFrame,
    in_force: PersonaSet,
    coming: str,
) -> Proposal:
    """What refinement concludes for the period ``coming``; see ``next_set``.

    ``found``: the signals as they stand then, ``claims`` those on them.
    """
    signals = standing(in_force.signals, found, verdict, coming)
    after = replace(in_force, period=coming, origin="carried over", signals=signals)
    entries = changelog_of(in_force.signals, signals, claims)
    if verdict not in KEEPS_OUT:
        after = replace(challenger.personas, period=coming, origin="carried over", signals=signals)
        after = replace(after, changelog=changed_by(challenger.edits, in_force, after, coming))
    after = replace(after, changelog=(*after.changelog, *entries))
    if after.changelog != in_force.changelog:
        after = replace(after, origin="refined")
    is_same = after.changelog == in_force.changelog and signals == in_force.signals
    return Proposal(verdict) if is_same else Proposal(verdict, after)


def standing(before: Sequence[Signal], found: Sequence[Signal], verdict: str, coming: str) -> tuple[Signal, ...]:
    """The signals of the next set: those ``found``, less what the duel keeps out."""
    known = {one.what for one in before if one.is_in_force}
    if verdict not in KEEPS_OUT:
        return tuple(found)
    was = {one.what: one for one in before}
    kept = [one if one.what in known else was.get(one.what) for one in found]
    held = [one for one in kept if one is not None]
    if verdict == CANNOT_TELL:
        return tuple(held)
    newest = max((one.entered for one in held if one.is_in_force), default="")
    return tuple(
        replace(one, state=WITHDRAWN, left=coming) if one.is_in_force and one.entered == newest else one for one in held
    )


def _show_next_set(shown: Evidence, title: str) -> Sequence[Piece]:
    """What changes against the set in force, and when."""
    coming, words = shown.result("next_period"), next_words(shown)
    listed = entries_told(shown, words)
    if not shown.result("is_proposed"):
        why = shown.result("nothing_enters")
        why = f": nothing enters, as {why}" if why else ""
        said = Sentence(f"The set in force stays{f' in {coming}' if coming else ''}{why}.")
    elif shown.words.definition.accept == "manual":
        said = Sentence(f"This set is proposed for {coming}; it waits until people accept it (closedloop accept).")
    else:
        said = Sentence(f"This set is in force in {coming}, with rates renewed at its start.")
    return change_table(shown.table("changes"), words, title), *listed, said


def next_words(shown: Evidence) -> Words:
    """The words with the names of the personas that the next set has besides, as ``next_set`` leaves them."""
    made = shown.table("next_names")
    names = dict(zip(made["persona"], made["name"], strict=True)) if len(made) else {}
    return replace(shown.words, names={**names, **shown.words.names})


def entries_told(shown: Evidence, words: Words) -> list[Listing]:
    """What each new entry of the changelog did, with its claim; nothing where there is none."""
    told = []
    for row in records(shown.table("entries")):
        entry = Change(**{name: value for name, value in row.items() if not numbers.is_missing(value)})
        claim = shown.ledger[shown.ledger["claim_id"] == entry.claim_id]
        told.append(stating(f"{edit_told(entry, words)}.", claim))
    return [Listing(told)] if told else []
