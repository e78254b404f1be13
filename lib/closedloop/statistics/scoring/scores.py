"""Lead and deal scores: learned on the past, judged on what came later, refused when they show no signal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from closedloop.errors import ParameterError
from closedloop.statistics.scoring.accuracy import (
    auc_within_interval,
    brier,
    calibration_slope,
    ece,
    log_loss,
    paired_bootstrap,
)
from closedloop.statistics.scoring.learners import (
    MODELS,
    Design,
    Learned,
    ModelName,
    RateHistory,
    design_of,
    learn,
    named,
    shown_levels,
)
from closedloop.statistics.segmentation.indicators import Floats, Ints, is_metric, level_text

LEARNERS: tuple[ModelName, ...] = ("logistic", "boosting", "own learner")
_PLAIN: tuple[ModelName, ...] = ("base rate", "lagged base rate")
_CALIBRATED_SLOPE = (0.9, 1.1)
_CALIBRATED_ECE = 0.05
_BLOCK_ROWS = 200
_FEWEST_ROWS = 40


@dataclass(frozen=True)
class Score:
    """A fitted score with the evidence from rows that it had not seen.

    ``quality``: one row per model tried, with model, n, brier, log_loss, ece, auc, auc_within (without dates both are
    inside the folds), calibration_slope and gain (log-loss gained over the better base rate, paired bootstrap), and
    the 90 % intervals auc_low, auc_high, auc_within_low, auc_within_high, gain_low, gain_high. ``held_out_y`` and
    ``held_out_p``: outcomes and the chosen model's probabilities out of time (out of fold without dates); ``splits``:
    of which places, in the order of time, they were learned, and which were asked. ``ranking``: what orders rows
    whatever the verdict; ``held_out_ranking``: by what it would have ordered those that were asked.
    ``verdict``: "usable" when the within-period AUC's interval lies above .5 and the log-loss beats both base rates.
    ``shown_as``: "probability" when usable and calibrated, else "rank".
    """

    model: ModelName
    verdict: Literal["usable", "no usable signal"]
    shown_as: Literal["probability", "rank"]
    quality: pd.DataFrame
    held_out_y: Floats
    held_out_p: Floats
    learned: Learned
    ranking: Learned
    history: RateHistory
    splits: tuple[tuple[Ints, Ints], ...]
    held_out_ranking: Floats

    def predict(self, x: pd.DataFrame, when: pd.Series | None = None) -> Floats:
        """Probability (n,) of the outcome; ``when`` places each row in the history of base rates, None is its end."""
        return self.learned.predict(x, self.history.at(len(x), when))

    def order(self, x: pd.DataFrame) -> Ints:
        """Places (n,) of the rows, the likeliest first, ties as they come; by the shrunk fields where no model wins.

        Somebody has to be called first even without a usable signal; what is known of the fields then moves little,
        and costs nothing.
        """
        return np.argsort(-self.ranking.predict(x, self.history.at(len(x), None)), kind="stable")

    def as_usual(self, x: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        """The rows with these fields at their usual value: for what is not known of them yet, so that it moves none."""
        usual = self.ranking.design.usual
        return x.assign(**{name: pd.Series([usual[name]] * len(x), x.index) for name in names if name in usual})

    def reasons(
        self, x: pd.DataFrame, when: pd.Series | None = None, most: int = 5
    ) -> list[list[tuple[str, str, float]]]:
        """What moves each row's score: (field, level, points), the strongest first.

        Points are the difference of probability (a fraction) against the same row with that field at its usual value;
        differences under half a point are left out.
        """
        own = self.predict(x, when)
        design = self.learned.design
        names = [field.name for field in design.fields]
        points = np.array([own - self.predict(design.with_usual(x, name), when) for name in names])
        levels = [shown_levels(x[name]).tolist() for name in names]
        return [_strongest(names, [level[i] for level in levels], points[:, i], most) for i in range(len(x))]


def fit_score(
    x: pd.DataFrame,
    y: ArrayLike,
    when: pd.Series | None,
    *,
    rng: np.random.Generator,
    half_life_rows: float = 2000.0,
    lag_rows: int = 50,
    models: Sequence[ModelName] = MODELS,
    learner: Any = None,
) -> Score:
    """Choose and fit a score on fields known at the moment of scoring.

    ``x``: n rows of categories, booleans and numbers; ``y``: 0/1; ``when``: dates or numbers that order the rows.
    With ``when`` the last 40 % are predicted in four blocks, each by models fitted on what came before, with recency
    weights of ``half_life_rows`` and base rates that lag ``lag_rows``. Without, in five folds that keep identical
    rows together. The model with the least log-loss is refitted on all rows. Too few rows or one outcome only give the
    base rate and "no usable signal". ``learner``: the one model beside base rates, "logistic", "boosting" or a
    classifier of scikit-learn, which is cloned. Raises ParameterError when lengths differ, y is not 0/1, or a learner
    gives no probabilities.
    """
    outcome = _checked(x, y, when)
    orders: ModelName = "logistic"
    if learner is not None:
        orders = named(learner)
        models = (*_PLAIN, orders)
    order = np.arange(len(x)) if when is None else np.argsort(when.to_numpy(), kind="stable")
    rows, outcome = x.iloc[order], outcome[order]
    dated = None if when is None else when.iloc[order]
    history = RateHistory.of(outcome, dated, lag_rows)
    rows = rows.assign(**{name: level_text(rows[name]) for name in map(str, rows) if not is_metric(rows[name])})
    task = _Task(rows, outcome, history.lagged(), half_life_rows if when is not None else np.inf, rng, learner)
    splits, block, guesses = _held_out(task, models if _enough(outcome) else _PLAIN)
    tested = np.concatenate([asked for _, asked in splits])
    # chances of different folds have no common order: a base rate, which is lower where more were won, would be one
    whole = block if when is None else 0 * block
    quality = _quality(outcome[tested], (whole, block), guesses, rng)
    model = _chosen(quality)
    usable = _usable(quality, model)
    calibrated = usable and _calibrated(quality, model)
    learned = task.fitted(model, np.arange(len(x)))
    return Score(
        model=model,
        verdict="usable" if usable else "no usable signal",
        shown_as="probability" if calibrated else "rank",
        quality=quality,
        held_out_y=outcome[tested],
        held_out_p=guesses[model],
        learned=learned,
        ranking=learned if model in LEARNERS else task.fitted(orders, np.arange(len(x))),
        history=history,
        splits=tuple(splits),
        held_out_ranking=guesses[model] if model in LEARNERS else guesses.get(orders, guesses[model]),
    )


@dataclass(frozen=True)
class _Task:
    x: pd.DataFrame
    y: Floats
    rates: Floats
    half_life_rows: float
    rng: np.random.Generator
    learner: Any = None
    designs: dict[tuple[int, ...], Design] = field(default_factory=dict)  # of rows, for all models that learn of them

    def fitted(self, model: ModelName, rows: Ints) -> Learned:
        x, key = self.x.iloc[rows], (int(rows[0]), int(rows[-1]), len(rows), int(rows.sum()))
        if model in LEARNERS and key not in self.designs:
            self.designs[key] = design_of(x, self.half_life_rows)
        about = (self.half_life_rows, self.rng, self.learner, self.designs.get(key))
        return learn(model, x, self.y[rows], self.rates[rows], *about)

    def guess(self, model: ModelName, seen: Ints, asked: Ints) -> Floats:
        return self.fitted(model, seen).predict(self.x.iloc[asked], self.rates[asked])


def _checked(x: pd.DataFrame, y: ArrayLike, when: pd.Series | None) -> Floats:
    outcome = np.asarray(y, dtype=float)
    if len(outcome) != len(x) or (when is not None and len(when) != len(x)):
        raise ParameterError(f"{len(x)} rows have {len(outcome)} outcomes; every row needs one, and a time if any has")
    if not len(x) or not np.isin(outcome, (0.0, 1.0)).all():
        raise ParameterError("outcomes must be 0 or 1, at least one; leave rows without an outcome out")
    if when is not None and when.isna().any():
        raise ParameterError(f"{int(when.isna().sum())} rows have no time; leave them out or pass when=None")
    return outcome


def _enough(outcome: Floats) -> bool:
    return len(outcome) >= _FEWEST_ROWS and min(outcome.sum(), len(outcome) - outcome.sum()) >= 10


def _held_out(
    task: _Task, models: Sequence[ModelName]
) -> tuple[list[tuple[Ints, Ints]], Ints, dict[ModelName, Floats]]:
    """Rows seen and asked, the block of each that was asked (its fold), and every model's probabilities for them."""
    dated = np.isfinite(task.half_life_rows)
    splits = _later(len(task.y)) if dated else _folds(task.x, task.rng)
    tested = np.concatenate([asked for _, asked in splits])
    block = np.arange(len(tested)) * max(len(tested) // _BLOCK_ROWS, 1) // len(tested)
    if not dated:
        block = np.repeat(np.arange(len(splits)), [len(asked) for _, asked in splits])
    offered = [m for m in models if dated or m != "lagged base rate"]
    guesses = {m: np.concatenate([task.guess(m, seen, asked) for seen, asked in splits]) for m in offered}
    return splits, block, guesses


def _later(n: int) -> list[tuple[Ints, Ints]]:
    edges = np.unique(np.linspace(max(int(0.6 * n), min(n - 1, 1)), n, 5).astype(int))
    pairs = [(np.arange(a), np.arange(a, b)) for a, b in itertools.pairwise(edges)]
    return pairs or [(np.arange(n), np.arange(n))]


def _folds(x: pd.DataFrame, rng: np.random.Generator, n_folds: int = 5) -> list[tuple[Ints, Ints]]:
    same = x.astype(object).where(x.notna(), "\0").groupby(list(x.columns), sort=False).ngroup().to_numpy()
    fold = (rng.permutation(int(same.max()) + 1) % n_folds)[same]
    pairs: list[tuple[Ints, Ints]] = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
    everything = np.arange(len(x))
    return [(seen, asked) for seen, asked in pairs if len(seen) and len(asked)] or [(everything, everything)]


def _quality(
    y: Floats, blocks: tuple[Ints, Ints], guesses: dict[ModelName, Floats], rng: np.random.Generator
) -> pd.DataFrame:
    plain = [guesses[m] for m in _PLAIN if m in guesses]
    rival = min(plain, key=lambda p: log_loss(y, p))
    return pd.DataFrame([_judged(model, y, p, rival, blocks, rng) for model, p in guesses.items()])


def _judged(
    model: str, y: Floats, p: Floats, rival: Floats, blocks: tuple[Ints, Ints], rng: np.random.Generator
) -> dict[str, float | str]:
    whole, within = (auc_within_interval(y, p, part) for part in blocks)
    gain = paired_bootstrap(y, rival, p, rng=rng)
    return {
        "model": model,
        "n": len(y),
        "brier": brier(y, p),
        "log_loss": log_loss(y, p),
        "ece": ece(y, p),
        "auc": whole.estimate,
        "auc_low": whole.low,
        "auc_high": whole.high,
        "auc_within": within.estimate,
        "auc_within_low": within.low,
        "auc_within_high": within.high,
        "calibration_slope": calibration_slope(y, p),
        "gain": gain.estimate,
        "gain_low": gain.low,
        "gain_high": gain.high,
    }


def _chosen(quality: pd.DataFrame) -> ModelName:
    best = quality["model"].tolist()[int(quality["log_loss"].to_numpy().argmin())]
    return next(name for name in (*MODELS, *LEARNERS) if name == best)


def _usable(quality: pd.DataFrame, model: ModelName) -> bool:
    row = quality.set_index("model").loc[model]
    return model in LEARNERS and bool(row["auc_within_low"] > 0.5) and bool(row["gain"] > 0)


def _calibrated(quality: pd.DataFrame, model: ModelName) -> bool:
    row = quality.set_index("model").loc[model]
    low, high = _CALIBRATED_SLOPE
    return bool(low <= row["calibration_slope"] <= high) and bool(row["ece"] <= _CALIBRATED_ECE)


def _strongest(names: list[str], levels: list[str], points: Floats, most: int) -> list[tuple[str, str, float]]:
    order = np.argsort(-np.abs(points), kind="stable")[:most]
    return [(names[j], levels[j], float(points[j])) for j in order if abs(points[j]) >= 0.005]
