"""What results depend on, each as one fingerprint: code that computes, all code, a market's settings, its raw files."""

import ast
import hashlib
import json
import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from closedloop import terms
from closedloop.market import sources
from closedloop.market.definition import Definition
from closedloop.market.files import sha256_of
from closedloop.market.place import remembered, runs_folder

_PACKAGE = Path(terms.__file__).parent
_TABLES = ("terms.py", "market/*.py")  # what makes canonical tables of raw files
_COMPUTING = (*_TABLES, "evidence/**/*.py", "loop/**/*.py", "questions/**/*.py")
_WORDS = {"title", "licence", "provenance", "labels"}


def fingerprint(definition: Definition) -> str:
    """Of all that a market's canonical tables depend on: settings, selects, raw files, code; 64 hexadecimal digits."""
    digest = hashlib.sha256(settings(definition).encode() + tables_code().encode())
    for path in sorted(definition.folder.glob("*.sql")):
        digest.update(path.name.encode() + path.read_bytes())
    for name, source in definition.sources.items():
        path = sources.fetch(definition, name)  # which has checked it against the digest, if that is declared
        digest.update((source.sha256 or sha256_of(path)).encode())
    return digest.hexdigest()


def settings(definition: Definition) -> str:
    """Of a definition without its words, which only rendering reads: title, origin, labels, the items' questions."""
    plain = definition.model_dump(mode="json", exclude=_WORDS | {"folder"}) | {"items": list(definition.items)}
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


@cache
def tables_code() -> str:
    """Of the code that makes canonical tables, as this process found it first."""
    return _meaning(_TABLES)


@cache
def computing_code() -> str:
    """Of the code that computes, as this process found it first: other code renders what it found."""
    return _meaning(_COMPUTING)


@cache
def package_code() -> str:
    """Of every file of the package, as this process found it first: what any page that is rendered depends on."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(_PACKAGE)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _meaning(patterns: tuple[str, ...]) -> str:
    """Of what modules do, whatever their comments and docstrings say; parsing takes a while, so it is remembered."""
    modules = {path.relative_to(_PACKAGE).as_posix(): path.read_bytes() for path in _modules(patterns)}
    as_written = hashlib.sha256(platform.python_version().encode() + repr(modules).encode()).hexdigest()
    return remembered(runs_folder() / ".code" / as_written, lambda: _parsed(modules))


def _modules(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(_PACKAGE.glob(pattern))


def _parsed(modules: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, source in modules.items():
        digest.update(f"{name} {ast.dump(_without_docstrings(ast.parse(source)))}\n".encode())
    return digest.hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                del node.body[0]
    return tree
