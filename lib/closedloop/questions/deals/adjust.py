"""Like compared with like: does a difference in win rate stay when deals are compared inside a third field?"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from closedloop.period.comparisons import TURNS
from closedloop.period.counting import RARE, crossed_counts, levels
from closedloop.period.records import ONLY_WON, won
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, stating
from closedloop.presentation.findings import Claim, Column, backed, table_of, turned, value
from closedloop.presentation.sentences import records
from closedloop.statistics.stratified import REVERSAL_LEVEL, Adjusted, adjusted_difference
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.gaps import no_deals
from closedloop.workbench.period import opened

_ADJUSTED = tuple(TURNS.values())
_FEWEST_ADJUSTED = 30
_MOST_STRATA = 12
_SETTLED = 0.9
_PERIOD = "period"


def adjust(
    deals: pd.DataFrame,
    fields: Sequence[str],
    within: str | Sequence[str] | None = None,
    *,
    answers: Sequence[str] = tuple(TURNS),
    among: str | None = None,
) -> Answer:
    """Crude beside adjusted differences of ``fields``: every level inside the strongest confounder, and the period.

    The adjusted difference is Mantel & Haenszel's (1959), with its 95 % interval. Tried are the fields ``within`` (all
    that are compared without any), the period and the age of the deal. ``answers``: which of yes, nothing, maybe and
    no (does it turn round?) are stated.
    """
    now = opened()
    show = partial(_show, answers)
    answer = now.ask("adjust", "adjusted", deals, "deals", show, among=among, fields=list(fields), within=within)
    if no_deals(answer):
        return answer
    rows, situation = answer.rows, now.situation
    if situation.has_only_won:
        answer.missing["adjusted"] = ONLY_WON
        return answer
    inside = [within] if isinstance(within, str) else fields if within is None else within
    tried = dict.fromkeys([*fields, *inside])
    by = levels(rows, [name for name in tried if name in rows], RARE)
    by = by.loc[:, by.nunique() > 1]
    found = adjusted(situation, now.personas, rows, by, list(fields))
    if not found:
        answer.missing["adjusted"] = (
            "Too few won or lost deals share the levels of two fields, so no confounder can be looked for."
            if by.shape[1] > 1
            else "Fewer than two comparable fields, so no confounder can be looked for. "
            "Collect more fields of deals or accounts."
        )
        return answer
    answer.count([{"estimate": len(found)}], answer.origin(rows["closed_on"]), "n_adjusted")
    for turns in answers:
        of = [row for row in found if row["turns"] == turns]
        answer.estimate(of, answer.origin(rows["closed_on"]), TURNS[turns], unit="points")
    answer.results["n_reversed"] = len({(row["field"], row["level"]) for row in found if row["turns"] == "yes"})
    return answer


def _show(wanted: Sequence[str], shown: Evidence, title: str) -> Sequence[Piece]:
    claims, n = shown.of(*_ADJUSTED), shown.first("n_adjusted")
    if claims.empty and n is not None:
        text = f"Of {value(n, shown.words)} comparisons of like with like none answers “does it turn round?” with "
        return (stating(f"{text}{' or '.join(wanted)}.", n),)
    shift = (claims["estimate"] - claims["baseline"]).abs()
    answers = {measure: answer for answer, measure in TURNS.items()}
    order = claims["measure"].map(_ADJUSTED.index)
    ordered = claims.assign(_order=order, _shift=-shift).sort_values(["_order", "_shift"], kind="stable")
    columns: dict[str, str | tuple[str, Column]] = {
        "counted": ("difference as counted", lambda row: numbers.signed_points(_only(row)["baseline"])),
        "adjusted": ("like compared with like (95 % interval)", lambda row: backed(_only(row), shown.words)),
        "within": ("compared within", lambda row: shown.words.column(_only(row)["within"])),
        "turns": ("turns round", lambda row: answers[_only(row)["measure"]]),
    }
    listed = table_of(ordered, shown.words, "group", columns, caption=title)
    note = Note(
        "Yes: the interval lies wholly on the other side. Nothing: it holds 0, but neither a difference worth knowing "
        "nor the one counted. Maybe: the estimate is on the other side, or the interval holds 0 but not that counted."
    )
    sure = shown.of(TURNS["yes"], TURNS["nothing"])
    if sure.empty:
        return listed, note, stating("No difference is shown to turn round once like meets like.", claims)
    return listed, note, Listing([turned(claim, shown.words) for claim in records(sure)])


def _only(row: Mapping[str, Claim]) -> Claim:
    return next(iter(row.values()))


def adjusted(
    situation: Situation, in_force: PersonaSet, ended: pd.DataFrame, by: pd.DataFrame, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """Crude beside adjusted differences of the levels of ``fields``, as statements; ``by``: what is tried as strata.

    No persona is compared within a field of its own rule or one that settles it, nor such a field within personas: they
    are one thing, and would erase each other. ``turns``: what becomes of the difference.
    """
    hit = won(ended)
    age = levels(ended, ["age_days"])["age_days"]
    base = by.assign(**{_PERIOD: situation.names_of(ended["closed_on"]), "age_days": age}, won=hit)[hit.notna()]
    tried = [name for name in base.columns.drop("won") if 2 <= base[name].nunique() <= _MOST_STRATA]
    same = [{"persona", name} for name in tried if name in in_force.rule.fields or _is_persona(base, name)]
    within = {name: [other for other in tried if other != name and {name, other} not in same] for name in tried}
    asked = [name for name in tried if name in fields]
    worth = situation.claims.smallest_worth
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
