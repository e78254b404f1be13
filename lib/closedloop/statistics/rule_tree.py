"""Learns an assignment rule: grows a shallow tree, and reads its leaves back in terms of the fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.rules import Among, Between, Branch, Condition, Rule
from closedloop.statistics.segmentation.indicators import Floats, level_text, short_between

Levels = tuple[str | None, ...]
_MOST_LEVELS = 15  # of a category that are told apart; the largest field that a person still reads at a glance
_MOST_NAMED = 8  # of a category with more levels than that
_OTHERS = "\0others"  # all its levels that are not named


@dataclass(frozen=True)
class RuleError:
    """Cross-validated share of rows assigned to another label than their own; ``guessing``: always the largest."""

    error: float
    guessing: float
    n: int


def assignment_rule(fields: pd.DataFrame, labels: pd.Series, *, max_leaves: int = 8, rng: np.random.Generator) -> Rule:
    """Learn a shallow decision tree that tells the labels apart, as a readable rule.

    ``fields``: categories, booleans or numbers, one row per label; missing is a value of its own. Missing labels are
    left out. A level or a gap that was never seen leads to the largest label. Raises ParameterError when nothing is
    labelled. Method: CART (Breiman et al., 1984; scikit-learn), categories ordered by the first principal component
    of their label shares (Coppersmith, Hong & Hosking, 1999). Of a category of more than 15 levels the eight most
    frequent ones are told apart from all others, so that every branch can be read.
    """
    known = labels.notna().to_numpy()
    if not known.any() or len(fields) != len(labels):
        raise ParameterError(f"{len(fields)} rows bear {int(known.sum())} labels; a rule needs a label on each row")
    rows, wanted = fields.loc[known], labels[known].map(_label_text)
    default = str(wanted.value_counts(sort=False).sort_index().idxmax())
    leaves = grown_leaves(rows, wanted.to_numpy(dtype=object), max_leaves, rng)
    branches = tuple(Branch(_conditions(leaf), leaf.label, leaf.n, leaf.share_right) for leaf in leaves)
    read = sorted({c.field for branch in branches for c in branch.conditions}, key=list(fields.columns).index)
    return Rule(branches, default, tuple(read))


def cross_fitted(
    fields: pd.DataFrame, labels: pd.Series, *, max_leaves: int = 8, rng: np.random.Generator, folds: int = 5
) -> pd.Series:
    """Label of every row by a rule that was learned on the other folds only; index kept.

    Missing labels teach nothing, yet their rows are labelled. Use it where the labels were made from what is then
    compared: no row's own answers decide where it is counted. Source: sample splitting (Cox, 1975) with the folds
    swapped, so that every row is used (cross-fitting, Chernozhukov et al., 2018). ParameterError when there are fewer
    labelled rows than folds.
    """
    n_known = int(labels.notna().sum())
    if n_known < folds:
        raise ParameterError(f"{n_known} rows bear labels; {folds} folds need at least as many")
    fold = rng.permutation(len(fields)) % folds
    found = pd.Series("", index=labels.index, name="label", dtype=object)
    for held in range(folds):
        rule = assignment_rule(fields[fold != held], labels[fold != held], max_leaves=max_leaves, rng=rng)
        found[fold == held] = rule.assign(fields[fold == held]).to_numpy()
    return found


def cross_validated_error(
    fields: pd.DataFrame, labels: pd.Series, *, max_leaves: int = 8, rng: np.random.Generator, folds: int = 5
) -> RuleError:
    """Share of rows that a rule learned on the other folds assigns wrongly, beside always guessing the largest.

    NaN when there are fewer labelled rows than folds.
    """
    known = labels.notna()
    if known.sum() < folds:
        return RuleError(np.nan, np.nan, int(known.sum()))
    wanted = labels[known].map(_label_text)
    found = cross_fitted(fields[known.to_numpy()], labels[known], max_leaves=max_leaves, rng=rng, folds=folds)
    return RuleError(float((found != wanted).mean()), float((wanted != wanted.mode().iloc[0]).mean()), len(wanted))


def _conditions(leaf: Leaf) -> tuple[Condition, ...]:
    named = {f: leaf.barred.get(f, levels) for f, levels in leaf.allowed.items()}
    among = [
        Among(f, tuple(v for v in levels if v is not None), None in leaf.allowed[f], f in leaf.barred)
        for f, levels in named.items()
    ]
    return (*among, *leaf.bounds.values())


def _label_text(label: object) -> str:
    return f"{label:g}" if isinstance(label, (float, np.floating)) else str(label)


@dataclass(frozen=True)
class Leaf:
    """One leaf: the levels allowed per category, the bounds per number, and whom it holds.

    ``barred``: of categories whose unnamed levels are allowed, the named ones that are not.
    """

    label: str
    n: int
    share_right: float
    allowed: dict[str, Levels] = field(default_factory=dict)
    bounds: dict[str, Between] = field(default_factory=dict)
    barred: dict[str, Levels] = field(default_factory=dict)


@dataclass(frozen=True)
class _Category:
    """A category as numbers for the tree: column j holds the place of the level in the order of its own."""

    name: str
    levels: Levels
    places: Floats  # (levels,) place of each level

    def column(self, frame: pd.DataFrame) -> Floats:
        place = dict(zip(self.levels, self.places, strict=True))
        return np.array([place.get(level, place.get(_OTHERS)) for level in _texts(frame[self.name])], dtype=float)

    def levels_of(self, threshold: float, *, is_left: bool) -> Levels:
        inside = (self.places <= threshold) == is_left
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
        return short_between(self.values[place], self.values[place + 1])


_Feature = _Category | _Number


def grown_leaves(
    rows: pd.DataFrame, labels: NDArray[np.object_], max_leaves: int, rng: np.random.Generator
) -> list[Leaf]:
    """Leaves of a classification tree, in the order label, then size; neighbours with one label are merged.

    At most ``max_leaves`` leaves of at least 5 rows and 1 % of the rows each.
    """
    from sklearn.tree import DecisionTreeClassifier

    least = max(5, len(rows) // 100)
    features = _features(rows, labels, least)
    if not features:
        return []
    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(max_leaves, 2),
        min_samples_leaf=least,
        random_state=int(rng.integers(2**31)),
    ).fit(np.column_stack([f.column(rows) for f in features]), labels)
    gaps = {str(name): bool(rows[name].isna().any()) for name in rows.columns}
    grown = _Grown(tree.tree_, list(tree.classes_), features, gaps)
    leaves = [_plainer(leaf, features, gaps) for leaf in _merged(grown.leaves(0, Leaf("", 0, 0.0)))]
    return sorted(leaves, key=lambda leaf: (leaf.label, -leaf.n))


@dataclass(frozen=True)
class _Grown:
    tree: Any
    classes: list[str]
    features: list[_Feature]
    gaps: dict[str, bool]

    def leaves(self, node: int, path: Leaf) -> list[Leaf]:
        """Leaves below ``node``; a node whose leaves agree is a leaf itself."""
        children = ((True, self.tree.children_left[node]), (False, self.tree.children_right[node]))
        below = [
            leaf
            for is_left, child in children
            if child >= 0
            for leaf in self.leaves(int(child), self._narrowed(path, node, is_left=is_left))
        ]
        if len({leaf.label for leaf in below}) > 1:
            return below
        counts: Floats = np.round(self.tree.value[node][0] * self.tree.n_node_samples[node])
        label = self.classes[int(counts.argmax())]
        return [replace(path, label=label, n=int(counts.sum()), share_right=float(counts.max() / counts.sum()))]

    def _narrowed(self, path: Leaf, node: int, *, is_left: bool) -> Leaf:
        """The path one step further down; gaps of numbers go to one side as well."""
        feature, threshold = self.features[int(self.tree.feature[node])], float(self.tree.threshold[node])
        name = feature.name
        if isinstance(feature, _Category):
            inside = feature.levels_of(threshold, is_left=is_left)
            kept = tuple(level for level in path.allowed.get(name, feature.levels) if level in inside)
            return replace(path, allowed={**path.allowed, name: kept})
        with_gaps = is_left == bool(self.tree.missing_go_to_left[node])
        before = path.bounds.get(name, Between(name, missing=self.gaps[name]))
        bounds = replace(before, missing=before.missing and with_gaps)
        if not np.isfinite(threshold):  # every number on one side, every gap on the other
            bounds = replace(bounds, known=not with_gaps)
        elif is_left:
            bounds = replace(bounds, up_to=feature.cut(threshold))
        else:
            bounds = replace(bounds, above=feature.cut(threshold))
        return replace(path, bounds={**path.bounds, name: bounds})


def _merged(leaves: list[Leaf]) -> list[Leaf]:
    """Leaves of one label that differ in one category's levels, or in bounds that touch, become one."""
    kept: list[Leaf] = []
    for leaf in leaves:
        unions = [(i, union) for i, other in enumerate(kept) if (union := _union(other, leaf)) is not None]
        if unions:
            kept[unions[0][0]] = unions[0][1]
        else:
            kept.append(leaf)
    return kept if len(kept) == len(leaves) else _merged(kept)


