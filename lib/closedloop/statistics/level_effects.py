"""What each level of many fields adds to the chance of winning: one shrunken fit of them all, and what it says of one.

The fit is a ridge logistic regression with a free rate for every period; the spread of a field's effects is learned
from the data. Around its optimum the likelihood is a quadratic form of the coefficients, so that every test of a level,
given whatever is in force, is small linear algebra on two arrays (Rao's score test in a mixed model: Lin 1997,
Biometrika 84, 309-326).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]

MISSING = "missing"  # a level of its own
PERSONA = "persona"
_FREE = 0.25  # precision of what is not shrunk: a normal law with a deviation of 2 on the logit scale
_BESIDE = 1e-6  # precision of a level that one persona's is held against
_SWEEPS = 12
_NEWTON_STEPS = 2
_FIRST_SPREAD, _LEAST_SPREAD, _LEAST_WEIGHT = 0.3, 0.1, 2.0
_LONGEST_STEP = 3.0


class Level(NamedTuple):
    """A level of a field; with ``persona``, of its cases alone."""

    field: str
    level: str
    persona: str = ""


@dataclass(frozen=True)
class LevelFit:
    """The fit of all levels. ``flags``: (n, levels); ``owner``: (levels,) the place of each level's field.

    ``names``: the levels; ``chance``: (n,) fitted; ``coefficients``: (levels,) log odds; ``spreads``: (fields,).
    ``gram`` and ``target``: the likelihood around the optimum is target'b - b'gram b / 2, for the columns period rates,
    levels, and levels within each persona, in this order.
    """

    won: Floats
    period: Ints
    flags: Floats
    names: tuple[Level, ...]
    owner: Ints
    fields: tuple[str, ...]
    spreads: Floats
    coefficients: Floats
    errors: Floats
    chance: Floats
    gram: Floats
    target: Floats
    n_free: int

    @property
    def n_levels(self) -> int:
        """How many levels there are, those of the personas among them."""
        return len(self.names)

    def places(self, field: str) -> Ints:
        """Which levels are of the field."""
        return np.flatnonzero([name.field == field for name in self.names])


def level_fit(won: Floats, period: Ints, levels: pd.DataFrame, counted: Floats | None = None) -> LevelFit:
    """Fit the chance of winning on the period and on every level of every column of ``levels``, ``persona`` first.

    ``won``: (n,) 0/1; ``period``: (n,) its number in time; ``levels``: (n, fields) texts, none missing; ``counted``:
    (n,) how much each case counts, 1 without. The spread of a field's effects is the mean of their squares and
    variances (EM: Dempster, Laird & Rubin 1977, JRSS B 39, 1-38), held up by two pseudo levels of .1, so that a field
    that does nothing keeps a small one.
    """
    fields = tuple(map(str, levels.columns))
    blocks, names, owner = list[Floats](), list[Level](), list[int]()
    for place, name in enumerate(fields):
        codes, shown = pd.factorize(levels[name], sort=True)
        blocks.append(np.eye(len(shown))[codes])
        names += [Level(name, str(level)) for level in shown]
        owner += [place] * len(shown)
    flags, own = np.hstack(blocks), np.array(owner)
    counted = np.ones(len(won)) if counted is None else counted
    times, when = np.unique(period, return_inverse=True)
    free = np.eye(len(times))[when]
    design = np.hstack([free, flags])
    n_free, spreads, b = len(times), np.full(len(fields), _FIRST_SPREAD), np.zeros(design.shape[1])
    size = np.bincount(own, minlength=len(fields))
    precision, hessian = np.ones(len(b)), np.eye(len(b))
    for _ in range(_SWEEPS):
        precision = np.concatenate([np.full(n_free, _FREE), 1 / spreads[own] ** 2])
        for _ in range(_NEWTON_STEPS):
            chance = scipy.special.expit(design @ b)
            hessian = (design * (counted * chance * (1 - chance))[:, None]).T @ design
            hessian[np.diag_indices_from(hessian)] += precision
            step = np.linalg.solve(hessian, design.T @ (counted * (won - chance)) - precision * b)
            b = b + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        variance = np.linalg.inv(hessian).diagonal()[n_free:]
        squares = np.bincount(own, b[n_free:] ** 2 + variance, len(fields))
        spreads = np.sqrt((squares + _LEAST_WEIGHT * _LEAST_SPREAD**2) / (size + _LEAST_WEIGHT))
    linear = design @ b
    chance = scipy.special.expit(linear)
    weight = counted * chance * (1 - chance)
    columns = _with_personas(design, flags, [name.field == PERSONA for name in names])
    gram = (columns * weight[:, None]).T @ columns
    target = columns.T @ (weight * linear + counted * (won - chance))
    errors = np.sqrt(np.linalg.inv(hessian).diagonal()[n_free:])
    return LevelFit(
        won, period, flags, tuple(names), own, fields, spreads, b[n_free:], errors, chance, gram, target, n_free
    )


def _with_personas(design: Floats, flags: Floats, is_persona: Sequence[bool]) -> Floats:
    """The design with each level within each persona behind it: persona by persona, all levels of each."""
    personas = flags[:, np.asarray(is_persona)]
    return np.hstack([design, *(flags * personas[:, [place]] for place in range(personas.shape[1]))])


class Effects(NamedTuple):
    """Log odds by which levels differ from the rest given the base, and their standard errors."""

    log_odds: Floats
    error: Floats

    @property
    def p(self) -> Floats:
        """Two-sided p values of the score tests; missing where there is nothing to tell from."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(2 * scipy.stats.norm.sf(np.abs(self.log_odds / self.error)))


