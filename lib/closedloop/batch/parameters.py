"""The typed parameters that a notebook declares in its cell ``parameters``: ``name: type = default  # help``."""

import ast
import io
import math
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from closedloop.errors import DefinitionError, ParameterError, allowed

Value = str | int | float | bool | None
_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; ``types`` holds names out of str, int, float, bool and None."""

    name: str
    types: tuple[str, ...]
    default: Value
    help: str

    @property
    def type(self) -> str:
        """The type as a person writes it: ``str | None``."""
        return " | ".join(self.types)

    def accepts(self, value: object) -> bool:
        """Is ``value`` of a declared type? A whole number is a float, a truth value is no number."""
        if value is None:
            return "None" in self.types
        if isinstance(value, float) and not math.isfinite(value):
            return False
        found = type(value).__name__
        return found in self.types or (found == "int" and "float" in self.types)

    def parse(self, text: str) -> Value:
        """The value that ``text`` from a command line stands for; ParameterError when it stands for none."""
        for name in self.types:
            try:
                value = _parsed(name, text)
            except ValueError:
                continue
            if self.accepts(value):
                return value
        raise ParameterError(f"{self.name} = {text!r} is no {self.type}; allowed: one like {self.default!r}")


def _parsed(name: str, text: str) -> Value:
    if name == "None":
        if text.lower() == "none":
            return None
        raise ValueError(text)
    if name == "bool":
        if text.lower() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.lower()]
    value: Value = _TYPES[name](text)
    return value


def declared(source: str, where: str) -> tuple[Parameter, ...]:
    """The parameters that the cell ``source`` declares; DefinitionError names ``where`` and the line."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise DefinitionError(f"{where}: parameters, line {error.lineno}: {error.msg}") from error
    helps = _comments(source)
    return tuple(_parameter(statement, helps, where) for statement in statements)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _parameter(statement: ast.stmt, helps: Mapping[int, str], where: str) -> Parameter:
    place = f"{where}: parameters, line {statement.lineno}"
    if not isinstance(statement, ast.AnnAssign) or statement.value is None:
        found = ast.unparse(statement)
        raise DefinitionError(f"{place}: found {found!r}; allowed: name: type = default  # help")
    types = tuple(part.strip() for part in ast.unparse(statement.annotation).split("|"))
    unknown = sorted(set(types) - {*_TYPES, "None"})
    if unknown:
        raise DefinitionError(f"{place}: type {unknown[0]!r}; allowed: {allowed([*_TYPES, 'None'])}")
    name, default = ast.unparse(statement.target), _default(statement.value, place)
    parameter = Parameter(name, types, default, helps.get(statement.lineno, ""))
    if not parameter.accepts(parameter.default):
        raise DefinitionError(f"{place}: default {parameter.default!r} is no {parameter.type}")
    return parameter


def _default(node: ast.expr, place: str) -> Value:
    try:
        value: Value = ast.literal_eval(node)
    except ValueError as error:
        raise DefinitionError(f"{place}: default {ast.unparse(node)!r}; allowed: a plain value") from error
    return value


def check_values(parameters: Iterable[Parameter], values: Mapping[str, object], where: str) -> None:
    """Refuse a value whose name ``where`` does not declare, or whose type is another one (ParameterError)."""
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in values.items():
        if name not in known:
            raise ParameterError(f"{where} has no parameter {name!r}; allowed: {allowed(known)}")
        # Papermill makes a number of `-p period 2024`, and a truth value of `-p persona True`.
        is_typed_text = "str" in known[name].types and isinstance(value, int | float)
        if not is_typed_text and not known[name].accepts(value):
            found, like = f"{name} = {value!r} ({type(value).__name__})", known[name]
            raise ParameterError(f"{where}: {found}; allowed: {like.type}, like {like.default!r}")
