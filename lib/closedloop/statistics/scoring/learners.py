"""Base rates as they were known: moving averages of outcomes that lag behind the row they describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import scipy

from closedloop.errors import ParameterError
from closedloop.statistics.logistic_regression import integrated_ridge
from closedloop.statistics.segmentation.indicators import Floats, common_levels, is_metric, level_text

HALF_LIVES = (50.0, 200.0, 1000.0)
_PRIOR_ROWS = 10.0
_PLAIN = 1  # the half-life that is the lagged base rate on its own


@dataclass(frozen=True)
class RateHistory:
    """Rates (n + 1, half-lives) without lag, the times of the n rows (None: undated), and the lag in rows."""

    rates: Floats
    when: pd.Series | None
    lag_rows: int

    @classmethod
    def of(cls, y: Floats, when: pd.Series | None, lag_rows: int) -> RateHistory:
        """From outcomes 0/1 in order of time: moving averages that begin at one half, weighing ten rows."""
        rates = []
        for half_life in HALF_LIVES:
            keep = 0.5 ** (1 / half_life)
            hits, seen = (np.r_[0.0, scipy.signal.lfilter([1.0], [1.0, -keep], of)] for of in (y, np.ones(len(y))))
            rates.append((hits + 0.5 * _PRIOR_ROWS) / (seen + _PRIOR_ROWS))
        return cls(np.column_stack(rates), when, lag_rows)

    def lagged(self) -> Floats:
        """(n, half-lives) what was known before each row."""
        return np.asarray(self.rates[np.maximum(np.arange(len(self.rates) - 1) - self.lag_rows, 0)])

    def at(self, n: int, when: pd.Series | None) -> Floats:
        """(n, half-lives) at these times; rows after the history, and rows without a time, see its end."""
        last = len(self.rates) - 1
        if when is None or self.when is None:
            return np.repeat(self.rates[[last]], n, axis=0)
        place = np.searchsorted(self.when.to_numpy(), when.to_numpy(), side="left")
        known = np.where(place >= last, last, np.maximum(place - self.lag_rows, 0))
        return np.asarray(self.rates[known])


MISSING = "missing"
_CLOCK_SHARE = 0.15
_CLOCK_ROWS = 200


@dataclass(frozen=True)
class _Field:
    name: str
    levels: tuple[str, ...]  # empty: a number
    mean: float = 0.0
    deviation: float = 1.0
    gaps: bool = False

    def columns(self, frame: pd.DataFrame) -> Floats:
        values = frame[self.name]
        if self.levels:
            places = pd.Index(self.levels).get_indexer(pd.Index(shown_levels(values)))
            return np.asarray(places[:, None] == np.arange(len(self.levels)), dtype=float)
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        absent = np.isnan(numbers)
        scaled = np.where(absent, 0.0, np.clip((numbers - self.mean) / self.deviation, -5, 5))
        return np.column_stack([scaled, absent.astype(float)]) if self.gaps else scaled[:, None]


@dataclass(frozen=True)
class Design:
    """The columns learned from training rows; a level that was not seen there, or hardly ever, raises no flag."""

    fields: tuple[_Field, ...]
    usual: dict[str, object]

    @classmethod
    def of(cls, x: pd.DataFrame) -> Design:
        """Learn levels and scales. Dates are not taken: turn them into numbers first."""
        dates = [str(name) for name in x.columns if pd.api.types.is_datetime64_any_dtype(x[name])]
        if dates:
            raise ParameterError(f"fields {dates} are dates; a score takes categories, booleans and numbers")
        return cls(tuple(_learn(x[name]) for name in x.columns), {str(n): _usual(x[n]) for n in x.columns})

    def matrix(self, x: pd.DataFrame) -> Floats:
        """(n, columns); raises ParameterError when a field is absent."""
        absent = [field.name for field in self.fields if field.name not in x.columns]
        if absent:
            raise ParameterError(f"fields {absent} are absent; the score reads {[f.name for f in self.fields]}")
        parts = [field.columns(x) for field in self.fields]
        return np.hstack(parts) if parts else np.empty((len(x), 0))

    def with_usual(self, x: pd.DataFrame, name: str) -> pd.DataFrame:
        """The rows with one field at its usual value (most common level, or median)."""
        return x.assign(**{name: pd.Series([self.usual[name]] * len(x), index=x.index)})


def clock_fields(x: pd.DataFrame) -> list[str]:
    """Fields of rows in order of time that only tell when a row arose, such as a month or an index of prices.

    They hardly vary inside runs of consecutive rows: less than 15 % of their variance lies inside runs of 200 rows (of
    a twentieth of the rows, if that is less). Beside a lagged base rate they add nothing, and they extrapolate badly.
    """
    size = min(_CLOCK_ROWS, len(x) // 20)
    if size < 2:
        return []
    return [str(name) for name in x.columns if _share_inside(_learn(x[name]).columns(x), size) < _CLOCK_SHARE]


def _share_inside(columns: Floats, size: int) -> float:
    """Share of the variance inside runs of ``size`` rows; 1 for a constant field."""
    n_runs = len(columns) // size
    runs = columns[: n_runs * size].reshape(n_runs, size, -1)
    total = float(runs.reshape(n_runs * size, -1).var(axis=0).sum())
    inside = float(runs.var(axis=1, ddof=1).mean(axis=0).sum())
    return inside / total if total > 0 else 1.0


def shown_levels(values: pd.Series) -> pd.Series:
    """Level names with "missing" for gaps."""
    return level_text(values).fillna(MISSING)


def _learn(values: pd.Series) -> _Field:
    name = str(values.name)
    if not is_metric(values):
        return _Field(name, common_levels(shown_levels(values)))
    numbers = values.astype(float)
    return _Field(name, (), float(numbers.mean()), float(numbers.std(ddof=0)) or 1.0, bool(numbers.isna().any()))


def _usual(values: pd.Series) -> object:
    if is_metric(values):
        return float(values.astype(float).median())
    counts = values.value_counts(dropna=False, sort=False)
    common = counts.index[int(counts.to_numpy().argmax())]
    return None if pd.isna(common) else common


ModelName = Literal["base rate", "lagged base rate", "logistic", "boosting", "own learner"]
MODELS: Final[tuple[ModelName, ...]] = ("base rate", "lagged base rate", "logistic", "boosting")
_MEMORIES = (0.1, 0.3, 1.0)  # shares of the half-life that are tried
_LATEST_ROWS = 400  # that judge the memories
_SLIGHT = 0.01  # a memory of less weight is left out
_FORGOTTEN = 7  # half-lives after which a row weighs under a hundredth
_RATE_WEIGHT = 3.0  # base rates are shrunk less than fields: they are what a score falls back to


@dataclass(frozen=True)
class Learned:
    """A fitted model: ``chances`` maps the matrix of fields and the lagged rates to probabilities."""

    design: Design
    chances: Callable[[Floats, Floats], Floats]

    def predict(self, x: pd.DataFrame, rates: Floats) -> Floats:
        """Probability (n,) of rows ``x`` given what is known of base rates, (n, half-lives)."""
        return self.chances(self.design.matrix(x), rates)


def learn(
    name: ModelName,
    x: pd.DataFrame,
    y: Floats,
    rates: Floats,
    half_life_rows: float,
    rng: np.random.Generator,
    learner: Any = None,
    design: Design | None = None,
) -> Learned:
    """Fit one model to rows in order of time; a single outcome gives the base rate.

    ``learner``: the classifier of scikit-learn that "own learner" is. ``design``: of these rows (``design_of``), where
    it is known.

    ``half_life_rows``: after how many rows one weighs half; infinite without dates. With dates the lagged rates tell
    the time, and fields that only tell the time too are left out.
    """
    dated = bool(np.isfinite(half_life_rows))
    seed = int(rng.integers(2**31))
    if name == "lagged base rate":
        return Learned(Design((), {}), lambda _, known: known[:, _PLAIN])
    if name == "base rate" or len(np.unique(y)) < 2:
        share = (float(y.sum()) + 0.5) / (len(y) + 1)
        return Learned(Design((), {}), lambda matrix, _: np.full(len(matrix), share))
    design = design or design_of(x, half_life_rows)
    joined = _joined(design.matrix(x), rates, dated)
    if name == "own learner":
        fit = _own(joined, y, learner, seed)
    else:
        fit = _logistic(joined, y, half_life_rows) if name == "logistic" else _boosting(joined, y, half_life_rows, seed)
    return Learned(design, lambda matrix, known: fit(_joined(matrix, known, dated)))


def design_of(x: pd.DataFrame, half_life_rows: float) -> Design:
    """The columns learned from rows; with dates without those that only tell the time."""
    return Design.of(x.drop(columns=clock_fields(x)) if np.isfinite(half_life_rows) else x)


def named(learner: Any) -> ModelName:
    """The name under which a learner is judged; errors: ParameterError for one that gives no probabilities."""
    from sklearn.base import BaseEstimator, is_classifier

    usual: tuple[ModelName, ...] = ("logistic", "boosting")
    if isinstance(learner, str) and learner in usual:
        return usual[usual.index(learner)]
    if isinstance(learner, BaseEstimator) and is_classifier(learner) and hasattr(learner, "predict_proba"):
        return "own learner"
    raise ParameterError(
        f"learner = {learner!r} gives no probabilities; allowed: logistic, boosting, or a classifier of "
        "scikit-learn with predict_proba, such as RandomForestClassifier()"
    )


def _joined(matrix: Floats, rates: Floats, dated: bool) -> Floats:
    return np.hstack([matrix, scipy.special.logit(rates)]) if dated else matrix


def _weights(n: int, half_life_rows: float) -> Floats:
    """Of ``n`` rows in order of time; the last weighs 1."""
    return np.asarray(0.5 ** (np.arange(n)[::-1] / half_life_rows), dtype=float)


def _logistic(x: Floats, y: Floats, half_life_rows: float) -> Callable[[Floats], Floats]:
    """Ridge logistic regression around the base rate.

    The penalty is learned by its evidence. A market that moved is followed by a shorter memory: fits of several
    memories are averaged by how well each, without the latest rows, predicts these (Bayesian model averaging with
    predictive weights).
    """
    if not np.isfinite(half_life_rows):
        return _ridge(x, y, half_life_rows)
    memories = [half_life_rows * share for share in _MEMORIES]
    cut = len(y) - _LATEST_ROWS
    if cut < _LATEST_ROWS or len(np.unique(y[:cut])) < 2:
        return _ridge(x, y, half_life_rows)
    told = [_ridge(x[:cut], y[:cut], memory)(x[cut:]) for memory in memories]
    weight = scipy.special.softmax([np.log(np.where(y[cut:] == 1, p, 1 - p)).sum() for p in told])
    fits = [(share, _ridge(x, y, memory)) for share, memory in zip(weight, memories, strict=True) if share > _SLIGHT]
    total = sum(share for share, _ in fits)
    return lambda other: np.asarray(sum(share * fit(other) for share, fit in fits) / total, dtype=float)


def _ridge(x: Floats, y: Floats, half_life_rows: float) -> Callable[[Floats], Floats]:
    """One memory's fit; rows that weigh under a hundredth are left out."""
    first = int(max(0, len(y) - _FORGOTTEN * half_life_rows)) if np.isfinite(half_life_rows) else 0
    rows, weights = x[first:], _weights(len(y) - first, half_life_rows)
    centre = np.average(rows, axis=0, weights=weights)
    scale = np.ones(x.shape[1])
    if np.isfinite(half_life_rows):
        scale[-len(HALF_LIVES) :] *= _RATE_WEIGHT
    found = integrated_ridge(rows - centre, y[first:], weights, scale)
    return lambda other: np.asarray(scipy.special.expit(found[0] + (other - centre) @ found[1:]), dtype=float)


def _boosting(x: Floats, y: Floats, half_life_rows: float, seed: int) -> Callable[[Floats], Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=8,
        min_samples_leaf=30,
        l2_regularization=5.0,
        max_bins=32,  # weighted bins of many values take longer than the trees
        early_stopping=False,
        random_state=seed,
    ).fit(x, y, sample_weight=_weights(len(y), half_life_rows))
    return lambda other: np.asarray(model.predict_proba(other)[:, 1], dtype=float)


def _own(x: Floats, y: Floats, learner: Any, seed: int) -> Callable[[Floats], Floats]:
    """A clone of a classifier that was handed in, seeded wherever it takes a seed."""
    from sklearn.base import clone

    model = clone(learner)
    seeds = {name: seed for name in model.get_params() if name.split("__")[-1] == "random_state"}
    model.set_params(**seeds).fit(x, y)
    return lambda other: np.asarray(model.predict_proba(other)[:, 1], dtype=float)
