"""Columns that know the answer: one alone tells the outcome too well, or is filled only once the outcome is known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.evidence.accuracy import Interval, auc_within_interval
from closedloop.evidence.indicators import Floats, Ints, is_metric

Flags = NDArray[np.bool_]

__all__ = ["COLUMNS", "FILLED_AFTER", "FILL_TELLS", "TELLS_TOO_WELL", "TOO_WELL", "Cases", "judge_columns"]

# The strongest honest columns of the markets at hand reach .61, .58, .75 and .51 alone, scores of all honest columns
# .6 to .8; the length of a sales call, known only afterwards, .89.
TOO_WELL = 0.80
FILLED_AFTER = "filled only after the outcome"
FILL_TELLS = "whether it is filled tells the outcome"
TELLS_TOO_WELL = "tells the outcome too well"
_SHARES = ("open_filled_share", "won_filled_share", "lost_filled_share")
_AREAS = ("auc_within", "auc_within_low", "auc_within_high")
COLUMNS = ("column", "n", *_AREAS, *_SHARES, "why")
_FEWEST_EACH = 20
_FEWEST_OPEN = 30
_FEWEST_FILLED = 0.20
_OPEN_TO_DECIDED = 0.05
_N_FOLDS = 3
_FOLD_SEED = 20_240_101  # what is said of a column is a function of its cells alone
_PRIOR_ROWS = 2.0
_ROWS_PER_BAND = 25
_MOST_BANDS = 20


@dataclass(frozen=True)
class Cases:
    """Records with what became of them; every series has the index of ``rows``.

    ``is_won``: 1, 0, missing while undecided or neither. ``is_open``: undecided. ``period``: whose base rate a decided
    record is compared with. ``born``: the period in which it came up.
    """

    rows: pd.DataFrame
    is_won: pd.Series
    is_open: pd.Series
    period: pd.Series
    born: pd.Series


def judge_columns(
    cases: Cases, columns: Collection[str], *, fill_only: Collection[str] = (), told_when_born: Collection[str] = ()
) -> pd.DataFrame:
    """How well each column alone tells the outcome, and when it is filled; one row a column, the most telling first.

    Returns COLUMNS: n decided records; AUC inside periods with its 90 % interval; filled shares (fractions);
    ``why`` it looks like a leak, empty when it does not. NaN with fewer than 20 records won or lost. Of columns in
    ``fill_only`` (ids) only the gaps count. Only for those in ``told_when_born`` are open records compared with decided
    ones of the same periods: elsewhere a gap of an open record says nothing. Raises ParameterError for absent columns.
    Method: levels (numbers in up to 20 bands of equal size, gaps a level of their own) are ranked by their mean
    distance from the period's rate in the other two of three folds; interval of DeLong et al. (1988).
    """
    absent = [name for name in columns if name not in cases.rows]
    if absent:
        raise ParameterError(f"columns {absent} are absent; the records have {list(cases.rows.columns)}")
    outcomes = _Outcomes.of(cases)
    found = [
        _judged(cases, outcomes, name, values_tell=name not in fill_only, born_with=name in told_when_born)
        for name in columns
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS)).astype(_TYPES)
    return table.sort_values(["auc_within", "column"], ascending=[False, True], ignore_index=True)


_TYPES = {"column": "str", "n": "int64", "why": "str"} | dict.fromkeys((*_AREAS, *_SHARES), "float64")


@dataclass(frozen=True)
class _Outcomes:
    """The decided records as arrays: outcome, its distance from the period's rate, fold, and block.

    A block is a fold of a period: guesses of two folds do not compare, for rows left out pull theirs the other way.
    """

    decided: Ints
    won: Floats
    distance: Floats
    fold: Ints
    block: Ints

    @classmethod
    def of(cls, cases: Cases) -> _Outcomes:
        decided = np.flatnonzero(cases.is_won.notna())
        won = cases.is_won.iloc[decided].to_numpy(dtype=float)
        period = pd.factorize(cases.period.iloc[decided], use_na_sentinel=False)[0].astype(np.int64)
        rate = np.bincount(period, won) / np.maximum(np.bincount(period), 1)
        fold = np.random.default_rng(_FOLD_SEED).permutation(len(decided)) % _N_FOLDS
        return cls(decided, won, won - rate[period], fold, period * _N_FOLDS + fold)

    @property
    def enough(self) -> bool:
        return bool(min(self.won.sum(), len(self.won) - self.won.sum()) >= _FEWEST_EACH)

    def told_by(self, codes: Ints) -> Interval:
        """AUC inside blocks of the levels' rates, each learned from the folds that a record is not in."""
        n_levels, guess = int(codes.max(initial=-1)) + 1, np.zeros(len(codes))
        for fold in range(_N_FOLDS):
            seen, asked = self.fold != fold, self.fold == fold
            n = np.bincount(codes[seen], minlength=n_levels)
            total = np.bincount(codes[seen], self.distance[seen], minlength=n_levels)
            guess[asked] = (total / (n + _PRIOR_ROWS))[codes[asked]]
        return auc_within_interval(self.won, guess, self.block)


