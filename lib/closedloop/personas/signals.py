"""Signals of a persona set: what moves the chance of winning over all personas, since when, and what came since."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.statistics.level_effects import MISSING, PERSONA, Level, LevelFit, level_fit
from closedloop.statistics.level_effects import points as points_of
from closedloop.statistics.signals import (
    FEWEST_CASES,
    GATE,
    UNKNOWN,
    Entry,
    Prior,
    Shrunk,
    Since,
    deviation_tests,
    entering,
    is_withdrawn,
    since,
)

NEW, CONFIRMED, NOT_YET_TOLD, WITHDRAWN = "new", "confirmed", "not yet told", "withdrawn"
RATE = 0.10  # of error, over all planned periods and all that may enter
SIGNALS_SHARE, DEVIATIONS_SHARE, SPLITS_SHARE = 0.7, 0.1, 0.2  # of it, for what is tried
_Z = float(scipy.stats.norm.isf(0.05))
_SHOWN = float(scipy.stats.norm.isf(0.025) + scipy.stats.norm.ppf(0.8))  # standard errors that 80 % power needs
_FEWEST_SINCE, _PERIODS_TO_WITHDRAW, _LATEST = 60, 2, 3


@dataclass(frozen=True)
class Signal:
    """A level of a field that moves the chance of winning, over all personas or, with ``persona``, in one of them.

    ``entered``: the first period that it is in force; ``points`` (``low`` to ``high``): what it promised then, as
    fractions, from ``n`` deals with the level, closed ``first_period`` to ``last_period``; ``log_odds`` and
    ``deviation``: the same on the logit scale. ``since_*``: what came of it on deals that closed from ``since_period``
    on, of a withdrawn one in the last periods, for which it was withdrawn: the way it was promised in ``n_same`` of
    ``n_periods`` periods. ``left``: the first period in which it is not in force.
    """

    field: str
    level: str
    entered: str
    points: float
    low: float
    high: float
    log_odds: float
    deviation: float
    n: int
    persona: str = ""
    q: float | None = None
    first_period: str = ""
    last_period: str = ""
    state: str = NEW
    since_period: str = ""
    since_points: float | None = None
    since_low: float | None = None
    since_high: float | None = None
    since_n: int = 0
    n_same: int = 0
    n_periods: int = 0
    left: str = ""

    @property
    def what(self) -> Level:
        """The level that it is about."""
        return Level(self.field, self.level, self.persona)

    @property
    def is_in_force(self) -> bool:
        """Has it not been withdrawn?"""
        return not self.left

    @property
    def promise(self) -> Shrunk:
        """What it promised, on the logit scale."""
        return Shrunk(self.log_odds, self.deviation)


def in_force(signals: Sequence[Signal]) -> list[Signal]:
    """Those that are in force, in the order in which they entered."""
    return [one for one in signals if one.is_in_force]


def in_time(name: str) -> str:
    """A period's name as it is put in order: p1000 after p999."""
    return name.rjust(12)


@dataclass(frozen=True)
class Cases:
    """Decided deals as refinement reads them: ``won`` (n,), ``period`` (n,) its number, ``levels`` (n, fields).

    ``names``: of the periods, by number. ``levels``: texts, ``persona`` first, a missing value as a level of its own.
    """

    won: np.ndarray[Any, np.dtype[np.float64]]
    period: np.ndarray[Any, np.dtype[np.intp]]
    levels: pd.DataFrame
    names: tuple[str, ...]

    def fit(self, first: int = 0, least: int = FEWEST_CASES) -> LevelFit | None:
        """The fit of the deals that closed from period number ``first`` on; None for fewer than ``least``."""
        rows = self.period >= first
        if rows.sum() < least or len(np.unique(self.won[rows])) < 2:
            return None
        return level_fit(self.won[rows], self.period[rows], self.levels[rows])

    def number(self, name: str) -> int:
        """The number of a period, or of the first one after it."""
        return next((i for i, own in enumerate(self.names) if in_time(own) >= in_time(name)), len(self.names))


def cases_of(deals: pd.DataFrame, levels: pd.DataFrame, periods: pd.Series, personas: pd.Series) -> Cases:
    """Decided ``deals`` by the levels of their fields (``counting.levels``), their periods and their personas."""
    names = tuple(sorted(set(periods), key=in_time))
    texts = levels.astype(object).where(levels.notna(), MISSING).astype(str)
    texts.insert(0, PERSONA, personas.astype(str))
    number = periods.map({name: i for i, name in enumerate(names)}).to_numpy(dtype=np.intp)
    return Cases(deals["is_won"].to_numpy(dtype=float), number, texts.reset_index(drop=True), names)


