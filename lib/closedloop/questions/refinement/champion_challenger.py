"""Did refinement pay? The sets that were in force against the same rules with renewed rates, all periods together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import close_family
from closedloop.market.periods import Period
from closedloop.period.counting import lagged_rate
from closedloop.personas.persona_set import PersonaSet, points_of
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, stating
from closedloop.presentation.sentences import Claim, first
from closedloop.presentation.tables import Column, Columns, dots_of, table_of
from closedloop.questions.refinement.splits import FEWEST_DEALS, refinable
from closedloop.statistics.scoring.accuracy import auc_within, log_loss, paired_bootstrap
from closedloop.workbench import cells
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import OpenPeriod, opened

Floats = NDArray[np.float64]

BETTER, NOT_TOLD, WORSE, CANNOT_TELL = "better", "not shown to differ", "worse", "cannot tell"
KEEPS_OUT = {  # verdicts that let nothing new enter, and why
    WORSE: "the duel's interval of the gain in log loss lies below 0",
    CANNOT_TELL: "the duel cannot be told",
}
GAINS: dict[str, Literal["log_loss", "auc_within"]] = {"log_loss_gain": "log_loss", "auc_within_gain": "auc_within"}
SET, RATES, NOBODY = "set in force", "renewed rates alone", "no personas"
_FEW = (
    "{n} deals were predicted by a set with a points card so far; a duel needs at least {least}. Until then nothing "
    "enters the set."
)


@dataclass(frozen=True)
class Duel:
    """Deals of all periods so far: was each won, its period, and how probable each contender called it before."""

    won: Floats
    period: NDArray[np.intp]
    predicted: Mapping[str, Floats]

    def gain(self, contender: str, measure: str, rng: np.random.Generator) -> dict[str, Any]:
        """The gain of the set in force over a contender, with its paired bootstrap interval, as a row of statements."""
        resample = partial(paired_bootstrap, self.won, self.predicted[contender], block=self.period)
        found = resample(self.predicted[SET], rng=rng, measure=GAINS[measure])
        return self.row(contender, found.estimate) | {"low": found.low, "high": found.high}

    def row(self, contender: str, estimate: float) -> dict[str, Any]:
        """A figure of a contender as a row of statements."""
        return {"field": "contender", "level": contender, "estimate": estimate, "n": len(self.won)}


def duel(now: OpenPeriod, closed: pd.DataFrame) -> Duel:
    """Every decided deal of this period and those before, as its period's set called it at the period's start.

    Sets are read as they stood; nothing is fitted again. Both contenders know the same deals, those that had closed
    before the period: the set by its card, the other by its rule and renewed rates. ``closed``: by the day they closed.
    """
    won, number = list[Floats](), list[NDArray[np.intp]]()
    predicted: dict[str, list[Floats]] = {SET: [], RATES: [], NOBODY: []}
    every = now.situation.warehouse.periods
    for place, period in enumerate(every[: every.index(now.period) + 1]):
        rows = closed[_within(period, closed["closed_on"])]
        in_force = cells.set_in_force(now.market, period.name, now.standing)
        points = points_of(in_force, rows) if len(rows) else None
        if points is None or in_force.card is None:
            continue
        before = closed[closed["closed_on"] < pd.Timestamp(period.start)]
        rate = lagged_rate(before["is_won"], now.situation.names_of(before["closed_on"]))
        predicted[SET].append(in_force.card.chance(points.to_numpy()))
        predicted[RATES].append(predict(in_force, rows, rate))
        predicted[NOBODY].append(np.full(len(rows), rate))
        won.append(rows["is_won"].to_numpy(dtype=float))
        number.append(np.full(len(rows), place, dtype=np.intp))
    joined = {name: np.concatenate([np.empty(0), *parts]) for name, parts in predicted.items()}
    return Duel(np.concatenate([np.empty(0), *won]), np.concatenate([np.empty(0, dtype=np.intp), *number]), joined)


def _within(period: Period, days: pd.Series) -> pd.Series:
    return (days >= pd.Timestamp(period.start)) & (days < pd.Timestamp(period.end))


def predict(personas: PersonaSet, deals: pd.DataFrame, base: float) -> Floats:
    """Win probability of each deal: the lagged base rate, moved by its persona's deviation."""
    deviation = personas.assign(deals).map(personas.deviations()).fillna(0.0)
    return np.asarray(scipy.special.expit(scipy.special.logit(base) + deviation.to_numpy(float)))


def verdict_of(gain: Mapping[str, Any]) -> str:
    """What may enter a set follows from this: does the interval of the gain in log loss over renewed rates hold 0?

    Without a finite interval it cannot be told.
    """
    if not np.isfinite([gain["low"], gain["high"]]).all():
        return CANNOT_TELL
    return BETTER if gain["low"] > 0 else WORSE if gain["high"] < 0 else NOT_TOLD


