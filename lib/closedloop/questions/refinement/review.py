"""The period on one page for both teams: what the notebooks before found, and what may be false among it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from closedloop.claims.ledger import alike
from closedloop.period import store
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, span, stating
from closedloop.presentation.persona_words import change_table
from closedloop.presentation.sentences import (
    backed,
    first,
    holding,
    honestly,
    is_small,
    records,
    sentences,
    value,
    where,
)
from closedloop.presentation.tables import Columns, table_of
from closedloop.presentation.words import capital
from closedloop.questions.deals.amounts import amount_order
from closedloop.questions.handoff.promises import neglected, show_promises
from closedloop.questions.refinement.drift import RATE, SHARE
from closedloop.questions.refinement.edits import entries_told, next_words
from closedloop.questions.refinement.first_third import show_thirds, state_thirds, thirds_in_words
from closedloop.statistics.proportions import at_rate
from closedloop.terms import ACCEPTED_UNTOUCHED, REJECTED_UNTOUCHED, Verdict
from closedloop.workbench import cells
from closedloop.workbench.answer import ENDING, Answer, Evidence, Render
from closedloop.workbench.comparison import level_of, ranked
from closedloop.workbench.period import opened

_VERDICTS = (Verdict.SUPPORTED, Verdict.LEANING, Verdict.INDISTINGUISHABLE, Verdict.REFUSED)


def review(*notebooks: str) -> "Review":
    """What these notebooks found of the open period; what is missing is computed first."""
    now = opened()
    for notebook in notebooks:
        cells.ensure(notebook, now.market, now.period.name, now.standing)
    return Review(store.read_claims(now.folder, *notebooks))


@dataclass(frozen=True)
class Review:
    """The claims of a period's notebooks, a row each (``claims``), and what they say to both teams."""

    claims: pd.DataFrame

    def goals(self) -> Answer:
        """What both teams promised for the period and what was observed, as 04 found it."""
        answer = self._answer("goals", "promises", show_promises)
        answer.cited = self.claims[self.claims["notebook"] == "04_handoff"]
        answer.headline = neglected
        missing = store.read_tables(answer.now.folder, "04_handoff").missing
        if "promises" in missing:
            answer.missing["promises"] = missing["promises"]
        return answer

    def findings(self, *, most: int = 8) -> Answer:
        """What differs among deals and holds over all that 05 compared, the ``most`` largest; what 06 saw move."""
        answer = self._answer("findings", "findings", partial(_show_findings, most), most=most)
        answer.cited = self.claims[self.claims["notebook"].isin(["05_deals", "06_refinement"])]
        answer.headline = _how_many_hold
        verdicts = _compared(answer.cited)["verdict"].value_counts()
        answer.results |= {f"n_{verdict}": int(verdicts.get(str(verdict), 0)) for verdict in _VERDICTS}
        answer.results["n_looks"] = int(verdicts.sum())
        return answer

    def changes(self) -> Answer:
        """What the proposal of 06 changes in the personas, and whether plays by persona can pay at all."""
        answer = self._answer("changes", "changes", _show_changes)
        left = store.read_tables(answer.now.folder, "06_refinement")
        answer.cited = self.claims[self.claims["notebook"].isin(["05_deals", "06_refinement"])]
        wanted = ("changes", "entries", "next_names")
        answer.tables |= {name: left.tables[name] for name in wanted if name in left.tables}
        answer.results["duel_log_loss"] = left.results.get("log_loss")
        return answer

    def first_third(self) -> Answer:
        """Period by period, how many were won of the deals that the set in force then ranked first, and of all."""
        answer = self._answer("first_third", "first_third", show_thirds)
        answer.headline = lambda shown: thirds_in_words(shown.claims, shown.words)
        state_thirds(answer)
        return answer

    def requests(self) -> Answer:
        """What each team asks of the other, of the figures of 04 and 05."""
        answer = self._answer("requests", "asks", _show_requests)
        answer.cited = self.claims[self.claims["notebook"].isin(["04_handoff", "05_deals"])]
        return answer

    def false_lines(self) -> Answer:
        """How many supported lines may be false, at most on average: of each family the largest q times their number.

        Benjamini and Hochberg (1995): among the comparisons with q up to a bound no more than that part is false, on
        average. Families are added up; a family's bound is the largest q among its supported claims.
        """
        answer = self._answer("false_lines", "false_lines", _show_false_lines)
        compared = self.claims[self.claims["family"] != "none"]
        held = compared[compared["verdict"] == "supported"]
        groups = held.groupby(["notebook", "family"], sort=True)["q"].agg(["size", "max"])
        rows = [
            {"field": "family", "level": f"{notebook}, {family}", "estimate": n * bound, "baseline": bound, "n": int(n)}
            for (notebook, family), n, bound in groups.itertuples()
        ]
        total = {"estimate": sum(row["estimate"] for row in rows), "n": len(held)}
        answer.estimate([*rows, total], answer.origin_now, "expected_false_lines", unit="ratio")
        answer.results["expected_false_lines"] = total["estimate"]
        return answer

    def _answer(self, verb: str, section: str, render: Render, **arguments: Any) -> Answer:
        return opened().ask(verb, section, self.claims, "claims", render, **arguments)