@dataclass(frozen=True)
class Refined:
    """What one period teaches: the signals as they stand for the next, and every test that was made.

    ``tests``: a row a test: field, level, persona, n, p, q, points, low, high (fractions, shrunk), beyond (probability
    that it is over the gate), first_period (of the deals that it saw), reach (how far the unshrunk interval goes from
    0), visible (the difference that 80 % power shows), scale (4p(1 - p) of the deals), is_entering. ``followed``: what
    came of each signal, as its ``since_period`` says. ``rate``: of error, of the whole period, 0 while too few periods
    are known.
    """

    signals: tuple[Signal, ...]
    tests: pd.DataFrame
    followed: Mapping[Level, Since]
    rate: float


def refine(
    signals: Sequence[Signal],
    cases: Cases,
    coming: str,
    *,
    window: int,
    planned_periods: int,
    of_people: Collection[str] = (),
) -> Refined:
    """Follow the signals in force on later deals, withdraw what no longer holds, and let enter what now does.

    In this order: withdraw, signals of all personas, then where one persona differs. A period's rate of error is .10 /
    ``planned_periods`` in all: seven tenths for signals, one for a persona's own, two for splits. What was withdrawn
    is tested on later deals only. Nothing enters before ``window`` periods of deals are known: what fewer show is, of a
    quarter of its points, luck. ``coming``: the period for which the signals are; ``of_people``: fields by which
    personas are split, so that one persona's own levels of them are no signals.
    """
    held, followed, rate = list[Signal](), dict[Level, Since](), RATE / planned_periods
    now = [one.what for one in in_force(signals)]
    for one in signals:
        if not one.is_in_force:
            held.append(one)
            continue
        told, latest = _since(one, now, cases)
        held.append(_followed(one, told, latest, cases.names, coming))
        followed[one.what] = latest if latest and not held[-1].is_in_force else told
    whole, recent = cases.fit(), cases.fit(len(cases.names) - window)
    fits = [fit for fit in (whole, recent if len(cases.names) > window else None) if fit is not None]
    if not fits:
        return Refined(tuple(held), pd.DataFrame(), followed, 0.0)
    able = rate if len(cases.names) >= window else 0.0
    levels = [one.what for one in in_force(held)]
    barred = {one.what for one in held if not one.is_in_force}
    entries, tests = entering(fits, levels, able * SIGNALS_SHARE, barred=barred)
    found = [_entered(entry, fits[entry.span], cases, coming) for entry in entries]
    for gone in [one for one in held if one.left not in ("", coming)]:
        later = cases.fit(cases.number(gone.left))
        again = entering([later], levels, rate * SIGNALS_SHARE)[0] if later else []
        found += [_entered(entry, later, cases, coming) for entry in again if later and entry.level == gone.what]
    returned = {one.what for one in found}
    held = [one for one in held if one.what not in returned]
    levels = [one.what for one in in_force([*held, *found])]
    own, own_tests = _of_one_persona(levels, whole, cases, coming, able, of_people)
    seen = tests["span"].map(dict(enumerate(cases.names[fit.period.min()] for fit in fits)))
    every = pd.concat([tests.assign(persona="", first_period=seen), own_tests], ignore_index=True)
    every["first_period"] = every["first_period"].fillna(cases.names[0])
    new = {one.what for one in (*found, *own)}
    rows = zip(every["field"], every["level"], every["persona"], strict=True)
    every["is_entering"] = [Level(*row) in new for row in rows]
    return Refined((*held, *found, *own), every.assign(**_extent(every, cases)), followed, able)


def _extent(tests: pd.DataFrame, cases: Cases) -> dict[str, Any]:
    """How far each test's unshrunk interval reaches, and what it could have shown, in points of the deals' rate."""
    rate = float(cases.won.mean())
    slope, error = rate * (1 - rate), tests["error"].astype(float)
    reach = (tests["log_odds"].astype(float).abs() + _Z * error) * slope
    return {"reach": reach, "visible": _SHOWN * error * slope, "scale": 4 * slope}


