"""The self-test: what the loop would claim about this market if nothing made a difference, and what it would miss."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.errors import ParameterError
from closedloop.evidence.rates import wilson
from closedloop.loop.situation import Situation
from closedloop.loop.step import replace_file
from closedloop.market.warehouse import open_warehouse
from closedloop.validation.market import null_market
from closedloop.validation.null_world import EFFECTS, Found, look_at
from closedloop.validation.rates import NullMarket

FILE = "self-test.json"
_SIZES = ("small", "middle", "large")
_FEWEST_WORLDS = 10
_AT_ONCE = 5  # worlds that a process is given together

_taken: list[NullMarket] = []  # in a worker process: the market whose worlds it makes


def self_test(
    market: str,
    out: Path,
    n_worlds: int = 200,
    n_workers: int = 0,
    *,
    notebooks: Sequence[Path] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Shuffle the market's outcomes ``n_worlds`` times, count what is found, write it and return it.

    Rates are fractions, with the 90 % interval of as many independent worlds (Wilson). ``n_workers`` 0 is one for each
    core; the figures do not depend on it. ``notebooks``: in place of the shipped ones; then nothing is kept. ``tell``
    is told how far it is. Errors: ParameterError for an unknown market, one without outcomes, or too few worlds.
    """
    if n_worlds < _FEWEST_WORLDS:
        raise ParameterError(f"worlds = {n_worlds} says nothing; allowed: {_FEWEST_WORLDS} or more, usual: 200")
    cut = null_market(market, out, notebooks)
    found = []
    for world in _worlds(cut, n_worlds, n_workers or os.cpu_count() or 1):
        found.append(world)
        tell(f"{market}: {len(found)} of {n_worlds} shuffled worlds")
    report = {
        "market": market,
        "worlds": n_worlds,
        "data": Situation.latest(open_warehouse(market)).seen,
        **summary(cut, found),
    }
    if not notebooks:
        replace_file(out / market / FILE, (json.dumps(report, indent=1) + "\n").encode())
    return report


