"""Effects planted in null worlds: is a difference of a known size found, and would it have been denied?"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from closedloop.claims.ledger import alike
from closedloop.validation.families import Family, NullMarket
from closedloop.validation.outcomes import Comparison, Tested
from closedloop.validation.worlds import Floats, World, generator

EFFECTS = (0.05, 0.10, 0.15)


class Planted(NamedTuple):
    """One planted effect: was it found, at which n, and would its field have been said to make no difference?"""

    is_found: bool
    n: int
    is_denied: bool


def planted(market: NullMarket, number: int) -> dict[float, Planted]:
    """Each of ``EFFECTS`` planted in the null world of that number; none where no level has room for it."""
    if market.planted_in is None:
        return {}
    family, world = market.families[market.planted_in], market.null_world(number)
    rng = generator(f"{market.name}/planted/{number}")
    found = {effect: _planted(family, world, effect, rng, market.smallest) for effect in EFFECTS}
    return {effect: one for effect, one in found.items() if one is not None}


def _planted(family: Family, world: World, effect: float, rng: np.random.Generator, smallest: float) -> Planted | None:
    """An effect on a level drawn from all that are compared."""
    comparison = family.widest
    assert comparison is not None
    tested = comparison.tested(world)
    for i in rng.permutation(len(tested.index)):
        signs = [sign for sign in (1, -1) if _has_room(tested, int(i), sign * effect)]
        if signs:
            sign, row = int(rng.choice(signs)), int(tested.index[i])
            altered = plant(comparison, world, tested, int(i), sign * effect, rng)
            is_found = _is_found(family, comparison, altered, row, sign)
            return Planted(is_found, int(tested.n[i]), _is_denied(comparison, altered, row, smallest))
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


def _is_denied(comparison: Comparison, world: World, row: int, smallest: float) -> bool:
    """Would all levels of that row's field be said to be alike?"""
    tested = comparison.tested(world)
    own = comparison.tally.code[tested.index] == comparison.tally.code[row]
    rates = pd.DataFrame(
        {"unit": "rate", "n": tested.n, "n_effective": tested.sizes, "baseline": tested.base, "p": tested.p}
    )
    return bool(alike(rates[own], smallest).all())


def _is_found(family: Family, comparison: Comparison, world: World, row: int, sign: int) -> bool:
    """Is the claim about that row of the comparison supported, with the right sign?"""
    tested, effects = next(found[1:] for found in family.supported(world) if found[0] is comparison)
    return bool((np.sign(effects[tested.index == row]) == sign).any())
