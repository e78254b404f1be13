"""The third of each period's deals that the set in force ranked first at its start: how many of them were won?"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from closedloop.market.periods import Period
from closedloop.period.counting import decided
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import points_of
from closedloop.personas.signals import in_time
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, Table, claim_ids
from closedloop.presentation.period_charts import over_periods
from closedloop.presentation.sentences import Claim, ends, first, value
from closedloop.presentation.tables import Column, Columns, table_of
from closedloop.presentation.words import Words
from closedloop.questions.refinement.splits import FEWEST_DEALS
from closedloop.statistics.proportions import wilson
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.cells import set_in_force

IN_FORCE, RESEARCH, ALL = "first_third_win_rate", "research_third_win_rate", "decided_win_rate"
_SERIES: Mapping[str, str] = {
    IN_FORCE: "third that the set in force ranked first",
    RESEARCH: "third that the first research's set ranked first",
    ALL: "all decided deals",
}
_CAPACITY = 3  # one deal in so many is ranked first
_NO_PERIOD = (
    "Whether deals ranked first were won more often cannot be told yet: it takes a period with "
    f"{FEWEST_DEALS} decided deals, and a points card at its start (a hundred deals decided before, with their dates)."
)


def won_of_first(won: ArrayLike, order: ArrayLike) -> tuple[float, int]:
    """Of the third of the deals with the highest ``order``: how many were won, and how many deals they are.

    ``won``: (n,) 0/1. Deals that are equal at the border count in part, as if drawn by lot among them, so that the
    number won may be no whole one.
    """
    hit, place = np.asarray(won, dtype=float), np.asarray(order, dtype=float)
    n = round(len(hit) / _CAPACITY)
    border = np.sort(place)[::-1][n - 1]
    above, equal = place > border, place == border
    return float(hit[above].sum() + (n - above.sum()) * hit[equal].mean()), n


def state_thirds(answer: Answer) -> None:
    """State, for each period up to the open one, how many of the deals that the sets ranked first were won.

    Every period's deals are taken as known at the end of the open one, and ranked by the set that was in force at their
    period's start; never by a later one.
    """
    situation, out = answer.now.situation, answer.now.standing
    answer.results["n_periods_ranked"] = 0
    if not situation.is_dated or not situation.view.has("deals") or situation.has_only_won:
        answer.missing[answer.section] = _NO_PERIOD
        return
    deals, ranked = decided(situation), dict[str, dict[str, tuple[float, int]]]()
    every = situation.warehouse.periods
    for period in every[: every.index(situation.period) + 1]:
        own = deals[
            (deals["closed_on"] >= pd.Timestamp(period.start)) & (deals["closed_on"] < pd.Timestamp(period.end))
        ]
        if own.empty:
            continue
        found = _thirds(situation, period, own, out)
        _state(answer, found, (period.name, period.name), {"field": "period", "level": period.name})
        if IN_FORCE in found:
            ranked[period.name] = found
    if not ranked:
        answer.missing[answer.section] = _NO_PERIOD
        return
    # both sets side by side where there are such periods; the first research's may expect all deals alike
    whole = {name: found for name, found in ranked.items() if RESEARCH in found} or ranked
    shown = [measure for measure in _SERIES if all(measure in found for found in whole.values())]
    together = {
        measure: (
            sum(found[measure][0] for found in whole.values()),
            sum(found[measure][1] for found in whole.values()),
        )
        for measure in shown
    }
    _state(answer, together, (next(iter(whole)), list(whole)[-1]), {})
    answer.results["n_periods_ranked"] = len(whole)


def _thirds(situation: Situation, period: Period, deals: pd.DataFrame, out: Path) -> dict[str, tuple[float, int]]:
    """How many were won of all the period's deals, and of each set's third where there is one."""
    won = deals["is_won"].to_numpy(dtype=float)
    found = {ALL: (float(won.sum()), len(won))}
    if len(won) < FEWEST_DEALS:
        return found
    market = situation.market
    points = points_of(set_in_force(market, period.name, out), deals)
    if points is not None:
        found[IN_FORCE] = won_of_first(won, points)
    research = set_in_force(market, situation.warehouse.periods[0].name, out)
    rates = research.assign(deals).map(research.deviations()).fillna(0.0).to_numpy(dtype=float)
    if np.ptp(rates) > 0:
        found[RESEARCH] = won_of_first(won, rates)
    return found


def _state(
    answer: Answer, found: Mapping[str, tuple[float, int]], span: tuple[str, str], about: Mapping[str, str]
) -> None:
    origin = answer.origin_now._replace(source_table="deals", first_period=span[0], last_period=span[1])
    for measure, (won, n) in found.items():
        low, high = (float(end) for end in wilson(won, n))
        answer.estimate([{**about, "estimate": won / n, "low": low, "high": high, "n": n}], origin, measure)


def show_thirds(shown: Evidence, title: str) -> Sequence[Piece]:
    """A figure of the rates over the periods, the sentence about all of them, and the counts as a table."""
    claims, series = shown.of(*_SERIES), pd.CategoricalDtype(list(_SERIES.values()), ordered=True)
    rows = _in_time(claims)
    rows = rows.assign(period=rows["level"], series=rows["measure"].map(_SERIES).astype(series))
    asked = title or "Of the deals ranked first, how many were won?"
    picture = over_periods(rows, asked, "share of decided deals won")
    return picture, *thirds_in_words(claims, shown.words), thirds_table(claims, shown.words)


def thirds_in_words(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """Of all periods together: how many were won of each set's third, and in all; nothing where none can be told."""
    in_force, research, everyone = (first(claims, measure=measure, field="") for measure in _SERIES)
    if in_force is None or everyone is None:
        return []
    began, ended = str(everyone["first_period"]), str(everyone["last_period"])
    when = f"In {began}" if began == ended else f"From {began} to {ended}"
    whose = {
        "of the deals were won that the set in force ranked first at each period's start": in_force,
        "of those that the first research's set ranked first": research,
        "in all: observed, not caused by the ranking, and not tested against each other.": everyone,
    }
    known = {told: claim for told, claim in whose.items() if claim is not None}
    counted = ", ".join(f"{_counted(claim)} ({value(claim, words)}) {told}" for told, claim in known.items())
    return [Sentence(f"{when} {counted}", claim_ids(*known.values()))]


