"""The sections of 07 review."""

from closedloop.documents import numbers
from closedloop.documents.findings import backed, first, value
from closedloop.documents.pieces import Listing, Note, Sentence, stating
from closedloop.documents.sections.deals import worth_order
from closedloop.documents.sections.handoff import team_promises
from closedloop.documents.sections.personas import persona_changes
from closedloop.documents.sections.section import Evidence, Pieces, Section, level_of, ranked
from closedloop.documents.turning import holding, honestly
from closedloop.documents.wording import records, sentences
from closedloop.loop.drift import MIX, OUTCOME
from closedloop.terms import ACCEPTED_UNTOUCHED, REJECTED_UNTOUCHED

_MOST_HELD = 8


def _learned(shown: Evidence) -> Pieces:
    """What differs, and what has moved against the periods before."""
    moved = shown.claims[shown.claims["family"].isin([OUTCOME, MIX]) & (shown.claims["verdict"] == "supported")]
    told = (Note("Against the periods before:"), Listing(sentences(moved, shown.words))) if len(moved) else ()
    return (*_held(shown), *told)


def _held(shown: Evidence) -> Pieces:
    looked = shown.claims[shown.claims["family"] == "outcome"]
    held, supported = holding(looked, shown.claims), looked[looked["verdict"] == "supported"]
    if supported.empty:
        return (stating("Nothing was shown to differ in this period.", looked),)
    less = honestly(ranked(supported.drop(held.index)).head(_MOST_HELD), shown.claims, shown.words)
    others = (Note("As counted these differ; like compared with like they do not hold:"), Listing(less)) if less else ()
    if held.empty:
        return (stating("Nothing that differs holds like for like in this period.", looked), *others)
    largest = ranked(held).head(_MOST_HELD)
    listed = f"; the {len(largest)} largest are listed" if len(held) > len(largest) else ""
    text = f"{len(held)} finding{'s hold' if len(held) != 1 else ' holds'}{listed}."
    said = Sentence(text, stating("", held, largest).claims)
    return Listing(honestly(largest, shown.claims, shown.words)), said, *others, *worth_order(shown)


def _asks(shown: Evidence) -> Pieces:
    asked = [*_of_marketing(shown), *_of_sales(shown)]
    return (Listing(asked or [Sentence("No figure of this period asks for anything.")]),)


def _of_marketing(shown: Evidence) -> list[Sentence]:
    """What sales asks of marketing: fewer leads of the kind that it gives back most."""
    shares = shown.of("rejection_share").sort_values("estimate", ascending=False, kind="stable")
    name = level_of(shown.words)
    return [
        stating(
            f"Marketing: screen for “{name(top)}” before hand-off, {backed(top, shown.words)} of rejected leads.", top
        )
        for top in records(shares.head(1))
    ]


def _of_sales(shown: Evidence) -> list[Sentence]:
    """What marketing asks of sales: to touch what it accepts or gives back, and to record why deals are lost."""
    asked = []
    for kind, what in ((REJECTED_UNTOUCHED, "lead before giving it back"), (ACCEPTED_UNTOUCHED, "accepted lead")):
        untouched = first(shown.of("n_disagreements"), level=kind)
        if untouched is not None and untouched["estimate"] > 0:
            n, of = value(untouched, shown.words), numbers.count(untouched["n"])
            asked.append(stating(f"Sales: touch every {what}, {n} of {of} never were.", untouched))
    lost = shown.first("n_lost")
    if lost is not None and lost["estimate"] > 0 and shown.of("loss_share").empty:
        text = f"Sales: record why deals are lost; of {value(lost, shown.words)} lost ones too few have a reason."
        asked.append(stating(text, lost))
    elif not shown.of("loss_share").empty and shown.of("buyer_loss_share").empty:
        asked.append(
            Sentence("Sales: ask some buyers why they did not buy; so far only the reps' reasons are recorded.")
        )
    return asked


REVIEW = (
    Section("review", "promises", "What was promised, and was it kept?", team_promises, measures=("promise",)),
    Section("review", "findings", "What did we learn?", _learned),
    Section("review", "changes", "What changes in the personas?", persona_changes),
    Section("review", "asks", "What does each team ask of the other?", _asks),
)
