"""Which leads sales accepts, and which become won deals: rates by the fields that are known when a lead comes."""

from collections.abc import Sequence

import pandas as pd

from closedloop.period.comparisons import CONVERSION, LEAD_HITS, decided_before, handed_off, recording, shown_rates
from closedloop.period.counting import LEAST_SHOWN, RARE, counts, levels
from closedloop.presentation.blocks import Piece
from closedloop.questions.leads.conversions import followed, show_conversions
from closedloop.terms import Moment
from closedloop.workbench import comparison
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import NO_PERSONA_CHANNELS, no_leads
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import RateRedraw

_COLLECT = {
    "accepted_rate": "Collect the dates of sales acceptance and of leads that were given back.",
    "won_rate": "Collect the deals of leads, with outcomes.",
}


def acceptance(
    leads: pd.DataFrame,
    by: str | Sequence[str],
    *,
    by_persona: bool = False,
    least: int | None = None,
    threshold: float | None = None,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """The share of handed-off leads that sales accepted, of every level of every field ``by``.

    Each level is compared with all leads that record the field, inside the periods in which they were handed off; rates
    are shrunk as in ``win_rates``. ``by_persona``: every persona's leads are compared with that persona's own alone.
    ``least``: smaller groups are not compared (10 at least); ``threshold``: a difference below it is not worth a line.
    """
    fields = [by] if isinstance(by, str) else list(by)
    section, show = ("persona_channels", _show_by_persona) if by_persona else ("accepted", _show_accepted)
    answer = opened().ask("acceptance", section, leads, "leads", show, among=among, known_at=known_at,
                          by=fields, by_persona=by_persona, least=least, threshold=threshold)  # fmt: skip
    if no_leads(answer):
        return answer
    cut = _levels(answer.rows, fields)
    if not by_persona:
        return _compare(answer, "accepted_rate", cut, least, threshold)
    known = answer.rows[answer.rows["is_accepted"].notna()]
    if cut.empty or answer.rows["persona"].nunique() < 2:
        answer.missing["persona_channels"] = NO_PERSONA_CHANNELS
        return answer
    for persona, part in known.groupby("persona"):
        if len(part) >= LEAST_SHOWN:
            own = cut.loc[part.index]
            _rates(answer, "persona_accepted_rate", "is_accepted", own, least, threshold, str(persona))
    return answer


def lead_win_rates(
    leads: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    *,
    least: int | None = None,
    threshold: float | None = None,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """The share of decided leads that became a won deal, of every level of every field ``by`` (the channel).

    As ``acceptance``. Where only won deals are recorded, leads are followed until they are won instead, by every field
    that is known when they come.
    """
    now = opened()
    fields = [by] if isinstance(by, str) else list(by or ["channel"])
    answer = now.ask("lead_win_rates", "won", leads, "leads", _show_won, among=among, known_at=known_at,
                     by=fields, least=least, threshold=threshold)  # fmt: skip
    if no_leads(answer):
        return answer
    if now.situation.has_only_won:
        return followed(answer, fields if by else now.fields("leads"))
    return _compare(answer, "won_rate", _levels(answer.rows, fields), least, threshold)


def _levels(rows: pd.DataFrame, fields: Sequence[str]) -> pd.DataFrame:
    """The fields as levels; every persona keeps its name, however small it is."""
    cut = levels(rows, [name for name in fields if name in rows], RARE)
    return cut.assign(persona=rows["persona"]) if "persona" in cut else cut


def _compare(answer: Answer, measure: str, cut: pd.DataFrame, least: int | None, threshold: float | None) -> Answer:
    """The answer with rates of all its leads by ``cut``, and how often each field is recorded."""
    rows, hit = answer.rows, answer.rows[LEAD_HITS[measure]]
    if hit.notna().sum() < LEAST_SHOWN or cut.columns.empty:
        found = f"it is known of {hit.notna().sum()} of {len(rows)} leads, and {LEAST_SHOWN} are needed"
        answer.missing[measure] = f"No {measure.replace('_', ' ')} can be compared: " + (
            "no field of leads is recorded to compare it by." if cut.columns.empty else f"{found}. {_COLLECT[measure]}"
        )
        return answer
    if measure == "accepted_rate":
        days = handed_off(rows)
        answer.compare(recording(answer.now.situation, rows[list(cut.columns)], hit, days, answer.origin(days)))
    _rates(answer, measure, LEAD_HITS[measure], cut, least, threshold)
    return answer


def _rates(
    answer: Answer,
    measure: str,
    outcome: str,
    cut: pd.DataFrame,
    least: int | None,
    threshold: float | None,
    persona: str = "",
) -> None:
    """Compare the rates of the leads in ``cut``, of one persona or of all."""
    now, rows = answer.now, answer.rows.loc[cut.index]
    situation, days = now.situation, handed_off(rows)
    gate = threshold or situation.claims.practical_threshold
    late = [name for name in map(str, cut.columns) if now.known_at(name) > Moment.CREATION]
    before = decided_before(situation, rows, outcome)
    counted = counts(cut, list(cut.columns), rows[outcome], situation.names_of(days), late, before)
    origin, smallest = answer.origin(handed_off(answer.rows)), max(least or 0, LEAST_SHOWN)
    subject = persona or "market"
    redraw = RateRedraw("leads", rows["lead_id"], cut, days, outcome, measure, gate, subject, smallest, late)
    answer.compare(shown_rates(counted, origin, measure, gate, persona, smallest), redraw)


def _show_accepted(shown: Evidence, title: str) -> Sequence[Piece]:
    name, axis = title or "Which leads does sales accept?", "share of handed-off leads accepted"
    return *comparison.comparison(shown.of("accepted_rate"), shown, name, axis), *comparison.recording(shown)


def _show_by_persona(shown: Evidence, title: str) -> Sequence[Piece]:
    name, axis = title or "Which channels and campaigns suit whom?", "share of the persona's leads accepted"
    return comparison.comparison(shown.of("persona_accepted_rate"), shown, name, axis)


def _show_won(shown: Evidence, title: str) -> Sequence[Piece]:
    name = title or "Which leads become won deals?"
    if len(shown.of(CONVERSION)):
        return show_conversions(shown, name)
    return comparison.comparison(shown.of("won_rate"), shown, name, "share of leads that became a won deal")
