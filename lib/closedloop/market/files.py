"""Where the files of a project lie, and how they are written whole."""

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from closedloop.errors import WriteError

FOLDERS = ("notebooks", "playbooks")  # of the root: where the shipped notebooks lie


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


_PART = ".part"  # the ending of a file that is being written


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader sees the old file or the whole new one, never a part of it.

    Raises WriteError with the path and the number of bytes when the disk is full or read-only.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", suffix=_PART, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise WriteError(f"{path}: cannot write {len(content)} bytes: {error.strerror}") from error


def append(path: Path, content: bytes) -> None:
    """Add ``content`` at the end of a file, on disk; WriteError as of ``write_atomic``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise WriteError(f"{path}: cannot write {len(content)} bytes: {error.strerror}") from error


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Within the block nobody else is in one with the same lock, in this process or another; a dead one lets go."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep(folder: Path) -> None:
    """Remove the parts of files that a killed process was writing; for who alone writes below the folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(_PART):
                Path(place, name).unlink(missing_ok=True)


def hashes(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path relative to ``folder``, in the order of the paths."""
    files = [path for path in sorted(set(paths)) if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
