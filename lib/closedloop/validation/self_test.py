"""The self-test: what the notebooks would claim about this market if nothing made a difference, and miss."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.errors import ParameterError
from closedloop.loop.situation import Situation
from closedloop.loop.step import replace_file
from closedloop.market.warehouse import open_warehouse
from closedloop.validation.families import Family
from closedloop.validation.market import null_market
from closedloop.validation.planted_effects import EFFECTS, Planted, planted
from closedloop.validation.procedures import Duels, Score
from closedloop.validation.report import Found, learned_figures, null_figures, planted_figures

FILE = "self-test.json"
_FEWEST_WORLDS = 10


@dataclass(frozen=True)
class Asked:
    """What a process is asked about one period; ``numbers``: of the worlds."""

    market: str
    out: Path
    notebooks: tuple[Path, ...]
    period: str
    numbers: range


def self_test(
    market: str,
    out: Path,
    n_worlds: int = 200,
    n_workers: int = 0,
    *,
    n_learned: int = 10,
    notebooks: Sequence[Path] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Shuffle the market's outcomes ``n_worlds`` times, count what is found, write it and return it.

    Rates are fractions, with the 90 % interval of as many independent worlds (Wilson). In ``n_learned`` of the worlds
    scores are learned and duels fought anew, which takes longest. ``n_workers`` 0 is one for each core; the figures do
    not depend on it. ``notebooks``: in place of the shipped ones; then nothing is kept. ``tell`` is told how far it is.
    Errors: ParameterError for an unknown market, one without outcomes, or too few worlds.
    """
    if n_worlds < _FEWEST_WORLDS:
        raise ParameterError(f"worlds = {n_worlds} says nothing; allowed: {_FEWEST_WORLDS} or more, usual: 200")
    warehouse = open_warehouse(market)
    last_first = [period.name for period in reversed(warehouse.periods)]
    complete = [period.name for period in reversed(warehouse.periods) if not period.running]

    def asked(periods: Sequence[str], n: int) -> list[Asked]:
        return [Asked(market, out, tuple(notebooks), period, range(n)) for period in periods]

    with _processes(n_workers or os.cpu_count() or 1) as each:
        found = []
        for one in each(_looked_at, asked(last_first, n_worlds)):
            found.append(one)
            tell(f"{market}: {len(found)} of {len(last_first)} periods in {n_worlds} shuffled worlds")
        if not any(n for one in found for _, _, n in one.families):
            raise ParameterError(
                f"{market!r} has no outcome to shuffle: self-test needs a field with two levels of ten decided records"
            )
        able = [one.period for one in found if one.is_plantable]
        chosen = [name for name in complete if name in able][:1] or able[:1]
        effects = [effect for part in each(_planted_in, asked(chosen, n_worlds)) for effect in part]
        tell(f"{market}: learning scores and fighting duels in {n_learned} shuffled worlds")
        learned = [part for parts in each(_learned_in, asked(last_first, n_learned)) for part in parts]
    report = {
        "market": market,
        "worlds": n_worlds,
        "data": Situation.latest(warehouse).seen,
        "null": null_figures(sorted(found, key=lambda one: one.period)),
        "learned": {"worlds": n_learned, **learned_figures(learned)},
        "planted": [planted_figures(effects, effect) for effect in EFFECTS],
    }
    if not notebooks:
        replace_file(out / market / FILE, (json.dumps(report, indent=1) + "\n").encode())
    return report


class _processes:
    """A map over processes of their own; in this one where one is enough. A fork would share the database's threads."""

    def __init__(self, n: int) -> None:
        self.pool = ProcessPoolExecutor(n, multiprocessing.get_context("spawn")) if n > 1 else None

    def __enter__(self) -> Callable[..., Iterator[Any]]:
        return self.pool.map if self.pool else map

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)


def _looked_at(asked: Asked) -> Found:
    """Everything that the notebooks of one period find in the null worlds."""
    cut = null_market(asked.market, asked.out, asked.notebooks, [asked.period])
    real = cut.world
    sizes = [family.n_compared(real) for family in cut.families]
    own = [family for family, n in zip(cut.families, sizes, strict=True) if n]
    worlds = (cut.null_world(number) for number in asked.numbers)
    claims = np.array([[family.n_claims(world) for family in own] for world in worlds])
    claims = claims.reshape(len(asked.numbers), len(own))  # a period may have nothing to compare
    named = tuple((family.notebook, family.name, n) for family, n in zip(cut.families, sizes, strict=True) if n)
    return Found(asked.period, named, claims, cut.planted_in is not None, dict(cut.left_out))


def _planted_in(asked: Asked) -> list[dict[float, Planted]]:
    """What becomes of the effects that are planted in each world."""
    cut = null_market(asked.market, asked.out, asked.notebooks, [asked.period])
    return [planted(cut, number) for number in asked.numbers]


def _learned_in(asked: Asked) -> list[tuple[str, bool]]:
    """Each score and duel of one period in each world: which, and did it claim an advantage?"""
    if not asked.numbers:
        return []
    cut = null_market(asked.market, asked.out, asked.notebooks, [asked.period], is_learned=True)
    own = [family for family in cut.families if any(isinstance(part, Score | Duels) for part in family.parts)]
    worlds = [cut.null_world(number) for number in asked.numbers]
    return [one for world in worlds for family in own for one in _advantages(family, world)]


def _advantages(family: Family, world: Any) -> list[tuple[str, bool]]:
    kinds: dict[type, str] = {Score: "score", Duels: "duel"}
    found = [(part, effects) for part, _, effects in family.supported(world) if type(part) in kinds]
    return [(kinds[type(part)], bool((~np.isnan(effects)).any())) for part, effects in found]