def _judged(
    cases: Cases, outcomes: _Outcomes, name: str, *, values_tell: bool, born_with: bool
) -> tuple[str | float, ...]:
    values = cases.rows[name]
    filled = values.notna().to_numpy(dtype=bool)
    is_open, known = cases.is_open.to_numpy(dtype=bool), filled[outcomes.decided]
    told = by_gaps = Interval(np.nan, np.nan, np.nan)
    if outcomes.enough and known.any():
        by_gaps = outcomes.told_by(known.astype(np.int64))
        told = outcomes.told_by(_codes(values.iloc[outcomes.decided])) if values_tell else by_gaps
    why = _why(told, by_gaps, born_with and _is_filled_after(cases, filled))
    shares = (_share(filled[is_open]), _share(known[outcomes.won == 1]), _share(known[outcomes.won == 0]))
    return (name, len(known), told.estimate, told.low, told.high, *shares, why)


def _why(told: Interval, by_gaps: Interval, is_filled_after: bool) -> str:
    if by_gaps.low >= TOO_WELL:
        return FILL_TELLS
    if is_filled_after:
        return FILLED_AFTER
    return TELLS_TOO_WELL if told.low >= TOO_WELL else ""


def _is_filled_after(cases: Cases, filled: Flags) -> bool:
    """Hardly ever filled while open, yet in the same periods often enough once decided."""
    table = pd.DataFrame({"born": cases.born.to_numpy(), "filled": filled, "is_open": cases.is_open.to_numpy(bool)})
    table["is_decided"] = cases.is_won.notna().to_numpy()
    both = table.groupby("born", dropna=False)[["is_open", "is_decided"]].transform("any").all(axis=1)
    n_open = table[both & table["is_open"]].groupby("born", dropna=False)["filled"].agg(["size", "sum"])
    if n_open["size"].sum() < _FEWEST_OPEN:
        return False
    decided = table[both & table["is_decided"]].groupby("born", dropna=False)["filled"].mean()
    expected = float((decided * n_open["size"]).sum() / n_open["size"].sum())
    open_share = float(n_open["sum"].sum() / n_open["size"].sum())
    return expected >= _FEWEST_FILLED and open_share <= _OPEN_TO_DECIDED * expected


def _share(filled: Flags) -> float:
    return float(filled.mean()) if len(filled) else np.nan


def _codes(values: pd.Series) -> Ints:
    """Level numbers from 0; numbers and dates with many values in bands of equal size, a gap is a level."""
    numbers = _numbers(values)
    if numbers is None:
        return pd.factorize(values.astype("object").where(values.notna()), use_na_sentinel=False)[0].astype(np.int64)
    n_bands = int(np.clip(len(numbers) // _ROWS_PER_BAND, 2, _MOST_BANDS))
    if numbers.nunique() <= n_bands:
        return pd.factorize(numbers, use_na_sentinel=False)[0].astype(np.int64)
    bands: Ints = np.ceil(numbers.rank(pct=True).fillna(0).to_numpy() * n_bands).astype(np.int64)
    return bands


def _numbers(values: pd.Series) -> pd.Series | None:
    """Numbers as they are, dates as days; None for categories."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return (values - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return values.astype(float) if is_metric(values) else None