def _since(one: Signal, now: Sequence[Level], cases: Cases) -> tuple[Since, Since | None]:
    """What came of a signal since it entered, and of the last periods; None where too little came to withdraw it."""
    sign, first, end = float(np.sign(one.log_odds)), cases.number(one.entered), len(cases.names)
    fit = cases.fit(first, _FEWEST_SINCE)
    told = since(fit, one.what, now, sign) if fit else UNKNOWN
    if end - first < _PERIODS_TO_WITHDRAW or fit is None:
        return told, None
    if end - first <= _LATEST:
        return told, told
    latest = cases.fit(end - _LATEST, _FEWEST_SINCE)
    return told, since(latest, one.what, now, sign) if latest else None


def _followed(one: Signal, told: Since, latest: Since | None, names: Sequence[str], coming: str) -> Signal:
    """The signal with what came of it: confirmed, not yet told, or withdrawn from the ``coming`` period on."""
    if not told.is_known:
        return one
    sign = np.sign(one.log_odds)
    is_confirmed = (told.low if sign > 0 else -told.high) > 0
    state = CONFIRMED if is_confirmed else NOT_YET_TOLD
    gone, first = latest is not None and is_withdrawn(one.promise, latest), one.entered
    if latest is not None and gone:  # what it is withdrawn for is told, not what came before
        told, first = latest, max(one.entered, names[-_LATEST:][0], key=in_time)
    figures = {
        "since_period": first,
        "since_points": told.points,
        "since_low": told.low,
        "since_high": told.high,
        "since_n": told.n,
    }
    counts = {"n_same": told.n_same, "n_periods": told.n_periods}
    left = {"state": WITHDRAWN, "left": coming} if gone else {"state": state}
    return replace(one, **figures, **counts, **left)  # type: ignore[arg-type]


def _entered(entry: Entry, fit: LevelFit, cases: Cases, coming: str) -> Signal:
    place = fit.names.index(Level(entry.level.field, entry.level.level))
    told = points_of(fit, place, np.array([entry.shrunk.log_odds, *entry.shrunk.ends()]))
    has_level = fit.flags[:, place] == 1
    if entry.level.persona:
        has_level &= fit.flags[:, fit.names.index(Level(PERSONA, entry.level.persona))] == 1
    shrunk_points, low, high = told.tolist()
    return Signal(
        field=entry.level.field,
        level=entry.level.level,
        entered=coming,
        points=shrunk_points,
        low=low,
        high=high,
        log_odds=entry.shrunk.log_odds,
        deviation=entry.shrunk.deviation,
        n=int(has_level.sum()),
        persona=entry.level.persona,
        q=entry.q,
        first_period=cases.names[fit.period.min()],
        last_period=cases.names[-1],
    )


def _of_one_persona(
    now: Sequence[Level],
    whole: LevelFit | None,
    cases: Cases,
    coming: str,
    rate: float,
    of_people: Collection[str],
) -> tuple[list[Signal], pd.DataFrame]:
    """Where one persona differs from the others, one after another, and the tests of it."""
    columns = ["field", "level", "persona", "n", "log_odds", "error", "p", "q", "points", "low", "high", "beyond"]
    if whole is None:
        return [], pd.DataFrame(columns=columns)
    entered, kept = list[Signal](), list[tuple[Any, ...]]()
    while True:
        held = [*now, *(one.what for one in entered)]
        levels, found = deviation_tests(whole, held, of_people)
        rows, holding = list[tuple[Any, ...]](), list[tuple[float, int, Signal]]()
        prior = Prior.of(found)
        factor = (len(levels) + len(entered)) / (len(entered) + 1)
        for own, log_odds, error, p in zip(levels, *found, found.p, strict=True):
            of = prior.shrunk(float(log_odds), float(error))
            q = float(min(1.0, p * factor))
            signal = _entered(Entry(own, 0, float(p), q, of), whole, cases, coming)
            beyond = float(scipy.stats.norm.sf((GATE - abs(of.log_odds)) / of.deviation))
            figures = (signal.points, signal.low, signal.high, beyond)
            rows.append((*own, signal.n, float(log_odds), float(error), float(p), q, *figures))
            is_held = q <= rate * DEVIATIONS_SHARE and abs(of.log_odds) > GATE
            holding += [(q, len(rows) - 1, signal)] if is_held else []
        if not holding:
            return entered, pd.DataFrame([*kept, *rows], columns=columns)
        _, place, signal = min(holding, key=lambda one: one[:2])
        entered.append(signal)
        kept.append(rows[place])
