"""Where things are on disk: the project's root, its data, its run folder, and what is kept there."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from threading import get_ident


def root() -> Path:
    """The project's folder: CLOSEDLOOP_ROOT, or the folder that holds ``lib/closedloop``."""
    named = os.environ.get("CLOSEDLOOP_ROOT")
    return Path(named).resolve() if named else Path(__file__).resolve().parents[3]


def data_folder() -> Path:
    """The folder of the markets' definitions."""
    return root() / "data"


def runs_folder() -> Path:
    """The default folder of everything that a run writes."""
    return root() / "runs"


def mirror() -> str | None:
    """The folder or address tried before a source's own: CLOSEDLOOP_MIRROR, relative to the root."""
    named = os.environ.get("CLOSEDLOOP_MIRROR")
    if not named or "://" in named:
        return named or None
    return str((root() / named).resolve())


def remembered(path: Path, find: Callable[[], str]) -> str:
    """The text of a file; it is found out first where there is none, and written whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}")  # threads may ask at once
        temporary.write_text(find())
        temporary.replace(path)
    return path.read_text()


def slug(name: str) -> str:
    """``name`` as a safe part of a file name; a changed name gets a mark, so that two stay two."""
    safe = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:40]
    if safe == name:
        return safe
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{safe}-{mark}" if safe else mark
