"""One null world: how many claims and edits it makes though nothing differs, and whether a planted effect is found."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.claims import false_discovery_q
from closedloop.evidence.equivalence import alike
from closedloop.evidence.strata import stratified_difference_p
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.edits import is_splittable, shrunk_splits
from closedloop.validation.rates import Comparison, Family, NullMarket, Review, Tested
from closedloop.validation.worlds import DEALS, SUPPORTED_BEYOND, SUPPORTED_Q, Bools, Floats, World
from closedloop.loop.persona import PersonaSet, promised
from closedloop.loop.promises import GATE, beyond_promise, promise_p

EFFECTS = (0.05, 0.10, 0.15)


@dataclass(frozen=True)
class Found:
    """What one null world showed.

    ``supported``: claims in each family, then in each one about drift, all of them wrong. ``n_edits``: permanent edits,
    all of them wrong. ``n_promises``: periods in which a promise was said to be broken that was not. ``planted``: for
    each of ``EFFECTS`` whether it was found, and at which n; none where no level has room for it. ``alike``: for each
    of them whether the field would have been said to make no difference all the same.
    """

    supported: tuple[int, ...]
    n_edits: int
    n_promises: int
    planted: Mapping[float, tuple[bool, int]]
    alike: Mapping[float, bool]


def look_at(market: NullMarket, world: World, rng: np.random.Generator) -> Found:
    """Everything that the loop would find in that world."""
    supported = tuple(_claims(family, world) for family in market.families)
    supported += tuple(drift.supported(rng) for drift in market.drifts)
    n_edits = sum(_edits(review, world) for review in market.reviews)
    n_promises = sum(_breaks_a_promise(review, world) for review in market.reviews)
    planted: dict[float, tuple[bool, int]] = {}
    unseen: dict[float, bool] = {}
    for effect in EFFECTS if market.planted_in is not None else ():
        result = _planted(market.families[market.planted_in or 0], world, effect, rng, market.smallest_worth)
        if result is not None:
            planted[effect], unseen[effect] = result
    return Found(supported, n_edits, n_promises, planted, unseen)


def _claims(family: Family, world: World) -> int:
    """Supported claims about outcomes."""
    return sum(int((~np.isnan(effects)).sum()) for _, _, effects in family.supported(world))


def _bears_out(truth: Floats, found: Floats, threshold: float) -> Bools:
    """Which true differences are worth a claim, on the side where it was found?"""
    return np.asarray((np.abs(truth) > threshold) & (np.sign(truth) == np.sign(found)))


# edits and promises


def _edits(review: Review, world: World) -> int:
    """Permanent edits of one period: in a null world no level differs, so every one of them is wrong."""
    p, beyond = _split(review, world)
    return int(((false_discovery_q(p) <= review.rate) & (beyond > SUPPORTED_BEYOND)).sum())


def _breaks_a_promise(review: Review, world: World) -> bool:
    """Is any promise said to be broken though it was not?

    The truth of each persona is the period's rate: a promise is broken only if that rate is beyond the gate from it, on
    the side that was found; then the market has moved.
    """
    k, n = review.now.counts(world[DEALS][review.rows])
    told = {p.id: (p.win_rate, p.low, p.high) for p in in_force(review, world).personas if not p.is_assumed}
    rate, low, high = np.array([told.get(str(level), (None,) * 3) for level in review.now.level], dtype=float).T
    shown = review.now.is_named & (n >= LEAST_SHOWN) & np.isfinite(rate)
    k, n, rate, low, high = (part[shown] for part in (k, n, rate, low, high))
    q, beyond = false_discovery_q(promise_p(k, n, rate, low, high)), beyond_promise(k, n, rate)
    is_said = (q <= SUPPORTED_Q) & (beyond > SUPPORTED_BEYOND)
    truth = float(np.nanmean(world[DEALS][review.rows][review.is_now]))
    return bool((is_said & ~_bears_out(truth - rate, k / n - rate, GATE)).any())


def in_force(review: Review, world: World) -> PersonaSet:
    """The set in force with the win rates that it would promise in that world."""
    hit = pd.Series(world[DEALS][review.promise.rows])
    known = hit.notna()
    if not known.any():
        return review.in_force
    periods = pd.Series(review.promise.groups)
    return promised(review.in_force, pd.Series(review.promise.personas)[known], hit[known], periods[known])


def _split(review: Review, world: World) -> tuple[Floats, Floats]:
    """p, and posterior probability beyond the gate, of every level against its persona's others, inside the periods."""
    k, n = review.splits.counts_by(world[DEALS][review.rows], review.groups)
    k_all, n_all = review.splits.totals(k), review.splits.totals(n)
    tried = np.flatnonzero(review.splits.is_named & is_splittable(n.sum(axis=1), n_all.sum(axis=1)))
    k, n, k_all, n_all = (part[tried] for part in (k, n, k_all, n_all))
    p = stratified_difference_p(k, n, k_all - k, n_all - n)
    beyond, field = np.zeros(len(p)), review.splits.code[tried]
    for code in np.unique(field[p <= review.rate]):  # q is never below p: no other could be permanent
        own = np.flatnonzero(field == code)
        shrunk = shrunk_splits(k[own], n[own], k_all[own[0]], n_all[own[0]])
        beyond[own] = shrunk.beyond(GATE, k_all[own[0]].sum() / n_all[own[0]].sum())[: len(own)]
    return p, beyond