def duel_says(claims: pd.DataFrame) -> str:
    """The verdict of the duel whose claims are among these."""
    gain = first(claims, family="duel", measure="log_loss_gain")
    return CANNOT_TELL if gain is None else verdict_of(gain)


def kept_out(claims: pd.DataFrame) -> str:
    """Why the duel whose claims are among these lets nothing new enter; nothing where it lets."""
    return KEEPS_OUT.get(duel_says(claims), "")


def champion_challenger(deals: pd.DataFrame, *, least: int | None = None, among: str | None = None) -> Answer:
    """Refinement as a whole on trial: each period's set against its own rule with renewed rates and nothing else.

    All periods since the first card together, every deal predicted before its period began. Gains in log loss, and in
    AUC inside periods, with paired bootstrap intervals (METHODS 6); beside them no personas at all. Where the set is
    worse, nothing new enters and the newest signals leave. ``least``: predicted deals below which nothing can be told,
    60 unless given.
    """
    now = opened()
    answer = now.ask("champion_challenger", "duel", deals, "deals", _show, among=among, least=least)
    answer.headline = duel_verdict
    answer.results |= {"log_loss": CANNOT_TELL, "n_deals": 0}
    fewest = FEWEST_DEALS if least is None else least
    closed = refinable(answer, fewest)
    if closed is None:
        return answer
    fought = duel(now, closed)
    answer.results["n_deals"] = len(fought.won)
    if len(fought.won) < fewest:
        answer.missing["duel"] = _FEW.format(n=len(fought.won), least=fewest)
        return answer
    origin = answer.origin(closed["closed_on"][closed["closed_on"] >= pd.Timestamp(_first_day(now, fought))])
    losses = [fought.row(name, log_loss(fought.won, p)) for name, p in fought.predicted.items()]
    orders = [fought.row(name, auc_within(fought.won, p, fought.period)) for name, p in fought.predicted.items()]
    answer.estimate(losses, origin, "log_loss", unit="ratio", kind="predictive")
    answer.estimate(orders, origin, "auc_within", unit="ratio", kind="predictive")
    gains = {}
    for measure in GAINS:
        rng = now.situation.rng(f"duel-{measure}")
        gains[measure] = {name: fought.gain(name, measure, rng) for name in (RATES, NOBODY)}
        answer.estimate([gains[measure][NOBODY]], origin, measure, unit="ratio", kind="predictive")
    judged = pd.concat([gain_looks([of[RATES]], origin, measure=name) for name, of in gains.items()])
    answer.closed.append(close_family(judged, family="duel", **now.situation.about))
    answer.results["log_loss"] = verdict_of(gains["log_loss_gain"][RATES])
    return answer


def _first_day(now: OpenPeriod, fought: Duel) -> Any:
    return now.situation.warehouse.periods[int(fought.period.min())].start


def duel_verdict(shown: Evidence) -> list[Sentence]:
    """What the duel of the sets in force against renewed rates alone says."""
    gain, order = (shown.first(name, level=RATES) for name in GAINS)
    if gain is None or order is None:
        return [Sentence(f"Sets in force against renewed rates alone: {CANNOT_TELL}.")]
    text = (
        f"Sets in force against renewed rates alone, {numbers.count(gain['n'])} deals, each predicted before its "
        f"period began: chances {_told(gain)} (gain in log loss {_signed(gain)}); order within periods {_told(order)} "
        f"(gain in AUC {_signed(order)})."
    )
    return [stating(text, gain, order)]


def _told(gain: Claim) -> str:
    """What the claim on a gain allows to say."""
    if not np.isfinite([gain["low"], gain["high"]]).all():
        return CANNOT_TELL
    extent = {"supported": "", "leaning": "perhaps "}.get(gain["verdict"])
    return NOT_TOLD if extent is None else f"{extent}{BETTER if gain['estimate'] > 0 else WORSE}"


def _signed(claim: Claim) -> str:
    """A gain with both ends of its interval, which may lie on either side of 0."""
    return f"{numbers.plain(claim['estimate'])}, {numbers.plain(claim['low'])} to {numbers.plain(claim['high'])}"


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    gains, name = shown.of("log_loss_gain").assign(baseline=0.0), level_of(shown.words)
    if gains.empty:
        return duel_verdict(shown)

    def gained(measure: str) -> Column:
        return lambda row: _signed(row[measure]) if measure in row else numbers.MISSING

    asked = title or "Did the sets in force predict better than renewed rates alone?"
    picture = dots_of(gains, shown.words, asked, "gain of the set in force in log loss", name)
    columns: Columns = {
        "log_loss": "log loss (lower is better)",
        "auc_within": "AUC within periods",
        "log_loss_gain": ("the set's gain in log loss", gained("log_loss_gain")),
        "auc_within_gain": ("the set's gain in AUC", gained("auc_within_gain")),
    }
    listed = table_of(shown.cell("duel"), shown.words, "contender", columns, label=name)
    return picture, *duel_verdict(shown), listed
