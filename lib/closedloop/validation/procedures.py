"""Scores, duels, orders of calling and targets in null worlds: made again by the notebooks' own functions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import gain_looks
from closedloop.questions.leads.scores import advantage
from closedloop.questions.leads.stages import MODELS, gain_over, placed
from closedloop.questions.refinement.champion_challenger import GAINS, duel
from closedloop.questions.research.criteria import OF_DEALS, of_deals
from closedloop.questions.research.targets import each_level, scores_of
from closedloop.statistics.scoring.accuracy import rule_value, taken_first
from closedloop.statistics.scoring.scores import fit_score
from closedloop.statistics.weighing import Criterion
from closedloop.validation.shares import NOWHERE
from closedloop.validation.worlds import Floats, Ints, Repeated, Tests, World, generator
from closedloop.workbench.redraws import DuelRedraw, OrderRedraw, ScoreRedraw, TargetRedraw


@dataclass(frozen=True)
class Score(Repeated):
    """A score learned anew on the pool's outcomes: judged out of time, or beside the stage on those of ``asked``."""

    pool: str
    redraw: ScoreRedraw
    asked: str = ""

    @property
    def measure(self) -> str:
        """What of the score is compared."""
        return self.redraw.measure

    def tested(self, world: World) -> Tests:
        """Its advantage over chance, or over the stage."""
        made, rng = self.redraw, generator(self.pool)
        models = {"models": MODELS} if self.asked else {}
        y = world[self.pool].astype(int)
        model = fit_score(made.rows, y, made.when, rng=rng, learner=made.learner, **models)  # type: ignore[arg-type]
        if not self.asked or made.asked is None or made.asked_stage is None:
            return Tests.of(advantage(model, NOWHERE))
        fields = made.asked[[name for name in made.asked if name in made.rows]]
        stage = made.asked_stage.to_numpy(dtype=float)
        gain = gain_over(world[self.asked], stage, placed(model, fields), rng)
        return Tests.of(gain_looks([gain], NOWHERE, measure=self.measure))


@dataclass(frozen=True)
class Duels(Repeated):
    """The duel of champion and challenger on other outcomes; ``rows``: the deals' places in the pool."""

    pool: str
    rows: Ints
    redraw: DuelRedraw

    def tested(self, world: World) -> Tests:
        """The challenger's gains over the set in force."""
        hit = pd.Series(world[self.pool][self.rows] == 1, index=self.redraw.closed.index, dtype="boolean")
        closed = self.redraw.closed.assign(is_won=hit, outcome=np.where(hit, "won", "lost"))
        fought = duel(self.redraw.situation, closed, self.redraw.in_force, self.redraw.fields)
        gains = [fought.gain("proposal", measure, generator(f"{self.pool} {measure}")) for measure in GAINS]
        return Tests.of(gain_looks(gains, NOWHERE, measure="gain"))

    def effects(self, tests: Tests, q: Floats) -> Floats:
        """Both gains where both hold, so that the challenger would win; missing otherwise."""
        held = super().effects(tests, q)
        return held if (held > 0).all() else np.full(len(q), np.nan)


@dataclass(frozen=True)
class Orders(Repeated):
    """Other orders of calling, as ``questions.other_orders`` values them; ``rows``: the logged leads' places."""

    pool: str
    rows: Ints
    logged: Floats
    promise: Floats
    measure: str

    @classmethod
    def of(cls, redraw: OrderRedraw, pool: str, rows: Ints) -> "Orders":
        """Of a redraw."""
        logged, promise = (part.to_numpy(dtype=float) for part in (redraw.logged, redraw.promise))
        return cls(pool, rows, logged, promise, redraw.measure)

    def tested(self, world: World) -> Tests:
        """Each order's value beside what was called."""
        y = world[self.pool][self.rows]
        rules = [np.ones(len(y))]
        if len(np.unique(self.promise)) > 1:
            rules.append(taken_first(self.promise, self.logged, len(y)))
        values = [rule_value(y, self.logged, rule) for rule in rules]
        rows = [{"estimate": v.estimate, "low": v.low, "high": v.high} for v in values if not v.is_refused]
        told = pd.DataFrame(rows, columns=["estimate", "low", "high"]).assign(baseline=float(y.mean()))
        return Tests.of(gain_looks(told, NOWHERE, measure=self.measure, unit="rate"))


@dataclass(frozen=True)
class Targets(Repeated):
    """Scores of segments on other outcomes, each beside the average segment's; ``rows``: the deals' places.

    In a null world segments do not differ by the other criteria either, but for their ``errors``.
    """

    pool: str
    rows: Ints
    redraw: TargetRedraw
    errors: str

    def tested(self, world: World) -> Tests:
        """Both scores of every segment."""
        made, known = self.redraw, self._others(world[self.errors])
        hit = world[self.pool][self.rows]
        outcome = np.select([hit == 1, hit == 0], ["won", "lost"], "no_decision")
        sizes: dict[str, Any] = {"age_days": world[f"{self.pool} age_days"][self.rows] if made.has_days else np.nan}
        if made.has_amounts:
            sizes["won_amount"] = world[f"{self.pool} won_amount"][self.rows]
        deals = made.deals.assign(outcome=outcome, **sizes)
        weighed = {name for weights in made.weights.values() for name in weights}
        known |= {name: of_deals(name, deals, list(made.segments)) for name in OF_DEALS if name in weighed}
        level, looks = each_level(len(made.segments)), []
        for weights in made.weights.values():
            score = scores_of(known, weights)
            if score.counted:
                rows = pd.DataFrame({"estimate": score.estimate, "low": score.low, "high": score.high})
                looks.append(gain_looks(rows, NOWHERE, measure="score", level=level))
        return Tests.of(pd.concat(looks, ignore_index=True))

    def _others(self, errors: Floats) -> dict[str, Any]:
        """The criteria that no outcome moves."""
        found, drawn = {}, np.split(errors, max(len(self.redraw.others), 1))
        for (name, of), z in zip(self.redraw.others.items(), drawn, strict=False):
            estimate, low, high = (np.array(of[end], dtype=float) for end in ("estimate", "low", "high"))
            error = z * (high - low) / (2 * scipy.stats.norm.isf(0.05))
            shift = np.where(np.isnan(z), 0.0, estimate.mean() + error - estimate)
            found[name] = Criterion(estimate + shift, low + shift, high + shift)
        return found
