"""Columns that know the answer: alone or together they tell the outcome too well, or it decides who has them filled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.errors import ParameterError
from closedloop.statistics.scoring.accuracy import Interval, auc_within_interval
from closedloop.statistics.segmentation.indicators import Floats, Ints, is_metric, level_text

Flags = NDArray[np.bool_]

# The strongest honest columns of the markets at hand reach .61, .58, .75 and .51 alone, scores of all honest columns
# .6 to .8; the length of a sales call, known only afterwards, .89.
TOO_WELL = 0.80
# Whether a field that is known at the start is filled has no reason to tell the outcome at all: in the markets at hand
# .53 at most.
_GAPS_TELL = 0.65
# Where columns leak together, one that may tell more than any honest column of the markets at hand is one of them.
_IN_COMPANY = 0.76
FILLED_AFTER = "filled only after the outcome"
FILL_TELLS = "whether it is filled tells the outcome"
TELLS_TOO_WELL = "tells the outcome too well"
TELLS_TOGETHER = "tells the outcome too well together with others"
FEWEST_EACH = 20
_SHARES = ("open_filled_share", "won_filled_share", "lost_filled_share")
_AREAS = ("auc_within", "auc_within_low", "auc_within_high")
_TOGETHER = ("auc_together", "auc_together_low", "auc_together_high")
COLUMNS = ("column", "n", *_AREAS, *_TOGETHER, *_SHARES, "why")
_TYPES = {"column": "str", "n": "int64", "why": "str"} | dict.fromkeys((*_AREAS, *_TOGETHER, *_SHARES), "float64")
_FEWEST_UNFILLED = 30
_FEWEST_EXPECTED = 10
_HARDLY = 0.05
_N_FOLDS = 3
_FOLD_SEED = 20_240_101  # what is said of a column is a function of its cells alone
_PRIOR_ROWS = 2.0
_ROWS_PER_BAND = 25
_MOST_BANDS, _MOST_BANDS_TOGETHER = 20, 10  # many columns have many coefficients
_RARE_LEVEL = 5
_NO_LUCK = 0.001  # that no case of a level, or every one, was won


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
    cases: Cases,
    columns: Collection[str],
    *,
    fill_only: Collection[str] = (),
    told_when_born: Collection[str] = (),
    known_early: Collection[str] = (),
) -> pd.DataFrame:
    """How well each column tells the outcome, and when it is filled; one row a column, the most telling first.

    Returns COLUMNS: n decided records; AUC inside periods with its 90 % interval, of the column alone and, where it is
    named with others, of them all; filled shares (fractions); ``why`` it looks like a leak, empty when it does not. NaN
    with fewer than 20 records won or lost. Of columns in ``fill_only`` (ids, texts) only the gaps count. Only for those
    in ``told_when_born`` are open records compared with decided ones of the same periods: elsewhere a gap of an open
    record says nothing. Those in ``known_early`` are declared known before selling begins: whether they are filled must
    not tell the outcome, and they are judged together as well. Raises ParameterError for absent columns.
    Method: levels (numbers in up to 20 bands of equal size, together 10; gaps a level of their own) are ranked by their
    mean distance from the period's rate in the other two of three folds, all together by a ridge logistic regression on
    the levels, learned there too; interval of DeLong et al. (1988). While all that are left tell too well, the most
    telling one is named and left out.
    """
    absent = [name for name in columns if name not in cases.rows]
    if absent:
        raise ParameterError(f"columns {absent} are absent; the records have {list(cases.rows.columns)}")
    outcomes = _Outcomes.of(cases)
    found = [
        _judged(
            cases, outcomes, name, values_tell=name not in fill_only, born_with=name in told_when_born,
            is_early=name in known_early,
        )
        for name in columns
    ]  # fmt: skip
    table = pd.DataFrame(found, columns=list(COLUMNS)).astype(_TYPES)
    table = table.sort_values(["auc_within", "column"], ascending=[False, True], ignore_index=True)
    left = table["column"].isin([name for name in known_early if name not in fill_only]) & (table["why"] == "")
    return _with_company(table, cases, outcomes, list(table.loc[left, "column"]))


def _with_company(table: pd.DataFrame, cases: Cases, outcomes: _Outcomes, left: list[str]) -> pd.DataFrame:
    """The table with those named that only together tell too well; ``left``: the columns to judge, most telling first.

    What may alone tell more than an honest column has ever done is named with them.
    """
    if not outcomes.enough or not left:
        return table
    codes = {name: _codes(cases.rows[name].iloc[outcomes.decided], _MOST_BANDS_TOGETHER) for name in left}
    at_most = table.set_index("column")["auc_within_high"]
    named: dict[str, Interval] = {}
    while len(left) > 1 and (told := outcomes.told_together([codes[name] for name in left])).low >= TOO_WELL:
        named[left.pop(0)] = last = told
    if named:
        named |= {name: last for name in left if at_most[name] >= _IN_COMPANY}
    for area, end in zip(_TOGETHER, ("estimate", "low", "high"), strict=True):
        table[area] = table["column"].map({name: getattr(told, end) for name, told in named.items()}).astype(float)
    return table.assign(why=table["why"].mask(table["column"].isin(list(named)), TELLS_TOGETHER))


def one_sided_levels(cases: Cases, columns: Collection[str]) -> pd.DataFrame:
    """Levels of categories of which no decided record was won, or every one, though by luck hardly any would be so.

    Columns: column, level, k won of n. Named are levels of 20 records or more whose chance under their periods' rates,
    times the number of levels looked at, is at most .001 (Bonferroni).
    """
    outcomes, rows, n_looked_at = _Outcomes.of(cases), [], 0
    rate = outcomes.won - outcomes.distance
    with np.errstate(divide="ignore"):  # in a period in which all were won, no luck is needed
        parts = {"n": np.ones(len(rate)), "k": outcomes.won, "all_lost": np.log1p(-rate), "all_won": np.log(rate)}
    for name in columns if outcomes.enough else ():
        if _numbers(values := cases.rows[name].iloc[outcomes.decided]) is not None:
            continue
        codes, names = pd.factorize(level_text(values), sort=True)
        known = codes >= 0
        sums = {key: np.bincount(codes[known], part[known], len(names)) for key, part in parts.items()}
        levels = pd.DataFrame({"column": name, "level": names} | sums).astype({"n": "int64"})
        levels = levels[levels["n"] >= FEWEST_EACH]
        n_looked_at += len(levels)
        rows.append(levels[(levels["k"] == 0) | (levels["k"] == levels["n"])])
    table = pd.concat(rows) if rows else pd.DataFrame(columns=["column", "level", "k", "n", "all_lost", "all_won"])
    luck = np.exp(table["all_lost"].where(table["k"] == 0, table["all_won"]).astype(float)) * n_looked_at
    return table.loc[luck <= _NO_LUCK, ["column", "level", "k", "n"]].reset_index(drop=True)


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
        return bool(min(self.won.sum(), len(self.won) - self.won.sum()) >= FEWEST_EACH)

    def told_by(self, codes: Ints) -> Interval:
        """AUC inside blocks of the levels' rates, each learned from the folds that a record is not in."""
        n_levels, guess = int(codes.max(initial=-1)) + 1, np.zeros(len(codes))
        for fold in range(_N_FOLDS):
            seen, asked = self.fold != fold, self.fold == fold
            n = np.bincount(codes[seen], minlength=n_levels)
            total = np.bincount(codes[seen], self.distance[seen], minlength=n_levels)
            guess[asked] = (total / (n + _PRIOR_ROWS))[codes[asked]]
        return auc_within_interval(self.won, guess, self.block)

    def told_together(self, codes: Sequence[Ints]) -> Interval:
        """AUC inside blocks of all columns' levels together, learned from the folds that a record is not in."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import OneHotEncoder

        period = self.block // _N_FOLDS
        flags = OneHotEncoder(min_frequency=_RARE_LEVEL, dtype=np.float64).fit_transform(
            np.column_stack([*codes, period])
        )
        guess = np.zeros(len(self.won))
        for fold in range(_N_FOLDS):
            seen, asked = self.fold != fold, self.fold == fold
            model = LogisticRegression(max_iter=500).fit(flags[seen], self.won[seen])
            guess[asked] = model.decision_function(flags[asked])
        return auc_within_interval(self.won, guess, self.block)


def _judged(
    cases: Cases, outcomes: _Outcomes, name: str, *, values_tell: bool, born_with: bool, is_early: bool
) -> tuple[str | float, ...]:
    values = cases.rows[name]
    filled = values.notna().to_numpy(dtype=bool)
    is_open, known = cases.is_open.to_numpy(dtype=bool), filled[outcomes.decided]
    told = by_gaps = Interval(np.nan, np.nan, np.nan)
    if outcomes.enough and known.any():
        by_gaps = outcomes.told_by(known.astype(np.int64)) if not known.all() or not values_tell else by_gaps
        told = outcomes.told_by(_codes(values.iloc[outcomes.decided])) if values_tell else by_gaps
    has_gaps = not filled.all()
    is_won, is_lost = (cases.is_won.eq(outcome).fillna(False) for outcome in (True, False))
    for_one = ((is_won, is_lost), (is_lost, is_won))
    is_for_one = has_gaps and any(_hardly_filled(filled, *sides, cases.period) for sides in for_one)
    if by_gaps.low >= (_GAPS_TELL if is_early else TOO_WELL) or is_for_one:
        why = FILL_TELLS
    elif has_gaps and born_with and _hardly_filled(filled, is_open, cases.is_won.notna(), cases.born):
        why = FILLED_AFTER
    else:
        why = TELLS_TOO_WELL if told.low >= TOO_WELL else ""
    sides = (filled[is_open], known[outcomes.won == 1], known[outcomes.won == 0])
    shares = [float(side.mean()) if len(side) else np.nan for side in sides]
    return (name, len(known), told.estimate, told.low, told.high, *[np.nan] * len(_TOGETHER), *shares, why)


def _hardly_filled(filled: Flags, scarce: Any, ample: Any, period: pd.Series) -> bool:
    """Is it hardly ever filled for the ``scarce`` records, yet in the same periods often enough for the ``ample``?"""
    number = pd.factorize(period, use_na_sentinel=False)[0]
    few, many = np.asarray(scarce, dtype=bool), np.asarray(ample, dtype=bool)
    n_few, n_many = (np.bincount(number, side) for side in (few, many))
    n_filled, n_usual = (np.bincount(number, side & filled) for side in (few, many))
    both = (n_few > 0) & (n_many > 0)
    expected = float((n_usual[both] / n_many[both] * n_few[both]).sum())
    is_enough = n_few[both].sum() >= _FEWEST_UNFILLED and expected >= _FEWEST_EXPECTED
    return bool(is_enough and n_filled[both].sum() <= _HARDLY * expected)


def _codes(values: pd.Series, most_bands: int = _MOST_BANDS) -> Ints:
    """Level numbers from 0; numbers and dates with many values in bands of equal size, a gap is a level."""
    numbers = _numbers(values)
    if numbers is None:
        return pd.factorize(values.astype("object").where(values.notna()), use_na_sentinel=False)[0].astype(np.int64)
    n_bands = int(np.clip(len(numbers) // _ROWS_PER_BAND, 2, most_bands))
    if numbers.nunique() <= n_bands:
        return pd.factorize(numbers, use_na_sentinel=False)[0].astype(np.int64)
    return np.ceil(numbers.rank(pct=True).fillna(0).to_numpy() * n_bands).astype(np.int64)


def _numbers(values: pd.Series) -> pd.Series | None:
    """Numbers as they are, dates as days; None for categories."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return (values - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return values.astype(float) if is_metric(values) else None
