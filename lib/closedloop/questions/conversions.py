"""Which leads become won ones, where only won deals are recorded: shown in place of win rates."""

from collections.abc import Sequence

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, backed, value, where
from closedloop.documents.pieces import Note, Piece, Sentence, stating
from closedloop.documents.wording import capital, records
from closedloop.loop import conversions
from closedloop.loop.comparisons import CONVERSION, USUAL_DAYS
from closedloop.questions.answer import Answer
from closedloop.questions.comparison import comparison
from closedloop.questions.evidence import Evidence

_NOTE = (
    "A lead that is not won yet counts for as long as it was seen, not as lost. Groups are compared with all leads "
    "that came in the same periods, at the same age."
)


def followed(answer: Answer, fields: Sequence[str]) -> Answer:
    """The answer with how many leads became won ones, and which, by the fields known when they came."""
    leads = answer.now.records.get("leads")
    conversions.compare(answer, answer.now.situation, leads, answer.section, fields)
    return answer


def how_many(shown: Evidence) -> list[Sentence]:
    """How many leads are won within the usual time, and what that is."""
    rate, days = shown.first(CONVERSION, field="", family="none"), shown.first(USUAL_DAYS)
    if rate is None or days is None:
        return []
    text = f"{backed(rate, shown.words)} of leads are won within {value(days, shown.words)}, the usual time."
    return [stating(text, rate, days)]


def show_conversions(shown: Evidence, title: str) -> Sequence[Piece]:
    """How many leads are won within the usual time, who more often, and which leads cannot be told of."""
    claims = shown.of(CONVERSION)
    compared = claims[claims["family"] != "none"]
    name, axis = title or "Which leads are won?", "share of leads won within the usual time"
    return *how_many(shown), *comparison(compared, shown, name, axis), *uncovered(shown), Note(_NOTE)


def uncovered(shown: Evidence, cell: str = "") -> list[Sentence]:
    """Which leads are left out, because deals, spend or touches were not recorded when they came."""
    claims = shown.of("n_uncovered", "n_uncounted")
    claims = where(claims, cell=cell) if cell else claims
    return [stating(_left_out(claim), claim) for claim in records(claims)]


def _left_out(claim: Claim) -> str:
    is_before = claim["field"] == "recorded_from"
    since = f"from {claim['level']} on" if is_before else f"until {claim['level']}"
    table, n = str(claim["source_table"]), numbers.count(claim["estimate"])
    verb = "is" if table == "spend" else "are"
    which = "before" if is_before else "after"
    return f"{capital(table)} {verb} recorded {since}; the {n} leads from {which} are left out."
