"""Edits and promises in null worlds: what 06 would change, and which promise it would call broken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.evidence.claims import false_discovery_q
from closedloop.evidence.indicators import level_text
from closedloop.evidence.strata import stratified_difference_p
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.edits import FEWEST_DEALS, is_splittable, shrunk_splits, split_fields
from closedloop.loop.in_force import set_in_force
from closedloop.loop.persona import PersonaSet, promised
from closedloop.loop.promises import GATE, beyond_promise, promise_p
from closedloop.loop.records import won
from closedloop.loop.situation import Situation
from closedloop.market.warehouse import Warehouse
from closedloop.validation.worlds import (
    DEALS,
    SUPPORTED_BEYOND,
    SUPPORTED_Q,
    Bools,
    Floats,
    Ints,
    Pool,
    Tally,
    World,
)


@dataclass(frozen=True)
class Promise:
    """Whose the deals were from which a persona set's win rates come: rows of the pool, their personas and periods."""

    rows: Ints
    personas: NDArray[np.object_]
    groups: Ints


@dataclass(frozen=True)
class Review:
    """What refinement looks at when a period has ended; ``rows``: all deals ended so far, ``groups`` their periods.

    ``splits``: their levels by persona and field; ``now``: personas of those that ended in the period (``is_now``).
    """

    period: str
    in_force: PersonaSet
    promise: Promise
    rows: Ints
    groups: Ints
    is_now: Bools
    splits: Tally
    now: Tally
    rate: float


def reviews(
    warehouse: Warehouse, out: Path, pools: Mapping[str, Pool], places: Mapping[str, pd.Series]
) -> tuple[Review, ...]:
    """What 06 looks at in every complete period but the last, with enough deals; none in a market without dates."""
    if not warehouse.has("deals") or warehouse.definition.clock == "none":
        return ()
    return tuple(_reviews(warehouse, out, pools[DEALS].groups, places[DEALS]))


def _reviews(warehouse: Warehouse, out: Path, groups: Ints, place: pd.Series) -> Iterator[Review]:
    for period in warehouse.periods:
        if period.running or period == warehouse.periods[-1]:
            continue
        in_force = set_in_force(warehouse.definition.name, period.name, out)
        before, after = Situation.planning(warehouse, period), Situation.looking_back(warehouse, period)
        promising = place.loc[before.closed_deals["deal_id"]].to_numpy(dtype=np.int64)
        owners = in_force.assign(before.closed_deals).to_numpy(object)
        ended = after.deals[after.deals["outcome"] != "open"]
        is_now = after.in_period(ended["closed_on"]).to_numpy(dtype=bool)
        if won(ended)[is_now].notna().sum() < FEWEST_DEALS:
            continue
        closed, assigned = ended[won(ended).notna()], in_force.assign(ended)
        levels = {name: level_text(ended[name]) for name in split_fields(after, closed)}
        cells = {
            f"{persona} {name}": text.where(assigned == persona)
            for persona in in_force.ids
            for name, text in levels.items()
        }
        rows = place.loc[ended["deal_id"]].to_numpy(dtype=np.int64)
        yield Review(
            period.name,
            in_force,
            Promise(promising, owners, groups[promising]),
            rows,
            groups[rows],
            is_now,
            Tally.of(pd.DataFrame(cells, index=ended.index)),
            Tally.of(assigned.where(is_now).to_frame("persona")),
            0.10 / warehouse.definition.claims.planned_periods,
        )


def n_edits(review: Review, world: World) -> int:
    """Permanent edits of one period: in a null world no level differs, so every one of them is wrong."""
    p, beyond = _split(review, world)
    return int(((false_discovery_q(p) <= review.rate) & (beyond > SUPPORTED_BEYOND)).sum())


def breaks_a_promise(review: Review, world: World) -> bool:
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


def _bears_out(truth: Floats, found: Floats, threshold: float) -> Bools:
    """Which true differences are worth a claim, on the side where it was found?"""
    return np.asarray((np.abs(truth) > threshold) & (np.sign(truth) == np.sign(found)))
