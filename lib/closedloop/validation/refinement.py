"""Edits and promises in null worlds: which splits 06 would hold, and which promise it would call broken."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from closedloop.period.counting import LEAST_SHOWN
from closedloop.questions.personas.promised_rates import beyond_promise, promise_p
from closedloop.questions.refinement.splits import is_splittable, shrunk_splits
from closedloop.statistics.stratified import compare_in_strata, stratified_difference_p
from closedloop.validation.worlds import (
    SUPPORTED_BEYOND,
    SUPPORTED_Q,
    Bools,
    Floats,
    Ints,
    Repeated,
    Tally,
    Tests,
    World,
)


@dataclass(frozen=True)
class Splits(Repeated):
    """Splits of personas: in a null world no level differs, so that every one that holds is wrong.

    ``rows``: places of all decided deals in the pool, ``groups`` their periods; ``tally``: their levels by persona and
    field. A split holds with q <= ``rate``.
    """

    pool: str
    rows: Ints
    groups: Ints
    tally: Tally
    gate: float
    rate: float

    def tested(self, world: World) -> Tests:
        """Every level against its persona's other deals, inside the periods."""
        k, n = self.tally.counts_by(world[self.pool][self.rows], self.groups)
        k_all, n_all = self.tally.totals(k), self.tally.totals(n)
        tried = np.flatnonzero(self.tally.is_named & is_splittable(n.sum(axis=1), n_all.sum(axis=1)))
        k, n, k_all, n_all = (part[tried] for part in (k, n, k_all, n_all))
        p = stratified_difference_p(k, n, k_all - k, n_all - n)
        effect, beyond, field = np.zeros(len(p)), np.zeros(len(p)), self.tally.code[tried]
        for code in np.unique(field[p <= self.rate]):  # q is never below p: no other could hold
            own = np.flatnonzero(field == code)
            base = k_all[own[0]].sum() / n_all[own[0]].sum()
            shrunk = shrunk_splits(k[own], n[own], k_all[own[0]], n_all[own[0]])
            low, high, mean, over = (
                part[: len(own)] for part in (shrunk.low, shrunk.high, shrunk.mean, shrunk.beyond(self.gate, base))
            )
            effect[own], beyond[own] = mean - base, np.where((low < base) & (base < high), 0.0, over)
        return Tests(p, effect, beyond)

    def effects(self, tests: Tests, q: Floats) -> Floats:
        """The effect of each split that holds; missing for all others."""
        return np.where((q <= self.rate) & (tests.beyond > SUPPORTED_BEYOND), tests.effect, np.nan)


class Kept(NamedTuple):
    """Promises beside what came: rate less promise, p, and the probability of a difference over the gate."""

    gap: Floats
    promise: Floats
    truth: float
    p: Floats
    beyond: Floats


@dataclass(frozen=True)
class Promises(Repeated):
    """Promised win rates of personas: false is to call one broken though the truth is not beyond the gate from it.

    ``rows``: places of all decided deals in the pool, ``groups`` their periods; ``tally``: their personas. The deals
    ``is_promised`` make the promises, those of the period, ``is_now``, keep them or not.
    """

    pool: str
    rows: Ints
    groups: Ints
    tally: Tally
    is_promised: Bools
    is_now: Bools
    gate: float

    def promised(self, world: World) -> tuple[Floats, Floats, Floats]:
        """Rate, low and high that each persona promises in that world, as of ``loop.persona.promised``; else NaN."""
        hit = np.where(self.is_promised, world[self.pool][self.rows], np.nan)
        k, n = self.tally.counts_by(hit, self.groups)
        k_all, n_all = k.sum(axis=0), n.sum(axis=0)
        if not n_all.sum():
            nothing = np.full(len(n), np.nan)
            return nothing, nothing, nothing
        share = np.divide(n, n_all, out=np.zeros_like(n), where=n_all > 0)
        expected, contrast = share @ k_all, (n * (1 - share)).sum(axis=1)
        base, total = k_all.sum() / n_all.sum(), float(n_all.sum())
        found = compare_in_strata(k.sum(axis=1), n.sum(axis=1), expected, contrast, base, total)
        is_known = n.sum(axis=1) >= LEAST_SHOWN
        rate, low, high = (np.where(is_known, part, np.nan) for part in (found.estimate, found.low, found.high))
        return rate, low, high

    def tested(self, world: World) -> Kept:
        """Every promise beside the deals of the period; the truth of all is the period's rate."""
        hit, promise = world[self.pool][self.rows], self.promised(world)
        k, n = self.tally.counts(np.where(self.is_now, hit, np.nan))
        shown = (n >= LEAST_SHOWN) & np.isfinite(promise[0])
        k, n, rate, low, high = (part[shown] for part in (k, n, *promise))
        truth = float(np.nanmean(hit[self.is_now]))
        return Kept(k / n - rate, rate, truth, promise_p(k, n, rate, low, high), beyond_promise(k, n, rate))

    def effects(self, tests: Kept, q: Floats) -> Floats:
        """The gap of each promise that is falsely called broken; missing for all others."""
        gap = tests.truth - tests.promise
        is_true = (np.abs(gap) > self.gate) & (np.sign(gap) == np.sign(tests.gap))
        is_said = (q <= SUPPORTED_Q) & (tests.beyond > SUPPORTED_BEYOND)
        return np.where(is_said & ~is_true, tests.gap, np.nan)
