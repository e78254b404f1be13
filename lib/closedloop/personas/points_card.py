"""The points card: whole points for every level of every field, 0 to 100 in all, and the chance they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from closedloop.period.counting import (
    LEAST_SHOWN,
    band_edges,
    band_names,
    lagged_rate,
    level_texts,
    levels,
    recent,
)
from closedloop.personas.signals import Cases, cases_of
from closedloop.statistics.level_effects import MISSING, PERSONA, Floats, level_fit
from closedloop.statistics.rules import Between, Rule, quoted, quoted_name
from closedloop.statistics.signals import FEWEST_CASES
from closedloop.terms import RARE

FULL = 100
_LEAST_RANGE = 2.0  # log odds that 100 points span at least: where nothing moves the chance, points do not either
_MOST = 50_000
_HALF_LIFE = 6  # periods
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

    def levels_of(self, records: pd.DataFrame, personas: pd.Series) -> pd.DataFrame:
        """(n, fields) the texts of each record's levels, of the fields that it has, beside its persona."""
        known = [name for name in self.fields if name in records]
        return level_texts(records, known, self.edges).assign(**{PERSONA: personas.astype(str)})

    def given(self, levels: pd.DataFrame) -> pd.DataFrame:
        """(n, fields) the points that each record gets for its level of each field (``levels_of``).

        A level that the card does not know counts as the others of its field, which are the middle where it has none.
        """
        found = {}
        for name in self.fields:
            own, rest = self._points(name), self.rest(name)
            text = levels[name] if name in levels else pd.Series(MISSING, index=levels.index)
            found[name] = text.astype(object).where(text.notna(), MISSING).map(own).fillna(rest).astype(float)
        return pd.DataFrame(found, index=levels.index)

    def total(self, levels: pd.DataFrame) -> Floats:
        """(n,) the points of each record, 0 to 100, by its ``levels`` (``levels_of``)."""
        return np.asarray(np.clip(self.given(levels).sum(axis=1), 0, FULL), dtype=float)

    def moves(self, levels: pd.DataFrame) -> list[list[tuple[str, str, int]]]:
        """What sets each record apart from the usual one: field, level and points, those with most first.

        The usual points of a field are the mean of the cases of which the card was learned. A level whose range holds
        them is left out, and so are the persona, and levels too rare to have a name.
        """
        apart = dict[str, dict[str, int]]()
        for name in self.fields:
            own = [row for row in self.rows if row.field == name]
            usual = round(sum(row.points * row.n for row in own) / sum(row.n for row in own))
            named = [row for row in own if name != PERSONA and row.level != RARE]
            apart[name] = {row.level: row.points - usual for row in named if row.low > usual or row.high < usual}
        texts, found = levels.astype(object).where(levels.notna(), MISSING), []
        for row in texts.itertuples(index=False):
            said = zip(map(str, texts.columns), row, strict=True)
            moved = [(name, str(text), apart[name][text]) for name, text in said if text in apart.get(name, ())]
            found.append(sorted(moved, key=lambda move: -move[2]))
        return found

    def chance(self, points: Floats) -> Floats:
        """The chance of winning that so many points stand for."""
        return np.asarray(scipy.special.expit(self.at_zero + self.per_point * np.asarray(points, dtype=float)))

    def to_sql(self, rule: Rule) -> str:
        """The points of a row, 0 to 100, as one expression in DuckDB's dialect; ``rule``: which persona a row is of.

        It reads the fields of the card and of the rule as they are, and equals ``total``.
        """
        total = "\n  + ".join(self._case(name, rule) for name in self.fields)
        return f"least(greatest(\n    {total},\n  0), {FULL})"

    def _case(self, name: str, rule: Rule) -> str:
        own, rest = self._points(name), self.rest(name)
        if name in self.edges:
            ends, bands = self.edges[name], band_names(self.edges[name])
            asked: dict[str, Between] = {MISSING: Between(name, known=False, missing=True)}
            asked |= {
                band: Between(name, above, up_to)
                for band, above, up_to in zip(bands, (None, *ends), (*ends, None), strict=True)
            }
            whens = [f"WHEN {when.to_sql()} THEN {own[level]}" for level, when in asked.items() if level in own]
            return f"CASE {' '.join(whens)} ELSE {rest} END" if whens else str(rest)
        text = rule.to_sql() if name == PERSONA else f"coalesce(CAST({quoted_name(name)} AS VARCHAR), '{MISSING}')"
        whens = [f"WHEN {quoted(level)} THEN {points}" for level, points in own.items()]
        return f"CASE {text} {' '.join(whens)} ELSE {rest} END" if whens else str(rest)

    def rest(self, name: str) -> int:
        """The points of all levels of the field that have no row."""
        own = {row.level: row.points for row in self.rows if row.field == name}
        return own.get(RARE, round(sum(own.values()) / len(own)))

    def _points(self, name: str) -> dict[str, int]:
        """The points of every text that names a level of the field."""
        own = {row.level: row.points for row in self.rows if row.field == name and row.level != RARE}
        return {text: points for level, points in own.items() for text in _spellings(level)} | own


def _spellings(level: str) -> list[str]:
    """How databases write a truth value, or a number with or without decimals, where the level is one."""
    if level in ("yes", "no"):
        return ["true" if level == "yes" else "false"]
    try:
        number = float(level)
    except ValueError:
        return []
    return [repr(number), f"{number:.2f}"] if np.isfinite(number) else []


def cases_by_level(
    records: pd.DataFrame,
    fields: Sequence[str],
    edges: Mapping[str, tuple[float, ...]],
    periods: pd.Series,
    personas: pd.Series,
) -> tuple[Cases, dict[str, tuple[float, ...]]]:
    """Decided ``records`` (with ``is_won``) by the levels of these fields, and the edges of the bands of numbers.

    ``periods``: the name of each record's; ``personas``: whose each is. Fields of numbers keep the ``edges`` that they
    have; others get the quartiles of these records.
    """
    names = list(fields)
    own = {name: tuple(edges.get(name, found)) for name, found in band_edges(records, names).items()}
    return cases_of(records, levels(records, names, RARE, own), periods, personas), own


def points_card(cases: Cases, edges: Mapping[str, tuple[float, ...]]) -> PointsCard | None:
    """The card of decided deals in the order in which they closed; None for fewer than a hundred, or one outcome.

    The points are those of one shrunken fit of persona and all fields (``level_fit``), each field's least level at 0
    and the best total at 100. A deal counts half as much for every six periods that it is older, since markets move:
    on redraws of moving markets the order is as good with it, and the chances come out less steep. Chances are at the
    level of ``recent`` deals. Deals before the last 50,000 are left out.
    """
    kept = slice(-_MOST, None)
    won, period, levels = cases.won[kept], cases.period[kept], cases.levels.iloc[kept]
    if len(won) < FEWEST_CASES or len(np.unique(won)) < 2:
        return None
    is_rare = levels.apply(lambda column: column.map(column.value_counts()) < LEAST_SHOWN)
    fit = level_fit(won, period, levels.mask(is_rare, RARE), 0.5 ** ((period.max() - period) / _HALF_LIFE))
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
    total, rate = card.total(levels.iloc[recent(period)]), lagged_rate(won, period)
    at_zero = scipy.optimize.brentq(lambda at: scipy.special.expit(at + per_point * total).mean() - rate, -30, 30)
    return PointsCard(rows, float(at_zero), per_point, len(won), dict(edges))


def _whole(points: float, reach: float) -> tuple[int, float, float]:
    """Whole points with the ends of their range."""
    return round(float(points)), round(float(points - reach), 1), round(float(points + reach), 1)
