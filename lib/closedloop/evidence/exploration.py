"""What the rows look like before anybody cuts them: which answers go together, and how much there is in common."""

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.indicators import Floats, Ints
from closedloop.evidence.profiles import indicator_columns

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
    scaled: Floats = np.nan_to_num(centred[:, spread > 0] / spread[spread > 0])
    return scaled


def _shares(columns: Floats) -> Floats:
    values = np.linalg.eigvalsh(columns.T @ columns)[::-1]
    shares: Floats = values / values.sum()
    return shares


def _common(block: pd.DataFrame) -> pd.DataFrame:
    """The columns of which ten rows or more differ from the most frequent value."""
    is_common = [column.notna().sum() - column.value_counts().max() >= _FEWEST_ROWS for _, column in block.items()]
    return block.loc[:, is_common]


def associations(items: pd.DataFrame, level: float = 0.90) -> pd.DataFrame:
    """The rank correlation of every two answers to different items, strongest first.

    Columns: first, second (answers, as ``profiles`` names them), estimate, low, high, n. The intervals hold for all
    pairs at once (Bonferroni over Fisher's z), so they hold for the strongest one as well. Answers that fewer than ten
    rows give, or do not give, are left out.
    """
    return strongest_pairs(*ranked_answers(items), level)


def ranked_answers(items: pd.DataFrame) -> tuple[pd.DataFrame, Ints]:
    """The ranks of all answers that are common enough, a column each, and the place of the item that each is of."""
    blocks = {name: _common(indicator_columns(items[name])).rank() for name in items.columns}
    columns = pd.concat(blocks.values(), axis=1) if blocks else pd.DataFrame()
    owner = [place for place, block in enumerate(blocks.values()) for _ in block.columns]
    return columns, np.array(owner, dtype=np.int64)


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
    order = found["estimate"].abs().sort_values(ascending=False, kind="stable").index
    strongest: pd.DataFrame = found.loc[order].reset_index(drop=True)
    return strongest
