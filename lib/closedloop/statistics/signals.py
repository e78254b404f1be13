"""Signals: levels that move the chance of winning over all personas, found one after another, shrunk, and followed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from closedloop.statistics.level_effects import (
    PERSONA,
    Effects,
    Flags,
    Floats,
    Ints,
    Level,
    LevelFit,
    base_of,
    beside_level,
    effects,
    points,
    together,
    within_persona,
)
from closedloop.terms import RARE

GATE = 0.2  # log odds: 5 points at a rate of one half, 5 x 4p(1 - p) points at a rate p
FEWEST_CASES = 100  # for a fit
_FEWEST = 40  # cases with a level, and without it
_FEWEST_IN_PERSONA, _PERSONAS_COVERED = 5, 2 / 3
_MOST_OF_A_FIELD = 2
_RECENT_SHARE = 0.25  # of the rate of error, for tests on the recent cases alone
_Z = float(scipy.stats.norm.isf(0.05))
_SPIKE = 0.03  # log odds: what levels that do nothing differ by
_SLAB_SHARES = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.6])
_SLAB_MODES = np.linspace(GATE, 1.0, 9)  # log odds: 5 to 23 points at a rate of one half
_SLAB_SPREADS = np.array([0.05, 0.1, 0.2])
_USUAL = 1.0  # log odds: larger ones are less likely before anything is seen


class Shrunk(NamedTuple):
    """A log odds with its deviation, shrunk by a prior over all that was tried."""

    log_odds: float
    deviation: float

    def ends(self) -> tuple[float, float]:
        """The ends of its 90 % interval."""
        return self.log_odds - _Z * self.deviation, self.log_odds + _Z * self.deviation


@dataclass(frozen=True)
class Entry:
    """A level that enters: of which ``span`` (0 all cases, 1 the recent ones), and what it promises."""

    level: Level
    span: int
    p: float
    q: float
    shrunk: Shrunk


def is_tried(fit: LevelFit, in_force: Sequence[Level]) -> Flags:
    """(levels,) which are large enough to be tried for all personas, and not spoken for.

    Of a field with two levels the rarer; both sides have to be met in personas that hold two thirds of the cases, since
    elsewhere it is the persona that is tested. At most two of a field are in force.
    """
    n = fit.flags.sum(axis=0)
    found = (n >= _FEWEST) & (len(fit.won) - n >= _FEWEST)
    personas = fit.flags[:, fit.places(PERSONA)]
    of_persona = personas.sum(axis=0)
    both = personas.T @ fit.flags
    is_met = (both >= _FEWEST_IN_PERSONA) & (of_persona[:, None] - both >= _FEWEST_IN_PERSONA)
    found &= of_persona @ is_met >= _PERSONAS_COVERED * len(fit.won)
    for name in fit.fields:
        own = fit.places(name)
        if len(own) == 2:
            found[own[int(np.argmax(n[own]))]] = False
        taken = [one for one in in_force if one.field == name and not one.persona]
        if name == PERSONA or len(taken) >= _MOST_OF_A_FIELD:
            found[own] = False
    found &= np.array([name not in in_force and name.level != RARE for name in fit.names])
    return np.asarray(found, dtype=bool)


def level_tests(fit: LevelFit, in_force: Sequence[Level], tried: Flags) -> Effects:
    """Each level tried against the other cases, given persona, period, what is in force and all other fields.

    Shapes: (levels,), missing where not tried. Other fields are integrated over with the spreads of the fit, so that
    they are accounted for without being chosen.
    """
    found = Effects(*np.full((2, fit.n_levels), np.nan))
    for name in fit.fields:
        own = np.flatnonzero(tried & (fit.owner == fit.fields.index(name)))
        if len(own):
            of = effects(fit, fit.n_free + own, *base_of(fit, name, in_force))
            found.log_odds[own], found.error[own] = of.log_odds, of.error
    return found


def deviation_tests(
    fit: LevelFit, in_force: Sequence[Level], left_out: Collection[str] = ()
) -> tuple[list[Level], Effects]:
    """Each level within each persona, beside what the level does in all: where one persona differs from the others."""
    personas, found, parts = [fit.names[place].level for place in fit.places(PERSONA)], list[Level](), []
    both = fit.flags[:, fit.places(PERSONA)].T @ fit.flags
    n, of_persona = fit.flags.sum(axis=0), fit.flags[:, fit.places(PERSONA)].sum(axis=0)
    for place, name in enumerate(fit.names):
        if name.field in (PERSONA, *left_out) or name.level == RARE or len(personas) < 2:
            continue
        inside = (both[:, place] >= _FEWEST) & (of_persona - both[:, place] >= _FEWEST)
        outside = n[place] - both[:, place] >= _FEWEST
        asked = [i for i in np.flatnonzero(inside & outside) if Level(*name[:2], personas[i]) not in in_force]
        if not asked:
            continue
        columns = np.array([within_persona(fit, int(i), place) for i in asked])
        parts.append(effects(fit, columns, *beside_level(fit, place, in_force)))
        found += [Level(name.field, name.level, personas[i]) for i in asked]
    if not parts:
        return [], Effects(np.empty(0), np.empty(0))
    return found, Effects(*(np.concatenate(side) for side in zip(*parts, strict=True)))


def in_every_persona(fit: LevelFit, place: int, in_force: Sequence[Level], sign: float) -> bool:
    """Is half the gate left when any one persona's cases are left out? Else it is that persona's own affair."""
    personas = fit.flags[:, fit.places(PERSONA)]
    both = personas.T @ fit.flags[:, place]
    met = np.flatnonzero((both > 0) & (personas.sum(axis=0) > both))
    if personas.shape[1] < 2:
        return True
    columns = np.array([within_persona(fit, int(i), place) for i in met])
    found = together(fit, columns, *base_of(fit, fit.names[place].field, in_force))
    weight = 1 / found.error**2
    for left_out in range(len(met)):
        kept = np.arange(len(met)) != left_out
        if not kept.any() or sign * (weight * found.log_odds)[kept].sum() / weight[kept].sum() < GATE / 2:
            return False
    return True


@dataclass(frozen=True)
class Prior:
    """What the effects of levels look like: most do nothing, some ``share`` moves the chance, all by about as much.

    ``mode``: by how much, up or down, with some ``spread``; ``weight``: of each triple on a grid, by how well it
    explains all levels tried (two-groups prior: Efron 2008, Statistical Science 23, 1-22). With a slab around 0
    instead, what entered early had promised too much, and what entered late too little.
    """

    share: Floats
    mode: Floats
    spread: Floats
    weight: Floats

    @classmethod
    def of(cls, tried: Effects) -> "Prior":
        """The prior that all levels tried give."""
        known = np.isfinite(tried.log_odds)
        x, s = tried.log_odds[known], tried.error[known]
        grid = np.meshgrid(_SLAB_SHARES, _SLAB_MODES, _SLAB_SPREADS, indexing="ij")
        share, mode, spread = (part.ravel() for part in grid)
        sides = [_density(x[None, :] - side * mode[:, None], spread[:, None], s[None, :]) for side in (1, -1)]
        mixed = share[:, None] * np.mean(sides, axis=0) + (1 - share[:, None]) * _density(x, _SPIKE, s)
        return cls(share, mode, spread, scipy.special.softmax(np.log(mixed).sum(axis=1) - (mode / _USUAL) ** 2 / 2))

    def shrunk(self, log_odds: float, error: float) -> Shrunk:
        """An estimate shrunk by it; a posterior mean is the same however a level was chosen: no winner's curse."""
        parts = [(self.share / 2, side * self.mode, self.spread) for side in (1, -1)]
        parts.append((1 - self.share, np.zeros_like(self.mode), np.full_like(self.spread, _SPIKE)))
        weight = np.array([share * _density(log_odds - middle, spread, error) for share, middle, spread in parts])
        weight = self.weight * weight / weight.sum(axis=0)
        kept = np.array([spread**2 / (spread**2 + error**2) for *_, spread in parts])
        mean = np.array([middle for _, middle, _ in parts]) * (1 - kept) + kept * log_odds
        found = float((weight * mean).sum())
        return Shrunk(found, float(np.sqrt(max((weight * (kept * error**2 + mean**2)).sum() - found**2, 1e-12))))


