"""Which leads become won ones, where only won deals are recorded: shown in place of win rates."""

from collections.abc import Sequence

import pandas as pd

from closedloop.period.comparisons import CONVERSION, NOT_FOLLOWED, TOO_FEW, USUAL_DAYS, cohorts, looks
from closedloop.period.counting import RARE, levels
from closedloop.period.records import ONLY_WON, came, deal_records, has_days, uncovered
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Note, Piece, Sentence, stating
from closedloop.presentation.findings import Claim, backed, value, where
from closedloop.presentation.sentences import capital, records
from closedloop.statistics.recording import converted
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import comparison
from closedloop.workbench.redraws import ConversionRedraw

_NOTE = (
    "A lead that is not won yet counts for as long as it was seen, not as lost. Groups are compared with all leads "
    "that came in the same periods, at the same age."
)


def followed(answer: Answer, fields: Sequence[str]) -> Answer:
    """The answer with how many leads became won ones by the usual time, and which, by the fields known when they came.

    Followed are the leads that a cell chose, else all that are known; who comes shortly before the window counts too.
    """
    now, section = answer.now, answer.section
    situation, leads = now.situation, now.records.get("leads", pd.DataFrame())
    if answer.among and answer.table_name == "leads":
        leads = answer.rows
    found = cohorts(situation, leads) if len(leads) else None
    if found is None:
        is_dated = has_days(situation) and len(leads) and "lead_id" in situation.deals
        answer.missing[section] = TOO_FEW if is_dated else NOT_FOLLOWED
        return answer
    answer.missing[section] = ONLY_WON
    days = came(found.rows)
    origin = answer.origin(days, table="leads")
    answer.count([{"estimate": found.until, "n": len(found.rows)}], origin, USUAL_DAYS, unit="days")
    answer.estimate([converted(found.leads, found.until)], origin, CONVERSION)
    early_or_late = uncovered(came(leads), *deal_records(situation), "deals")
    answer.count(early_or_late, origin._replace(source_table="deals"), "n_uncovered")
    by = levels(found.rows, [name for name in fields if name in found.rows and name != "persona"], RARE)
    by = by.assign(persona=found.rows["persona"]) if "persona" in fields else by
    if "persona" in by and by["persona"].nunique() == 1:
        row = {"field": "persona", "level": by["persona"].iloc[0]} | converted(found.leads, found.until)
        answer.estimate([row], origin, CONVERSION)
    if len(by.columns):
        redraw = ConversionRedraw(
            "leads", found.rows["lead_id"], by, found.leads, found.until, situation.claims.practical_threshold
        )
        answer.compare(looks(situation, found, by, origin), redraw)
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
    return *how_many(shown), *comparison(compared, shown, name, axis), *left_out(shown), Note(_NOTE)


def left_out(shown: Evidence, cell: str = "") -> list[Sentence]:
    """Which leads are left out, because deals, spend or touches were not recorded when they came."""
    claims = shown.of("n_uncovered", "n_uncounted")
    claims = where(claims, cell=cell) if cell else claims
    return [stating(_in_words(claim), claim) for claim in records(claims)]


def _in_words(claim: Claim) -> str:
    is_before = claim["field"] == "recorded_from"
    since = f"from {claim['level']} on" if is_before else f"until {claim['level']}"
    table, n = str(claim["source_table"]), numbers.count(claim["estimate"])
    verb = "is" if table == "spend" else "are"
    which = "before" if is_before else "after"
    return f"{capital(table)} {verb} recorded {since}; the {n} leads from {which} are left out."
