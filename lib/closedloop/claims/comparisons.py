"""Comparisons, before their family is closed: a level's rate, share, amount or days against its baseline."""

import operator
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy

from closedloop.errors import ParameterError, allowed
from closedloop.statistics.amounts import compare_costs, mean_amounts, shrink_amounts, won_per_decided
from closedloop.statistics.proportions import compare_in_strata, exact_difference_p, midp, shrink_rates, standardised
from closedloop.statistics.recording import unfit
from closedloop.statistics.segmentation.indicators import Floats

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
        "among": "str",  # which cases were chosen in a cell; empty for all of the period's
        "against": "str",  # the level that is the baseline, as an arm is another's; empty where it is all or the others
        "estimate": "float64",
        "low": "float64",
        "high": "float64",
        "baseline": "float64",
        "effect": "float64",
        "n": "Int64",
        "n_effective": "float64",  # cases that count in the comparison; missing where all do
        "n_before": "Int64",  # cases that were known a period ago as well; missing where it is not asked
        "p": "float64",
        "beyond": "float64",  # posterior probability of an effect beyond the practical threshold
        "log_deviation": "float64",  # standard deviation of the logs; missing for rates
        "kind": "str",
        "reason": "str",  # why it cannot be compared (``REASONS`` of ``recording``, ``amounts``); empty when it was
        "source_table": "str",
        "is_retrospective": "boolean",  # looking back only: by what is known later than hand-off
    }
)


class Origin(NamedTuple):
    """Where figures are shown and what they are made of: notebook and its cell, canonical table, periods covered."""

    notebook: str
    cell: str
    source_table: str
    first_period: str
    last_period: str


# Claims are some hundred rows, of which a few are picked again and again: texts as Python's own are picked fastest.
_TYPES = {"str": pd.StringDtype("python", na_value=np.nan)}
SHORTEST_DAYS = 0.5  # a deal closed on its first day took some of it; its logarithm has to exist


def typed(rows: Any, columns: Mapping[str, str]) -> pd.DataFrame:
    """``rows`` (a frame or a list of dicts) with exactly these columns and types; gaps are missing."""
    frame = pd.DataFrame(rows)
    types = [_TYPES.get(kind, kind) for kind in columns.values()]
    if list(frame.columns) == list(columns) and all(map(operator.eq, frame.dtypes, types)):
        return frame.reset_index(drop=True)
    # column by column: a step makes some hundred small frames, and reindexing each costs most of its time
    made = {name: _column(frame, name, kind) for name, kind in zip(columns, types, strict=True)}
    return pd.DataFrame(made, index=pd.RangeIndex(len(frame)))


def _column(frame: pd.DataFrame, name: str, kind: Any) -> Any:
    """A column's values in the type ``kind``; all missing when the frame has none of that name."""
    if name not in frame:
        return _gaps(kind, len(frame)).copy()
    values = frame[name]
    return values.array if values.dtype == kind else values.astype(kind).array


@lru_cache(maxsize=512)
def _gaps(kind: Any, n: int) -> Any:
    """``n`` missing values of the type ``kind``."""
    return pd.Series([np.nan if kind == "float64" else None] * n, dtype=kind).array


def stacked(frames: Iterable[pd.DataFrame], columns: Mapping[str, str] = LOOK_COLUMNS) -> pd.DataFrame:
    """Looks of several sources (or claims, with their columns) as one typed frame; none give no rows."""
    parts = [frame for frame in frames if len(frame)]
    return typed(pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0] if parts else [], columns)


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
    """Looks at the rate of every level of every field against all cases that record the field.

    ``counts``: one row a field and level, with k of n, and where like has to be compared with like ``expected`` and
    ``contrast`` over strata (periods; ``standardised``). Estimate and interval are those of the level as it is
    counted, shrunk over the field's levels; the baseline is what its strata let expect (the pooled rate unless given);
    p is the mid-p value of k against it, beyond the posterior probability of an effect over ``threshold`` (a fraction).
    Rows without a level, or with fewer than ``least`` cases that can be compared, count in the baseline but are not
    looked at; a field with fewer than two levels that are gives no look. With fewer than ``least`` successes or
    failures nothing is compared; nor is a level of a field that is filled late (column ``is_late``) when hardly any of
    its cases ended otherwise: it may be recorded because of the outcome. Those have a ``reason`` and no figures.
    """
    require_columns(counts, ("field", "level", "k", "n"))
    meta = meta_of(origin, measure, "rate", kind) | {"subject": subject}
    fields = counts.groupby("field", sort=True)
    looks = stacked(_rate_field(rows, baseline, threshold, level, max(least, 1)) for _, rows in fields)
    return typed(looks.assign(**meta), LOOK_COLUMNS)


