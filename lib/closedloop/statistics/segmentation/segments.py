"""How many segments the rows hold, and how well they come back: criteria, stability, agreement and a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy

from closedloop.errors import ParameterError
from closedloop.statistics.segmentation.indicators import (
    Floats,
    Ints,
    as_effective,
    effective_size,
    is_metric,
    profile_of,
    sizes_of,
)
from closedloop.statistics.segmentation.partitions import Cut, Material, Reader

Method = Literal["auto", "latent_classes", "k_means"]
Verdict = Literal["natural", "reproducible", "constructive", "unstable", "no segments"]

STABLE_ARI = 0.75
HOPELESS_ARI = 0.50
BEYOND_NULL_ARI = 0.30
STABLE_SEGMENT = 0.75
CLEAR_ENTROPY = 0.80
BEYOND_TRAIT_Z = 1.645
ROWS_PER_ITEM = 60
FEWEST_PER_SEGMENT = 10
_N_FOLDS = 5


@dataclass(frozen=True)
class Reason:
    """The figures behind a verdict.

    ``stable_ks``: numbers of segments that pass every stability rule; ``bic_k``, ``icl_k``, ``held_out_k``: what the
    other criteria name (1 = one segment fits best); ``beyond_trait_z``: how many standard errors the segments predict
    held-out rows better than one continuous structure does; ``entropy``: clearness of membership, 1 = certain.
    """

    stable_ks: tuple[int, ...]
    bic_k: int
    icl_k: int
    held_out_k: int
    beyond_trait_z: float
    entropy: float


@dataclass(frozen=True)
class Segmentation:
    """Segments with the evidence for and against them.

    ``criteria``: one row per k (from 1) with k, ari_median, ari_null_median, bic, icl, log_likelihood,
    held_out_log_likelihood, smallest_slsw, entropy. ``slsw``: k, segment, slsw, size. ``recommended_k``: 1 means no
    segments. ``disagreement``: lowest and highest k that a criterion names. ``labels``: segment number of each row of
    ``items`` (0 is the largest). ``profile``: share or mean of each item per segment, and of the "market".
    ``sizes``: as of ``sizes_of``. ``sample_warning``: fewer than 60 rows (of a survey with weights: effective ones) per
    item. ``others``: segment number of rows that took no part, where some were given.
    """

    method: str
    criteria: pd.DataFrame
    slsw: pd.DataFrame
    recommended_k: int
    verdict: Verdict
    reason: Reason
    disagreement: tuple[int, int]
    labels: pd.Series
    profile: pd.DataFrame
    sizes: pd.DataFrame
    sample_warning: bool
    others: pd.Series


def segmentation(
    items: pd.DataFrame,
    *,
    weights: pd.Series | None = None,
    method: Method = "auto",
    ks: Iterable[int] = range(2, 9),
    bootstraps: int = 20,
    rng: np.random.Generator,
    most_rows: int = 5_000,
    number: int | None = None,
    others: pd.DataFrame | None = None,
) -> Segmentation:
    """Cut rows into segments, and say whether there are any.

    ``items``: answers (yes/no, 0/1), categories or numbers; missing is allowed. ``weights``: of a survey, one a row:
    fits, criteria, profile and sizes count each row by it, together as much as their effective size. "auto" takes
    k-means when every column is a measured number, else latent classes (numbers in quartile bands). ``bootstraps``:
    pairs of bootstrap samples per k; a k with fewer than ten rows a segment is not tried. More than ``most_rows`` rows:
    a random part of that size is searched, and all rows are labelled. Recommended is the largest k whose median
    bootstrap adjusted Rand index is >= .75 and beats that of column-permuted data by .3 and whose every segment has a
    stability (SLSW) >= .75. Natural: beyond one continuous trait, clear membership, and
    BIC and ICL name it too. Reproducible: stable, and beyond one trait. Constructive: stable, yet one trait explains
    the rows as well. ``number``: of segments that somebody wants whatever these rules say (unstable: they would not
    have taken it). ``others``: rows with the same columns that take no part and are labelled all the same. Errors:
    ParameterError. Method: Dolnicar, Gruen & Leisch (2018), Market Segmentation Analysis, chapters 7 and 8.
    """
    _check(items, number, most_rows)
    chosen = _method(items, method)
    is_large = len(items) > most_rows
    part = items.iloc[np.sort(rng.choice(len(items), most_rows, replace=False))] if is_large else items
    reader = Reader.of(part, chosen)
    counted = None if weights is None else as_effective(weights.loc[part.index].to_numpy())
    material = reader.material(part, counted)
    wanted = sorted({1, *ks, *([] if number is None else [number])})
    tried = {k: _try(material, k, bootstraps, rng) for k in wanted if k == 1 or k * FEWEST_PER_SEGMENT <= len(part)}
    criteria = pd.DataFrame([attempt.row for attempt in tried.values()])
    k = number or max([1, *_stable_ks(criteria)])
    reason = _reason(material, criteria, k, rng)
    named = (k, reason.bic_k, reason.icl_k, reason.held_out_k)
    labels = _labelled(reader, tried[k].cut, items)
    of_rows = None if weights is None else weights.to_numpy(dtype=float)
    n_effective = len(items) if of_rows is None else effective_size(of_rows)
    return Segmentation(
        method=chosen,
        criteria=criteria,
        slsw=pd.concat([a.slsw for a in tried.values()], ignore_index=True),
        recommended_k=k,
        verdict=_verdict(k, reason),
        reason=reason,
        disagreement=(min(named), max(named)),
        labels=labels,
        profile=profile_of(items, labels, of_rows),
        sizes=sizes_of(labels, k, of_rows),
        sample_warning=n_effective < ROWS_PER_ITEM * items.shape[1],
        others=labels.iloc[:0] if others is None else _labelled(reader, tried[k].cut, others),
    )


@dataclass(frozen=True)
class _Attempt:
    row: dict[str, float]
    slsw: pd.DataFrame
    cut: Cut


def _check(items: pd.DataFrame, number: int | None, most_rows: int) -> None:
    if len(items) < 2 or not items.shape[1]:
        raise ParameterError(f"items have the shape {items.shape}; segments need two rows and one column or more")
    most = max(min(len(items), most_rows) // FEWEST_PER_SEGMENT, 1)
    if number is not None and not 1 <= number <= most:
        raise ParameterError(f"the number of segments is {number}; allowed are 1 to {most}: ten rows a segment")


def _method(items: pd.DataFrame, method: Method) -> Literal["latent_classes", "k_means"]:
    if method == "auto":
        return "k_means" if all(is_metric(items[name]) for name in items.columns) else "latent_classes"
    if method not in ("latent_classes", "k_means"):
        raise ParameterError(f"method is {method!r}; allowed are 'auto', 'latent_classes', 'k_means'")
    return method


def _mass(material: Material) -> Floats:
    """(P,) what all rows of each pattern count together."""
    return material.weights * material.counts


def _try(material: Material, k: int, bootstraps: int, rng: np.random.Generator) -> _Attempt:
    """k segments: what every criterion says of them, how stable each is, and the cut itself."""
    mass = _mass(material)
    n = mass.sum()
    cut = material.fit(mass[None, :], k, rng, careful=True)
    jaccard, ari, null = _stability(material, cut.labels[0], k, bootstraps, rng)
    sizes = np.bincount(cut.labels[0], material.counts, minlength=k)
    log_likelihood, entropy = float(cut.density[0] @ mass), float(cut.uncertainty[0] @ mass)
    bic = -2 * log_likelihood + material.n_parameters(k) * np.log(n)
    folds = material.weights * fold_weights(material.counts, _N_FOLDS, rng)
    held_out = (material.fit(mass - folds, k, rng).density * folds).sum(axis=0) / mass
    row = {
        "k": k,
        "ari_median": ari,
        "ari_null_median": null,
        "bic": bic,
        "icl": bic + 2 * entropy,
        "log_likelihood": log_likelihood,
        "entropy": 1 - entropy / (n * np.log(k)) if k > 1 else np.nan,
        "held_out_log_likelihood": float(held_out @ mass),
        "smallest_slsw": float(jaccard.min()),
    }
    slsw = pd.DataFrame({"k": k, "segment": np.arange(k), "slsw": jaccard, "size": sizes.astype(int)})
    return _Attempt(row, slsw, cut)


def _stability(
    material: Material, labels: Ints, k: int, bootstraps: int, rng: np.random.Generator
) -> tuple[Floats, float, float]:
    """Stability of each segment, median ARI of bootstrap pairs, and that of unrelated columns; k = 1 has none."""
    if k == 1:
        return np.ones(1), np.nan, np.nan
    again = _refitted(material, k, max(bootstraps // 4, 2), rng)
    if _median_ari(again, _mass(material)) > HOPELESS_ARI:  # what falls apart at the first look needs no second one
        again = np.concatenate([again, _refitted(material, k, bootstraps - len(again) // 2, rng)])
    unrelated = material.without_structure(rng)
    null = _refitted(unrelated, k, max(bootstraps // 3, 2), rng)
    jaccard = best_jaccard(labels, again, _mass(material)).mean(axis=0)
    jaccard = np.concatenate([jaccard, np.zeros(k - len(jaccard))])  # segments that hold no row
    return jaccard, _median_ari(again, _mass(material)), _median_ari(null, _mass(unrelated))


def _refitted(material: Material, k: int, n_pairs: int, rng: np.random.Generator) -> Ints:
    """Labels (2 x pairs, P) of the material by fits on bootstrap samples; rows 2i and 2i + 1 are a pair."""
    return material.fit(material.weights * _resampled(material.counts, 2 * n_pairs, rng), k, rng).labels


def _median_ari(labels: Ints, counts: Floats) -> float:
    return float(np.median(adjusted_rand(labels[0::2], labels[1::2], counts)))


def _stable_ks(criteria: pd.DataFrame) -> tuple[int, ...]:
    ari, null = criteria["ari_median"], criteria["ari_null_median"]
    stable = (ari >= STABLE_ARI) & (ari - null >= BEYOND_NULL_ARI) & (criteria["smallest_slsw"] >= STABLE_SEGMENT)
    return tuple(int(k) for k in criteria.loc[stable, "k"])


def _reason(material: Material, criteria: pd.DataFrame, k: int, rng: np.random.Generator) -> Reason:
    ks = criteria["k"].to_numpy(dtype=int)
    figures = {name: criteria[name].to_numpy(dtype=float) for name in criteria.columns}
    return Reason(
        stable_ks=_stable_ks(criteria),
        bic_k=int(ks[figures["bic"].argmin()]),
        icl_k=int(ks[figures["icl"].argmin()]),
        held_out_k=int(ks[figures["held_out_log_likelihood"].argmax()]),
        beyond_trait_z=_beyond_trait(material, k, rng),
        entropy=float(figures["entropy"][ks == k][0]),
    )


def _beyond_trait(material: Material, k: int, rng: np.random.Generator) -> float:
    """Standard errors by which k segments beat one continuous structure on held-out rows; missing for k = 1."""
    if k == 1:
        return float("nan")
    folds, mass = material.weights * fold_weights(material.counts, _N_FOLDS, rng), _mass(material)
    ours = material.fit(mass - folds, k, rng).density
    rival = np.stack([material.rival_density(mass - fold, k) for fold in folds])
    gain, n = ours - rival, mass.sum()
    mean = (gain * folds).sum() / n
    variance = ((gain - mean) ** 2 * folds).sum() / n
    return float(mean / np.sqrt(max(variance, 1e-12) / n))


def _verdict(k: int, reason: Reason) -> Verdict:
    if k == 1:
        return "no segments"
    if k not in reason.stable_ks:
        return "unstable"
    if not reason.beyond_trait_z > BEYOND_TRAIT_Z:
        return "constructive"
    agreed = k == reason.bic_k == reason.icl_k
    return "natural" if agreed and reason.entropy >= CLEAR_ENTROPY else "reproducible"


def _labelled(reader: Reader, cut: Cut, items: pd.DataFrame) -> pd.Series:
    return pd.Series(reader.labels(items, cut.model), index=items.index, name="segment")


def adjusted_rand(first: Ints, second: Ints, counts: Floats) -> Floats:
    """Adjusted Rand index (R,) of paired partitions, each (R, P); ``counts`` (P,) rows per pattern.

    1 is identical, 0 is chance; two partitions without any cut agree (1). Source: Hubert & Arabie (1985).
    """
    table = _cross_counts(first, second, counts)
    pairs, n = _pairs(table).sum(axis=(1, 2)), counts.sum()
    rows, columns = _pairs(table.sum(axis=2)).sum(axis=1), _pairs(table.sum(axis=1)).sum(axis=1)
    chance = rows * columns / max(_pairs(np.asarray(n)), 1.0)
    room = (rows + columns) / 2 - chance
    return np.asarray(np.divide(pairs - chance, room, out=np.ones(len(table)), where=room > 1e-9))


def best_jaccard(reference: Ints, others: Ints, counts: Floats) -> Floats:
    """Best Jaccard overlap (R, k) of each segment of ``reference`` (P,) with any segment of ``others`` (R, P)."""
    table = _cross_counts(np.broadcast_to(reference, others.shape), others, counts)
    union = table.sum(axis=2, keepdims=True) + table.sum(axis=1, keepdims=True) - table
    return np.asarray(np.divide(table, union, out=np.zeros_like(table), where=union > 0).max(axis=2))


def _cross_counts(first: Ints, second: Ints, counts: Floats) -> Floats:
    """(R, ka, kb) rows in each pair of segments."""
    a = first[:, None, :] == np.arange(first.max() + 1)[:, None]
    b = second[:, None, :] == np.arange(second.max() + 1)[:, None]
    return np.asarray((a * counts) @ b.transpose(0, 2, 1).astype(float))


def _resampled(counts: Floats, n_samples: int, rng: np.random.Generator) -> Floats:
    """Bootstrap samples as weights (R, P)."""
    n = int(counts.sum())
    return rng.multinomial(n, counts / n, n_samples).astype(float)


def fold_weights(counts: Floats, n_folds: int, rng: np.random.Generator) -> Floats:
    """Rows split at random into folds, as weights (folds, P) that sum to the counts."""
    of_row = rng.permutation(int(counts.sum())) % n_folds
    pattern = np.repeat(np.arange(len(counts)), counts.astype(int))
    return np.stack([np.bincount(pattern[of_row == f], minlength=len(counts)) for f in range(n_folds)]).astype(float)


def _pairs(counts: Floats) -> Floats:
    return counts * (counts - 1) / 2


def agreement(
    first: pd.Series, second: pd.Series, rng: np.random.Generator, *, samples: int = 400, level: float = 0.90
) -> dict[str, float]:
    """Adjusted Rand index of two partitions of the same rows with its bootstrap interval: estimate, low, high, n.

    1 is perfect, 0 what luck gives. Source: Hubert & Arabie (1985), J. Classification 2, 193-218.
    """
    table = pd.crosstab(first.to_numpy(), second.to_numpy())
    a, b = (codes.ravel() for codes in np.indices(table.shape))
    counts = table.to_numpy(dtype=float).ravel()
    draws = _resampled(counts, samples, rng)
    index = np.concatenate([adjusted_rand(a[None], b[None], weights) for weights in (counts, *draws)])
    low, high = np.quantile(index[1:], [(1 - level) / 2, (1 + level) / 2])
    return {"estimate": float(index[0]), "low": float(low), "high": float(high), "n": int(counts.sum())}


def matched(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, str]:
    """New segment -> old segment by the least total distance of their profiles; a surplus new segment has no entry.

    Both frames: one row a segment, the same items as columns (those that only one has are left out), as
    ``Segmentation.profile`` has them without the market's row. Each item counts by its spread between segments.
    """
    shared = [name for name in new.columns if name in old]
    both = pd.concat([old[shared], new[shared]])
    centres = ((both - both.mean()) / both.std(ddof=0).replace(0.0, 1.0)).fillna(0.0).to_numpy()
    distance = scipy.spatial.distance.cdist(centres[len(old) :], centres[: len(old)], "sqeuclidean")
    places, others = scipy.optimize.linear_sum_assignment(distance)  # Hungarian
    return {str(new.index[place]): str(old.index[other]) for place, other in zip(places, others, strict=True)}
