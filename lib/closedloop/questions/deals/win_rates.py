"""How many deals are won, who wins more often, and how deals end as time goes by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import LOOK_COLUMNS, typed
from closedloop.period.comparisons import CONVERSION, known_before, shown_rates
from closedloop.period.counting import LEAST_SHOWN, RARE, counts, levels, rates
from closedloop.period.records import ONLY_WON, won
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, span, stating
from closedloop.presentation.charts import curve
from closedloop.presentation.findings import backed, bars_of, dots_of, value
from closedloop.presentation.sentences import records
from closedloop.statistics.cumulative_incidence import win_curve as cumulative_incidence
from closedloop.statistics.recording import recorded_shares
from closedloop.terms import OUTCOMES, Moment
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import comparison, recording
from closedloop.workbench.gaps import SAME_DAY, no_days, no_deals
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import RateRedraw

_CURVE_POINTS = 30
_TOTALS = {"n_won": "won", "n_lost": "lost", "n_no_decision": "no decision", "n_open": "still open"}
_RATES = {"win_rate": "won of won and lost", "win_rate_broad": "won of won, lost and no decision"}
_CURVES = {"won_by": "won", "lost_by": "lost", "no_decision_by": "no decision"}


def outcomes(deals: pd.DataFrame, *, among: str | None = None) -> Answer:
    """What became of the period's deals, and how many of the decided ones were won; ``deals``: every one.

    An outcome that the source cannot record is unknown, not zero. The narrow rate counts won and lost, the broad one
    those without a decision as well.
    """
    now = opened()
    answer = now.ask("outcomes", "totals", deals, "deals", _show_outcomes, among=among)
    answer.headline = _headline
    if no_deals(answer):
        return answer
    situation, every = now.situation, answer.rows
    in_period = every[situation.in_period(every["closed_on"])] if situation.is_dated else every
    ended = in_period[in_period["outcome"] != "open"]
    n = {outcome: int((ended["outcome"] == outcome).sum()) for outcome in OUTCOMES[:3]}
    n["open"] = int((every["outcome"] == "open").sum())
    declared = situation.definition.deals
    named = OUTCOMES if declared is None else (*declared.outcomes, "open")
    named = tuple(name for name in named if name != "lost" or not situation.has_only_won)  # not recorded is not 0
    origin = answer.origin_now
    for outcome in named:
        answer.count([{"estimate": n[outcome], "n": sum(n.values())}], origin, f"n_{outcome}")
    amount = float(ended["won_amount"].sum()) if "won_amount" in ended else None
    if amount is not None:
        answer.count([{"estimate": amount, "n": n["won"]}], origin, "total_won_amount", unit="amount")
    decided = n["won"] + n["lost"]
    definitions = {} if situation.has_only_won else {"win_rate": decided}
    if "no_decision" in named and (definitions or (every["outcome"] == "no_decision").any()):
        definitions["win_rate_broad"] = decided + n["no_decision"]
    for measure, size in definitions.items():
        answer.estimate(rates([("", n["won"], size)], ""), origin._replace(cell="win_rates"), measure)
    if definitions and decided < LEAST_SHOWN:
        so_far = " so far" if situation.period.running else ""
        answer.missing["win_rates"] = (
            f"{decided} deals were won or lost in this period{so_far}; {LEAST_SHOWN} are needed for a rate."
        )
    answer.results |= _total_results(n, amount) | {"only_won": situation.has_only_won}
    if situation.has_only_won:
        answer.missing["win_rates"] = ONLY_WON
        answer.results |= {"n_lost": None, "win_rate": None, "win_rate_broad": None}
    return answer


def _total_results(n: dict[str, int], amount: float | None) -> dict[str, Any]:
    """The key figures of the period; a rate of fewer than ten deals is not told."""
    decided, ended = n["won"] + n["lost"], n["won"] + n["lost"] + n["no_decision"]
    return {
        **{f"n_{outcome}": count for outcome, count in n.items()},
        "n_deals": ended,
        "win_rate": n["won"] / decided if decided >= LEAST_SHOWN else None,
        "win_rate_broad": n["won"] / ended if ended >= LEAST_SHOWN else None,
        "won_amount": amount,
    }


def _show_outcomes(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = shown.of(*_TOTALS)
    name = title or "What became of the deals?"
    pieces: list[Piece] = [bars_of(rows, shown.words, name, "deals", lambda row: _TOTALS[row["measure"]])]
    listed = ", ".join(f"{value(row, shown.words)} {_TOTALS[row['measure']]}" for row in records(rows))
    pieces.append(stating(f"{numbers.count(rows['n'].iloc[0])} deals: {listed}.", rows))
    amount = shown.first("total_won_amount")
    if amount is not None:
        pieces.append(stating(f"Together the won deals are worth {value(amount, shown.words)}.", amount))
    rates_ = shown.cell("win_rates")
    if len(rates_):
        first = records(rates_)[0]
        pieces.append(
            dots_of(rates_, shown.words, "How many deals are won?", "share won", lambda row: _RATES[row["measure"]])
        )
        pieces.append(stating(f"{backed(first, shown.words)} {_RATES[first['measure']]}.", first))
    return pieces


def _headline(shown: Evidence) -> list[Sentence]:
    """The win rate of the period, with how many deals ended in which way, and the days that winning took."""
    rate, days = shown.first("win_rate", field=""), _first(shown.ledger, "median_cycle_days")
    found = {name: shown.first(f"n_{name}") for name in ("won", "lost", "open")}
    totals = {name: claim for name, claim in found.items() if claim is not None}
    listed = ", ".join(f"{value(claim, shown.words)} {outcome}" for outcome, claim in totals.items())
    tail = f"; {listed}." if listed else "."
    if rate is None and shown.result("only_won"):
        return [stating(f"Only won deals are recorded, so no win rate can be told{tail}", *totals.values())]
    if rate is None:
        return [stating(f"Too few deals are decided for a win rate{tail}", *totals.values())]
    takes, when = "", ""
    if days is not None:
        is_apart = span(days) != span(rate)
        when, of = (f" in {span(rate)}", f" of {span(days)}") if is_apart else ("", "")
        takes = f", after {value(days, shown.words)} (median{of})"
    cited = [rate, *([] if days is None else [days]), *totals.values()]
    return [stating(f"{value(rate, shown.words)} of decided deals are won{when}{takes}{tail}", *cited)]


def _first(claims: pd.DataFrame, measure: str) -> dict[str, Any] | None:
    found = claims[(claims["measure"] == measure) & (claims["field"] == "")]
    return records(found.head(1))[0] if len(found) else None


def win_rates(
    deals: pd.DataFrame,
    by: str | Sequence[str],
    *,
    least: int | None = None,
    threshold: float | None = None,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """The win rate of every level of every field ``by``, compared with all deals that record the field.

    k of n deals are won, k ~ Bin(n, p), p ~ Beta(mu M, (1 - mu) M) over the levels of a field, the spread integrated
    (METHODS 5); like is compared with like inside the periods in which deals ended. ``least``: smaller groups are not
    compared (10 at least); ``threshold``: a difference below it is not worth a line; ``among``: which deals these are,
    in words, where a cell chose them; ``known_at``: when that is known. Where only won deals are recorded, leads are
    followed until they are won instead.
    """
    now = opened()
    fields = [by] if isinstance(by, str) else list(by)
    answer = now.ask("win_rates", "findings", deals, "deals", _show_rates, among=among, known_at=known_at,
                     by=fields, least=least, threshold=threshold)  # fmt: skip
    if no_deals(answer):
        return answer
    rows, situation = answer.rows, now.situation
    if situation.has_only_won:
        from closedloop.questions.leads.conversions import followed

        return followed(answer, fields)
    hit, days = won(rows), rows["closed_on"]
    cut = levels(rows, [name for name in fields if name in rows], RARE)
    cut = cut.loc[:, [name not in ("persona", "is_quarter_end") or cut[name].nunique() > 1 for name in cut]]
    names = [str(name) for name in cut if name != "is_quarter_end"]
    late = [name for name in names if now.known_at(name) > Moment.CREATION]
    table = counts(cut, list(cut.columns), hit, situation.names_of(days), late, known_before(situation, rows))
    if table.empty and fields == ["persona"] and len(now.personas.personas) < 2:
        answer.missing["comparisons"] = "There is one persona for everyone, so there is nothing to compare."
        return answer
    if table.empty:
        answer.missing["comparisons"] = (
            f"{hit.notna().sum()} deals were won or lost, but no field is recorded to compare them by."
            if hit.notna().any()
            else "No deal was won or lost yet, so nothing can be compared."
        )
        return answer
    origin, gate = answer.origin(days), threshold or situation.claims.practical_threshold
    recorded = recorded_shares(rows[list(cut.columns)], hit, situation.names_of(days))
    meta = {**origin._asdict(), "measure": "recorded_share", "unit": "rate", "kind": "descriptive"}
    named = {"subject": "market", "level": "", "within": ""}
    answer.compare(typed(recorded.assign(**meta, **named), LOOK_COLUMNS))
    fewest = max(least or 0, LEAST_SHOWN)
    redraw = RateRedraw("deals", rows["deal_id"], cut, days, "won", "win_rate", gate, least=fewest, late=late)
    shown = shown_rates(table, origin, "win_rate", gate, least=fewest)
    answer.compare(shown, redraw if answer.is_recorded else None)
    return answer


def _show_rates(shown: Evidence, title: str) -> Sequence[Piece]:
    if len(shown.of(CONVERSION)):
        from closedloop.questions.leads.conversions import show_conversions

        return show_conversions(shown, title)
    name = title or "What do won deals have in common?"
    return *comparison(shown.of("win_rate"), shown, name, "share of decided deals won"), *recording(shown)


def win_curve(deals: pd.DataFrame, *, among: str | None = None) -> Answer:
    """The share of deals that had ended in each way by each day since they were opened; ``deals``: open ones as well.

    Won, lost and no decision compete; open deals count until they were last seen (Aalen & Johansen, 1978).
    """
    now = opened()
    answer = now.ask("win_curve", "curve", deals, "deals", _show_curve, among=among)
    if no_deals(answer):
        return answer
    situation, every = now.situation, answer.rows
    rows = every.dropna(subset=["age_days"])
    rows = situation.in_window(rows, rows["created_on"])
    if reason := ONLY_WON if situation.has_only_won else no_days(situation, every) or _no_curve(rows):
        answer.missing["curve"] = reason
        return answer
    last = float(rows["age_days"].quantile(0.95))
    at = np.unique(np.round(np.linspace(0, max(last, 1.0), _CURVE_POINTS)))
    found = cumulative_incidence(rows["age_days"], rows["outcome"], at_days=at).dropna(subset=["estimate"])
    found = found.assign(field="age_days", level=[f"{day:.0f}" for day in found["day"]], n=len(rows))
    declared, origin = situation.definition.deals, answer.origin(rows["created_on"])
    for outcome in OUTCOMES[:3] if declared is None else declared.outcomes:
        answer.estimate(found[found["cause"] == outcome], origin, f"{outcome}_by")
    return answer


def _no_curve(rows: pd.DataFrame) -> str:
    """Why the ages of these deals make no curve; nothing where they do."""
    if len(rows) < LEAST_SHOWN:
        return "Fewer than ten deals with a known age were opened within the window: too few for a curve."
    if rows.loc[rows["outcome"] != "open", "age_days"].max() == 0:
        return f"{SAME_DAY}: no curve."
    return ""


def _show_curve(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = shown.of(*_CURVES)
    frame = rows.assign(day=rows["level"].astype(float), cause=rows["measure"]).sort_values("day", kind="stable")
    caption = "Open deals count until last seen."
    picture = curve(frame, title or "How do deals end as time goes by?", names=_CURVES, caption=caption)
    last = records(frame[frame["measure"] == "won_by"].tail(1))
    return picture, *(
        stating(f"{backed(row, shown.words)} of all deals are won within {numbers.days(row['day'])}.", row)
        for row in last
    )
