"""What segments look like: their sizes, and the share or mean of every item beside the market's."""

import numpy as np
import pandas as pd

from closedloop.evidence.indicators import coding_of, is_metric, level_text
from closedloop.evidence.rates import wilson


def sizes_of(labels: pd.Series, k: int) -> pd.DataFrame:
    """Columns segment, size, share, low, high (90 % Wilson interval of the share), one row per segment."""
    sizes = np.bincount(labels, minlength=k)
    low, high = wilson(sizes, np.full(k, len(labels)))
    return pd.DataFrame(
        {"segment": np.arange(k), "size": sizes, "share": sizes / len(labels), "low": low, "high": high}
    )


def profile_of(items: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """One row per segment and one for the market; answers as shares of those who answered, numbers as means."""
    numbers = pd.concat([indicator_columns(items[name]) for name in items.columns], axis=1)
    by_segment = numbers.groupby(labels).mean()
    market = numbers.mean().to_frame("market").T
    return pd.concat([by_segment.set_axis(by_segment.index.astype(str)), market]).rename_axis("segment")


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
