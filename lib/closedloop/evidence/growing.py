"""Grows the shallow tree behind an assignment rule and reads its leaves back in terms of the fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.evidence.indicators import Floats, is_metric, level_text

Levels = tuple[str | None, ...]
Bounds = tuple[float | None, float | None, bool]


@dataclass(frozen=True)
class Leaf:
    """One leaf: the levels allowed per category, (above, up_to, missing) per number, and whom it holds."""

    label: str
    n: int
    share_right: float
    allowed: dict[str, Levels] = field(default_factory=dict)
    bounds: dict[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True)
class _Category:
    """A category as numbers for the tree: column j holds the place of the level in the order of its own."""

    name: str
    levels: Levels
    places: Floats  # (levels,) place of each level

    def column(self, frame: pd.DataFrame) -> Floats:
        place = dict(zip(self.levels, self.places, strict=True))
        return np.array([place[level] for level in _texts(frame[self.name])], dtype=float)

    def split(self, threshold: float, goes_left: bool) -> Levels:
        inside = (self.places <= threshold) == goes_left
        return tuple(level for level, kept in zip(self.levels, inside, strict=True) if kept)


@dataclass(frozen=True)
class _Number:
    """A number, as ranks of its distinct values, so that the tree's single precision loses nothing."""

    name: str
    values: Floats

    def column(self, frame: pd.DataFrame) -> Floats:
        numbers = _numbers(frame[self.name])
        return np.where(np.isnan(numbers), np.nan, np.searchsorted(self.values, numbers))

    def cut(self, threshold: float) -> float:
        place = int(np.floor(threshold))
        return _short_between(self.values[place], self.values[place + 1])


_Feature = _Category | _Number


def grown_leaves(
    rows: pd.DataFrame, labels: NDArray[np.object_], max_leaves: int, rng: np.random.Generator
) -> list[Leaf]:
    """Leaves of a classification tree, in the order label, then size; neighbours with one label are merged.

    At most ``max_leaves`` leaves of at least 5 rows and 1 % of the rows each.
    """
    from sklearn.tree import DecisionTreeClassifier

    features = _features(rows, labels)
    if not features:
        return []
    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(max_leaves, 2), min_samples_leaf=max(5, len(rows) // 100),
        random_state=int(rng.integers(2**31)),
    ).fit(np.column_stack([f.column(rows) for f in features]), labels)
    grown = _Grown(tree.tree_, list(tree.classes_), features, rows)
    leaves = list(grown.leaves(0, Leaf("", 0, 0.0)))
    return sorted(leaves, key=lambda leaf: (leaf.label, -leaf.n))


