"""One null world: how many claims and edits it makes though nothing differs, and whether a planted effect is found."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.equivalence import alike
from closedloop.validation.rates import Comparison, Family, NullMarket, Tested
from closedloop.validation.refinement import breaks_a_promise, n_edits
from closedloop.validation.worlds import Floats, World

EFFECTS = (0.05, 0.10, 0.15)


@dataclass(frozen=True)
class Found:
    """What one null world showed.

    ``supported``: claims in each family, all of them wrong. ``n_edits``: permanent edits,
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
    edits = sum(n_edits(review, world) for review in market.reviews)
    promises = sum(breaks_a_promise(review, world) for review in market.reviews)
    planted: dict[float, tuple[bool, int]] = {}
    unseen: dict[float, bool] = {}
    for effect in EFFECTS if market.planted_in is not None else ():
        result = _planted(market.families[market.planted_in or 0], world, effect, rng, market.smallest)
        if result is not None:
            planted[effect], unseen[effect] = result
    return Found(supported, edits, promises, planted, unseen)


def _claims(family: Family, world: World) -> int:
    """Supported claims about outcomes."""
    return sum(int((~np.isnan(effects)).sum()) for _, _, effects in family.supported(world))


def _planted(
    family: Family, world: World, effect: float, rng: np.random.Generator, worth: float
) -> tuple[tuple[bool, int], bool] | None:
    """Is an effect found that was planted on a level drawn from all that are compared, at which n, and is it denied?"""
    comparison = family.widest
    assert comparison is not None
    tested = comparison.tested(world)
    for i in rng.permutation(len(tested.index)):
        signs = [sign for sign in (1, -1) if _has_room(tested, int(i), sign * effect)]
        if signs:
            sign = int(rng.choice(signs))
            altered = plant(comparison, world, tested, int(i), sign * effect, rng)
            found = _is_found(family, comparison, altered, int(tested.index[i]), sign)
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


def _is_found(family: Family, comparison: Comparison, world: World, row: int, sign: int) -> bool:
    """Is the claim about that row of the comparison supported, with the right sign?"""
    tested, effects = next(found[1:] for found in family.supported(world) if found[0] is comparison)
    return bool((np.sign(effects[tested.index == row]) == sign).any())