# planted effects


def _planted(
    family: Family, world: World, effect: float, rng: np.random.Generator, worth: float
) -> tuple[tuple[bool, int], bool] | None:
    """Is an effect found that was planted on a level drawn from all that are compared, at which n, and is it denied?"""
    comparison = family.comparisons[0]
    tested = comparison.tested(world)
    for i in rng.permutation(len(tested.index)):
        signs = [sign for sign in (1, -1) if _has_room(tested, int(i), sign * effect)]
        if signs:
            sign = int(rng.choice(signs))
            altered = plant(comparison, world, tested, int(i), sign * effect, rng)
            found = _is_found(family, altered, int(tested.index[i]), sign)
            return (found, int(tested.n[i])), _is_denied(comparison, altered, int(tested.index[i]), worth)
    return None


def _others(tested: Tested, i: int, effect: float) -> float:
    """How far the other deals have to move so that the market's rate stays."""
    share = tested.n[i] / tested.n_field[i]
    return float(-effect * share / (1 - share)) if share < 1 else np.inf


def _has_room(tested: Tested, i: int, effect: float) -> bool:
    moved = tested.base[i] + np.array([effect, _others(tested, i, effect)])
    return bool((moved > 0).all() and (moved < 1).all())


def plant(
    comparison: Comparison, world: World, tested: Tested, i: int, effect: float, rng: np.random.Generator
) -> World:
    """That world with the true rate of the ``i``-th tested level ``effect`` from the pooled rate, which stays as it is.

    Outcomes are flipped at random, inside the level one way and outside it the other way.
    """
    is_in = comparison.tally.member[[int(tested.index[i])]].toarray()[0] > 0
    outcomes = world[comparison.pool].copy()
    base = float(tested.base[i])
    outside = _others(tested, i, effect)
    for rows, change in ((comparison.rows[is_in], effect), (comparison.rows[~is_in], outside)):
        outcomes[rows] = _moved(outcomes[rows], base, change, rng)
    return {**world, comparison.pool: outcomes}


def _moved(outcomes: Floats, base: float, change: float, rng: np.random.Generator) -> Floats:
    """Outcomes whose rate ``base`` moves by ``change``: as many failures as needed succeed, or the other way round."""
    chance, from_, to = (change / (1 - base), 0.0, 1.0) if change > 0 else (-change / base, 1.0, 0.0)
    return np.where((outcomes == from_) & (rng.random(len(outcomes)) < chance), to, outcomes)


def _is_denied(comparison: Comparison, world: World, row: int, worth: float) -> bool:
    """Would all levels of that row's field be said to be alike?"""
    tested = comparison.tested(world)
    own = comparison.tally.code[tested.index] == comparison.tally.code[row]
    rates = pd.DataFrame(
        {"unit": "rate", "n": tested.n, "n_effective": tested.sizes, "baseline": tested.base, "p": tested.p}
    )
    return bool(alike(rates[own], worth).all())


def _is_found(family: Family, world: World, row: int, sign: int) -> bool:
    """Is the claim about that row of the first comparison supported, with the right sign?"""
    _, tested, effects = family.supported(world)[0]
    return bool((np.sign(effects[tested.index == row]) == sign).any())