def _union(one: Leaf, other: Leaf) -> Leaf | None:
    """One leaf for both, or None when no single condition can say so."""
    if (
        one.label != other.label
        or one.bounds.keys() != other.bounds.keys()
        or one.allowed.keys() != other.allowed.keys()
    ):
        return None
    levels = [name for name in one.allowed if one.allowed[name] != other.allowed[name]]
    bounds = [name for name in one.bounds if one.bounds[name] != other.bounds[name]]
    if len(levels) + len(bounds) != 1:
        return None
    n = one.n + other.n
    both = replace(one, n=n, share_right=(one.n * one.share_right + other.n * other.share_right) / n)
    if levels:
        wider = {*one.allowed[levels[0]], *other.allowed[levels[0]]}
        in_order = tuple(sorted(wider, key=lambda level: (level is None, level or "")))
        return replace(both, allowed={**one.allowed, levels[0]: in_order})
    joined = _touching(one.bounds[bounds[0]], other.bounds[bounds[0]])
    return replace(both, bounds={**one.bounds, bounds[0]: joined}) if joined else None


def _touching(one: Between, other: Between) -> Between | None:
    """Bounds that hold what either holds, when they share an end or one holds gaps only."""
    missing = one.missing or other.missing
    if not (one.known and other.known):
        return replace(one if one.known else other, missing=missing)
    low, high = (one, other) if other.above is not None and one.up_to == other.above else (other, one)
    if low.up_to is None or low.up_to != high.above:
        return None
    return Between(low.field, low.above, high.up_to, missing)