def effects(fit: LevelFit, asked: Ints, base: Ints, precision: Floats) -> Effects:
    """What each column ``asked`` adds by itself to the columns ``base``, whose penalties are ``precision``.

    Columns are places in ``gram``. With a penalty of a column's own spread the base is integrated over, not fitted.
    """
    inner = fit.gram[np.ix_(base, base)] + np.diag(precision)
    across = fit.gram[np.ix_(base, asked)]
    solved = np.linalg.solve(inner, np.column_stack([across, fit.target[base]]))
    information = fit.gram[asked, asked] - (across * solved[:, :-1]).sum(axis=0)
    score = fit.target[asked] - across.T @ solved[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.where(information > 1e-6, information, np.nan)
        return Effects(score / known, 1 / np.sqrt(known))


def together(fit: LevelFit, asked: Ints, base: Ints, precision: Floats) -> Effects:
    """What the columns ``asked`` add when all of them join the base at once, each with hardly any penalty."""
    columns = np.concatenate([asked, base])
    penalties = np.concatenate([np.full(len(asked), _FREE), precision])
    inner = fit.gram[np.ix_(columns, columns)] + np.diag(penalties)
    covariance = np.linalg.inv(inner)
    found = covariance @ fit.target[columns]
    return Effects(found[: len(asked)], np.sqrt(covariance.diagonal()[: len(asked)]))


def base_of(fit: LevelFit, left_out: str, in_force: Sequence[Level]) -> tuple[Ints, Floats]:
    """The columns and penalties of a test that leaves the field ``left_out`` out: what is in force is not shrunk.

    Personas are not shrunk either: a level has to add to what they say already.
    """
    n, columns, penalties = fit.n_free, list(range(fit.n_free)), [_FREE] * fit.n_free
    for place, name in enumerate(fit.names):
        is_free = name in in_force or name.field == PERSONA
        if is_free or name.field != left_out:
            columns.append(n + place)
            penalties.append(_FREE if is_free else 1 / fit.spreads[fit.owner[place]] ** 2)
    for place in deviations(fit, in_force):
        columns.append(place)
        penalties.append(_FREE)
    return np.array(columns), np.array(penalties)


def beside_level(fit: LevelFit, place: int, in_force: Sequence[Level]) -> tuple[Ints, Floats]:
    """``base_of`` a test within one persona: with the level as it is in all, hardly shrunk."""
    base, precision = base_of(fit, fit.names[place].field, in_force)
    column = fit.n_free + place
    return (base, precision) if column in base else (np.append(base, column), np.append(precision, _BESIDE))


def deviations(fit: LevelFit, in_force: Sequence[Level]) -> list[int]:
    """The columns of the levels in force that are of one persona's cases alone."""
    personas = [name.level for name in fit.names if name.field == PERSONA]
    found = []
    for one in in_force:
        plain = Level(one.field, one.level)
        if one.persona in personas and plain in fit.names:
            found.append(within_persona(fit, personas.index(one.persona), fit.names.index(plain)))
    return found


def within_persona(fit: LevelFit, persona: int, place: int) -> int:
    """The column of a level within the persona with this number."""
    return fit.n_free + fit.n_levels * (1 + persona) + place


def points(fit: LevelFit, place: int, log_odds: Floats | float) -> Floats:
    """The mean change of the chance, a fraction, if every case had the level instead of none (marginal effect)."""
    own = fit.owner == fit.owner[place]
    others = scipy.special.logit(fit.chance) - fit.flags[:, own] @ fit.coefficients[own]
    moved = scipy.special.expit(others[:, None] + np.atleast_1d(np.asarray(log_odds, dtype=float)))
    return np.asarray((moved - scipy.special.expit(others)[:, None]).mean(axis=0))
