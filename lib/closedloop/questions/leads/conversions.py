"""How far leads come: how many reach each status, which are accepted and won, and whether a column knows it already."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import rate_looks
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN, ONLY_WON, column, counts, levels, rates, recorded_looks
from closedloop.period.lead_records import (
    CONVERSION,
    LEAD_HITS,
    NOT_FOLLOWED,
    TOO_FEW,
    USUAL_DAYS,
    came,
    cohorts,
    deal_records,
    decided_before,
    handed_off,
    has_days,
    looks,
    uncovered,
)
from closedloop.period.leaks import ADVICE, ALARM, CANNOT_TELL, REMARK, leaks_of
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Note, Piece, Sentence, stating
from closedloop.presentation.sentences import backed, records, value, where
from closedloop.presentation.tables import Column, table_of
from closedloop.presentation.words import capital
from closedloop.statistics.recording import converted
from closedloop.statistics.scoring.leaks import TOO_WELL
from closedloop.terms import RARE, Moment
from closedloop.workbench import comparison
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import NO_PERSONA_CHANNELS, level_of, no_leads, status_bars
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ConversionRedraw, RateRedraw

_STATUSES = {
    "marketing_qualified": "marketing_qualified_on",
    "handed_off": "handed_off_on",
    "sales_accepted": "sales_accepted_on",
    "sales_qualified": "sales_qualified_on",
}
_COLLECT = {
    "accepted": "Collect the dates of sales acceptance and of leads that were given back.",
    "won": "Collect the deals of leads, with outcomes.",
}
_SHOWN = {  # section -> measure, title and axis
    "accepted": ("accepted_rate", "Which leads does sales accept?", "share of handed-off leads accepted"),
    "persona_channels": (
        "persona_accepted_rate",
        "Which channels and campaigns suit whom?",
        "share of the persona's leads accepted",
    ),
    "won": ("won_rate", "Which leads become won deals?", "share of leads that became a won deal"),
}
_NOTE = (
    "A lead that is not won yet counts for as long as it was seen, not as lost. Groups are compared with all leads "
    "that came in the same periods, at the same age."
)


def funnel(
    leads: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    outcome: str | None = None,
    *,
    by_persona: bool = False,
    least: int | None = None,
    threshold: float | None = None,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """How far ``leads`` come: how many reach each status, and which share of those at the status before it (Wilson).

    ``by`` fields: how far the leads of each group came instead, accepted of those decided on, won so far of all, and
    still open; groups under ten leads are not shown. Leads that came before deals were recorded may have been won, and
    do not count where the won ones do.

    ``outcome``: instead the share of leads with it, of every level of every field ``by`` (the channel). "accepted": by
    sales, of the leads that were handed off and decided on; "won": of the decided ones, those that became a won deal.
    Each level is compared with all leads that record the field, inside the periods in which they were handed off; rates
    are shrunk as in ``win_rates``. ``by_persona``: the accepted leads of every persona are compared with that persona's
    own alone. ``least``: smaller groups are not compared (10 at least); ``threshold``: a difference below it is not
    worth a line. Where only won deals are recorded, leads are followed until they are won, without ``by`` by every
    field that is known when they come. Errors: ParameterError.
    """
    if outcome not in (None, *_COLLECT) or (by_persona and outcome != "accepted"):
        what = "accepted (by persona no other)" if by_persona else allowed(_COLLECT)
        raise ParameterError(f"funnel: outcome = {outcome!r}; allowed: {what}")
    now, fields = opened(), [by] if isinstance(by, str) else list(by or ())
    if outcome is None:
        section, show = "funnel", _show_groups if fields else _show
    else:
        section = "persona_channels" if by_persona else outcome
        fields, show = ["channel"] if by is None else fields, partial(show_rates, section)
    answer = now.ask("funnel", section, leads, "leads", show, among=among, known_at=known_at, by=fields,
                     outcome=outcome, by_persona=by_persona, least=least, threshold=threshold)  # fmt: skip
    if no_leads(answer):
        return answer
    if outcome is None:
        _state_progress(answer, fields)
    elif outcome == "won" and now.situation.has_only_won:
        followed(answer, fields if by else now.fields("leads"))
    else:
        _state_rates(answer, fields, outcome)
    return answer


def _state_progress(answer: Answer, fields: Sequence[str]) -> None:
    """How many leads reached each status; or how far those of each group of these fields came."""
    rows = answer.rows
    answer.results["n_leads"] = len(rows)
    if len(rows) < LEAST_SHOWN:
        answer.missing["funnel"] = (
            f"{len(rows)} leads of the last periods were known, fewer than {LEAST_SHOWN}: collect `leads` of earlier "
            "periods as well."
        )
        return
    origin = answer.origin(handed_off(rows))
    for by in fields:
        parts = [(str(name), part) for name, part in rows.groupby(by) if len(part) >= LEAST_SHOWN]
        answer.count([{"field": by, "level": name, "estimate": len(part)} for name, part in parts], origin, "n_leads")
        judged = [(name, part["is_accepted"].dropna()) for name, part in parts]
        answer.estimate(rates([(name, hit.sum(), len(hit)) for name, hit in judged], by), origin, "lead_accepted_rate")
        if rows["is_won"].notna().any():
            followed_on = [(name, part.loc[part["is_followed"], "is_won"]) for name, part in parts]
            came_far = [(name, hit.fillna(False).sum(), len(hit)) for name, hit in followed_on]
            answer.estimate(rates(came_far, by), origin, "lead_won_rate")
            still = [(name, hit.isna().sum(), len(hit)) for name, hit in followed_on]
            answer.estimate(rates(still, by), origin, "lead_open_rate")
    if fields:
        return
    reached = {"inquiry": pd.Series(True, index=rows.index)}
    reached |= {name: rows[day].notna() for name, day in _STATUSES.items() if day in rows}
    if rows["is_won"].notna().any() and not answer.now.situation.has_only_won:
        reached["won"] = rows["is_won"].fillna(False).astype(bool)
    totals = [
        {"field": "status", "level": name, "estimate": hit.sum(), "n": len(rows)} for name, hit in reached.items()
    ]
    answer.count(totals, origin, "n_reached")
    known = {"won": rows["is_followed"]}
    steps = [
        (name, (hit & before).sum(), (before & known.get(name, True)).sum())
        for (_, before), (name, hit) in pairwise(reached.items())
    ]
    answer.estimate(rates(steps, "status"), origin, "conversion_rate")


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    shares = shown.of("conversion_rate")
    caption = "Percent: share of the status before, with its 90 % interval; leads on their way are not there yet."
    picture = status_bars(shown.of("n_reached"), shares, shown.words, title or "How far do leads come?", caption)
    if shares.empty:
        return (picture,)
    narrow = records(shares.sort_values("estimate", kind="stable").head(1))[0]
    text = f"So far the narrowest step is to {level_of(shown.words)(narrow)}: {backed(narrow, shown.words)}."
    return picture, stating(text, narrow)


def _show_groups(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_leads": "leads",
        "lead_accepted_rate": ("accepted, of those decided on", "backed"),
        "lead_won_rate": ("won so far, of all", "backed"),
        "lead_open_rate": "end not known yet, of all",
    }
    label = level_of(shown.words)
    listed = table_of(shown.claims, shown.words, "group", columns, label=label, caption=title)
    still_open = shown.of("lead_open_rate").sort_values("estimate", ascending=False, kind="stable")
    most = records(still_open.head(1))
    return listed, *(
        stating(f"End not known yet: up to {value(row, shown.words)}, of {label(row)}.", row)
        for row in most
        if row["estimate"]
    )


def _state_rates(answer: Answer, fields: Sequence[str], outcome: str) -> None:
    """Compare the shares of leads with an outcome by these fields, of all or of each persona alone."""
    section, measure = answer.section, f"{outcome}_rate"
    rows, hit = answer.rows, answer.rows[LEAD_HITS[measure]]
    cut = levels(rows, [name for name in fields if name in rows], RARE)
    cut = cut.assign(persona=rows["persona"]) if "persona" in cut else cut  # it keeps its name, however small it is
    if section == "persona_channels":
        if cut.empty or rows["persona"].nunique() < 2:
            answer.missing[section] = NO_PERSONA_CHANNELS
            return
        for persona, part in rows[hit.notna()].groupby("persona"):
            if len(part) >= LEAST_SHOWN:
                _compare(answer, f"persona_{measure}", hit, cut.loc[part.index], str(persona))
    elif cut.columns.empty:
        answer.missing[measure] = f"No {outcome} rate can be compared: no field of leads is recorded to compare it by."
    elif hit.notna().sum() < LEAST_SHOWN:
        answer.missing[measure] = (
            f"No {outcome} rate can be compared: it is known of {hit.notna().sum():,} of {len(rows):,} leads, and "
            f"{LEAST_SHOWN} are needed. {_COLLECT[outcome]}"
        )
    else:
        if outcome == "accepted":
            days = handed_off(rows)
            answer.compare(
                recorded_looks(answer.now.situation, rows[list(cut.columns)], hit, days, answer.origin(days))
            )
        _compare(answer, measure, hit, cut, "")


def _compare(answer: Answer, measure: str, hit: pd.Series, cut: pd.DataFrame, persona: str) -> None:
    """Compare the rates of the leads in ``cut``, of one persona or of all."""
    now, rows, outcome = answer.now, answer.rows.loc[cut.index], str(hit.name)
    situation, days = now.situation, handed_off(rows)
    gate = answer.arguments["threshold"] or situation.claims.practical_threshold
    late = [name for name in map(str, cut.columns) if now.known_at(name) > Moment.CREATION]
    before = decided_before(situation, rows, outcome)
    counted = counts(cut, list(cut.columns), rows[outcome], situation.names_of(days), late, before)
    origin, smallest = answer.origin(handed_off(answer.rows)), max(answer.arguments["least"] or 0, LEAST_SHOWN)
    subject = persona or "market"
    redraw = RateRedraw("leads", rows["lead_id"], cut, days, outcome, measure, gate, subject, smallest, late)
    shown = rate_looks(counted, origin, measure=measure, subject=subject, threshold=gate, least=smallest)
    answer.compare(shown, redraw)


def show_rates(section: str, shown: Evidence, title: str) -> Sequence[Piece]:
    """Who is accepted or won more often, as the section asks."""
    measure, name, axis = _SHOWN[section]
    if len(shown.of(CONVERSION)):
        return show_conversions(shown, title or name)
    judged = comparison.comparison(shown.of(measure), shown, title or name, axis)
    return (*judged, *comparison.recording(shown)) if section == "accepted" else judged


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


def show_conversions(shown: Evidence, title: str) -> Sequence[Piece]:
    """How many leads are won within the usual time, who more often, and which leads cannot be told of."""
    claims, words = shown.of(CONVERSION), shown.words
    rate, days = shown.first(CONVERSION, field="", family="none"), shown.first(USUAL_DAYS)
    said = []
    if rate is not None and days is not None:
        text = f"{backed(rate, words)} of leads are won within {value(days, words)}, the usual time."
        said.append(stating(text, rate, days))
    name, axis = title or "Which leads are won?", "share of leads won within the usual time"
    judged = comparison.comparison(claims[claims["family"] != "none"], shown, name, axis)
    return *said, *judged, *left_out(shown), Note(_NOTE)


def left_out(shown: Evidence, cell: str = "") -> list[Sentence]:
    """Which leads are left out, because deals, spend or touches were not recorded when they came."""
    claims, said = shown.of("n_uncovered", "n_uncounted"), []
    for claim in records(where(claims, cell=cell) if cell else claims):
        since, which = ("from {} on", "before") if claim["field"] == "recorded_from" else ("until {}", "after")
        table, n = str(claim["source_table"]), numbers.count(claim["estimate"])
        known = f"{capital(table)} {'is' if table == 'spend' else 'are'} recorded {since.format(claim['level'])}"
        said.append(stating(f"{known}; the {n} leads from {which} are left out.", claim))
    return said


_MOST_HONEST = 5


def leaks(records_of: pd.DataFrame, *, among: str | None = None) -> Answer:
    """How well each column alone, and with others, tells won from lost, beside when it is filled.

    ``records_of``: every lead or deal. The area under the curve within periods, with its interval; a column whose whole
    interval lies above .8, or that is filled for one outcome more than for the other, looks like a leak (METHODS). One
    that is declared known before the outcome is kept out of scores, comparisons, segments and rules, until people
    vouch for it.
    """
    now, table = opened(), f"{records_of.index.name}s"
    answer = now.ask("leaks", "leaks", records_of, table, _show_leaks, among=among)
    if answer.rows.empty or table not in leaks_of(now.situation):
        answer.missing["leaks"] = "No leads or deals are recorded, so no column can know their outcome."
        return answer
    judged = leaks_of(now.situation)[table]
    found = judged[judged["auc_within"].notna() | judged["finding"].isin([ALARM, REMARK])]
    if found.empty:
        for why in judged.loc[judged["finding"] == CANNOT_TELL, "why"]:
            answer.missing["leaks"] = f"Whether a column knows the answer cannot be told: {why}. {ADVICE}"
    day = "closed_on" if table == "deals" else "handed_off_on" if "handed_off_on" in answer.rows else "created_on"
    origin = answer.origin(column(answer.rows, day))
    named = found.rename(columns={"column": "field"}).assign(level="", baseline=TOO_WELL)
    for measure, which in (("column_auc", "within"), ("together_auc", "together")):
        ends = {f"auc_{which}": "estimate", f"auc_{which}_low": "low", f"auc_{which}_high": "high"}
        rows = named.rename(columns=ends)
        rows = rows if which == "within" else rows[rows["estimate"].notna()]
        answer.estimate(rows, origin, measure, unit="ratio", kind="predictive")
    suspect = found[found["finding"] != ""]
    for name, level, k, n in suspect.loc[suspect["level"].notna(), ["column", "level", "k", "n_level"]].to_numpy():
        answer.estimate(rates([(level, k, n)], name), origin, "level_won_rate")
    rows = suspect.rename(columns={"column": "field"}).drop(columns="n").assign(level="", low=np.nan, high=np.nan)
    for fate in ("open", "won", "lost"):
        filled = rows.assign(estimate=rows[f"{fate}_filled_share"])
        answer.count(filled[filled["estimate"].notna()], origin, f"{fate}_filled_rate", unit="rate")
    answer.tables["leaks"] = found[["table", "column", "known", "finding", "why", "advice"]]
    kept_out = list(found.loc[found["finding"] == ALARM, "column"])
    answer.results |= {"n_leaks": len(suspect), "kept_out": kept_out}
    return answer


def _show_leaks(shown: Evidence, title: str) -> Sequence[Piece]:
    words, claims, found = shown.words, shown.cell("leaks"), shown.table("leaks").set_index("column")
    is_leak = claims["field"].map(found["finding"]).isin([ALARM, REMARK])
    areas = claims[claims["measure"] == "column_auc"].sort_values("estimate", ascending=False, kind="stable")
    honest = areas[~is_leak.reindex(areas.index)]
    kept = {*claims.loc[is_leak, "field"], *honest["field"].head(_MOST_HONEST)}
    listed = claims[claims["field"].isin(kept) & (claims["measure"] != "level_won_rate")]
    rows = listed.set_index("field").loc[[field for field in areas["field"] if field in kept]]

    def text_of(name: str) -> Column:
        return lambda row: str(found[name].get(str(next(iter(row.values()))["field"])) or "no")

    columns: dict[str, str | tuple[str, Column]] = {
        "column_auc": ("AUC alone, within periods", "backed"),
        "together_auc": ("AUC together with those below", "backed"),
        "open_filled_rate": "filled while open",
        "won_filled_rate": "filled when won",
        "lost_filled_rate": "filled when lost",
        "known": ("declared known at", text_of("known")),
        "why": ("looks like a leak", text_of("why")),
    }
    table = table_of(rows.reset_index(), words, "column", columns, label=lambda claim: words.column(claim["field"]),
                     caption=title)  # fmt: skip
    said: list[Piece] = []
    for name, row in found[found["finding"] != ""].iterrows():
        fate = "; kept out of scores, comparisons, segments and rules" if row["finding"] == ALARM else ""
        text = f"{words.column(str(name))} ({name}): {row['why']}{fate}. {row['advice']}"
        said.append(stating(text, claims[claims["field"] == name]))
    if len(found) and not said:  # without any found nothing could be judged, and the answer says why
        said.append(stating("No column looks like a leak.", areas))
    for best in records(honest[honest["estimate"].notna()].head(1)):
        text = f"The most telling column that is no leak, {words.column(best['field'])}, has an AUC of "
        text += f"{value(best, words)} alone; of a leak the whole interval lies above "
        said.append(stating(f"{text}{numbers.written(best['baseline'], best['unit'], words.currency)}.", best))
    return table, *said
