"""Fields: which columns they are, and those by which nobody can be compared: identifiers and free text."""

from dataclasses import dataclass

import pandas as pd

from closedloop.market.contract import Table, kind_of

FIELD_TABLES = ("accounts", "leads", "respondents", "deals")  # whose columns are compared, cut and scored by
_NO_FIELDS = ("outcome", "stage", "text", "title")
_FEWEST_VALUES = 20  # with fewer different values a field can be read, however few records there are
_HARDLY_REPEATED = 5  # records of one value
_FEWEST_WORDS = 4  # of a free text, on average
_TEXTS_REPEAT = 5  # records of one value, on average: fixed phrases
_LONG_NUMBER = 8  # digits


def is_field(table: Table, name: str) -> bool:
    """Is a column a field: an extra one, or a canonical category that people are not known by?"""
    if name in _NO_FIELDS or kind_of(name) in ("date", "timestamp"):
        return False  # a day groups nothing
    column = table.governing(name)
    if column is None:
        return True
    return kind_of(name) == "text" and column.shown not in ("own", "share") and not column.internal


@dataclass(frozen=True)
class Likeness:
    """What the values of a field look like: ``n_values`` different ones among the ``n`` records that have one."""

    kind: str
    n_values: int
    n: int

    def __str__(self) -> str:
        return f"looks like {self.kind}: {self.n_values:,} values among {self.n:,} records"


def likeness(values: pd.Series) -> Likeness | None:
    """Whether a field looks like an identifier or like free text; None for one to compare by.

    Text is an identifier when it has 20 values or more and half of the records bear one that fewer than five share, or
    when there are half as many values as records; free text when it has four words or more on average and its values
    repeat fewer than five times. Numbers are identifiers when no two are equal and they are running ones (more than
    half of the numbers between the lowest and the highest are there) or all of one length of eight digits or more.
    """
    known = values.dropna()
    if len(known) < _FEWEST_VALUES or pd.api.types.is_bool_dtype(known):
        return None
    is_number = pd.api.types.is_numeric_dtype(known)
    if is_number:
        return Likeness("an identifier", len(known), len(known)) if _are_numbered(known) else None
    if not all(isinstance(value, str) for value in known):  # dates and amounts are compared in bands
        return None
    sizes = known.value_counts()
    found = len(sizes), len(known)
    if len(sizes) < _FEWEST_VALUES:
        return None
    is_long = known.map(lambda text: len(text.split())).mean() >= _FEWEST_WORDS
    if is_long and len(known) < _TEXTS_REPEAT * len(sizes):
        return Likeness("free text", *found)
    n_alone = int(sizes[sizes < _HARDLY_REPEATED].sum())
    return Likeness("an identifier", *found) if 2 * max(n_alone, len(sizes)) >= len(known) else None


def _are_numbered(numbers: pd.Series) -> bool:
    """Whole numbers, each given once, that run on or are all long and of one length."""
    whole = numbers.astype(float)
    if whole.duplicated().any() or (whole % 1 != 0).any() or (whole < 0).any():
        return False
    low, high = whole.min(), whole.max()
    is_one_length = len(str(int(low))) == len(str(int(high))) >= _LONG_NUMBER
    return bool(high - low + 1 < 2 * len(whole) or is_one_length)
