"""Comparisons, before their family is closed: a level's rate, share, amount or days against its baseline."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from closedloop.errors import ParameterError, allowed
from closedloop.evidence.amounts import shrink_amounts
from closedloop.evidence.rates import exact_difference_p, midp, shrink_rates, standardised

UNITS = ("rate", "points", "amount", "days", "count", "ratio")
KINDS = ("descriptive", "predictive", "causal")
LOOK_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "first_period": "str",
        "last_period": "str",
        "notebook": "str",
        "cell": "str",  # the section of the notebook that shows it
        "measure": "str",
        "unit": "str",
        "subject": "str",  # persona id, competitor or "market"
        "field": "str",  # canonical column name; empty when the whole subject is meant
        "level": "str",
        "within": "str",  # the column within whose levels like is compared with like; empty for plain figures
        "against": "str",  # the level that is the baseline, as an arm is another's; empty where it is all or the others
        "estimate": "float64",
        "low": "float64",
        "high": "float64",
        "baseline": "float64",
        "effect": "float64",
        "n": "Int64",
        "p": "float64",
        "beyond": "float64",  # posterior probability of an effect beyond the practical threshold
        "log_deviation": "float64",  # standard deviation of the logs; missing for rates
        "kind": "str",
        "source_table": "str",
    }
)


class Origin(NamedTuple):
    """Where figures are shown and what they are made of: notebook and its cell, canonical table, periods covered."""

    notebook: str
    cell: str
    source_table: str
    first_period: str
    last_period: str


SHORTEST_DAYS = 0.5  # a deal closed on its first day took some of it; its logarithm has to exist


def typed(rows: Any, columns: Mapping[str, str]) -> pd.DataFrame:
    """``rows`` (a frame or a list of dicts) with exactly these columns and types; gaps are missing."""
    frame = pd.DataFrame(rows)
    # column by column: a step makes some hundred small frames, and reindexing each costs most of its time
    made = {name: _column(frame, name, kind) for name, kind in columns.items()}
    return pd.DataFrame(made, index=pd.RangeIndex(len(frame)))


def _column(frame: pd.DataFrame, name: str, kind: str) -> Any:
    """A column's values in the type ``kind``; all missing when the frame has none of that name."""
    if name not in frame:
        missing = np.nan if kind == "float64" else None
        return pd.Series([missing] * len(frame), dtype=kind).array
    values = frame[name]
    return values.array if str(values.dtype) == kind else values.astype(kind).array  # type: ignore[call-overload]


def stacked(frames: Iterable[pd.DataFrame], columns: Mapping[str, str] = LOOK_COLUMNS) -> pd.DataFrame:
    """Looks of several sources (or claims, with their columns) as one typed frame; none give no rows."""
    parts = [frame for frame in frames if len(frame)]
    return typed(pd.concat(parts, ignore_index=True) if parts else [], columns)


def rate_looks(
    counts: pd.DataFrame,
    origin: Origin,
    *,
    measure: str,
    subject: str = "market",
    baseline: float | None = None,
    threshold: float = 0.03,
    kind: str = "descriptive",
    least: int = 1,
    level: float = 0.90,
) -> pd.DataFrame:
    """Looks at the rate of every level of every field against the pooled rate of that field.

    ``counts``: one row a field and level, with k of n, and where like has to be compared with like ``expected`` and
    ``contrast`` over strata (periods; ``rates.standardised``). The estimate and its interval are shrunk over the
    field's levels, the strata's own differences taken off; n are the cases that can be compared; p is the mid-p value
    against what was expected (the baseline: the pooled rate unless given), beyond the posterior probability of an
    effect over ``threshold`` (a fraction). Rows without a level, or with fewer than ``least`` such cases, count in the
    baseline but are not looked at; a field with fewer than two levels that are gives no look.
    """
    _require(counts, ("field", "level", "k", "n"))
    meta = _meta(origin, measure, "rate", kind) | {"subject": subject}
    fields = counts.groupby("field", sort=True)
    looks = stacked(_rate_field(rows, baseline, threshold, level, max(least, 1)) for _, rows in fields)
    return typed(looks.assign(**meta), LOOK_COLUMNS)


def _rate_field(rows: pd.DataFrame, baseline: float | None, threshold: float, level: float, least: int) -> pd.DataFrame:
    """The looks of one field."""
    total = rows["n"].sum()
    base = baseline if baseline is not None else (rows["k"].sum() / total if total else np.nan)
    rows = rows[rows["level"].notna() & (rows["n"] > 0)].sort_values("level")
    k, n = rows["k"].to_numpy(dtype=float), rows["n"].to_numpy(dtype=float)
    is_stratified = "expected" in rows
    expected = rows["expected"].to_numpy(dtype=float) if is_stratified else n * base
    contrast = rows["contrast"].to_numpy(dtype=float) if is_stratified else n * (1 - n / total)
    hits, sizes = standardised(k, n, expected, contrast, base, total)
    seen = sizes >= least
    if seen.sum() < 2:
        return typed([], LOOK_COLUMNS)
    shrunk = shrink_rates(hits[seen], sizes[seen], level)
    return pd.DataFrame(
        {
            "field": rows["field"][seen].astype(str),
            "level": rows["level"][seen].astype(str),
            "estimate": shrunk.mean,
            "low": shrunk.low,
            "high": shrunk.high,
            "baseline": base,
            "effect": shrunk.mean - base,
            "n": np.round(sizes[seen]).astype(np.int64),
            "p": midp(k, n, expected / n)[seen],
            "beyond": shrunk.beyond(threshold, base),
        }
    )


