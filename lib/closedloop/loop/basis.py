"""What something is computed from: noted beside what is written, and compared before that is read again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closedloop.loop.step import replace_file
from closedloop.market.definition import Definition
from closedloop.market.files import sha256_of
from closedloop.market.fingerprint import computing_code, settings

Basis = dict[str, str]


def basis(definition: Definition, period: str, day: str, rows: str) -> Basis:
    """Digests of code, settings, committed persona sets and the ``rows`` that may be seen on the ``day``, by path.

    Earlier periods' persona sets follow from these: the same code makes them, from rows that are among them.
    """
    data = f"data/{definition.name}"
    found = {"lib/closedloop@computing": computing_code(), f"{data}@settings": settings(definition)}
    committed = sorted((definition.folder / "personas").glob("*.yml"))
    sets = {f"{data}/personas/{path.name}": sha256_of(path) for path in committed if not _is_later(path.stem, period)}
    return found | {f"{data}@{day}": rows} | sets


def _is_later(period: str, than: str) -> bool:
    """Names of a market's periods sort in the order of time, but for p1000 after p999."""
    return (len(period), period) > (len(than), than)


def is_of(folder: Path, name: str, today: Basis) -> bool:
    """Does what stands in ``folder`` under this name have this basis, and is it whole?"""
    try:
        return bool(json.loads(_path(folder, name).read_text("utf-8")) == today)
    except (OSError, ValueError):
        return False


@contextmanager
def written_on(folder: Path, name: str, today: Basis) -> Iterator[None]:
    """What is written within the block has this basis; it is noted last, so that half of it never counts."""
    path = _path(folder, name)
    path.unlink(missing_ok=True)
    yield
    replace_file(path, json.dumps(today, indent=1).encode() + b"\n")


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
