"""Which deals are won, and records counted by the levels of their fields: what comparisons are made of."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, typed
from closedloop.period.situation import Situation, has_ended
from closedloop.statistics.proportions import multinomial_intervals, wilson
from closedloop.statistics.recording import recorded_shares
from closedloop.statistics.segmentation.indicators import (
    Floats,
    edge_text,
    effective_counts,
    is_metric,
    level_text,
    short_edges,
)
from closedloop.terms import RARE

LEAST_SHOWN = 10  # smaller groups are counted, but neither compared nor shown (privacy, k = 10)
_MOST_LEVELS, _MOST_NUMBERS = 30, 8
_SHARE_COLUMNS = ["subject", "level", "k", "field", "n", "k_rest", "n_rest"]
ONLY_WON = (
    "Only won deals are recorded, so no win rate can be told. Record lost deals as well, with outcome `lost` and the "
    "day on which they ended (deals.outcome, deals.closed_on)."
)


def won(deals: pd.DataFrame) -> pd.Series:
    """True for won, False for lost, missing for no decision and open: what the narrow win rate counts.

    Missing for all where lost deals are not recorded (``tells_lost``, as of ``Situation.deals``; taken to be recorded
    where that column is not there).
    """
    is_decided = deals["outcome"].isin(["won", "lost"]) & deals.get("tells_lost", True)
    return (deals["outcome"] == "won").where(is_decided).astype("boolean")


def as_numbers(flags: pd.Series) -> pd.Series:
    """A flag as 1, 0 or missing."""
    return flags.astype("Float64").astype("float64")


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """A column of dates; all missing where the source does not record it."""
    return frame[name] if name in frame else pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us]")


def decided(situation: Situation) -> pd.DataFrame:
    """Every deal known to be won or lost, by the day it closed."""
    return by_close(situation.deals)


def by_close(deals: pd.DataFrame) -> pd.DataFrame:
    """Those of the deals that were won or lost, by the day they closed (``has_ended``), with ``is_won``."""
    decided_ones = deals[won(deals).notna() & has_ended(deals)]
    return decided_ones.sort_values(["closed_on", "deal_id"], kind="stable", ignore_index=True).assign(
        is_won=lambda d: d["outcome"] == "won"
    )


_FEWEST_RECENT = 400


def recent(periods: ArrayLike) -> slice:
    """The cases of the last whole periods that hold 400 together; ``periods``: of each, in the order of time.

    Whole ones, because a period's last days may be unlike it: deals that are pressed into a quarter are won more often.
    """
    of = np.asarray(periods)
    return slice(int(np.argmax(of == of[-_FEWEST_RECENT])) if len(of) > _FEWEST_RECENT else 0, None)


def lagged_rate(is_won: ArrayLike, periods: ArrayLike) -> float:
    """Win rate of ``recent`` deals; one win and one loss are added, so that it is never 0 or 1."""
    won_ones = np.asarray(is_won, dtype=float)[recent(periods)]
    return float((won_ones.sum() + 1) / (len(won_ones) + 2))


def levels(
    frame: pd.DataFrame,
    fields: list[str],
    rare: str | None = None,
    edges: Mapping[str, tuple[float, ...]] | None = None,
) -> pd.DataFrame:
    """Fields as text levels to compare: numbers in bands, missing ones missing, rare ones called ``rare``.

    ``edges``: of the bands; at the quartiles unless given (``band_edges``).
    """
    texts = level_texts(frame, fields, band_edges(frame, fields) if edges is None else edges)
    for name in fields:
        n = texts[name].value_counts().head(_MOST_LEVELS)
        texts[name] = texts[name].where(texts[name].isin(n[n >= LEAST_SHOWN].index) | texts[name].isna(), rare)
    return texts


def band_edges(frame: pd.DataFrame, fields: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Where the bands of each field of numbers end: at its quartiles; a field of few numbers has none."""
    found: dict[str, tuple[float, ...]] = {}
    for name in fields:
        if is_metric(frame[name]) and frame[name].nunique() > _MOST_NUMBERS:
            edges = np.unique(np.nanquantile(frame[name].astype(float), [0, 0.25, 0.5, 0.75, 1]))
            found |= {name: short_edges(frame[name], edges[1:-1])} if len(edges) > 2 else {}
    return found


