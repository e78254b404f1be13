"""Replay of a market: how well each way of ranking deals would have done in every period, predicted at its start."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.market.files import write_atomic
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.period.counting import decided, lagged_rate
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet, estimate, points_of
from closedloop.questions.refinement.champion_challenger import predict
from closedloop.questions.refinement.splits import FEWEST_DEALS
from closedloop.statistics.scoring.accuracy import auc, auc_within, calibration_slope, log_loss, paired_bootstrap
from closedloop.statistics.scoring.lift import CAPACITY, lift, lift_gain
from closedloop.statistics.scoring.scores import fit_score
from closedloop.workbench.cells import set_in_force

Floats = NDArray[np.float64]
FILE = "backtest.json"

SCORE, IN_FORCE, NONE = "score", "set in force", "no personas"
RENEWED, STATIC = "same rule, renewed rates", "static personas"  # of the first research; static: its rates stay too
CONTENDERS = (SCORE, IN_FORCE, RENEWED, STATIC, NONE)
_RIVALS = (
    *((IN_FORCE, rival) for rival in (STATIC, RENEWED, SCORE, NONE)),
    *((SCORE, rival) for rival in (STATIC, NONE)),
    (RENEWED, STATIC),
    (STATIC, NONE),
)
_MOST_TRAINED = 12_000
_FEWEST_TRAINED = 100


def backtest(
    market: str,
    out: Path,
    capacity: float = CAPACITY,
    *,
    truth: pd.Series | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Replay all complete periods of a market: accuracy and lift of each contender, by period and pooled; it is kept.

    Rates and lifts are fractions; gains are better minus worse, with paired 90 % intervals; ``oracle_share`` is the
    share of the lift that ``truth`` would give (each deal's chance of winning, by deal_id), None without it. ``tell``
    is told how far it is. Errors: ParameterError for an unknown market, or one with no period that can be predicted.
    Method: prequential evaluation (Dawid, 1984).
    """
    warehouse = open_warehouse(market)
    if warehouse.definition.clock == "none":
        raise ParameterError(f"market = {market!r} records no dates, so no period can be predicted from an earlier one")
    played = []
    for number, period in enumerate(warehouse.periods, 1):
        tell(f"{market}: replaying {period.name}, {number} of {len(warehouse.periods)} periods")
        if not period.running:
            played.append(_replayed(warehouse, Situation.looking_back(warehouse, period), truth, out))
    played = [deals for deals in played if len(deals)]
    if not played:
        raise ParameterError(
            f"market = {market!r} has no period with {FEWEST_DEALS} decided deals and {_FEWEST_TRAINED} known before"
        )
    rng = Situation.planning(warehouse, warehouse.periods[0]).rng("backtest")
    parts = [_figures(deals, rng, capacity) | {"period": deals["period"].iloc[0]} for deals in played]
    pooled = _figures(pd.concat(played), rng, capacity)
    seen = Situation.latest(warehouse).seen
    report: dict[str, Any] = {"market": market, "capacity": capacity, "data": seen, "periods": parts, "pooled": pooled}
    report["headline"] = headline(report)
    write_atomic(out / market / FILE, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _replayed(warehouse: Warehouse, after: Situation, truth: pd.Series | None, out: Path) -> pd.DataFrame:
    """The deals that ended in a period, each predicted at its start; none where too few ended in it or before it.

    Columns: y (outcome), truth (the planted win rate, missing in a real market), period, and the chance that each
    contender gives.
    """
    before = Situation.planning(warehouse, after.period)
    if not before.view.has("deals"):
        return pd.DataFrame()
    known, ended = decided(before), decided(after)
    asked = ended[after.in_period(ended["closed_on"])]
    if len(asked) < FEWEST_DEALS or len(known) < _FEWEST_TRAINED or known["is_won"].nunique() < 2:
        return pd.DataFrame()
    rate, market = lagged_rate(known["is_won"], before.names_of(known["closed_on"])), warehouse.definition.name
    in_force = set_in_force(market, after.period.name, out)
    static = set_in_force(market, warehouse.periods[0].name, out)
    recent = before.in_window(known, known["closed_on"])
    renewed = estimate(static, recent, before.names_of(recent["closed_on"]))
    return pd.DataFrame(
        {
            "y": np.asarray(asked["is_won"], dtype=float),
            "truth": np.nan if truth is None else asked["deal_id"].map(truth).to_numpy(dtype=float),
            "period": after.period.name,
            SCORE: _scored(before, known, asked, in_force),
            IN_FORCE: _promised(in_force, asked, rate),
            RENEWED: predict(renewed, asked, rate),
            STATIC: predict(static, asked, rate),
            NONE: rate,
        }
    )


def _promised(personas: PersonaSet, deals: pd.DataFrame, rate: float) -> Floats:
    """The chance of each deal by the points card of the set; without a card, by the rate of its persona."""
    points = points_of(personas, deals)
    if personas.card is None or points is None:
        return predict(personas, deals, rate)
    return personas.card.chance(points.to_numpy(dtype=float))


def _scored(before: Situation, known: pd.DataFrame, asked: pd.DataFrame, personas: PersonaSet) -> Floats:
    """The score as 03 learns it at the start of the period, of deals by what is known when they are created."""
    fields = [name for name in before.deal_fields() if name in known and name in asked]
    seen = known.sort_values("closed_on", kind="stable").tail(_MOST_TRAINED)
    x, later = (rows[fields].assign(persona=personas.assign(rows)) for rows in (seen, asked))
    score = fit_score(x, seen["is_won"].astype(int), seen["closed_on"], rng=before.rng("backtest-score"))
    return score.ranking.predict(later, score.history.at(len(later), None))


def _figures(deals: pd.DataFrame, rng: np.random.Generator, capacity: float) -> dict[str, Any]:
    """The figures of some periods' deals together."""
    y, truth, block = deals["y"].to_numpy(), deals["truth"].to_numpy(), deals["period"].to_numpy()
    chances = {name: deals[name].to_numpy() for name in CONTENDERS}
    best = lift(truth, truth, block, capacity) if np.isfinite(truth).all() else np.nan
    contenders = {
        name: {
            "log_loss": log_loss(y, p),
            "auc": _known(auc(y, p)),
            "auc_within": _known(auc_within(y, p, block)),
            "calibration_slope": _known(calibration_slope(y, p)),
            "lift": lift(y, p, block, capacity),
            "oracle_share": _known(lift(truth, p, block, capacity) / best) if best > 0 else None,
        }
        for name, p in chances.items()
    }
    gains = []
    for name, rival in _RIVALS:
        a, b = chances[rival], chances[name]
        by_measure = {
            "log_loss": paired_bootstrap(y, a, b, rng=rng),
            "auc_within": paired_bootstrap(y, a, b, rng=rng, measure="auc_within", block=block),
            "lift": lift_gain(y, a, b, block, rng=rng, capacity=capacity),
        }
        for measure, gain in by_measure.items():
            ends = {"gain": _known(gain.estimate), "low": _known(gain.low), "high": _known(gain.high)}
            gains.append({"of": name, "over": rival, "measure": measure, **ends})
    return {"n": len(y), "win_rate": float(y.mean()), "contenders": contenders, "gains": gains}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# words


def in_words(report: dict[str, Any]) -> str:
    """The figures of a report as a person reads them."""
    pooled, share = report["pooled"], report["capacity"]
    lines = [
        f"{report['market']}: {pooled['n']:,} decided deals of {len(report['periods'])} periods, each predicted at the "
        f"start of its period.",
        f"Lift: win rate of the {share:.0%} ranked first, less that of all; the order inside a period counts.",
        f"{IN_FORCE}: by its points card, or by its rates where it has none; {RENEWED}: the first research's rule with",
        f"rates of the window before each period; {STATIC}: the first research's rule and rates, never touched.",
        "",
        f"{'':<10} {'':>6}  " + "  ".join(f"{name:>26}" for name in CONTENDERS),
        f"{'period':<10} {'n':>6}  " + "  ".join(f"{'log loss   AUC  lift oracle':>26}" for _ in CONTENDERS),
    ]
    for part in [*report["periods"], pooled | {"period": "all"}]:
        cells = "  ".join(_cell(part["contenders"][name]) for name in CONTENDERS)
        lines.append(f"{part['period']:<10} {part['n']:>6,}  {cells}")
    slope = pooled["contenders"][IN_FORCE]["calibration_slope"]
    told = "cannot tell" if slope is None else f"{slope:.2f}"
    lines += ["", f"Calibration slope of the chances that the set in force gave: {told} (1 is calibrated)."]
    lines += ["", "Gains over all periods (90 % intervals):"]
    lines += [f"  {_gain_in_words(gain)}" for gain in pooled["gains"]]
    return "\n".join(lines)


def headline(report: dict[str, Any]) -> str:
    """What the first page says of a report: whether refining the personas paid, and what the score gained."""
    pooled, asked = report["pooled"], ((IN_FORCE, STATIC), (IN_FORCE, RENEWED), (SCORE, NONE))
    gains = [g for pair in asked for g in pooled["gains"] if (g["of"], g["over"], g["measure"]) == (*pair, "lift")]
    said = "; ".join(_gain_in_words(gain) for gain in gains)
    return f"{pooled['n']:,} deals of {len(report['periods'])} periods, each predicted at its start: {said}."


def _cell(figures: dict[str, float | None]) -> str:
    area, share = figures["auc_within"], figures["oracle_share"]
    parts = (
        f"{figures['log_loss']:>8.3f}",
        f"{area:>5.2f}" if area is not None else f"{'-':>5}",
        f"{100 * (figures['lift'] or 0):>+5.1f}",
        f"{share:>5.2f}" if share is not None else f"{'-':>5}",
    )
    return " ".join(parts)


def _gain_in_words(gain: dict[str, Any]) -> str:
    if gain["gain"] is None or gain["low"] is None:
        return f"{gain['of']} over {gain['over']}, {gain['measure']}: cannot tell"
    scale, unit, decimals = (100, " points", 1) if gain["measure"] == "lift" else (1, "", 3)
    figures = [round(scale * gain[name], decimals) + 0.0 for name in ("gain", "low", "high")]
    # judged as it reads: a gain that rounds to nothing is none
    verdict = "better" if figures[1] > 0 else "worse" if figures[2] < 0 else "no improvement shown"
    ends = [f"{figure:+.{decimals}f}" for figure in figures]
    measure = {"log_loss": "log loss", "auc_within": "AUC within periods", "lift": "lift"}[gain["measure"]]
    return f"{gain['of']} over {gain['over']}, {measure}: {ends[0]}{unit} ({ends[1]} to {ends[2]}): {verdict}"
