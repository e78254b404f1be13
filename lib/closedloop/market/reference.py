"""The reference of market.toml and of what a select may use, made from the models that read them."""

import inspect
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from closedloop.market.contract import TABLES
from closedloop.market.definition import PARTS, Definition
from closedloop.market.reading.values import WORDS

_LEFT_OUT = ("name", "folder")  # the market's own, which no file says
_PLACES = {"sources": "sources.<name>", "experiments": "experiments.<name>", "goals": 'goals."<period>"',
           "deals.pipelines": "deals.pipelines.<name>"}  # fmt: skip
_FUNCTIONS = {
    "means(table, column, text)": "what `values.csv` says a text means, like `means('deals', 'outcome', \"Stage\")`",
    "in_currency(amount, currency, day)": "the amount in the market's currency, by `rates.csv` (currency, month, rate)",
    "as_id(text)": "an identifier without blanks, Salesforce's short ones in their long form",
    "as_code(text)": "a code for a name that goes no further: a keyed hash, the same whoever else there is",
}


def reference() -> str:
    """The reference as Markdown: one section for each part of market.toml, then the functions of selects."""
    parts = [_section("market.toml", Definition)]
    parts += [_section(f"[{_PLACES.get(name, name)}]", model) for name, model in PARTS.items()]
    tables = ", ".join(f"`{name}.sql`" for name in TABLES)
    lines = [
        "### Selects",
        f"One DuckDB `select` a file: {tables}; others are helpers and begin with `_`. A select reads `raw.<source>` "
        "(the file's columns, `row_no`, `line`; of one with a declared type also `<column> (as written)`), helpers, "
        "and the canonical tables above its own. What it reads with these functions is counted where it is unreadable:",
        "",
        "| function | gives |\n|---|---|",
        *(f"| `as_{kind}(text)` | {what}, like {example} |" for kind, (what, example) in WORDS.items()),
        *(f"| `{name}` | {what} |" for name, what in _FUNCTIONS.items()),
    ]
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def _section(title: str, model: type[BaseModel]) -> str:
    fields = {name: field for name, field in model.model_fields.items() if name not in _LEFT_OUT}
    rows = [
        [f"`{name}`", _kind(field.annotation), _default(field), *([field.description] if field.description else [])]
        for name, field in fields.items()
    ]
    head = ["key", "value", "without it", "meaning"][: max(map(len, rows))]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    lines.insert(1, f"|{'---|' * len(head)}")
    return "\n".join([f"### {title}", inspect.cleandoc(model.__doc__ or ""), "", *lines])


def _kind(kind: Any) -> str:
    """What may be written, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if origin is tuple:
        return f"list of {_kind(parts[0])}"
    if origin is dict:
        return "a table"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return "a table"
    return {str: "text", int: "whole number", float: "number", bool: "flag"}.get(
        kind, getattr(kind, "__name__", "text")
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "refused"
    if field.default in (None, (), {}, "") or isinstance(field.default, BaseModel):
        return "-"
    return f"`{field.default}`"