def _density(x: Floats | float, spread: Floats | float, error: Floats | float) -> Floats:
    variance = np.square(spread) + np.square(error)
    return np.asarray(np.exp(-np.square(x) / (2 * variance)) / np.sqrt(2 * np.pi * variance))  # a third of scipy's time


def entering(
    fits: Sequence[LevelFit], in_force: Sequence[Level], rate: float, *, barred: Collection[Level] = ()
) -> tuple[list[Entry], pd.DataFrame]:
    """The levels that enter, one after another, given those in force; and every test given all that is in force then.

    ``fits``: of all cases, and of the recent ones where they are fewer. Step k is compared with k x ``rate`` / levels,
    what is in force counts as found (forward step-up); ``barred`` levels are tested and stay out. The frame: field,
    level, n, log_odds, error, p, q, points, low, high (fractions, shrunk), one row a level, of the fit that says most.
    """
    held, entered, refused = list(in_force), list[Entry](), set(barred)
    kept: list[pd.DataFrame] = []
    shares = [1.0] if len(fits) == 1 else [1 - _RECENT_SHARE, _RECENT_SHARE]
    while True:
        table = _tested(fits, held, shares)
        m = len(table) + len(held)
        table["q"] = np.minimum(table["p"] * m / (len(held) + 1), 1.0)
        able = table[(table["beyond"] > 0.5) & (table["q"] <= rate)].sort_values(["p", "field", "level"])
        able = able[[Level(*pair) not in refused for pair in zip(able["field"], able["level"], strict=True)]]
        if able.empty:
            return entered, _in_points(fits, pd.concat([*kept, table], ignore_index=True))
        best = able.iloc[0]
        level, fit = Level(str(best["field"]), str(best["level"])), fits[int(best["span"])]
        if in_every_persona(fit, fit.names.index(level), held, float(np.sign(best["log_odds"]))):
            entered.append(Entry(level, int(best["span"]), float(best["p"]), float(best["q"]),
                                 Shrunk(float(best["shrunk"]), float(best["deviation"]))))  # fmt: skip
            held.append(level)
            kept.append(able.head(1))  # its test is that of the step in which it entered
        else:
            refused.add(level)


