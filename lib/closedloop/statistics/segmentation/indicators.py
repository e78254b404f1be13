"""Answers as numbers: levels and patterns, survey weights, profiles of segments, and which answers go together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.proportions import wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_MOST_LEVELS = 30  # of a category; in samples of some thousand rows rarer ones are too few to tell anything
_MOST_COMPONENTS = 6
_FEWEST_ROWS = 10  # with an answer and without it: rarer ones go together by luck, and are not shown


def effective_size(weights: Floats) -> float:
    """How many answers of equal weight are as sure as these: the square of the sum over the sum of squares.

    Source: Kish (1965), Survey Sampling, 11.7.
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def as_effective(weights: Floats) -> Floats:
    """Weights that sum to their effective size: of so many rows a likelihood may be taken to be."""
    return np.asarray(weights.astype(float) * (effective_size(weights) / weights.sum()))


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
        return np.asarray((self.item_of[:, None] == self.item_of[None, :]).astype(self.indicators.dtype))

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


def short_between(low: float, high: float) -> float:
    """The shortest decimal x with low <= x < high, so that "x or less" splits the two."""
    middle = low + (high - low) / 2
    for digits in range(-6, 15):
        short = float(np.round(middle, digits)) + 0.0  # no -0
        if low <= short < high:
            return short
    return float(low)


def short_edges(values: pd.Series, edges: Floats) -> tuple[float, ...]:
    """Edges of bands with as few digits as leave every one of the ``values`` in its band: those at an edge below it."""
    known = np.unique(values.dropna().astype(float))
    found = []
    for place in np.searchsorted(known, edges, side="right"):
        low, high = known[place - 1], known[place] if place < len(known) else np.inf
        is_short = not np.isfinite(high) or float(f"{low:.4g}") == low
        found.append(float(low) if is_short else short_between(low, high))
    return tuple(dict.fromkeys(found))


def edge_text(edge: float) -> str:
    """An edge of a band, exactly: 1995 may be a year, and 1,698,000,000 is no power of ten."""
    return (f"{edge:,}" if abs(edge) >= 10_000 else f"{edge:.15g}").removesuffix(".0")


def coding_of(items: pd.DataFrame, n_bands: int = 4) -> Coding:
    """Learn the levels of each field; numbers are cut at their quantiles into ``n_bands`` bands."""
    levels, edges = list[tuple[str, ...]](), list[tuple[float, ...]]()
    for name in items.columns:
        cuts: list[float] = []
        if is_metric(items[name]):
            edges_at = np.nanquantile(items[name].astype(float), np.arange(1, n_bands) / n_bands)
            cuts = list(short_edges(items[name], edges_at))
        ends = [edge_text(cut) for cut in cuts]
        inner = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
        levels.append((f"up to {ends[0]}", *inner, f"over {ends[-1]}") if cuts else common_levels(items[name]))
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


def components(
    items: pd.DataFrame, rng: np.random.Generator, *, shuffles: int = 20, most_rows: int = 2_000
) -> pd.DataFrame:
    """How much of all variance the first principal components hold, beside columns that were shuffled.

    One row a component: component (from 1), share, and shuffled (the 95 % point of its share when every item is
    shuffled by itself). Components above it hold something that the answers have in common. ``items``: answers,
    categories or numbers; a missing value counts as the column's mean; more than ``most_rows`` rows: a random part.
    Source: Horn (1965), Psychometrika 30, 179-185 (parallel analysis).
    """
    part = items if len(items) <= most_rows else items.iloc[np.sort(rng.choice(len(items), most_rows, replace=False))]
    blocks = [_standardised(indicator_columns(part[name]).to_numpy(dtype=float)) for name in part.columns]
    kept = [block for block in blocks if block.shape[1]]
    if len(kept) < 2:
        return pd.DataFrame(columns=["component", "share", "shuffled"])
    found = _shares(np.hstack(kept))
    null = [_shares(np.hstack([block[rng.permutation(len(block))] for block in kept])) for _ in range(shuffles)]
    n = min(len(found), _MOST_COMPONENTS)
    edge = np.quantile(np.stack(null), 0.95, axis=0)[:n]
    return pd.DataFrame({"component": np.arange(1, n + 1), "share": found[:n], "shuffled": edge})


def _standardised(block: Floats) -> Floats:
    """Columns of mean 0 and variance 1, missing values at the mean; a column that does not vary is dropped."""
    block = block[:, ~np.isnan(block).all(axis=0)]
    centred = block - np.nanmean(block, axis=0)
    spread = np.nanstd(block, axis=0)
    return np.asarray(np.nan_to_num(centred[:, spread > 0] / spread[spread > 0]))


def _shares(columns: Floats) -> Floats:
    values = np.linalg.eigvalsh(columns.T @ columns)[::-1]
    return np.asarray(values / values.sum())


def associations(items: pd.DataFrame, level: float = 0.90) -> pd.DataFrame:
    """The rank correlation of every two answers to different items, strongest first.

    Columns: first, second (answers, as ``profiles`` names them), estimate, low, high, n. The intervals hold for all
    pairs at once (Bonferroni over Fisher's z), so they hold for the strongest one as well. Answers that fewer than ten
    rows give, or do not give, are left out.
    """
    return strongest_pairs(*ranked_answers(items), level)