def thirds_table(claims: pd.DataFrame, words: Words) -> Table:
    """A row a period, the newest first: how many were won of each set's third, and in all; or why it cannot be told."""

    def won(measure: str, lacking: str = "") -> Column:
        def cell(row: Mapping[str, Claim]) -> str:
            if measure in row:
                return f"{_counted(row[measure])} ({ends(row[measure], words)})"
            few = row[ALL]["n"] < FEWEST_DEALS
            return f"cannot tell: {f'fewer than {FEWEST_DEALS} deals' if few else lacking}"

        return cell

    columns: Columns = {
        IN_FORCE: ("ranked first by the set in force", won(IN_FORCE, "no points card at its start")),
        RESEARCH: ("ranked first by the first research's set", won(RESEARCH, "it expected all alike")),
        ALL: ("all decided deals", won(ALL)),
    }
    said = "Deals won of so many, with the share's 90 % interval. First: a third; ties at the border count in part."
    return table_of(_in_time(claims).iloc[::-1], words, "period", columns, label=_period, caption=said)


def _period(claim: Claim) -> str:
    return str(claim["level"])


def _in_time(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims of single periods in the order of time, p1000 after p999."""
    rows = claims[claims["field"] == "period"]
    return rows.sort_values("level", key=lambda names: names.map(in_time), kind="stable")


def _counted(claim: Claim) -> str:
    """How many were won of how many: "61 of 100"; "61.5 of 100" where deals that are equal count in part."""
    won = round(claim["estimate"] * claim["n"], 1)
    return f"{numbers.count(won) if won.is_integer() else f'{won:,}'} of {numbers.count(claim['n'])}"