def _compared(claims: pd.DataFrame) -> pd.DataFrame:
    """What 05 compared of how deals end."""
    return where(claims, notebook="05_deals", family=ENDING)


def _how_many_hold(shown: Evidence) -> list[Sentence]:
    """How many findings hold, how many are to watch, and for how many the data are too few."""
    compared = _compared(shown.claims)
    if compared.empty:
        return []
    supported, leaning, refused = (
        int((compared["verdict"] == one).sum()) for one in ("supported", "leaning", "refused")
    )
    held = holding(compared, shown.ledger)
    unlike = supported - len(held)
    less = f", {unlike} do{'es' * (unlike == 1)} not, or may not, like for like" if unlike else ""
    text = f"{_findings(held)}{less}, {leaning} to watch"
    few = numbers.plural(refused, "comparison")
    counted = stating(f"{text}; for {few} the data are too few.", compared)
    return [counted, *amount_order(shown)]


def _findings(held: pd.DataFrame) -> str:
    """How many findings hold; fields may say the same of the same deals, such as figures that each month has."""
    n, groups = len(held), len(held.drop_duplicates(["measure", "n", "estimate", "baseline", "within"]))
    said = f"{numbers.plural(n, 'finding')} about deals hold{'s' * (n == 1)}"
    if groups == n:
        return said
    return f"{said}, of the same deals" if groups == 1 else f"{said}, of {groups} different groups of deals"


def _show_findings(most: int, shown: Evidence, title: str) -> Sequence[Piece]:
    """What differs like for like, what only as counted, and what has moved against the periods before."""
    moved = where(shown.of(RATE, SHARE), verdict="supported")
    lines = Listing(sentences(moved, shown.words))
    others: list[Piece] = [Note("Against the periods before:"), lines] if len(moved) else []
    compared = _compared(shown.claims)
    held, supported = holding(compared, shown.ledger), compared[compared["verdict"] == "supported"]
    if supported.empty:
        return stating("Nothing was shown to differ in this period.", compared), *others
    less = honestly(ranked(supported.drop(held.index)).head(most), shown.ledger, shown.words)
    counted = Note("As counted these differ; like compared with like they do not hold, or may not:")
    unlike: list[Piece] = [counted, Listing(less)] if less else []
    if held.empty:
        return stating("Nothing that differs holds like for like in this period.", compared), *unlike, *others
    largest = ranked(held).head(most)
    listed = f"; {len(largest)} are listed, rates before amounts and days" if len(held) > len(largest) else ""
    text = f"{_findings(held)}{listed}."
    said = Sentence(text, stating("", held, largest).claims)
    return Listing(honestly(largest, shown.ledger, shown.words)), said, *unlike, *amount_order(shown), *others


def _show_changes(shown: Evidence, title: str) -> Sequence[Piece]:
    frame = shown.table("changes")
    if frame.empty:
        return (one_play(shown),)
    n, words = int((frame["change"] != "kept").sum()), next_words(shown)
    text = f"{numbers.plural(n, 'change')} of the personas." if n else "The personas stay as they are."
    listed: Sequence[Piece] = entries_told(shown, words) or [Sentence("No signal enters, none is withdrawn.")]
    return change_table(frame, words, title), Sentence(text), *listed, one_play(shown)


