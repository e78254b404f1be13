"""The report of a self-test: its figures, and what they say in words."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.errors import ParameterError
from closedloop.market.files import write_atomic
from closedloop.market.warehouse import open_warehouse
from closedloop.period.situation import Situation
from closedloop.statistics.proportions import wilson
from closedloop.validation.families import EFFECTS, Planted, planted
from closedloop.validation.market import EDIT, PROMISE, SIGNAL, TARGETS, null_market
from closedloop.validation.procedures import Score, Signals
from closedloop.workbench.answer import DRIFT, ENDING, WHO

FILE = "self-test.json"
_FEWEST_WORLDS = 10
SCORE = "score"
_SIZES = ("small", "middle", "large")
_Rates = dict[str, float | None]


@dataclass(frozen=True)
class Found:
    """What the null worlds of one period showed: ``claims`` (worlds, families), all of them wrong.

    ``families``: notebook, name and comparisons of each. ``is_plantable``: has it a comparison to plant effects in?
    """

    period: str
    families: tuple[tuple[str, str, int], ...]
    claims: Any
    is_plantable: bool
    left_out: dict[str, str]


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
    scores are learned and signals sought anew, which takes longest. ``n_workers`` 0 is one for each core; the figures
    do not depend on it. ``notebooks``: in place of the shipped ones; then nothing is kept. ``tell`` is told how far it
    is. Errors: ParameterError for an unknown market, one without outcomes, or too few worlds.
    """
    if n_worlds < _FEWEST_WORLDS:
        raise ParameterError(f"worlds = {n_worlds} says nothing; allowed: {_FEWEST_WORLDS} or more, usual: 200")
    warehouse = open_warehouse(market)
    last_first = [period.name for period in reversed(warehouse.periods)]
    complete = [period.name for period in reversed(warehouse.periods) if not period.running]
    given, n, found = (market, out, tuple(notebooks)), n_workers or os.cpu_count() or 1, list[Found]()
    # one process is this one; others are spawned, for a fork would share the database's threads
    with ProcessPoolExecutor(n, multiprocessing.get_context("spawn")) if n > 1 else nullcontext() as pool:
        each: Callable[..., Iterable[Any]] = pool.map if pool else map
        for one in each(partial(_looked_at, *given, n_worlds), last_first):
            found.append(one)
            tell(f"{market}: {len(found)} of {len(last_first)} periods in {n_worlds} shuffled worlds")
        if not any(n for one in found for _, _, n in one.families):
            raise ParameterError(
                f"{market!r} has no outcome to shuffle: self-test needs a field with two levels of ten decided records"
            )
        able = [one.period for one in found if one.is_plantable]
        chosen = [name for name in complete if name in able][:1] or able[:1]
        effects = [effect for part in each(partial(_planted_in, *given, n_worlds), chosen) for effect in part]
        tell(f"{market}: learning scores and seeking signals in {n_learned} shuffled worlds")
        learned = [part for parts in each(partial(_learned_in, *given, n_learned), last_first) for part in parts]
    report = {
        "market": market,
        "worlds": n_worlds,
        "data": Situation.latest(warehouse).seen,
        "null": null_figures(sorted(found, key=lambda one: one.period)),
        "learned": {"worlds": n_learned, **learned_figures(learned)},
        "planted": [planted_figures(effects, effect) for effect in EFFECTS],
    }
    if not notebooks:
        write_atomic(out / market / FILE, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _looked_at(market: str, out: Path, notebooks: Sequence[Path], n_worlds: int, period: str) -> Found:
    """Everything that the notebooks of one period find in the null worlds."""
    cut = null_market(market, out, notebooks, [period])
    sizes = [family.n_compared(cut.world) for family in cut.families]
    own = [(family, n) for family, n in zip(cut.families, sizes, strict=True) if n]
    worlds = (cut.null_world(number) for number in range(n_worlds))
    claims = np.array([[family.n_claims(world) for family, _ in own] for world in worlds])
    claims = claims.reshape(n_worlds, len(own))  # a period may have nothing to compare
    named = tuple((family.notebook, family.name, n) for family, n in own)
    return Found(period, named, claims, cut.planted_in is not None, dict(cut.left_out))


def _planted_in(
    market: str, out: Path, notebooks: Sequence[Path], n_worlds: int, period: str
) -> list[dict[float, Planted]]:
    """What becomes of the effects that are planted in each world."""
    cut = null_market(market, out, notebooks, [period])
    return [planted(cut, number) for number in range(n_worlds)]


def _learned_in(
    market: str, out: Path, notebooks: Sequence[Path], n_worlds: int, period: str
) -> list[tuple[str, bool]]:
    """Each score, and search for signals, of one period in each world: which, and did it claim anything?"""
    if not n_worlds:
        return []
    cut = null_market(market, out, notebooks, [period], is_learned=True)
    own = [family for family in cut.families if any(isinstance(part, Score | Signals) for part in family.parts)]
    return [
        (SIGNAL if isinstance(part, Signals) else SCORE, bool((~np.isnan(effects)).any()))
        for world in map(cut.null_world, range(n_worlds))
        for family in own
        for part, _, effects in family.supported(world)
        if isinstance(part, Score | Signals)
    ]


# figures


def null_figures(found: Sequence[Found]) -> dict[str, Any]:
    """What is claimed though nothing differs: of each notebook, each family, and of all."""
    claims = np.concatenate([one.claims for one in found], axis=1)
    shares = iter((claims > 0).mean(axis=0))
    families: list[dict[str, Any]] = [
        {"period": one.period, "notebook": notebook, "family": name, "n_comparisons": n, "any_claim_rate": float(share)}
        for one in found
        for (notebook, name, n), share in zip(one.families, shares, strict=False)
    ]

    def of(**wanted: Any) -> Any:
        return claims[:, [all(family[key] in value for key, value in wanted.items()) for family in families]]

    told = {"family": (ENDING, WHO, DRIFT)}
    names = sorted({str(family["notebook"]) for family in families if family["family"] in told["family"]})
    own = {name: of(notebook=(name,), **told) for name in names}
    notebooks = [
        {"notebook": name, **_rate("any_claim", (part > 0).mean(axis=1)), "false_lines": float(part.sum(axis=1).mean())}
        | {"n_families": part.shape[1]}
        for name, part in own.items()
    ]
    lines = {name: float(of(family=(name,)).sum(axis=1).mean() / len(found)) for name in told["family"]}
    any_claim = np.mean([(part > 0).mean(axis=1) for part in own.values()], axis=0)
    edits, promises, chosen = (of(family=(name,)) > 0 for name in (EDIT, PROMISE, TARGETS))
    compared = [family for family in families if family["family"] in told["family"]]
    return {
        **_rate("any_claim", any_claim),
        "expected_false_lines": sum(lines.values()),
        "false_lines_by_family": lines,
        "notebooks": notebooks,
        **_rate("any_edit", edits.any(axis=1) if edits.size else ()),
        **_rate("any_promise", promises.mean(axis=1) if promises.size else ()),
        **_rate("any_target", chosen.mean(axis=1) if chosen.size else ()),
        "n_periods": len(found),
        "n_refinements": edits.shape[1],
        "worst_family": max(compared, key=lambda family: family["any_claim_rate"]),
        "families": families,
        "not_in_the_self_test": {key: why for one in found for key, why in one.left_out.items()},
    }


def _rate(name: str, shares: Any) -> _Rates:
    """Mean share over the worlds, with its interval: families of one world are no independent cases.

    Undefined without any: nothing of the kind is compared.
    """
    values = np.asarray(shares, dtype=float)
    if not values.size:
        return dict.fromkeys((f"{name}_rate", f"{name}_low", f"{name}_high"))
    low, high = wilson(values.sum(), len(values))
    return {f"{name}_rate": float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def learned_figures(found: Sequence[tuple[str, bool]]) -> _Rates:
    """How often a score is said to beat chance, or the stage, and how often a level becomes a signal."""
    kinds = {name: [is_held for kind, is_held in found if kind == name] for name in (SCORE, SIGNAL)}
    return _rate("any_score", kinds[SCORE]) | _rate("any_signal", kinds[SIGNAL])


def planted_figures(worlds: Sequence[dict[float, Planted]], effect: float) -> dict[str, Any]:
    """How often an effect of that size is found, by thirds of the sizes of samples, and how often it is denied."""
    cases = sorted((world[effect] for world in worlds if effect in world), key=lambda case: case.n)
    thirds = np.array_split(np.arange(len(cases)), len(_SIZES))
    by_size = [
        {"size": size, **_share([cases[i] for i in part])}
        for size, part in zip(_SIZES, thirds, strict=True)
        if len(part)
    ]
    alike = _rate("alike", [case.is_denied for case in cases])
    return {"effect": effect, **_share(cases), **alike, "by_size": by_size}


def _share(cases: Sequence[Planted]) -> dict[str, Any]:
    median = float(np.median([case.n for case in cases])) if cases else None
    found = _rate("found", [case.is_found for case in cases])
    return {**found, "n_worlds": len(cases), "median_n": median}


# words


def in_words(report: dict[str, Any]) -> str:
    """The figures of a report as a person reads them."""
    null, worst = report["null"], report["null"]["worst_family"]
    lines = [
        f"{report['market']}: {report['worlds']} worlds in which the outcomes were shuffled, so that nothing differs.",
        f"  {_percent(null, 'any_claim')} of the families of claims stated a difference (mean of the notebooks); the "
        "aim is 10 % or less.",
        *(f"    {one['notebook']}: {_percent(one, 'any_claim')}" for one in null["notebooks"]),
        f"  A period had {null['expected_false_lines']:.2f} false lines on average, in all notebooks together ("
        + ", ".join(f"{name} {n:.2f}" for name, n in null["false_lines_by_family"].items())
        + ").",
        f"  Worst was “{worst['family']}” of {worst['notebook']} in {worst['period']} with "
        f"{worst['any_claim_rate']:.1%} ({worst['n_comparisons']} comparisons).",
        *(f"  {line}" for line in (_edits(null), _targets(null), _advantage(report["learned"])) if line),
        *(f"  Not in the self-test: {verb} ({why})." for verb, why in null["not_in_the_self_test"].items()),
        "Then one level of one field was given a real difference, drawn anew in every world:",
        *(f"  {_found(planted)}" for planted in report["planted"]),
    ]
    return "\n".join(lines)


def _percent(figures: dict[str, Any], name: str) -> str:
    """A rate with its interval, in percent."""
    rate, low, high = (figures[f"{name}_{part}"] for part in ("rate", "low", "high"))
    return f"{rate:.1%} ({low:.1%} to {high:.1%})"


def _edits(null: dict[str, Any]) -> str:
    if null["any_edit_rate"] is None:
        return "Personas are not refined here: that needs dated deals, won and lost, and enough in a complete period."
    made = f"In {_percent(null, 'any_edit')} of the worlds some period proposed a permanent edit of a persona"
    made = f"{made} that is wrong ({null['n_refinements']} periods)."
    if null["any_promise_rate"] is None:
        return made
    return f"{made} In {_percent(null, 'any_promise')} of the periods a promise was said to be broken that was not."


def _targets(null: dict[str, Any]) -> str:
    if null["any_target_rate"] is None:
        return ""
    return f"In {_percent(null, 'any_target')} of the periods a segment was told apart from the average one."


def _advantage(learned: dict[str, Any]) -> str:
    texts = {SCORE: "scores claimed an advantage", SIGNAL: "searches for signals found any"}
    told = [f"{_percent(learned, f'any_{name}')} of the {text}" for name, text in texts.items()
            if learned[f"any_{name}_rate"] is not None]  # fmt: skip
    return f"In {learned['worlds']} of the worlds {' and '.join(told)}." if told else ""


def _found(planted: dict[str, Any]) -> str:
    points = f"{planted['effect'] * 100:.0f} points"
    if not planted["n_worlds"]:
        return f"{points}: not tried, for no level of a win rate has room for it."
    sizes = ", ".join(f"{part['found_rate']:.0%} at n = {part['median_n']:,.0f}" for part in planted["by_size"])
    return f"{points}: found {planted['found_rate']:.0%} of the time ({sizes}), denied {planted['alike_rate']:.0%}."
