"""The checks of the contract's single values, as pandera schemas; keys and references are looked at in SQL."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pandas as pd
import pandera.errors
import pandera.pandas as pa

from closedloop.errors import allowed
from closedloop.market.contract import TABLES, Column, Table, kind_of

_IN_WORDS = {"below 0": "0 or more", "above 1": "0 to 1", "not above 0": "above 0"}
_MOST_LISTED = 30
_BOUNDS = {"amount": (0, None), "count": (0, None), "rate": (0, 1)}


def _checks(column: Column) -> list[pa.Check]:
    listed = column.values  # noqa: PD011 - a tuple of the contract, no frame
    if listed:
        return [pa.Check.isin(listed, error="not in list")]
    if column.name == "weight":
        return [pa.Check.gt(0, error="not above 0")]
    low, high = _BOUNDS.get(kind_of(column.name), (None, None))
    checks = [pa.Check.ge(low, error="below 0")] if low is not None else []
    return checks + ([pa.Check.le(high, error="above 1")] if high is not None else [])


def checked(table: Table, columns: list[str]) -> list[str]:
    """Those of ``columns`` whose values the contract limits: required ones, listed ones, amounts, counts, rates."""
    limited = [table.column(name) or Column(name, "a declared field") for name in columns]
    return [column.name for column in limited if column.required or _checks(column)]


@cache
def schema(table: str, present: tuple[str, ...]) -> pa.DataFrameSchema:
    """The checks of one canonical table over its columns that are present, extra ones by their names."""
    columns = {}
    for name in present:
        column = TABLES[table].column(name) or Column(name, "a declared field")
        columns[name] = pa.Column(None, checks=_checks(column), nullable=not column.required)
    return pa.DataFrameSchema(columns)


class Problem(NamedTuple):
    """Values that the contract does not allow: why, in which column and rows, and what is allowed, in words."""

    reason: str
    column: str
    rows: list[int]
    allowed: str


def problems(table: Table, frame: pd.DataFrame) -> Iterator[Problem]:
    """Every kind of value that the contract does not allow."""
    try:
        schema(table.name, tuple(frame.columns)).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"])
        for (name, check), part in cases.groupby(["column", "check"]):
            reason = "missing" if check == "not_nullable" else str(check)
            column = table.column(str(name))
            listed = allowed(column.values, _MOST_LISTED) if column and reason == "not in list" else ""
            rows = sorted({int(i) for i in part["index"]})
            yield Problem(reason, str(name), rows, listed or _IN_WORDS.get(reason, ""))
