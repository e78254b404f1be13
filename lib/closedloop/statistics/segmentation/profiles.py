"""What the rows look like before anybody cuts them: which answers go together, and how much there is in common."""

import numpy as np
import pandas as pd
import scipy

from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.indicators import (
    Floats,
    Ints,
    coding_of,
    effective_counts,
    is_metric,
    level_text,
)

_MOST_COMPONENTS = 6
_FEWEST_ROWS = 10  # with an answer and without it: rarer ones go together by luck, and are not shown


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