def share_looks(
    counts: pd.DataFrame,
    origin: Origin,
    *,
    measure: str = "share",
    threshold: float = 0.05,
    kind: str = "descriptive",
    level: float = 0.90,
) -> pd.DataFrame:
    """Looks at the share of every level in every subject (persona, segment) against the whole market.

    ``counts``: one row a subject, field and level, with k of the subject's n rows and k_rest of the n_rest
    others. The estimate is shrunk over the subjects, the baseline is the share in the market (subject and
    others), p the exact mid-p value of the subject against the others.
    """
    _require(counts, ("subject", "field", "level", "k", "n", "k_rest", "n_rest"))
    meta = _meta(origin, measure, "rate", kind)
    groups = counts.dropna(subset=["level"]).groupby(["field", "level"], sort=True)
    looks = stacked(_share_level(rows, threshold, level) for _, rows in groups)
    return typed(looks.assign(**meta), LOOK_COLUMNS)


def _share_level(rows: pd.DataFrame, threshold: float, level: float) -> pd.DataFrame:
    """The looks at one level of one field, a row for each subject."""
    k, n, k_rest, n_rest = (rows[name].to_numpy(dtype=float) for name in ("k", "n", "k_rest", "n_rest"))
    shrunk = shrink_rates(k, n, level)
    everyone = n + n_rest
    base = np.divide(k + k_rest, everyone, out=np.full(len(rows), np.nan), where=everyone > 0)
    return pd.DataFrame(
        {
            "subject": rows["subject"].astype(str),
            "field": rows["field"].astype(str),
            "level": rows["level"].astype(str),
            "estimate": shrunk.mean,
            "low": shrunk.low,
            "high": shrunk.high,
            "baseline": base,
            "effect": shrunk.mean - base,
            "n": n.astype(np.int64),
            "p": exact_difference_p(k, n, k_rest, n_rest),
            "beyond": shrunk.beyond(threshold, base),
        }
    )


def amount_looks(
    amounts: pd.DataFrame,
    origin: Origin,
    *,
    measure: str = "won_amount",
    unit: str = "amount",
    subject: str = "market",
    threshold: float = 0.10,
    kind: str = "descriptive",
    level: float = 0.90,
) -> pd.DataFrame:
    """Looks at the mean amount of every level of every field against the mean of all.

    ``amounts``: one row a deal and field, with field, level and amount. Estimates are shrunk on the log scale
    (``shrink_amounts``), p is Student's test on logs against the mean of all, beyond the posterior probability
    of a factor over 1 + ``threshold``. Zero and missing amounts are left out; one level gives no look.
    """
    _require(amounts, ("field", "level", "amount"))
    meta = _meta(origin, measure, unit, kind) | {"subject": subject}
    fields = amounts.dropna(subset=["level"]).groupby("field", sort=True)
    looks = stacked(_amount_field(str(name), rows, threshold, level) for name, rows in fields)
    return typed(looks.assign(**meta), LOOK_COLUMNS)


def _amount_field(name: str, rows: pd.DataFrame, threshold: float, level: float) -> pd.DataFrame:
    """The looks of one field."""
    table = shrink_amounts(rows["amount"], rows["level"].astype(str), level, threshold)
    if len(table) < 2:
        return typed([], LOOK_COLUMNS)
    effect = table["estimate"] - table["baseline"]
    return table.rename(columns={"group": "level"}).assign(field=name, effect=effect)


def cycle_looks(
    cycles: pd.DataFrame,
    origin: Origin,
    *,
    measure: str = "sales_cycle_days",
    subject: str = "market",
    threshold: float = 0.10,
    kind: str = "descriptive",
    level: float = 0.90,
) -> pd.DataFrame:
    """Looks at the typical days of won deals of every level of every field: ``amount_looks`` on days.

    ``cycles``: one row a won deal and field, with field, level and days; a deal won on its first day counts
    as half a day. Means of days, compared by logs; the median of a level is ``curves.cycle_days``.
    """
    _require(cycles, ("field", "level", "days"))
    days = cycles["days"].astype(float).clip(lower=SHORTEST_DAYS)
    return amount_looks(
        cycles.assign(amount=days),
        origin,
        measure=measure,
        unit="days",
        subject=subject,
        threshold=threshold,
        kind=kind,
        level=level,
    )


def _meta(origin: Origin, measure: str, unit: str, kind: str) -> dict[str, Any]:
    """What all looks of one call have in common."""
    require_known("unit", unit, UNITS)
    require_known("kind", kind, KINDS)
    return {**origin._asdict(), "measure": measure, "unit": unit, "kind": kind, "within": "", "against": ""}


def require_known(name: str, value: str, values: tuple[str, ...]) -> None:
    """Refuse a word that is not in its closed list."""
    if value not in values:
        raise ParameterError(f"claims: found {name} {value!r}; allowed are {allowed(values)}")


def _require(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Refuse a frame that lacks a column."""
    lacking = [name for name in columns if name not in frame.columns]
    if lacking:
        raise ParameterError(
            f"looks: found no column {allowed(lacking)} among {allowed(frame.columns)}; "
            f"needed are {allowed(columns)}; mend the query that counts"
        )