def _tested(fits: Sequence[LevelFit], held: Sequence[Level], shares: Sequence[float]) -> pd.DataFrame:
    """Every level with its test in the fit that says most; p values are divided by the fits' shares of the rate."""
    parts = []
    for span, (fit, share) in enumerate(zip(fits, shares, strict=True)):
        tried = is_tried(fit, held)
        found = level_tests(fit, held, tried)
        places = np.flatnonzero(tried)
        prior = Prior.of(_all_effects(fit, held, found, places))
        rows = []
        for place in places:
            of = prior.shrunk(float(found.log_odds[place]), float(found.error[place]))
            beyond = scipy.stats.norm.sf((GATE - abs(of.log_odds)) / of.deviation)
            rows.append((*fit.names[place][:2], span, int(fit.flags[:, place].sum()), found.log_odds[place],
                         found.error[place], min(found.p[place] / share, 1.0), *of, beyond))  # fmt: skip
        parts.append(pd.DataFrame(rows, columns=_TESTED))
    every = pd.concat(parts, ignore_index=True).dropna(subset=["p"])
    return every.sort_values("p", kind="stable").drop_duplicates(["field", "level"]).reset_index(drop=True)


_TESTED = ["field", "level", "span", "n", "log_odds", "error", "p", "shrunk", "deviation", "beyond"]


def _in_points(fits: Sequence[LevelFit], table: pd.DataFrame) -> pd.DataFrame:
    """The table with the shrunk effects as points, low and high: made once, for it takes every case."""
    rows = []
    columns = (table[name].tolist() for name in ("field", "level", "span", "shrunk", "deviation"))
    for field, level, span, log_odds, deviation in zip(*columns, strict=True):
        fit, of = fits[span], Shrunk(log_odds, deviation)
        place = fit.names.index(Level(field, level))
        rows.append(points(fit, place, np.array([of.log_odds, *of.ends()])))
    return table.assign(**dict(zip(("points", "low", "high"), np.reshape(rows, (len(rows), 3)).T, strict=True)))