@dataclass(frozen=True)
class _Grown:
    tree: object
    classes: list[str]
    features: list[_Feature]
    rows: pd.DataFrame

    def leaves(self, node: int, path: Leaf) -> Iterator[Leaf]:
        """Leaves below ``node``; a node whose leaves agree is a leaf itself."""
        counts = self._counts(node)
        label = self.classes[int(counts.argmax())]
        if self._labels_below(node) == {label}:
            yield replace(path, label=label, n=int(counts.sum()), share_right=float(counts.max() / counts.sum()))
            return
        for goes_left, child in self._children(node):
            yield from self.leaves(child, self._narrowed(path, node, goes_left))

    def _counts(self, node: int) -> Floats:
        share: Floats = self.tree.value[node][0]  # type: ignore[attr-defined]
        counts: Floats = np.round(share * self.tree.n_node_samples[node])  # type: ignore[attr-defined]
        return counts

    def _children(self, node: int) -> list[tuple[bool, int]]:
        left = int(self.tree.children_left[node])  # type: ignore[attr-defined]
        right = int(self.tree.children_right[node])  # type: ignore[attr-defined]
        return [(True, left), (False, right)] if left >= 0 else []

    def _labels_below(self, node: int) -> set[str]:
        children = self._children(node)
        if not children:
            return {self.classes[int(self._counts(node).argmax())]}
        return set().union(*(self._labels_below(child) for _, child in children))

    def _narrowed(self, path: Leaf, node: int, goes_left: bool) -> Leaf:
        feature = self.features[int(self.tree.feature[node])]  # type: ignore[attr-defined]
        threshold = float(self.tree.threshold[node])  # type: ignore[attr-defined]
        if isinstance(feature, _Category):
            inside = feature.split(threshold, goes_left)
            before = path.allowed.get(feature.name, feature.levels)
            kept = tuple(level for level in before if level in inside)
            return replace(path, allowed={**path.allowed, feature.name: kept})
        missing_left = bool(self.tree.missing_go_to_left[node])  # type: ignore[attr-defined]
        bounds = self._bounds(path, feature, threshold, goes_left, missing_left)
        return replace(path, bounds={**path.bounds, feature.name: bounds})

    def _bounds(self, path: Leaf, feature: _Number, threshold: float, goes_left: bool, missing_left: bool) -> Bounds:
        had_missing = bool(np.isnan(_numbers(self.rows[feature.name])).any())
        above, up_to, missing = path.bounds.get(feature.name, (None, None, had_missing))
        missing = missing and goes_left == missing_left
        if not np.isfinite(threshold):  # known on one side, missing on the other
            return (above, up_to, missing) if goes_left != missing_left else (above, -np.inf, missing)
        cut = feature.cut(threshold)
        return (above, cut, missing) if goes_left else (cut, up_to, missing)


def _features(rows: pd.DataFrame, labels: NDArray[np.object_]) -> list[_Feature]:
    found: list[_Feature] = []
    for name in map(str, rows.columns):
        if is_metric(rows[name]):
            found.append(_Number(name, np.unique(_numbers(rows[name]).astype(float))[: _n_known(rows[name])]))
            continue
        levels, table = _label_shares(_texts(rows[name]), labels)
        if len(levels) > 1:
            found.append(_Category(name, levels, _ordered(table)))
            if len(levels) > 2:  # one level against the rest, which an order of levels cannot always say
                found += [_Category(name, levels, _single(j, len(levels))) for j in range(min(len(levels), 40))]
    return found


def _n_known(values: pd.Series) -> int:
    return int(pd.Series(_numbers(values)).nunique())


def _label_shares(texts: list[str | None], labels: NDArray[np.object_]) -> tuple[Levels, Floats]:
    table = pd.crosstab(pd.Series(texts, dtype=object).fillna("\0missing"), pd.Series(labels, dtype=object))
    levels = tuple(None if level == "\0missing" else str(level) for level in table.index)
    return levels, table.to_numpy(dtype=float)


def _ordered(table: Floats) -> Floats:
    """Place of each level along the first principal component of the label shares, weighted by size."""
    sizes = table.sum(axis=1)
    around = table / sizes[:, None] - table.sum(axis=0) / sizes.sum()
    _, axes = np.linalg.eigh((around * sizes[:, None]).T @ around)
    score = around @ axes[:, -1]
    score = score * (1 if score[np.abs(score).argmax()] >= 0 else -1)
    places: Floats = np.argsort(np.argsort(score.round(12), kind="stable"), kind="stable").astype(float)
    return places


def _single(j: int, n_levels: int) -> Floats:
    places: Floats = (np.arange(n_levels) == j).astype(float)
    return places


def _texts(values: pd.Series) -> list[str | None]:
    return [None if level is None or level is np.nan else str(level) for level in level_text(values).tolist()]


def _numbers(values: pd.Series) -> Floats:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _short_between(low: float, high: float) -> float:
    """The shortest decimal x with low <= x < high, so that "x or less" splits the two."""
    middle = low + (high - low) / 2
    for digits in range(-6, 15):
        short = float(np.round(middle, digits))
        if low <= short < high:
            return short
    return float(low)
