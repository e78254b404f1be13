"""The notebooks of the project: question, reads, writes, and the typed parameters that they declare.

A parameter stands in the cell ``parameters`` as ``name: type = default  # help``.
"""

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedloop.errors import DefinitionError, ParameterError, allowed
from closedloop.market.files import FOLDERS, root

_FIELD = re.compile(r"^\W*(reads|writes)\W+(.+?)\W*$", re.IGNORECASE | re.MULTILINE)
_MARKS = re.compile(r"[*`]+")
Value = str | int | float | bool | list[Any] | dict[str, Any] | None
_ALLOWED = {
    "str": "text",
    "int": "a whole number, like 3",
    "float": "a number, like 0.05",
    "bool": "true or false",
    "list": 'names, like channel,region or ["channel", "region"]',
    "dict": 'numbers or text by name, like {"n_leads": 500}',
    "Any": "an object that is made in the cell itself",
}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; ``kind``: str, int, float, bool, list, dict, or Any, which nobody gives from outside."""

    name: str
    kind: str
    is_optional: bool
    default: Value
    help: str

    @property
    def type(self) -> str:
        """The type as a person writes it: ``Optional[int]``."""
        return f"Optional[{self.kind}]" if self.is_optional and self.kind != "Any" else self.kind

    @property
    def allowed(self) -> str:
        """What it takes, in words."""
        return _ALLOWED[self.kind] + ", or none" * self.is_optional

    def accepts(self, value: object) -> bool:
        """Is ``value`` of the declared type? A whole number is a float, a truth value is no number."""
        if value is None:
            return self.is_optional
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if isinstance(value, list | dict):
            parts = value.values() if isinstance(value, dict) else value
            return type(value).__name__ == self.kind and all(isinstance(part, str | int | float) for part in parts)
        found = type(value).__name__
        return found == self.kind or (found == "int" and self.kind == "float")

    def parse(self, text: str) -> Value:
        """The value that ``text`` from a command line stands for; ParameterError when it stands for none."""
        try:
            value = None if self.is_optional and text.lower() == "none" else _parsed(self.kind, text)
        except (ValueError, KeyError):
            value = math.nan  # which is nobody's value
        if not self.accepts(value):
            raise ParameterError(f"{self.name} = {text!r} is no {self.type}; allowed: {self.allowed}")
        return value


def _parsed(kind: str, text: str) -> Value:
    if kind == "bool":
        return _WORDS[text.lower()]
    if kind == "dict" or (text.lstrip().startswith("[") and kind == "list"):
        found: Value = json.loads(text)
        return found
    if kind == "list":
        names = [name.strip() for name in text.split(",")]
        return names if all(names) else math.nan
    value: Value = {"str": str, "int": int, "float": float}[kind](text)
    return value


def declared(source: str, where: str) -> tuple[Parameter, ...]:
    """The parameters that the cell ``source`` declares, beside ``from typing import Optional``.

    Errors: DefinitionError names ``where`` and the line.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise DefinitionError(f"{where}: parameters, line {error.lineno}: {error.msg}") from error
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    helps = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    lines = [one for one in statements if not (isinstance(one, ast.ImportFrom) and one.module == "typing")]
    return tuple(_parameter(line, helps, f"{where}: parameters, line {line.lineno}") for line in lines)


def _parameter(statement: ast.stmt, helps: Mapping[int, str], place: str) -> Parameter:
    if not isinstance(statement, ast.AnnAssign) or statement.value is None:
        found = ast.unparse(statement)
        raise DefinitionError(f"{place}: found {found!r}; allowed: name: type = default  # help")
    written = ast.unparse(statement.annotation)
    kind = written.removeprefix("Optional[").removesuffix("]")
    if kind not in _ALLOWED or written not in (kind, f"Optional[{kind}]"):
        raise DefinitionError(f"{place}: type {written!r}; allowed: {allowed(_ALLOWED)}, or Optional of one, no |")
    try:
        default: Value = ast.literal_eval(statement.value)
    except ValueError as error:
        found = ast.unparse(statement.value)
        raise DefinitionError(f"{place}: default {found!r}; allowed: a plain value") from error
    name = ast.unparse(statement.target)
    parameter = Parameter(name, kind, written != kind or kind == "Any", default, helps.get(statement.lineno, ""))
    if not parameter.accepts(default):
        raise DefinitionError(f"{place}: default {default!r} is no {parameter.type}")
    return parameter


