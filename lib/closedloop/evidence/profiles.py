"""What segments look like: their sizes, and the share or mean of every item beside the market's."""

import numpy as np
import pandas as pd

from closedloop.evidence.indicators import Floats, coding_of, is_metric, level_text
from closedloop.evidence.rates import wilson
from closedloop.evidence.survey_weights import effective_counts


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
