"""What results depend on, as fingerprints, and frames that are kept as long as theirs stands."""

import ast
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from closedloop import terms
from closedloop.errors import Problems
from closedloop.market import sources
from closedloop.market.definition import Definition
from closedloop.market.files import alone, remembered, runs_folder, sha256_of

_PACKAGE = Path(terms.__file__).parent
_TABLES = ("terms.py", "market/**/*.py", "market/**/*.toml")  # what makes canonical tables of raw files
_ROOMS = ("statistics", "claims", "period", "personas", "workbench", "questions")
_COMPUTING = (*_TABLES, *(f"{room}/**/*.py" for room in _ROOMS))
_WORDS = {"title", "licence", "provenance", "labels"}


def fingerprint(definition: Definition) -> str:
    """Of all that a market's canonical tables depend on: settings, selects, raw files, code; 64 hexadecimal digits."""
    digest = hashlib.sha256(read_as(definition).encode() + tables_code().encode())
    with Problems() as problems:
        for name in definition.sources:
            with problems.of(name):
                digest.update(sources.digest_of(definition, name).encode())
    return digest.hexdigest()


def read_as(definition: Definition) -> str:
    """Of all that says how a market's raw files are read: settings, selects, meanings of words, rates."""
    digest, own = hashlib.sha256(settings(definition).encode()), definition.folder
    for path in sorted(path for pattern in ("*.sql", "values.csv", "rates.csv", "key") for path in own.glob(pattern)):
        digest.update(path.name.encode() + path.read_bytes())
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
    paths = [path for pattern in patterns for path in sorted(_PACKAGE.glob(pattern))]
    modules = {path.relative_to(_PACKAGE).as_posix(): path.read_bytes() for path in paths}
    as_written = hashlib.sha256(platform.python_version().encode() + repr(modules).encode()).hexdigest()
    return remembered(runs_folder() / ".code" / as_written, lambda: _parsed(modules))


def _parsed(modules: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, source in modules.items():
        if not name.endswith(".py"):
            digest.update(source)
            continue
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0] if node.body else None
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                    del node.body[0]  # the docstring
        digest.update(f"{name} {ast.dump(tree)}\n".encode())
    return digest.hexdigest()


Frames = Mapping[str, pd.DataFrame]
_LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "pyarrow")  # another release may give other figures


def kept(kind: str, of: str, make: Callable[[], Frames]) -> Frames:
    """The frames that ``make`` gives, by name: made by whoever asks first for this input, read by all others.

    ``kind``: what they are, a folder's name. ``of``: all that they are made of, as text (fingerprints of
    rows, settings, seeds); the code that computes and the libraries count without being named. Who comes while they are
    being made waits; they appear whole or not at all. Frames are stored without their index.
    """
    folder = _place() / kind / hashlib.sha256(of.encode()).hexdigest()[:32]
    if not folder.exists():
        with alone(folder.with_suffix(".lock")):
            if not folder.exists():
                _write(folder, make())
    # by one thread: starting more takes longer than reading some kilobytes
    return {p.stem: pd.read_parquet(p, use_threads=False, pre_buffer=False) for p in sorted(folder.glob("*.parquet"))}


def forget() -> None:
    """Remove what other code, or other releases of the libraries, have made: nobody will read it again."""
    for folder in _place().parent.glob("*"):
        if folder != _place():
            shutil.rmtree(folder, ignore_errors=True)


def fingerprint_of(rows: pd.DataFrame | pd.Series) -> str:
    """Of all values, names and types of a frame or a series, in their order, without its index."""
    frame = rows if isinstance(rows, pd.DataFrame) else rows.to_frame()
    digest = hashlib.sha256(repr(list(frame.dtypes.astype(str).items())).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


@cache
def makers() -> str:
    """Of the code and the libraries that compute, as this process found them first."""
    made_by = " ".join([computing_code(), *(f"{name} {version(name)}" for name in _LIBRARIES)])
    return hashlib.sha256(made_by.encode()).hexdigest()[:16]


def _place() -> Path:
    """Where this code and these libraries keep what they make."""
    return runs_folder() / ".kept" / makers()


def _write(folder: Path, frames: Frames) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for name, frame in frames.items():
            with (temporary / f"{name}.parquet").open("wb") as file:
                file.write(frame.to_parquet(index=False))
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
