"""The checks of the contract's single values, as pandera schemas; keys and references are looked at in SQL."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import pandas as pd
import pandera.errors
import pandera.pandas as pa

from closedloop.errors import allowed
from closedloop.market.contract import TABLES, Column, Table, kind_of
from closedloop.market.definition import Definition
from closedloop.market.staging.raw_files import EMAIL, TELEPHONE, quoted

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


LIKE_A_TELEPHONE = "a value like a telephone number"
FIELD_YEARS = (1900, 2100)  # of any day that a market tells of
_EVENT_YEARS = (1990, 2100)  # of the contract's own dates: something happened between both teams and the customer
_MOST_CODES, _FEWEST_USES = 50, 5  # a list of codes has so few values, used so often; a list of people has neither


def outside(column: str, years: tuple[int, int]) -> str:
    """SQL condition: the day in ``column`` lies in none of these years."""
    return f"year({quoted(column)}) not between {years[0]} and {years[1]} or isinf({quoted(column)})"


def unfit(definition: Definition, table: Table, column: str, found: str) -> list[tuple[str, str]]:
    """Reason and SQL condition of every kind of value that must stop the loop in a column of the type ``found``."""
    kind, name = kind_of(column), quoted(column)
    if kind in ("date", "timestamp"):
        reason = f"a date outside {_EVENT_YEARS[0]}-{_EVENT_YEARS[1]}"
        is_event = table.governing(column) is not None and definition.clock != "order"  # a position may be any number
        return [(reason, outside(column, _EVENT_YEARS))] if is_event else []
    if found != "VARCHAR" or definition.privacy != "strict":
        return []
    email = ("a value like an e-mail address", f"contains({name}, '@') and regexp_matches({name}, '{EMAIL}')")
    if kind == "id" or column in definition.checked.get(table.name, ()):
        return [email]
    return [email, (LIKE_A_TELEPHONE, f"regexp_matches({name}, '{TELEPHONE}')")]


def are_codes(counts: Iterable[tuple[str, int]]) -> bool:
    """Few values, each on many rows, and none written as people write a number to call: of products, not of people."""
    known = list(counts)
    return len(known) <= _MOST_CODES and all(n >= _FEWEST_USES and not re.search(r"[+()\s]", text) for text, n in known)
