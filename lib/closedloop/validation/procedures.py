"""Scores, signals, orders of calling, targets, edits and promises in null worlds, made by the notebooks' functions."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import gain_looks
from closedloop.period.counting import LEAST_SHOWN
from closedloop.personas.signals import Cases, refine
from closedloop.questions.leads.scores import MODELS, advantage, gain_over, placed
from closedloop.questions.personas.promised_rates import beyond_promise, promise_p
from closedloop.questions.refinement.splits import is_splittable, shrunk_splits
from closedloop.questions.research.criteria import OF_DEALS, of_deals
from closedloop.questions.research.targets import each_level, scores_of
from closedloop.statistics.proportions import at_rate, compare_in_strata, stratified_difference_p
from closedloop.statistics.scoring.accuracy import rule_value, taken_first
from closedloop.statistics.scoring.scores import fit_score
from closedloop.statistics.weighing import Criterion
from closedloop.validation.outcomes import NOWHERE
from closedloop.validation.worlds import (
    SUPPORTED_BEYOND,
    SUPPORTED_Q,
    Bools,
    Floats,
    Ints,
    Repeated,
    Tally,
    Tests,
    World,
    generator,
)
from closedloop.workbench.redraws import OrderRedraw, ScoreRedraw, SignalRedraw, TargetRedraw


@dataclass(frozen=True)
class Score(Repeated):
    """A score learned anew on the pool's outcomes: judged out of time, or beside the stage on those of ``asked``."""

    pool: str
    redraw: ScoreRedraw
    asked: str = ""

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
        return Tests.of(gain_looks([gain], NOWHERE, measure=made.measure))


@dataclass(frozen=True)
class Signals(Repeated):
    """Signals sought on other outcomes with none in force, so that every one that enters is wrong.

    ``rows``: the deals' places in the pool, ``levels`` and ``periods`` theirs.
    """

    pool: str
    rows: Ints
    levels: pd.DataFrame
    periods: Any
    redraw: SignalRedraw

    def tested(self, world: World) -> Tests:
        """Every level that could become a signal; ``effect`` is missing where it does not enter."""
        names, number = np.unique(self.periods, return_inverse=True)
        cases = Cases(world[self.pool][self.rows], number, self.levels, tuple(map(str, names)))
        made = self.redraw
        settings = {"window": made.window, "planned_periods": made.planned_periods}
        found = refine((), cases, "", of_people=made.of_people, **settings).tests
        if found.empty:
            return Tests(*np.empty((3, 0)))
        effect = found["points"].where(found["is_entering"].astype(bool)).to_numpy(dtype=float)
        return Tests(found["p"].to_numpy(dtype=float), effect, found["beyond"].to_numpy(dtype=float))

    def effects(self, tests: Tests, q: Floats) -> Floats:
        """The points of each level that enters; missing for all others."""
        return tests.effect


@dataclass(frozen=True)
class Orders(Repeated):
    """Other orders of calling, as ``refinement.other_orders`` values them; ``rows``: the logged leads' places."""

    pool: str
    rows: Ints
    redraw: OrderRedraw

    def tested(self, world: World) -> Tests:
        """Each order's value beside what was called."""
        y = world[self.pool][self.rows]
        logged, promise = (part.to_numpy(dtype=float) for part in (self.redraw.logged, self.redraw.promise))
        rules = [np.ones(len(y))]
        if len(np.unique(promise)) > 1:
            rules.append(taken_first(promise, logged, len(y)))
        values = [rule_value(y, logged, rule) for rule in rules]
        rows = [{"estimate": v.estimate, "low": v.low, "high": v.high} for v in values if not v.is_refused]
        told = pd.DataFrame(rows, columns=["estimate", "low", "high"]).assign(baseline=float(y.mean()))
        return Tests.of(gain_looks(told, NOWHERE, measure=self.redraw.measure, unit="rate"))


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


