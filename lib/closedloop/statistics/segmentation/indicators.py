"""Survey weights: shares of answers that stand for different numbers of people, and how many equal ones are as sure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.errors import ParameterError


def effective_size(weights: Floats) -> float:
    """How many answers of equal weight are as sure as these: the square of the sum over the sum of squares.

    Source: Kish (1965), Survey Sampling, 11.7.
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def as_effective(weights: Floats) -> Floats:
    """Weights that sum to their effective size: of so many rows a likelihood may be taken to be."""
    scaled: Floats = weights.astype(float) * (effective_size(weights) / weights.sum())
    return scaled


def effective_counts(hit: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Successes k and cases n, (m,) each, of the equally weighted sample that tells each weighted share as surely.

    ``hit``: (rows, m) of 0, 1 or NaN (not answered); ``weights``: (rows,) above 0, of which only the ratios matter.
    k / n is the weighted share. n is Kish's effective size, and smaller where those who give the rarer answer weigh
    most, so that the share's linearised variance is larger; both are 0 where nobody answered. Source: Korn & Graubard
    (1998), Survey Methodology 24, 193-201, without their correction for few clusters.
    """
    weight = np.where(np.isnan(hit), 0.0, weights[:, None])
    value = np.nan_to_num(hit)
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (weight * value).sum(axis=0) / total
        kish = total**2 / (weight**2).sum(axis=0)
        linearised = share * (1 - share) * total**2 / (weight**2 * (value - share) ** 2).sum(axis=0)
        n = np.fmin(kish, np.where(linearised > 0, linearised, np.nan))
        return np.nan_to_num(np.minimum(share * n, n)), np.nan_to_num(n)


def weighted_mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """The weighted mean of known ``values`` and its standard error (linearised)."""
    mean = float(np.average(values, weights=weights))
    squares = ((weights * (values - mean)) ** 2).sum() * len(values) / max(len(values) - 1, 1)
    return mean, float(np.sqrt(squares) / weights.sum())


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_MOST_LEVELS = 30  # of a category; in samples of some thousand rows rarer ones are too few to tell anything


@dataclass(frozen=True)
class Coding:
    """How each field is cut into levels; kept, so that later rows are coded alike.

    ``levels[j]`` names the levels of field j in order; ``edges[j]`` holds the inner cut points of a numeric field
    (empty for a categorical one). A level that was not seen before, or hardly ever, counts as missing.
    """

    fields: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    edges: tuple[tuple[float, ...], ...]

    def codes(self, items: pd.DataFrame) -> Ints:
        """Level numbers, shape (n rows, m fields); -1 where missing or unseen."""
        absent = [name for name in self.fields if name not in items.columns]
        if absent:
            raise ParameterError(f"fields {absent} are absent; the rows need the columns {list(self.fields)}")
        columns = []
        for name, levels, edges in zip(self.fields, self.levels, self.edges, strict=True):
            if edges:
                numbers = pd.to_numeric(items[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
                columns.append(np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="left")))
            else:
                columns.append(pd.Index(levels).get_indexer(pd.Index(level_text(items[name]))))
        return np.column_stack(columns).astype(np.int64)


@dataclass(frozen=True)
class Patterns:
    """Distinct response patterns and how many rows show each.

    ``indicators``: (P patterns, L levels over all items) of 0/1, an item's levels all 0 where it is missing;
    ``counts``: (P,) rows per pattern; ``pattern_of_row``: (n,); ``item_of``: (L,) the item of each level column.
    """

    indicators: Floats
    counts: Floats
    pattern_of_row: Ints
    item_of: Ints

    @cached_property
    def same_item(self) -> Floats:
        """(L, L) of 0/1: whether two level columns belong to one item."""
        same: Floats = (self.item_of[:, None] == self.item_of[None, :]).astype(self.indicators.dtype)
        return same

    def coarse(self) -> Patterns:
        """The same patterns in single precision."""
        return replace(self, indicators=self.indicators.astype(np.float32))


def level_text(values: pd.Series) -> pd.Series:
    """The values as level names: "true" and "false", whole numbers without ".0"; missing stays missing."""
    if isinstance(values.dtype, pd.StringDtype):
        return values
    codes, known = pd.factorize(values)
    if values.dtype == object or not len(known):  # True and 1 are equal, and yet two levels
        return values.astype("object").map(_level_name)
    found = pd.Series(known).astype("object").map(_level_name).reindex(codes).set_axis(values.index)
    found.name = values.name
    return found


def is_metric(values: pd.Series) -> bool:
    """Whether a field is a number with more than two values (and so has to be cut into bands)."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > 2


def common_levels(values: pd.Series) -> tuple[str, ...]:
    """The levels of a category in alphabetical order: all, or of very many the 30 most frequent."""
    sizes = level_text(values).dropna().value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return tuple(sorted(sizes.index[:_MOST_LEVELS]))


def coding_of(items: pd.DataFrame, n_bands: int = 4) -> Coding:
    """Learn the levels of each field; numbers are cut at their quantiles into ``n_bands`` bands."""
    levels, edges = list[tuple[str, ...]](), list[tuple[float, ...]]()
    for name in items.columns:
        cuts: list[float] = []
        if is_metric(items[name]):
            cuts = np.unique(np.nanquantile(items[name].astype(float), np.arange(1, n_bands) / n_bands)).tolist()
        inner = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(cuts)]
        levels.append((f"up to {cuts[0]:g}", *inner, f"over {cuts[-1]:g}") if cuts else common_levels(items[name]))
        edges.append(tuple(cuts))
    return Coding(tuple(str(name) for name in items.columns), tuple(levels), tuple(edges))


def patterns_of(codes: Ints, n_levels: Ints) -> Patterns:
    """Distinct rows of ``codes`` (-1 is missing) as indicators; ``n_levels`` counts the levels of each item."""
    distinct, row, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    item_of = np.repeat(np.arange(len(n_levels)), n_levels)
    level = np.concatenate([np.arange(count) for count in n_levels])
    indicators = (distinct[:, item_of] == level).astype(float)
    return Patterns(indicators, counts.astype(float), row.reshape(-1), item_of)


def _level_name(value: object) -> str | None:
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)