def as_text(name: str, value: object) -> str:
    """The parameter as text: papermill makes a number of ``-p period 2024``, and a truth value of ``True``."""
    if not isinstance(value, str | int | float):
        raise ParameterError(f"{name} = {value!r} is of type {type(value).__name__}; allowed: text")
    return str(value)


def check_values(parameters: Iterable[Parameter], values: Mapping[str, object], where: str) -> None:
    """Refuse a value whose name ``where`` does not declare, or whose type is another one (ParameterError)."""
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in values.items():
        if name not in known:
            raise ParameterError(f"{where} has no parameter {name!r}; allowed: {allowed(known)}")
        parameter = known[name]
        # papermill makes a number of `-p period 2024`, a truth value of `-p persona True`, no list of a text
        is_typed_text = parameter.kind == "str" and isinstance(value, int | float)
        is_json = parameter.kind in ("list", "dict") and isinstance(value, str) and bool(parameter.parse(value))
        if not (is_typed_text or is_json or parameter.accepts(value)):
            found = f"{name} = {value!r} ({type(value).__name__})"
            raise ParameterError(f"{where}: {found}; allowed: {parameter.allowed}")


@dataclass(frozen=True)
class Notebook:
    """A notebook's source: its name, place, first cell and declared parameters."""

    name: str
    path: Path
    title: str
    question: str
    reads: str
    writes: str
    parameters: tuple[Parameter, ...]

    @property
    def step(self) -> str:
        """The loop's step, without the number: ``05_deals`` is ``deals``."""
        return self.name.split("_", 1)[1] if self.name[:2].isdigit() else self.name


def read_source(path: Path) -> dict[str, Any]:
    """The notebook file as parsed JSON; DefinitionError names the file and what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read: {error.strerror}") from error
    if content.startswith(b"\xef\xbb\xbf"):
        raise DefinitionError(f"{path}: starts with a byte order mark; save it as UTF-8 without one")
    if b"\r\n" in content or b"\\r\\n" in content:
        raise DefinitionError(f"{path}: has Windows line ends (CRLF); save it with LF")
    try:
        notebook = json.loads(content)
    except ValueError as error:
        raise DefinitionError(f"{path}: is no notebook: {error}") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise DefinitionError(f"{path}: is no notebook: it has no list of cells")
    version = (notebook.get("nbformat"), notebook.get("nbformat_minor"))
    if version[0] != 4:
        raise DefinitionError(f"{path}: nbformat {version[0]}.{version[1]}; allowed: 4; save it in JupyterLab")
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in ("markdown", "code", "raw"):
            raise DefinitionError(f"{path}: cell {number}: unknown cell_type; allowed: markdown, code, raw")
    return dict(notebook)


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def read_notebook(path: Path) -> Notebook:
    """What the notebook at ``path`` asks, reads, writes and takes; a document says what it reads at its end."""
    cells = read_source(path)["cells"]
    prose = [_MARKS.sub("", _text(cell)) for cell in cells if cell["cell_type"] == "markdown"]
    fields = {name.lower(): said for text in reversed(prose) for name, said in reversed(_FIELD.findall(text))}
    first = prose[0] if cells and cells[0]["cell_type"] == "markdown" else ""
    title = re.search(r"^# (.+)$", first, re.MULTILINE)
    question = re.search(r"[^.?!|]*\?", " ".join(line for line in first.splitlines() if not line.startswith("#")))
    tagged = [_text(cell) for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    return Notebook(
        path.stem,
        path,
        title[1].strip() if title else path.stem,
        question[0].strip() if question else "",
        fields.get("reads", ""),
        fields.get("writes", ""),
        declared(tagged[0], str(path)) if tagged else (),
    )


def notebooks() -> dict[str, Notebook]:
    """The project's notebooks by name, in the order of the loop, then the playbooks."""
    paths = [path for folder in FOLDERS for path in sorted((root() / folder).glob("[!.]*.ipynb"))]
    return {path.stem: read_notebook(path) for path in paths}


def find_notebook(name: str, known: Mapping[str, Notebook] | None = None) -> Notebook:
    """The notebook called ``name`` (with or without ``.ipynb`` or its number)."""
    found = notebooks() if known is None else known
    stem = Path(name).name.removesuffix(".ipynb")
    for notebook in found.values():
        if stem in (notebook.name, notebook.step):
            return notebook
    raise ParameterError(f"notebook = {name!r} does not exist; allowed: {allowed(found)}")