@dataclass(frozen=True)
class Splits(Repeated):
    """Splits of personas: in a null world no level differs, so that every one that holds is wrong.

    ``rows``: places of all decided deals in the pool, ``groups`` their periods; ``tally``: their levels by persona and
    field. A split holds with q <= ``rate``.
    """

    pool: str
    rows: Ints
    groups: Ints
    tally: Tally
    gate: float
    rate: float

    def tested(self, world: World) -> Tests:
        """Every level against its persona's other deals, inside the periods."""
        k, n = self.tally.counts_by(world[self.pool][self.rows], self.groups)
        k_all, n_all = self.tally.totals(k), self.tally.totals(n)
        tried = np.flatnonzero(self.tally.is_named & is_splittable(n.sum(axis=1), n_all.sum(axis=1)))
        k, n, k_all, n_all = (part[tried] for part in (k, n, k_all, n_all))
        p = stratified_difference_p(k, n, k_all - k, n_all - n)
        effect, beyond, field = np.zeros(len(p)), np.zeros(len(p)), self.tally.code[tried]
        for code in np.unique(field[p <= self.rate]):  # q is never below p: no other could hold
            own = np.flatnonzero(field == code)
            base = k_all[own[0]].sum() / n_all[own[0]].sum()
            shrunk = shrunk_splits(k[own], n[own], k_all[own[0]], n_all[own[0]])
            low, high, mean, over = (
                part[: len(own)]
                for part in (shrunk.low, shrunk.high, shrunk.mean, shrunk.beyond(at_rate(self.gate, base), base))
            )
            effect[own], beyond[own] = mean - base, np.where((low < base) & (base < high), 0.0, over)
        return Tests(p, effect, beyond)

    def effects(self, tests: Tests, q: Floats) -> Floats:
        """The effect of each split that holds; missing for all others."""
        return np.where((q <= self.rate) & (tests.beyond > SUPPORTED_BEYOND), tests.effect, np.nan)


class Kept(NamedTuple):
    """Promises beside what came: rate less promise, p, and the probability of a difference over the threshold."""

    gap: Floats
    promise: Floats
    truth: float
    p: Floats
    beyond: Floats


@dataclass(frozen=True)
class Promises(Repeated):
    """Promised win rates of personas: false is to call one broken though the truth is not beyond the threshold from it.

    ``rows``: places of all decided deals in the pool, ``groups`` their periods; ``tally``: their personas. The deals
    ``is_promised`` make the promises, those of the period, ``is_now``, keep them or not.
    """

    pool: str
    rows: Ints
    groups: Ints
    tally: Tally
    is_promised: Bools
    is_now: Bools
    threshold: float

    def promised(self, world: World) -> tuple[Floats, Floats, Floats]:
        """Rate, low and high that each persona promises in that world, as of ``personas.persona_set``; else NaN."""
        hit = np.where(self.is_promised, world[self.pool][self.rows], np.nan)
        k, n = self.tally.counts_by(hit, self.groups)
        k_all, n_all = k.sum(axis=0), n.sum(axis=0)
        if not n_all.sum():
            nothing = np.full(len(n), np.nan)
            return nothing, nothing, nothing
        share = np.divide(n, n_all, out=np.zeros_like(n), where=n_all > 0)
        expected, contrast = share @ k_all, (n * (1 - share)).sum(axis=1)
        base, total = k_all.sum() / n_all.sum(), float(n_all.sum())
        found = compare_in_strata(k.sum(axis=1), n.sum(axis=1), expected, contrast, base, total)
        is_known = n.sum(axis=1) >= LEAST_SHOWN
        rate, low, high = (np.where(is_known, part, np.nan) for part in (found.estimate, found.low, found.high))
        return rate, low, high

    def tested(self, world: World) -> Kept:
        """Every promise beside the deals of the period; the truth of all is the period's rate."""
        hit, promise = world[self.pool][self.rows], self.promised(world)
        k, n = self.tally.counts(np.where(self.is_now, hit, np.nan))
        shown = (n >= LEAST_SHOWN) & np.isfinite(promise[0])
        k, n, rate, low, high = (part[shown] for part in (k, n, *promise))
        truth = float(np.nanmean(hit[self.is_now]))
        beyond = beyond_promise(k, n, rate, self.threshold)
        return Kept(k / n - rate, rate, truth, promise_p(k, n, rate, low, high), beyond)

    def effects(self, tests: Kept, q: Floats) -> Floats:
        """The gap of each promise that is falsely called broken; missing for all others."""
        gap = tests.truth - tests.promise
        is_true = (np.abs(gap) > self.threshold) & (np.sign(gap) == np.sign(tests.gap))
        is_said = (q <= SUPPORTED_Q) & (tests.beyond > SUPPORTED_BEYOND)
        return np.where(is_said & ~is_true, tests.gap, np.nan)