def ranked_answers(items: pd.DataFrame) -> tuple[pd.DataFrame, Ints]:
    """The ranks of all answers that are common enough, a column each, and the place of the item that each is of."""
    ranks, owner = list[pd.Series](), list[int]()
    for place, name in enumerate(items.columns):
        for _, answers in indicator_columns(items[name]).items():
            if answers.notna().sum() - answers.value_counts().max() >= _FEWEST_ROWS:
                ranks.append(answers.rank())
                owner.append(place)
    return pd.concat(ranks, axis=1) if ranks else pd.DataFrame(), np.array(owner, dtype=np.int64)


def strongest_pairs(columns: pd.DataFrame, owner: Ints, level: float = 0.90) -> pd.DataFrame:
    """``associations`` of answers as ``ranked_answers`` gives them."""
    first, second = np.triu_indices(len(owner), 1)
    apart = owner[first] != owner[second]
    first, second = first[apart], second[apart]
    known = columns.notna().to_numpy(dtype=float)
    n, r = (known.T @ known)[first, second], columns.corr().to_numpy()[first, second]
    seen = (n >= _FEWEST_ROWS) & np.isfinite(r)
    names = columns.columns.to_numpy()
    found = pd.DataFrame({"first": names[first], "second": names[second], "estimate": r, "n": n.astype(int)})[seen]
    reach = scipy.stats.norm.isf((1 - level) / 2 / max(len(found), 1)) / np.sqrt(found["n"] - 3)
    z = np.arctanh(found["estimate"].clip(-0.999999, 0.999999))
    found = found.assign(low=np.tanh(z - reach), high=np.tanh(z + reach))
    return pd.DataFrame(found).sort_values("estimate", key=abs, ascending=False, kind="stable", ignore_index=True)


def sizes_of(labels: pd.Series, k: int, weights: Floats | None = None) -> pd.DataFrame:
    """Columns segment, size (rows), share, low, high (90 % Wilson interval of the share), one row per segment.

    ``weights``: (rows,) of a survey; then ``n_effective`` is what each share's interval rests on, else missing.
    """
    sizes = np.bincount(labels, minlength=k)
    is_member = (labels.to_numpy()[:, None] == np.arange(k)).astype(float)
    hits, n = (sizes, np.full(k, len(labels))) if weights is None else effective_counts(is_member, weights)
    low, high = wilson(hits, n)
    table = pd.DataFrame({"segment": np.arange(k), "size": sizes, "share": hits / n, "low": low, "high": high})
    return table.assign(n_effective=np.nan if weights is None else n)


def profile_of(items: pd.DataFrame, labels: pd.Series, weights: Floats | None = None) -> pd.DataFrame:
    """One row per segment and one for the market; answers as shares of those who answered, numbers as means.

    ``weights``: (rows,) of a survey; every row counts the same without them.
    """
    numbers = pd.concat([indicator_columns(items[name]) for name in items.columns], axis=1)
    if weights is None:
        by_segment, market = numbers.groupby(labels).mean(), numbers.mean().to_frame("market").T
    else:
        weighed = numbers.notna().mul(weights, axis=0)
        everyone = pd.Series("market", index=numbers.index)
        by_segment, market = (
            numbers.mul(weights, axis=0).groupby(by).sum() / weighed.groupby(by).sum() for by in (labels, everyone)
        )
    return pd.concat([by_segment.set_axis(by_segment.index.astype(str)), market]).rename_axis("segment")


def profile_sizes(items: pd.DataFrame, labels: pd.Series, weights: Floats) -> pd.DataFrame:
    """The effective n of everything in ``profile_of`` with weights, in its shape."""
    numbers = pd.concat([indicator_columns(items[name]) for name in items.columns], axis=1)
    is_number = [name in items and is_metric(items[name]) for name in numbers.columns]
    known = numbers.mask(numbers.notna() & np.array(is_number), 0.0).to_numpy()  # of means: Kish's
    names = labels.astype(str).to_numpy()
    parts = {name: names == name for name in sorted(set(names))} | {"market": np.full(len(names), True)}
    sizes = {name: effective_counts(known[part], weights[part])[1] for name, part in parts.items()}
    return pd.DataFrame(sizes, index=numbers.columns).T.rename_axis("segment")


def indicator_columns(values: pd.Series) -> pd.DataFrame:
    """A field as numbers: one column for a number or a yes/no question, else one a level; missing stays missing."""
    name = str(values.name)
    if is_metric(values):
        return values.astype(float).to_frame(name)
    coding = coding_of(values.to_frame(name))
    codes, levels = coding.codes(values.to_frame(name))[:, 0], coding.levels[0]
    shares = {f"{name}={level}": np.where(codes < 0, np.nan, codes == j) for j, level in enumerate(levels)}
    if len(levels) == 2:  # yes/no: the second level in order is the yes
        return pd.DataFrame({name: shares[f"{name}={levels[1]}"]}, index=values.index)
    return pd.DataFrame(shares, index=values.index)


def field_and_level(column: str, rows: pd.DataFrame) -> tuple[str, str]:
    """What a column of a profile of ``rows`` counts: a field and its level, of two the second; of a number no level."""
    if column not in rows:
        field = next(str(name) for name in rows if column.startswith(f"{name}="))
        return field, column.removeprefix(f"{field}=")
    values = rows[column]
    return column, "" if is_metric(values) else str(level_text(values).dropna().max())
