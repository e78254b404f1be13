"""Like compared with like: does a difference in win rate stay when deals are compared inside a third field?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.confounders import REVERSAL_LEVEL, Adjusted, adjusted_difference
from closedloop.loop.comparisons import TURNS
from closedloop.loop.counting import RARE, crossed_counts, levels
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import won
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

_FEWEST_ADJUSTED = 30
_MOST_STRATA = 12
_SETTLED = 0.9
_PERIOD = "period"


def adjusted(
    situation: Situation, in_force: PersonaSet, ended: pd.DataFrame, by: pd.DataFrame, fields: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Crude beside Mantel-Haenszel differences of the levels of ``fields`` (all of ``by`` without any), as statements.

    Within the strongest confounder, and within the period. Tried are all fields compared (the quarter's end among
    them), the period and the age of the deal; but no persona within a field of its own rule or one that settles it, nor
    such a field within personas: they are one thing, and would erase each other. ``turns`` says what becomes of the
    difference (``confounders.Adjusted.answer``).
    """
    hit = won(ended)
    age = levels(ended, ["age_days"])["age_days"]
    base = by.assign(**{_PERIOD: situation.names_of(ended["closed_on"]), "age_days": age}, won=hit)[hit.notna()]
    tried = [name for name in base.columns.drop("won") if 2 <= base[name].nunique() <= _MOST_STRATA]
    same = [{"persona", name} for name in tried if name in in_force.rule.fields or _is_persona(base, name)]
    within = {name: [other for other in tried if other != name and {name, other} not in same] for name in tried}
    asked = [name for name in tried if name in (fields or by.columns)]
    worth = situation.definition.claims.smallest_worth
    return [row for name in asked for row in _adjusted_field(base, name, within[name], worth)]


def _is_persona(base: pd.DataFrame, name: str) -> bool:
    """Does the field settle the persona, or the persona the field, as one that is made of the rule's fields does?"""
    if "persona" not in base or name == "persona":
        return False
    table = pd.crosstab(base["persona"], base[name]).to_numpy()
    return any(_is_told(one) for one in (table, table.T))


def _is_told(table: np.ndarray) -> bool:
    """Does the row settle the column? Nine of ten errors are gone that guessing the largest makes (lambda).

    Source: Goodman & Kruskal (1954), JASA 49, 732-764.
    """
    n, sure, guessed = table.sum(), table.max(axis=1).sum(), table.sum(axis=0).max()
    return bool(n > guessed and sure - guessed >= _SETTLED * (n - guessed))


def state(draft: Draft, rows: Sequence[dict[str, Any]], origin: Origin, answers: Sequence[str] = tuple(TURNS)) -> None:
    """State the differences that turn round, may, vanish, or do not."""
    for answer in answers:
        draft.estimate([row for row in rows if row["turns"] == answer], origin, TURNS[answer], unit="points")


def _adjusted_field(base: pd.DataFrame, name: str, within: list[str], worth: float) -> list[dict[str, Any]]:
    """Statements on every level of a field with enough deals."""
    sizes = base[name].value_counts().drop(RARE, errors="ignore")
    cells = {other: _cells(base, name, other) for other in within}
    rows = []
    for level in sorted(sizes[sizes >= _FEWEST_ADJUSTED].index):
        found = {other: _adjusted_by(table, level) for other, table in cells.items() if level in table[0].index}
        found = {other: adjusted for other, adjusted in found.items() if adjusted.n >= _FEWEST_ADJUSTED}
        if found:
            strongest = max(found, key=lambda other: (found[other].reversal, _shift(found[other])))
            told = dict.fromkeys([strongest, *(other for other in (_PERIOD,) if other in found)])
            rows += [{"field": name, "level": level, "within": other, **_told(found[other], worth)} for other in told]
    return rows


def _told(found: Adjusted, worth: float) -> dict[str, Any]:
    figures = {"estimate": found.adjusted, "low": found.low, "high": found.high, "n": found.n}
    return {**figures, "baseline": found.crude, "turns": found.answer(worth)}


def _shift(found: Adjusted) -> float:
    """How far adjustment moves the difference."""
    return abs(found.adjusted - found.crude)


def _cells(base: pd.DataFrame, name: str, other: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Won, and decided, deals of every level of ``name`` (rows) in every level of ``other`` (columns)."""
    return crossed_counts(base[name], base[other], base["won"])


def _adjusted_by(cells: tuple[pd.DataFrame, pd.DataFrame], level: str) -> Adjusted:
    """The level against all others, inside the levels of the other field."""
    won_deals, decided = cells
    k1, n1 = (part.loc[level].to_numpy() for part in cells)
    rest = won_deals.to_numpy().sum(0) - k1, decided.to_numpy().sum(0) - n1
    return adjusted_difference(k1, n1, *rest, level=REVERSAL_LEVEL)  # what is shown is what decides
