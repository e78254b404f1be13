"""Fields as a matrix of numbers for a score: levels as flags, numbers standardised, missing as its own level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.errors import ParameterError
from closedloop.evidence.indicators import Floats, common_levels, is_metric, level_text

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
            flags: Floats = (places[:, None] == np.arange(len(self.levels))).astype(float)
            return flags
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