def one_play(shown: Evidence) -> Sentence:
    """Are the personas in force won unlike each other, so that plays of their own can pay?"""
    found = where(shown.ledger, measure="win_rate", field="persona", within="", among="")
    if found.empty:
        return Sentence("Whether one play for all would do as well cannot be told: win rates are not compared.")
    held, when = holding(found, shown.ledger), span(records(found.head(1))[0])
    if len(held):
        names = [shown.words.told(str(level)) for level in held["level"]]
        who = f"deals of {' and '.join(names)}" if len(names) < 3 else f"deals of {len(names)} personas"
        text = f"{capital(who)} were won more or less often than the rest ({when}): plays by persona can pay."
        return stating(text, held)
    base = found["baseline"].astype("float64")  # of rare outcomes a smaller difference is one: 4 p (1 - p) of it
    worth = base.map(partial(at_rate, shown.words.definition.claims.smallest_worth))
    moved = where(shown.ledger, measure=RATE, verdict="supported")  # what was alike over the window may be no longer
    is_alike = alike(found, worth).all() and not found["verdict"].isin([Verdict.SUPPORTED, Verdict.LEANING]).any()
    if is_alike and moved.empty:
        within = f"within {numbers.points(worth.max())} of all ({when})"
        if is_small(found).any():
            text = f"Personas are won unlike each other, {within}: too little for plays of their own"
            return stating(f"{text}, by what the market calls worth knowing.", found)
        return stating(f"All personas were won alike, {within}: one play for all will do.", found)
    return stating("Whether plays by persona pay, or one for all would do as well, cannot be told.", found)


def _show_requests(shown: Evidence, title: str) -> Sequence[Piece]:
    """Marketing: fewer leads of the kind given back most. Sales: touch every lead, and record why deals are lost."""
    words, name, asked = shown.words, level_of(shown.words), []
    shares = shown.of("rejection_share").sort_values("estimate", ascending=False, kind="stable")
    for top in records(shares.head(1)):
        of = f"{backed(top, words)} of rejected leads"
        asked.append(stating(f"Marketing: screen for “{name(top)}” before hand-off, {of}.", top))
    for kind, what in ((REJECTED_UNTOUCHED, "lead before giving it back"), (ACCEPTED_UNTOUCHED, "accepted lead")):
        untouched = first(shown.of("n_disagreements"), level=kind)
        if untouched is not None and untouched["estimate"] > 0:
            n, of = value(untouched, words), numbers.count(untouched["n"])
            asked.append(stating(f"Sales: touch every {what}, {n} of {of} were not.", untouched))
    lost, by_sellers = shown.first("n_lost"), shown.of("loss_share")
    if lost is not None and lost["estimate"] > 0 and by_sellers.empty:
        text = f"Sales: record why deals are lost; of {value(lost, words)} lost ones too few have a reason."
        asked.append(stating(text, lost))
    elif len(by_sellers) and shown.of("buyer_loss_share").empty:
        noted, of = shown.first("n_buyer_losses"), "of the lost deals in the periods looked at"
        why = f"{value(noted, words) if noted else 'fewer than ten'} {of} have a buyer's own reason"
        why = f"{why}, none ten times" if noted else why
        asked.append(stating(f"Sales: ask more buyers why they did not buy; {why}.", *([noted] if noted else [])))
    return (Listing(asked or [Sentence("No figure of this period asks for anything.")]),)


def _show_false_lines(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = shown.of("expected_false_lines")
    families, total = where(rows, field="family"), rows[rows["field"] == ""]
    columns: Columns = {
        "n": ("supported", lambda row: numbers.count(row["expected_false_lines"]["n"])),
        "bound": ("largest q", lambda row: numbers.plain(row["expected_false_lines"]["baseline"])),
        "expected_false_lines": "false among them, at most on average",
    }
    label = level_of(shown.words)
    listed = [table_of(families, shown.words, "family", columns, label=label, caption=title)] if len(families) else []
    whole = records(total)[0]
    if not whole["n"]:
        return (stating("No line of this period is supported, so none is so falsely.", total),)
    text = f"Of {numbers.plural(whole['n'], 'supported line')} {numbers.plain(whole['estimate'])} may be false at most"
    return *listed, stating(f"{text}, on average.", total)
