"""``where``: which deals and leads count, as a condition on their fields that is parsed and never run as code."""

import ast
from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_, eq, ge, gt, invert, le, lt, ne, or_
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from closedloop.errors import ParameterError, allowed
from closedloop.terms import Moment

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from closedloop.market.warehouse import View

_SIGNS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = MappingProxyType(
    {ast.Eq: eq, ast.NotEq: ne, ast.Lt: lt, ast.LtE: le, ast.Gt: gt, ast.GtE: ge}
)
_HOW = 'a condition is column, sign, value: sites == "over 20", channel in ["web", "fair"], and / or / not'


def meeting(where: str, rows: "ir.Table", view: "View") -> "ir.Table":
    """The rows that meet the condition ``where``; all of them without one.

    Columns are fields known by hand-off, own or inherited; values are texts, numbers and flags. Errors: ParameterError
    for anything else that is written, with what is allowed.
    """
    if not where:
        return rows
    return rows.filter(_condition(_parsed(where), rows, where, _fields(rows, view)))


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
        for part in node.values:
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


def _fields(rows: "ir.Table", view: "View") -> list[str]:
    """The columns that may be asked for: fields known by hand-off; what comes later would choose by the outcome."""
    tables = [name for name in ("deals", "leads", "accounts") if view.has(name)]
    known = {name for table in tables for name in view.fields(table, Moment.HANDOFF)}
    return sorted(known & set(rows.columns))


def _condition(node: ast.expr, rows: "ir.Table", where: str, fields: list[str]) -> "ir.BooleanValue":
    import ibis

    if isinstance(node, ast.BoolOp):
        join = and_ if isinstance(node.op, ast.And) else or_
        found: ir.BooleanValue = reduce(join, (_condition(part, rows, where, fields) for part in node.values))
        return found
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return invert(_condition(node.operand, rows, where, fields))
    name, sign, value = _compared(node, where)
    if name not in fields:
        raise ParameterError(
            f"where = {where!r}: {name!r} is no field that is known by hand-off; allowed: {allowed(fields, 30)}"
        )
    column = rows[name]
    if isinstance(sign, ast.In):
        return column.isin(list(value))
    if isinstance(sign, ast.NotIn):
        return ~column.isin(list(value))
    try:
        compared: ir.BooleanValue = _SIGNS[type(sign)](column, ibis.literal(value))
    except Exception as error:
        raise ParameterError(
            f"where = {where!r}: {name!r} holds {column.type()}, which cannot be compared with {value!r}"
        ) from error
    return compared