def _all_effects(fit: LevelFit, held: Sequence[Level], found: Effects, places: Ints) -> Effects:
    """All effects that the prior is made of: those tried, and those in force, each given the others."""
    own = [(level, fit.names.index(level)) for level in held if not level.persona and level in fit.names]
    parts = [effects(fit, np.array([fit.n_free + place]), *base_of(fit, level.field, [o for o in held if o != level]))
             for level, place in own]  # fmt: skip
    log_odds = np.concatenate([found.log_odds[places], *(part.log_odds for part in parts)])
    return Effects(log_odds, np.concatenate([found.error[places], *(part.error for part in parts)]))


class Since(NamedTuple):
    """What came of a level on cases after it entered: log odds with its error, which counts how periods differ.

    ``n``: cases with it; ``points`` with ``low`` and ``high``: fractions; ``n_same`` of ``n_periods``: periods in which
    it went the way that was promised.
    """

    log_odds: float
    error: float
    n: int
    points: float
    low: float
    high: float
    n_same: int
    n_periods: int

    @property
    def is_known(self) -> bool:
        """Could anything be told?"""
        return bool(np.isfinite(self.log_odds) and np.isfinite(self.error))


UNKNOWN = Since(np.nan, np.nan, 0, np.nan, np.nan, np.nan, 0, 0)


def since(fit: LevelFit, level: Level, in_force: Sequence[Level], sign: float) -> Since:
    """How a level in force does on the cases of ``fit``, given persona, period, other signals and all other fields.

    From three periods on the variance between them beyond luck is added (DerSimonian & Laird 1986).
    """
    plain = Level(level.field, level.level)
    if plain not in fit.names:
        return UNKNOWN
    place, others = fit.names.index(plain), [one for one in in_force if one != level]
    column, base = fit.n_free + place, base_of(fit, level.field, others)
    has_level = fit.flags[:, place] == 1
    if level.persona:
        persona = fit.names.index(Level(PERSONA, level.persona)) if Level(PERSONA, level.persona) in fit.names else -1
        if persona < 0:
            return UNKNOWN
        base = beside_level(fit, place, others)
        column = within_persona(fit, int(np.flatnonzero(fit.places(PERSONA) == persona)[0]), place)
        has_level &= fit.flags[:, persona] == 1
    found = effects(fit, np.array([column]), *base)
    x, error, each = float(found.log_odds[0]), float(found.error[0]), _by_period(fit, has_level, place)
    if len(each.log_odds) > 2:
        error = float(np.hypot(error, np.sqrt(_between(each) / len(each.log_odds))))
    if not np.isfinite(x):
        return UNKNOWN
    told, low, high = points(fit, place, np.array([x, x - _Z * error, x + _Z * error])).tolist()
    n_same = int((sign * each.log_odds > 0).sum())
    return Since(x, error, int(has_level.sum()), told, low, high, n_same, len(each.log_odds))


def _by_period(fit: LevelFit, has_level: Flags, place: int) -> Effects:
    """The effect in each period that has cases on both sides: one Newton step from the fit without the field."""
    own = fit.owner == fit.owner[place]
    chance = scipy.special.expit(scipy.special.logit(fit.chance) - fit.flags[:, own] @ fit.coefficients[own])
    log_odds, error = [], []
    for number in np.unique(fit.period):
        rows = fit.period == number
        weight, z = (chance * (1 - chance))[rows], has_level[rows].astype(float)
        centred = z - (weight @ z) / weight.sum()
        information = float(weight @ centred**2)
        if information > 1e-6 and 0 < z.sum() < len(z):
            log_odds.append(float(centred @ (fit.won - chance)[rows]) / information)
            error.append(information**-0.5)
    return Effects(np.array(log_odds), np.array(error))


def _between(each: Effects) -> float:
    """The variance of true effects between periods, by moments."""
    weight = 1 / each.error**2
    mean = weight @ each.log_odds / weight.sum()
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    return float(max(0.0, (weight @ (each.log_odds - mean) ** 2 - (len(weight) - 1)) / scale))


def is_withdrawn(promise: Shrunk, latest: Since) -> bool:
    """Is a level's effect on the latest cases below its promise beyond doubt (one-sided 5 %), and under the gate?"""
    if not latest.is_known:
        return False
    sign = float(np.sign(promise.log_odds))
    gap = sign * (latest.log_odds - promise.log_odds)
    return bool(gap < -_Z * np.hypot(latest.error, promise.deviation) and sign * latest.log_odds < GATE)
