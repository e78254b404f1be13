"""The points card: whole points for every level of every field, 0 to 100 in all, and the chance they stand for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.period.counting import LEAST_SHOWN
from closedloop.personas.signals import Cases
from closedloop.statistics.level_effects import MISSING, Floats, level_fit
from closedloop.statistics.rules import quoted
from closedloop.statistics.signals import OTHERS

FULL = 100
_LEAST_RANGE = 2.0  # log odds that 100 points span at least: where nothing moves the chance, points do not either
_FEWEST = 100
_RECENT = 400  # deals whose win rate the chances are level with
_MOST = 15_000
_Z = float(scipy.stats.norm.isf(0.05))


@dataclass(frozen=True)
class CardRow:
    """A level of a field: its whole ``points``, and the 90 % range they may lie in, from ``n`` deals with it."""

    field: str
    level: str
    points: int
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PointsCard:
    """Rows of points, a level each; the log odds of winning are ``at_zero`` + points x ``per_point``.

    ``edges``: of the bands of a field of numbers, so that they stay what they are. ``n``: deals that it was learned of.
    """

    rows: tuple[CardRow, ...]
    at_zero: float
    per_point: float
    n: int
    edges: Mapping[str, tuple[float, ...]]

    @property
    def fields(self) -> list[str]:
        """The fields that give points, persona first."""
        return list(dict.fromkeys(row.field for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """The card as plain values, for YAML."""
        plain = asdict(self)
        edges = {name: list(ends) for name, ends in self.edges.items()}
        return plain | {"rows": [list(asdict(row).values()) for row in self.rows], "edges": edges}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "PointsCard":
        """The card that ``to_dict`` wrote; TypeError or KeyError where it is none."""
        rows = tuple(CardRow(*row) for row in stored["rows"])
        edges = {name: tuple(ends) for name, ends in stored["edges"].items()}
        return cls(rows, float(stored["at_zero"]), float(stored["per_point"]), int(stored["n"]), edges)

    def total(self, levels: pd.DataFrame) -> Floats:
        """(n,) the points of each record, 0 to 100, by its ``levels`` (texts; ``persona`` among them).

        A level that the card does not know counts as the others of its field, which are the middle where it has none.
        """
        found = np.zeros(len(levels))
        for name in self.fields:
            own = {row.level: row.points for row in self.rows if row.field == name}
            usual = own.get(OTHERS, round(sum(own.values()) / len(own)))
            text = levels[name] if name in levels else pd.Series(MISSING, index=levels.index)
            found += text.astype(object).where(text.notna(), MISSING).map(own).fillna(usual).to_numpy(dtype=float)
        return np.clip(found, 0, FULL)

    def chance(self, points: Floats) -> Floats:
        """The chance of winning that so many points stand for."""
        return np.asarray(scipy.special.expit(self.at_zero + self.per_point * np.asarray(points, dtype=float)))

    def to_sql(self) -> str:
        """The points as one expression: a sum of CASEs over columns that hold the levels as texts."""
        parts = []
        for name in self.fields:
            own = [row for row in self.rows if row.field == name]
            usual = next((row.points for row in own if row.level == OTHERS), None)
            usual = round(sum(row.points for row in own) / len(own)) if usual is None else usual
            column = '"' + name.replace('"', '""') + '"'
            cases = [f"WHEN {_is(column, row.level)} THEN {row.points}" for row in own if row.level != OTHERS]
            parts.append(f"CASE {' '.join(cases)} ELSE {usual} END")
        return "\n  + ".join(parts)


def _is(column: str, level: str) -> str:
    text = f"CAST({column} AS VARCHAR)"
    if level == MISSING:
        return f"{column} IS NULL"
    said = {"yes": ["yes", "true"], "no": ["no", "false"]}.get(level, [level])
    return f"{text} IN ({', '.join(quoted(one) for one in said)})"


def points_card(cases: Cases, edges: Mapping[str, tuple[float, ...]]) -> PointsCard | None:
    """The card of decided deals in the order in which they closed; None for fewer than a hundred, or one outcome.

    The points are those of one shrunken fit of persona and all fields (``level_fit``), each field's least level at 0
    and the best total at 100. Deals before the last 15,000 are left out.
    """
    kept = slice(-_MOST, None)
    won, period, levels = cases.won[kept], cases.period[kept], cases.levels.iloc[kept]
    if len(won) < _FEWEST or len(np.unique(won)) < 2:
        return None
    is_rare = levels.apply(lambda column: column.map(column.value_counts()) < LEAST_SHOWN)
    fit = level_fit(won, period, levels.mask(is_rare, OTHERS))
    names = [(name.field, name.level) for name in fit.names]
    least = np.array([fit.coefficients[fit.owner == place].min() for place in range(len(fit.fields))])
    most = np.array([fit.coefficients[fit.owner == place].max() for place in range(len(fit.fields))])
    per_point = max(float((most - least).sum()), _LEAST_RANGE) / FULL
    above = fit.coefficients - least[fit.owner]
    reach = _Z * fit.errors
    n = fit.flags.sum(axis=0).astype(int)
    rows = tuple(
        CardRow(field, level, *_whole(above[i] / per_point, reach[i] / per_point), int(n[i]))
        for i, (field, level) in enumerate(names)
    )
    card = PointsCard(rows, 0.0, per_point, len(won), dict(edges))
    recent = slice(-_RECENT, None)
    total, rate = card.total(levels.iloc[recent]), (won[recent].sum() + 1) / (len(won[recent]) + 2)
    at_zero = scipy.optimize.brentq(lambda at: scipy.special.expit(at + per_point * total).mean() - rate, -30, 30)
    return PointsCard(rows, float(at_zero), per_point, len(won), dict(edges))


def _whole(points: float, reach: float) -> tuple[int, float, float]:
    """Whole points with the ends of their range."""
    return round(float(points)), round(float(points - reach), 1), round(float(points + reach), 1)