def _plainer(leaf: Leaf, features: list[_Feature], gaps: dict[str, bool]) -> Leaf:
    """The leaf without conditions that every training row meets."""
    every = {f.name: set(f.levels) for f in features if isinstance(f, _Category)}
    allowed = {name: levels for name, levels in leaf.allowed.items() if set(levels) != every[name]}
    free = {name for name, b in leaf.bounds.items() if b.above is None and b.up_to is None and b.known}
    bounds = {name: b for name, b in leaf.bounds.items() if not (name in free and b.missing == gaps[name])}
    barred: dict[str, Levels] = {
        name: tuple(sorted(level for level in every[name] - set(levels) if level is not None))
        for name, levels in allowed.items()
        if _OTHERS in levels
    }
    return replace(leaf, allowed=allowed, bounds=bounds, barred=barred)


def _features(rows: pd.DataFrame, labels: NDArray[np.object_], least: int) -> list[_Feature]:
    found: list[_Feature] = []
    for name in map(str, rows.columns):
        if pd.api.types.is_numeric_dtype(rows[name]) and not pd.api.types.is_bool_dtype(rows[name]):
            if rows[name].isna().any() or rows[name].nunique() > 1:
                found.append(_Number(name, np.unique(_numbers(rows[name].dropna()))))
            continue
        texts = pd.Series(_named(_texts(rows[name]), least), dtype=object).fillna("\0missing")
        table = pd.crosstab(texts, pd.Series(labels, dtype=object))
        levels = tuple(None if level == "\0missing" else str(level) for level in table.index)
        if len(levels) > 1:
            found.append(_Category(name, levels, _ordered(table.to_numpy(dtype=float))))
            if len(levels) > 2:  # one level against the rest, which an order of levels cannot always say
                found += [_Category(name, levels, single) for single in np.eye(len(levels))]
    return found


def _named(texts: list[str | None], least: int) -> list[str | None]:
    """The texts with one name for all levels but the most frequent, of ``least`` rows or more, if they are many."""
    sizes = pd.Series(texts, dtype=object).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(sizes) <= _MOST_LEVELS:
        return texts
    named = set(sizes[sizes >= least].index[:_MOST_NAMED])
    return [text if text is None or text in named else _OTHERS for text in texts]


def _ordered(table: Floats) -> Floats:
    """Place of each level along the first principal component of the label shares, weighted by size."""
    sizes = table.sum(axis=1)
    around = table / sizes[:, None] - table.sum(axis=0) / sizes.sum()
    _, axes = np.linalg.eigh((around * sizes[:, None]).T @ around)
    score = around @ axes[:, -1]
    score = score * (1 if score[np.abs(score).argmax()] >= 0 else -1)
    return np.argsort(np.argsort(score.round(12), kind="stable"), kind="stable").astype(float)


def _texts(values: pd.Series) -> list[str | None]:
    return [None if level is None or level is np.nan else str(level) for level in level_text(values).tolist()]


def _numbers(values: pd.Series) -> Floats:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