def _rate_field(rows: pd.DataFrame, baseline: float | None, threshold: float, level: float, least: int) -> pd.DataFrame:
    """The looks of one field."""
    total, won = rows["n"].sum(), rows["k"].sum()
    base = baseline if baseline is not None else (won / total if total else np.nan)
    rows = rows[rows["level"].notna() & (rows["n"] > 0)].sort_values("level")
    k, n = rows["k"].to_numpy(dtype=float), rows["n"].to_numpy(dtype=float)
    expected = rows["expected"].to_numpy(dtype=float) if "expected" in rows else n * base
    contrast = rows["contrast"].to_numpy(dtype=float) if "contrast" in rows else n * (1 - n / total)
    seen = standardised(k, n, expected, contrast, base, total)[1] >= least
    if seen.sum() < 2:
        return typed([], LOOK_COLUMNS)
    rows, (k, n, expected, contrast) = rows[seen], (part[seen] for part in (k, n, expected, contrast))
    found = compare_in_strata(k, n, expected, contrast, base, total, level)
    p = midp(k, n, expected / n)
    late = rows["is_late"].to_numpy(dtype=bool) if "is_late" in rows else np.zeros(len(rows), dtype=bool)
    reason = unfit(k, n, p, won, total, least, late)
    figures = {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "baseline": found.baseline,
        "effect": found.estimate - found.baseline,
        "n_effective": found.sizes,
        "p": p,
        "beyond": found.shrunk.beyond(threshold, base),
    }
    return pd.DataFrame(
        {
            "field": rows["field"].astype(str),
            "level": rows["level"].astype(str),
            **{name: np.where(reason == "", values, np.nan) for name, values in figures.items()},
            "n": n.astype(np.int64),
            "n_before": rows.get("n_before"),
            "reason": reason,
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
    others), p the exact mid-p value of the subject against the others. Of a survey with weights the counts are
    effective ones (``survey_weights``), beside ``n_rows`` of the subject and the market's ``share_of_all``.
    """
    require_columns(counts, ("subject", "field", "level", "k", "n", "k_rest", "n_rest"))
    meta = meta_of(origin, measure, "rate", kind)
    groups = counts.dropna(subset=["level"]).groupby(["field", "level"], sort=True)
    looks = stacked(_share_level(rows, threshold, level) for _, rows in groups)
    return typed(looks.assign(**meta), LOOK_COLUMNS)


def _share_level(rows: pd.DataFrame, threshold: float, level: float) -> pd.DataFrame:
    """The looks at one level of one field, a row for each subject."""
    k, n, k_rest, n_rest = (rows[name].to_numpy(dtype=float) for name in ("k", "n", "k_rest", "n_rest"))
    shrunk = shrink_rates(k, n, level)
    everyone, is_weighted = n + n_rest, "n_rows" in rows
    base = np.divide(k + k_rest, everyone, out=np.full(len(rows), np.nan), where=everyone > 0)
    if is_weighted:
        base = rows["share_of_all"].to_numpy(dtype=float)
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
            "n": rows["n_rows" if is_weighted else "n"].to_numpy(dtype=np.int64),
            "n_effective": n if is_weighted else np.nan,
            "p": exact_difference_p(*whole(k, n), *whole(k_rest, n_rest)),
            "beyond": shrunk.beyond(threshold, base),
        }
    )


def whole(k: Floats, n: Floats) -> tuple[Floats, Floats]:
    """The whole counts next to effective ones: no more cases than there are, and the same share."""
    cases = np.floor(n + 1e-9)
    return np.rint(np.divide(k * cases, n, out=np.zeros_like(k), where=n > 0)), cases


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
    (``mean_amounts``; days as bounded ones, ``shrink_amounts``), p is Student's test on logs against the mean of all,
    beyond the posterior probability of a factor over 1 + ``threshold``. Zero and missing amounts are left out; one
    level gives no look.
    """
    require_columns(amounts, ("field", "level", "amount"))
    meta = meta_of(origin, measure, unit, kind) | {"subject": subject}
    fields = amounts.dropna(subset=["level"]).groupby("field", sort=True)
    means = partial(shrink_amounts, is_bounded=True) if unit == "days" else mean_amounts
    tables = {str(name): means(rows["amount"], rows["level"].astype(str), level, threshold) for name, rows in fields}
    looks = stacked(_amount_field(name, table) for name, table in tables.items())
    return typed(looks.assign(**meta), LOOK_COLUMNS)


def _amount_field(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The looks of one field."""
    if len(table) < 2:
        return typed([], LOOK_COLUMNS)
    effect = table["estimate"] - table["whole"]
    return table.rename(columns={"group": "level"}).assign(field=name, baseline=table["whole"], effect=effect)


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
    as half a day. Means of days, compared by logs; the median of a level is ``cumulative_incidence.cycle_days``.
    """
    require_columns(cycles, ("field", "level", "days"))
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


def meta_of(origin: Origin, measure: str, unit: str, kind: str) -> dict[str, Any]:
    """What all looks of one call have in common."""
    require_known("unit", unit, UNITS)
    require_known("kind", kind, KINDS)
    return {**origin._asdict(), "measure": measure, "unit": unit, "kind": kind, "within": "", "against": ""}


def require_known(name: str, value: str, values: tuple[str, ...]) -> None:
    """Refuse a word that is not in its closed list."""
    if value not in values:
        raise ParameterError(f"claims: found {name} {value!r}; allowed are {allowed(values)}")


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Refuse a frame that lacks a column."""
    lacking = [name for name in columns if name not in frame.columns]
    if lacking:
        raise ParameterError(
            f"looks: found no column {allowed(lacking)} among {allowed(frame.columns)}; "
            f"needed are {allowed(columns)}; mend the query that counts"
        )


def gain_looks(
    rows: Any, origin: Origin, *, measure: str, unit: str = "ratio", subject: str = "market", level: float = 0.90
) -> pd.DataFrame:
    """Looks at whether each gain differs from its baseline (0 unless the rows have one).

    ``rows`` (a frame or a list of dicts): estimate, low, high, n, and field and level where the gain is of one; the
    interval is that of the estimate against the baseline, and p its two-sided normal p value. Without a finite interval
    nothing can be told. ``beyond`` is the probability that the sign is right: any advantage is worth telling.
    """
    frame = pd.DataFrame(rows)
    baseline = frame["baseline"] if "baseline" in frame else pd.Series(0.0, index=frame.index)
    effect = frame["estimate"].astype(float) - baseline
    error = (frame["high"] - frame["low"]).astype(float) / (2 * scipy.stats.norm.isf((1 - level) / 2))
    z = np.where(error > 0, effect.abs() / error.where(error > 0), np.nan)
    meta = meta_of(origin, measure, unit, "predictive") | {"subject": subject}
    meta |= {name: "" for name in ("field", "level") if name not in frame}
    p, beyond = 2 * scipy.stats.norm.sf(z), scipy.stats.norm.cdf(z)
    return typed(frame.assign(effect=effect, baseline=baseline, p=p, beyond=beyond, **meta), LOOK_COLUMNS)


def decided_looks(deals: pd.DataFrame, origin: Origin, *, measure: str, threshold: float = 0.10) -> pd.DataFrame:
    """Looks at the won amount per decided deal of every level of one field against that of all (``won_per_decided``).

    ``deals``: one row a decided deal, with field, level, is_won and amount. One level gives no look.
    """
    require_columns(deals, ("field", "level", "is_won", "amount"))
    rows = deals.dropna(subset=["level"])
    table = won_per_decided(rows["is_won"], rows["amount"], rows["level"].astype(str), threshold=threshold)
    if len(table) < 2:
        return typed([], LOOK_COLUMNS)
    told = table.rename(columns={"group": "level"}).assign(
        field=rows["field"].iloc[0],
        baseline=table["whole"],
        effect=table["estimate"] - table["whole"],
        subject="market",
    )
    return typed(told.assign(**meta_of(origin, measure, "amount", "descriptive")), LOOK_COLUMNS)


def cost_looks(
    spending: pd.DataFrame,
    origin: Origin,
    *,
    measure: str,
    subject: str = "market",
    threshold: float = 0.10,
    least: int = 1,
    level: float = 0.90,
) -> pd.DataFrame:
    """Looks at what a success costs in every level of a field against all other levels together (``compare_costs``).

    ``spending``: one row a level, with field, level, k successes of n cases and the money ``spent``; levels without
    money are left out, those with fewer than ``least`` cases count among the others but are not looked at. ``n`` are
    the cases; without a success nothing can be compared.
    """
    require_columns(spending, ("field", "level", "k", "n", "spent"))
    rows = spending[spending["spent"] > 0]
    if len(rows) < 2 or not rows["k"].sum() > 0:
        return typed([], LOOK_COLUMNS)
    costs = compare_costs(rows["k"], rows["n"], rows["spent"], level, threshold)
    worst = np.where(np.isnan(costs.estimate), costs.low, costs.estimate)  # without a success: its least cost
    deviation = np.sqrt(rows["n"] / rows["k"].clip(lower=1.0))  # of the log of a rate of few successes, for one case
    looks = rows[["field", "level", "n"]].assign(
        **costs._asdict(), effect=worst - costs.baseline, log_deviation=deviation, subject=subject
    )
    return typed(looks[rows["n"] >= least].assign(**meta_of(origin, measure, "amount", "descriptive")), LOOK_COLUMNS)