def level_texts(frame: pd.DataFrame, fields: Iterable[str], edges: Mapping[str, tuple[float, ...]]) -> pd.DataFrame:
    """Fields as texts, missing ones missing; those with ``edges`` as the band that the number lies in."""
    found = {name: _banded(frame[name], edges[name]) if name in edges else _text(frame[name]) for name in fields}
    return pd.DataFrame(found, index=frame.index)


def _text(values: pd.Series) -> pd.Series:
    names = level_text(values)
    yes_no = {"true": "yes", "false": "no"} if pd.api.types.is_bool_dtype(values) else {}
    return names.replace(yes_no).astype("str").where(values.notna())


def _banded(values: pd.Series, edges: Sequence[float]) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    return pd.cut(numbers, [-np.inf, *edges, np.inf], labels=band_names(edges)).astype("str").where(numbers.notna())


def band_names(edges: Sequence[float]) -> list[str]:
    """What the bands between these edges are called, from the lowest on; a number at an edge is in the band below."""
    shown = [edge_text(edge) for edge in edges]
    return [f"up to {shown[0]}", *(f"{a} to {b}" for a, b in pairwise(shown)), f"over {shown[-1]}"]


def crossed_counts(rows: pd.Series, columns: pd.Series, hit: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hits and cases in every pair of levels, sorted; cases without a level, or a missing ``hit``, count in neither."""
    known = (rows.notna() & columns.notna() & hit.notna()).to_numpy()
    row, row_names = pd.factorize(rows[known], sort=True)
    column, column_names = pd.factorize(columns[known], sort=True)
    shape, place = (len(row_names), len(column_names)), row * len(column_names) + column
    weights = hit[known].to_numpy(dtype=float)
    cells = (np.bincount(place, of, shape[0] * shape[1]).reshape(shape) for of in (weights, np.ones(len(place))))
    hits, cases = (pd.DataFrame(part, row_names, column_names) for part in cells)
    return hits, cases


def counts(
    frame: pd.DataFrame,
    fields: list[str],
    hit: pd.Series,
    strata: pd.Series,
    late: Collection[str] = (),
    is_before: pd.Series | None = None,
) -> pd.DataFrame:
    """k and n of ``hit`` (boolean; missing rows are left out) by every level of every field, among rows that record it.

    Columns: field, level (missing: those that are ``RARE``), k, n, what ``standardised`` needs to compare within
    ``strata`` (periods), expected and contrast, ``n_before`` (cases that were known a period ago, by ``is_before``) and
    ``is_late`` (is the field one of ``late``, filled after creation?).
    """
    known = hit.notna()
    before = pd.Series(pd.NA, index=hit.index) if is_before is None else is_before
    cases = {"k": hit[known].astype(float), "n": 1, "stratum": strata[known], "before": before[known].astype("Float64")}
    tables = []
    for name in fields:
        level = frame.loc[known, name].rename("level")  # a field may have the name of any column made here
        rows = pd.DataFrame(cases).assign(level=level.mask(level == RARE))[level.notna()]
        whole = rows.groupby("stratum")[["k", "n"]].sum()
        cells = rows.groupby(["level", "stratum"], dropna=False).sum(min_count=1).reset_index()
        k_whole, n_whole = (cells["stratum"].map(whole[of]).astype(float) for of in ("k", "n"))  # empty text stays text
        share = cells["n"] / n_whole
        cells = cells.assign(expected=share * k_whole, contrast=cells["n"] * (1 - share))
        table = cells.drop(columns="stratum").groupby("level", dropna=False).sum(min_count=1).reset_index()
        tables.append(table.assign(field=name, n_before=table["before"].astype("Int64"), is_late=name in late))
    columns = ["field", "level", "k", "n", "expected", "contrast", "n_before", "is_late"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def rates(groups: Iterable[tuple[object, Any, Any]], field: str) -> list[dict[str, object]]:
    """Groups (level, k, n) as statements of their rates with Wilson intervals; those under ten are left out."""
    stated = [(level, float(k), int(n)) for level, k, n in groups if n >= LEAST_SHOWN]
    ends = [wilson(k, n) for _, k, n in stated]
    return [
        {"field": field, "level": str(level), "estimate": k / n, "low": float(low), "high": float(high), "n": n}
        for (level, k, n), (low, high) in zip(stated, ends, strict=True)
    ]


def shares(values: pd.Series, field: str) -> pd.DataFrame:
    """Shares of what was recorded as statements, most frequent first: field, level, k, n, estimate, low, high.

    Intervals are simultaneous (multinomial). What was named fewer than ten times counts in n and is not stated.
    """
    k = values.dropna().astype("str").value_counts().sort_index().sort_values(ascending=False, kind="stable")
    low, high = multinomial_intervals(k)
    table = pd.DataFrame({"field": field, "level": k.index, "k": k.to_numpy(), "n": k.sum(), "low": low, "high": high})
    return table.assign(estimate=table["k"] / table["n"])[table["k"] >= LEAST_SHOWN]


def share_counts(rows: pd.DataFrame, subjects: pd.Series, weights: pd.Series | None = None) -> pd.DataFrame:
    """k of n in every subject and k_rest of n_rest in the others, by every level of every column of ``rows``.

    Levels that are ``RARE`` count in n and n_rest, and are not told.
    ``weights``: of a survey, one a row; then the counts are effective ones, beside ``n_rows`` (answers of the subject)
    and ``share_of_all``, the weighted share in the market.
    """
    sizes = subjects.value_counts()
    tables = []
    for name in rows.columns:
        table = crossed_counts(subjects, rows[name], pd.Series(True, index=rows.index))[1].astype(int)
        if table.empty:
            continue
        known, column_sums = table.sum(axis=1), table.sum()
        if set(table.columns) <= {"yes", "no"}:  # one question, one look
            table = table.reindex(columns=["yes"], fill_value=0)
        tall = table.rename_axis(index="subject", columns="level").reset_index().melt("subject", value_name="k")
        tall = tall[tall["level"] != RARE]
        if tall.empty:  # each of its levels is rare
            continue
        tall = tall.assign(field=name, n=tall["subject"].map(known))
        totals = tall["level"].map(column_sums).fillna(0)
        tall = tall.assign(k_rest=totals - tall["k"], n_rest=known.sum() - tall["n"])
        tables.append(tall if weights is None else _weighted(tall, rows[name], subjects, weights.to_numpy(dtype=float)))
    shown = sizes[sizes >= LEAST_SHOWN].index
    frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_SHARE_COLUMNS)
    return frame[frame["subject"].isin(shown) & (frame["n"] > 0) & (frame["n_rest"] > 0)]


def sizes_told(counted: pd.DataFrame) -> pd.DataFrame:
    """Of counts as of ``share_counts`` what a statement tells: field, level, n (rows) and n_effective, if weighted."""
    named = counted[["field", "level"]]
    if "n_rows" in counted:
        return named.assign(n=counted["n_rows"], n_effective=counted["n"])
    return named.assign(n=counted["n"])


def _weighted(tall: pd.DataFrame, values: pd.Series, subjects: pd.Series, weights: Floats) -> pd.DataFrame:
    """The counts of one column as effective ones."""
    names = pd.Index(tall["level"].unique(), name="level")
    hit = np.where(values.notna().to_numpy()[:, None], values.to_numpy()[:, None] == names.to_numpy(), np.nan)
    k, n = effective_counts(hit, weights)
    share_of_all = pd.Series(np.divide(k, n, out=np.full(len(n), np.nan), where=n > 0), names)
    parts = []
    for subject in tall["subject"].unique():
        is_in = (subjects == subject).to_numpy()
        (k, n), (k_rest, n_rest) = (effective_counts(hit[part], weights[part]) for part in (is_in, ~is_in))
        told = {"k": k, "n": n, "k_rest": k_rest, "n_rest": n_rest, "share_of_all": share_of_all}
        parts.append(pd.DataFrame({**told, "subject": subject}, index=names).reset_index())
    return tall[["subject", "field", "level"]].assign(n_rows=tall["n"]).merge(pd.concat(parts))


def known_before(situation: Situation, deals: pd.DataFrame) -> pd.Series | None:
    """Which of the deals that ended had done so a period ago; None where nothing was looked at then."""
    before = situation.previous
    return None if before is None else deals["closed_on"] < pd.Timestamp(before.on)


def recorded_looks(
    situation: Situation, frame: pd.DataFrame, hit: pd.Series, days: pd.Series, origin: Origin
) -> pd.DataFrame:
    """Looks at whether each field is recorded as often when it ended otherwise.

    Where it is not, its gaps are no random ones: the field is compared among the cases that record it.
    """
    meta = {**origin._asdict(), "measure": "recorded_share", "unit": "rate", "kind": "descriptive"}
    named = {"subject": "market", "level": "", "within": ""}
    return typed(recorded_shares(frame, hit, situation.names_of(days)).assign(**meta, **named), LOOK_COLUMNS)