def one_world(market: NullMarket, number: int) -> Found:
    """What the null world of that number shows; the same number always makes the same world."""
    seed = hashlib.sha256(f"{market.name}/self-test/{number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    return look_at(market, market.shuffled(rng), rng)


def _worlds(market: NullMarket, n_worlds: int, n_workers: int) -> Iterator[Found]:
    if n_workers == 1:
        yield from (one_world(market, number) for number in range(n_worlds))
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would share the database's threads
    with ProcessPoolExecutor(n_workers, mp_context=spawn, initializer=_take, initargs=(market,)) as pool:
        yield from pool.map(_world_here, range(n_worlds), chunksize=_AT_ONCE)


def _take(market: NullMarket) -> None:
    _taken.append(market)


def _world_here(number: int) -> Found:
    return one_world(_taken[0], number)


# figures


def summary(market: NullMarket, found: Sequence[Found]) -> dict[str, Any]:
    """The figures of all worlds: ``null`` (what is claimed though nothing differs) and ``planted`` (what is found)."""
    return {"null": _null(market, found), "planted": [_planted(found, effect) for effect in EFFECTS]}


def _null(market: NullMarket, found: Sequence[Found]) -> dict[str, Any]:
    looks = [family.n_compared(market.world) for family in market.families]
    names = [(one.period, f"{one.notebook}, {one.name}") for one in market.families]
    tested = [number for number, n in enumerate(looks) if n]
    supported = np.array([world.supported for world in found])[:, tested]
    n_reports = len({family.period for family in market.families})
    shares = (supported > 0).mean(axis=0)
    families: list[dict[str, Any]] = [
        {"period": names[i][0], "family": names[i][1], "n_comparisons": looks[i], "any_claim_rate": float(share)}
        for i, share in zip(tested, shares, strict=True)
    ]
    return {
        **_rate("any_claim", (supported > 0).mean(axis=1)),
        "expected_false_lines": float(supported.sum(axis=1).mean() / n_reports),
        **_review_rate(market, "any_edit", [world.n_edits > 0 for world in found]),
        **_review_rate(market, "any_promise", [world.n_promises / max(len(market.reviews), 1) for world in found]),
        "n_reports": n_reports,
        "n_refinements": len(market.reviews),
        "worst_family": max(families, key=lambda family: family["any_claim_rate"]),
        "families": families,
        "not_in_the_self_test": dict(market.left_out),
    }


def _review_rate(market: NullMarket, name: str, hits: Sequence[float]) -> dict[str, float | None]:
    """Undefined in a market whose persona set is never refined."""
    known = _rate(name, np.array(hits))
    return known if market.reviews else dict.fromkeys(known)


def _rate(name: str, shares: Any) -> dict[str, float | None]:
    """Mean share over the worlds, with its interval: families of one world are no independent cases."""
    low, high = wilson(shares.sum(), len(shares))
    return {f"{name}_rate": float(shares.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def _planted(found: Sequence[Found], effect: float) -> dict[str, Any]:
    cases = sorted((world.planted[effect] for world in found if effect in world.planted), key=lambda case: case[1])
    thirds = np.array_split(np.arange(len(cases)), len(_SIZES))
    by_size = [
        {"size": size, **_share([cases[i] for i in part])}
        for size, part in zip(_SIZES, thirds, strict=True)
        if len(part)
    ]
    denied = np.array([world.alike[effect] for world in found if effect in world.alike])
    alike = _rate("alike", denied) if len(denied) else {"alike_rate": None}
    return {"effect": effect, **_share(cases), **alike, "by_size": by_size}


def _share(cases: Sequence[tuple[bool, int]]) -> dict[str, Any]:
    if not cases:
        return {"found_rate": None, "found_low": None, "found_high": None, "n_worlds": 0, "median_n": None}
    found, n = np.array([case[0] for case in cases]), [case[1] for case in cases]
    return {**_rate("found", found), "n_worlds": len(cases), "median_n": float(np.median(n))}


# words


def told(report: dict[str, Any]) -> str:
    """The figures of a report as a person reads them."""
    null = report["null"]
    lines = [
        f"{report['market']}: {report['worlds']} worlds in which the outcomes were shuffled, so that nothing differs.",
        f"  {_percent(null, 'any_claim')} of the families of claims stated a difference; the aim is 10 % or less.",
        f"  A report had {null['expected_false_lines']:.2f} false lines on average.",
        f"  {_worst(null['worst_family'])}",
        f"  {_edits(null)}",
        *(f"  Not in the self-test: {verb} ({why})." for verb, why in null["not_in_the_self_test"].items()),
        "Then one level of one field was given a real difference, drawn anew in every world:",
        *(f"  {_found(planted)}" for planted in report["planted"]),
    ]
    return "\n".join(lines)


def _percent(figures: dict[str, Any], name: str) -> str:
    """A rate with its interval, in percent."""
    rate, low, high = (figures[f"{name}_{part}"] for part in ("rate", "low", "high"))
    return f"{rate:.1%} ({low:.1%} to {high:.1%})"


def _worst(worst: dict[str, Any]) -> str:
    name = f"the {worst['family']} family of {worst['period']}"
    return f"Worst was {name} with {worst['any_claim_rate']:.1%} ({worst['n_comparisons']} comparisons)."


def _edits(null: dict[str, Any]) -> str:
    if null["any_edit_rate"] is None:
        return "Personas are not refined here: that needs dated deals, won and lost, and enough in a complete period."
    made = f"In {_percent(null, 'any_edit')} of the worlds some period proposed a permanent edit of a persona"
    made = f"{made} that is wrong ({null['n_refinements']} periods; every one of them would still face its duel)."
    return f"{made} In {_percent(null, 'any_promise')} of the periods a promise was said to be broken that was not."


def _found(planted: dict[str, Any]) -> str:
    points = f"{planted['effect'] * 100:.0f} points"
    if not planted["n_worlds"]:
        return f"{points}: not tried, for no level of a win rate has room for it."
    sizes = ", ".join(f"{part['found_rate']:.0%} at n = {part['median_n']:,.0f}" for part in planted["by_size"])
    return f"{points}: found {planted['found_rate']:.0%} of the time ({sizes}), denied {planted['alike_rate']:.0%}."
