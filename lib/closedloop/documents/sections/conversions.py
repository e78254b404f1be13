"""Which leads become won ones, where only won deals are recorded: shown in place of win rates."""

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, backed, value, where
from closedloop.documents.pieces import Note, Sentence, stating
from closedloop.documents.sections.section import Evidence, Pieces, claim_pieces
from closedloop.documents.wording import capital, records
from closedloop.loop.comparisons import CONVERSION, USUAL_DAYS

_NOTE = (
    "A lead that is not won yet counts for as long as it was seen, not as lost. Groups are compared with all leads "
    "that came in the same periods, at the same age."
)


def how_many(shown: Evidence) -> list[Sentence]:
    """How many leads are won within the usual time, and what that is."""
    rate, days = shown.first(CONVERSION, field="", family="none"), shown.first(USUAL_DAYS)
    if rate is None or days is None:
        return []
    text = f"{backed(rate, shown.words)} of leads are won within {value(days, shown.words)}, the usual time."
    return [stating(text, rate, days)]


def conversions(shown: Evidence, cell: str) -> Pieces:
    """How many leads are won within the usual time, who more often, and which leads cannot be told of."""
    claims = shown.of(CONVERSION)
    looked = claims[claims["family"] != "none"]
    title, axis = "Which leads are won?", "share of leads won within the usual time"
    return *how_many(shown), *claim_pieces(looked, shown.words, title, axis), *uncovered(shown, cell), Note(_NOTE)


def uncovered(shown: Evidence, cell: str) -> list[Sentence]:
    """Which leads the section ``cell`` leaves out, because deals, spend or touches were not recorded when they came."""
    return [
        stating(_left_out(claim), claim) for claim in records(where(shown.of("n_uncovered", "n_uncounted"), cell=cell))
    ]


def _left_out(claim: Claim) -> str:
    is_before = claim["field"] == "recorded_from"
    told = f"from {claim['level']} on" if is_before else f"until {claim['level']}"
    table, n = str(claim["source_table"]), numbers.count(claim["estimate"])
    verb = "is" if table == "spend" else "are"
    which = "before" if is_before else "after"
    return f"{capital(table)} {verb} recorded {told}; the {n} leads from {which} are left out."
