"""The notebooks of the project as the batch sees them: question, reads, writes, parameters."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedloop.batch.parameters import Parameter, declared
from closedloop.errors import DefinitionError, ParameterError, allowed
from closedloop.market.files import root

FOLDERS = ("notebooks", "playbooks")
_FIELD = re.compile(r"^\W*(reads|writes)\W+(.+?)\W*$", re.IGNORECASE | re.MULTILINE)
_MARKS = re.compile(r"[*`]+")


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
    return _checked(notebook, path)


def _checked(notebook: Any, path: Path) -> dict[str, Any]:
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise DefinitionError(f"{path}: is no notebook: it has no list of cells")
    version = (notebook.get("nbformat"), notebook.get("nbformat_minor"))
    if version[0] != 4:
        raise DefinitionError(f"{path}: nbformat {version[0]}.{version[1]}; allowed: 4; save it in JupyterLab")
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in ("markdown", "code", "raw"):
            raise DefinitionError(f"{path}: cell {number}: unknown cell_type; allowed: markdown, code, raw")
    return notebook


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def read_notebook(path: Path) -> Notebook:
    """What the notebook at ``path`` asks, reads, writes and takes; a document says what it reads at its end."""
    cells = read_source(path)["cells"]
    prose = [_text(cell) for cell in cells if cell["cell_type"] == "markdown"]
    first = prose[0] if cells and cells[0]["cell_type"] == "markdown" else ""
    told = [field for text in prose for field in _FIELD.findall(text)]
    fields = {name.lower(): _plain(value) for name, value in reversed(told)}
    tagged = [_text(cell) for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    parameters = declared(tagged[0], str(path)) if tagged else ()
    reads, writes = fields.get("reads", ""), fields.get("writes", "")
    return Notebook(path.stem, path, _title(first) or path.stem, _question(first), reads, writes, parameters)


def _plain(text: str) -> str:
    return _MARKS.sub("", text).strip()


def _title(first: str) -> str:
    match = re.search(r"^# (.+)$", first, re.MULTILINE)
    return _plain(match[1]) if match else ""


def _question(first: str) -> str:
    body = " ".join(line for line in first.splitlines() if not line.startswith("#"))
    match = re.search(r"[^.?!|]*\?", body)
    return _plain(match[0]) if match else ""


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
