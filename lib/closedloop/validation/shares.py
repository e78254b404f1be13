"""Who they are in null worlds: rows are dealt out to the groups anew, answers to the people, deals to the periods."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import Origin, gain_looks, whole
from closedloop.period.counting import LEAST_SHOWN
from closedloop.questions.refinement.drift import moves
from closedloop.statistics.proportions import exact_difference_p, shrink_rates
from closedloop.statistics.segmentation.indicators import effective_counts, strongest_pairs
from closedloop.validation.worlds import SUPPORTED_BEYOND, SUPPORTED_Q, Floats, Ints, Repeated, Tally, Tests, World

NOWHERE = Origin("", "", "", "", "")  # what is compared here is on no page
_THRESHOLD = 0.05  # of shares, as in ``evidence.looks.share_looks``


@dataclass(frozen=True)
class ShareTests:
    """Tests of shares, (levels, groups) each, before any estimate is made: k of n, the share of all, and p or NaN."""

    k: Floats
    n: Floats
    base: Floats
    every: Floats

    @property
    def p(self) -> Floats:
        """The p values that count."""
        return self.every[~np.isnan(self.every)]


@dataclass(frozen=True)
class Shares(Repeated):
    """Shares of levels in every group, as ``evidence.looks.share_looks`` compares them.

    The pool holds places among ``groups``, one a row of ``tally``: a world deals the rows out anew. ``weights``: of a
    survey, one a row, which stay with the rows. ``only``: the place of the one group that is told of.
    """

    pool: str
    tally: Tally
    groups: Ints
    names: tuple[str, ...]
    measure: str
    weights: Floats | None = None
    only: str = ""

    @cached_property
    def _asked(self) -> Ints:
        """The levels that are compared: of a question with yes and no, yes alone."""
        text = self.tally.level.astype(str)
        n_others = self.tally.totals((~np.isin(text, ("yes", "no"))).astype(np.float64))
        return np.flatnonzero(self.tally.is_named & ~((n_others == 0) & (text == "no")))

    @cached_property
    def _hits(self) -> Floats:
        """1 where a row (first axis) bears the level asked for, 0 where another of its field, missing without any."""
        member = self.tally.member.toarray().T.astype(float)
        known = np.column_stack([member[:, self.tally.code == code].any(axis=1) for code in self.tally.code])
        return np.where(known, member, np.nan)[:, self._asked]

    def tested(self, world: World) -> ShareTests:
        """Each group against all others, level by level."""
        mine = self.groups[world[self.pool].astype(np.int64)]
        is_in = np.equal.outer(mine, np.arange(len(self.names))).astype(float)
        if self.weights is None:
            hits, known = np.nan_to_num(self._hits), (~np.isnan(self._hits)).astype(float)
            k, n = hits.T @ is_in, known.T @ is_in
            k_rest, n_rest = k.sum(axis=1, keepdims=True) - k, n.sum(axis=1, keepdims=True) - n
            base = np.divide(k + k_rest, n + n_rest, out=np.zeros_like(n), where=n + n_rest > 0)
            counts = (k, n, k_rest, n_rest)
        else:
            parts = [(is_in[:, group] > 0, is_in[:, group] == 0) for group in range(len(self.names))]
            counted = [[effective_counts(self._hits[rows], self.weights[rows]) for rows in sides] for sides in parts]
            k, n, k_rest, n_rest = (np.column_stack([of[side][i] for of in counted]) for side in (0, 1) for i in (0, 1))
            base = np.divide(*effective_counts(self._hits, self.weights))[:, None] + np.zeros_like(k)
            counts = (*whole(k, n), *whole(k_rest, n_rest))
        shown = (is_in.sum(axis=0) >= LEAST_SHOWN) & (n > 0) & (n_rest > 0)
        told = shown & (np.isin(self.names, [self.only]) if self.only else True)
        p = np.full(k.shape, np.nan)
        p[told] = exact_difference_p(*(part[told] for part in counts))
        return ShareTests(np.where(shown, k, np.nan), n, base, p)

    def effects(self, tests: ShareTests, q: Floats) -> Floats:
        """The effect of each test whose claim is supported; estimates are made only where q allows a claim."""
        every, found = np.full(tests.every.shape, np.nan), np.full(tests.every.shape, np.nan)
        every[~np.isnan(tests.every)] = q
        for i in np.flatnonzero((every <= SUPPORTED_Q).any(axis=1)):
            own = ~np.isnan(tests.k[i])
            base, shrunk = tests.base[i, own], shrink_rates(tests.k[i, own], tests.n[i, own])
            apart = (base <= shrunk.low) | (base >= shrunk.high)
            is_supported = (every[i, own] <= SUPPORTED_Q) & (shrunk.beyond(_THRESHOLD, base) > SUPPORTED_BEYOND) & apart
            found[i, own] = np.where(is_supported, shrunk.mean - base, np.nan)
        return found[~np.isnan(tests.every)]


@dataclass(frozen=True)
class Associations(Repeated):
    """The strongest ``pairs`` of answers to different items; ``pools``: of each item one that deals its answers out."""

    pools: tuple[str, ...]
    answers: pd.DataFrame
    owner: Ints
    pairs: int

    def tested(self, world: World) -> Tests:
        """The strongest rank correlations, whose intervals hold for all pairs at once."""
        dealt, values = np.empty(self.answers.shape), self.answers.to_numpy()
        for item, pool in enumerate(self.pools):
            dealt[:, self.owner == item] = values[world[pool].astype(np.int64)][:, self.owner == item]
        strongest = strongest_pairs(pd.DataFrame(dealt, columns=self.answers.columns), self.owner).head(self.pairs)
        return Tests.of(gain_looks(strongest, NOWHERE, measure="association"))


@dataclass(frozen=True)
class Drifting(Repeated):
    """Rates or shares of personas in the last period against those before, as ``questions.drift`` compares them.

    The pool holds the place of each deal's period, which a world deals out anew.
    """

    pool: str
    personas: Ints
    is_won: Floats
    shape: tuple[int, int]  # personas and periods
    measure: str
    threshold: float

    def tested(self, world: World) -> Tests:
        """Each persona now against before."""
        cell = self.personas * self.shape[1] + world[self.pool].astype(np.int64)
        n_cells, every = self.shape[0] * self.shape[1], np.ones(len(cell))
        won, n = (np.bincount(cell, of, n_cells).astype(float).reshape(self.shape) for of in (self.is_won, every))
        found = moves(won, n, self.threshold)[self.measure][1]
        figures = {name: getattr(found, name) for name in ("now", "before", "low", "high", "p", "beyond")}
        return Tests.of(pd.DataFrame(figures).rename(columns={"now": "estimate", "before": "baseline"}))
