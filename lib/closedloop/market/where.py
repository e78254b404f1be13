"""``where``: which deals and leads count, as a condition on their fields that is parsed and never run as code."""

import ast
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from operator import and_, eq, ge, gt, invert, le, lt, ne, or_
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from closedloop.errors import ParameterError, allowed
from closedloop.terms import Moment

if TYPE_CHECKING:
    import pandas as pd

    from closedloop.market.warehouse import View

_SIGNS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = MappingProxyType(
    {ast.Eq: eq, ast.NotEq: ne, ast.Lt: lt, ast.LtE: le, ast.Gt: gt, ast.GtE: ge}
)
_KINDS: Mapping[str, str] = MappingProxyType(dict.fromkeys("iuf", "numbers") | {"b": "flags", "M": "days"})
_HOW = 'a condition is column, sign, value: sites == "over 20", channel in ["web", "fair"], and / or / not'


def meeting(where: str, rows: "pd.DataFrame", view: "View") -> "pd.DataFrame":
    """The rows that meet the condition ``where``; all of them without one.

    Columns are fields known by hand-off, own or inherited; values are texts, numbers and flags. As in SQL, a missing
    value meets no comparison, nor the opposite of one. Errors: ParameterError for anything else that is written, with
    what is allowed.
    """
    if not where:
        return rows
    return rows[_condition(_parsed(where), rows, where, _fields(rows, view)).fillna(False)]


def check(where: str) -> None:
    """Refuse what cannot be read as a condition, before anything runs."""
    if where:
        _walk(_parsed(where), where)


def _parsed(where: str) -> ast.expr:
    try:
        return ast.parse(where, mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ParameterError(f"where = {where!r} cannot be read: {error}; {_HOW}") from error


def _walk(node: ast.expr, where: str) -> None:
    if isinstance(node, ast.BoolOp):
        for part in node.values:  # noqa: PD011 - of a syntax tree
            _walk(part, where)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _walk(node.operand, where)
    else:
        _compared(node, where)


def _compared(node: ast.expr, where: str) -> tuple[str, ast.cmpop, Any]:
    """Column, sign and value of one comparison."""
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.left, ast.Name)):
        raise ParameterError(f"where = {where!r}: found {ast.unparse(node)!r}; {_HOW}")
    try:
        value = ast.literal_eval(node.comparators[0])
    except ValueError as error:
        found = ast.unparse(node.comparators[0])
        raise ParameterError(f"where = {where!r}: {found!r} is no value; {_HOW}") from error
    sign, is_list = node.ops[0], isinstance(value, list | tuple)
    one = value if is_list else [value]
    if not all(isinstance(part, str | int | float | bool) for part in one):
        raise ParameterError(f"where = {where!r}: {value!r} is no text, number or flag; {_HOW}")
    if is_list != isinstance(sign, ast.In | ast.NotIn) or not isinstance(sign, (ast.In, ast.NotIn, *_SIGNS)):
        raise ParameterError(f"where = {where!r}: found {ast.unparse(node)!r}; {_HOW}")
    return node.left.id, sign, value


def _fields(rows: "pd.DataFrame", view: "View") -> list[str]:
    """The columns that may be asked for: fields known by hand-off; what comes later would choose by the outcome."""
    tables = [name for name in ("deals", "leads", "accounts") if view.has(name)]
    known = {name for table in tables for name in view.fields(table, Moment.HANDOFF)}
    return sorted(known & set(rows.columns))


def _condition(node: ast.expr, rows: "pd.DataFrame", where: str, fields: list[str]) -> "pd.Series":
    """Which rows meet it, missing where nobody knows."""
    if isinstance(node, ast.BoolOp):
        join = and_ if isinstance(node.op, ast.And) else or_
        parts = (_condition(part, rows, where, fields) for part in node.values)  # noqa: PD011 - of a syntax tree
        joined: pd.Series = reduce(join, parts)
        return joined
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return invert(_condition(node.operand, rows, where, fields))
    name, sign, value = _compared(node, where)
    if name not in fields:
        raise ParameterError(
            f"where = {where!r}: {name!r} is no field that is known by hand-off; allowed: {allowed(fields, 30)}"
        )
    known, is_list = rows[name].dropna(), isinstance(sign, ast.In | ast.NotIn)
    values = _values(known, value if is_list else [value], where)
    if known.empty:
        return known.isna().astype("boolean").reindex(rows.index)
    found = known.isin(values) if is_list else _SIGNS[type(sign)](known, values[0])
    found = ~found if isinstance(sign, ast.NotIn) else found
    return found.astype("boolean").reindex(rows.index)


def _values(known: "pd.Series", values: Sequence[Any], where: str) -> list[Any]:
    """The values as the column has its own: texts, numbers, flags or days."""
    from numpy import datetime64  # the command line reads a condition without it

    kind = _KINDS.get(known.dtype.kind, "texts")
    if kind == "flags":
        fits = [isinstance(value, bool) for value in values]
    elif kind == "numbers":
        fits = [isinstance(value, int | float) and not isinstance(value, bool) for value in values]
    else:
        fits = [isinstance(value, str) for value in values]
    with suppress(ValueError):  # a text that is no day
        if all(fits) or known.empty:
            return [datetime64(value) for value in values] if kind == "days" else list(values)
    found = ", ".join(map(repr, values))
    raise ParameterError(f"where = {where!r}: {known.name!r} holds {kind}, which cannot be compared with {found}")
