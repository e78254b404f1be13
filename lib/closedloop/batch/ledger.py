"""The ledger: ``manifest.json``, the one account of what ran, from what and to what; the run folder's lock."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from closedloop.errors import ClosedLoopError, LockedError
from closedloop.market.files import append, sha256_of, write_atomic
from closedloop.terms import Status

_FLUSH_SECONDS = 5
GOOD = (Status.OK, Status.OK_WITH_WARNINGS, Status.CACHED)
_PACKAGES = ("pandas", "numpy", "duckdb", "ibis-framework", "scikit-learn", "scipy", "matplotlib", "papermill")


@dataclass(frozen=True)
class Entry:
    """One run. Paths are relative to the run folder; those of data, lib and notebooks to the project's root."""

    id: str
    market: str
    period: str
    notebook: str
    parameters: Mapping[str, Any]
    status: Status
    cause: str = ""
    seconds: float | None = None
    peak_mb: float | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Did the run give what it should?"""
        return self.status in GOOD


class Ledger:
    """The runs recorded in one run folder.

    Every end of a run is on disk before the next run starts: a line of a journal, which the manifest takes in now and
    then, and when the batch ends. ``note`` keeps what is only confirmed, for the manifest's next writing.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path, self._journal = out / "manifest.json", out / ".journal"
        entries = _read(self.path, "ledger", lambda text: json.loads(text)["runs"])
        # of a batch that was killed; its last line may be half a line
        entries += _read(self._journal, "journal", lambda text: map(json.loads, text.split("\n")[:-1]))
        self.entries: dict[str, Entry] = {entry.id: entry for entry in entries}
        self._written = time.monotonic()

    def record(self, *entries: Entry) -> None:
        """Add or replace ``entries``, on disk."""
        self.note(*entries)
        lines = "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries)
        append(self._journal, lines.encode())
        if time.monotonic() - self._written > _FLUSH_SECONDS:
            self.flush()

    def note(self, *entries: Entry) -> None:
        """Add or replace ``entries`` in memory."""
        self.entries.update({entry.id: entry for entry in entries})

    def retire(self, ids: Iterable[str]) -> None:
        """Forget runs that are no longer part of the plan, and remove what they wrote."""
        gone = [path for id_ in ids for path in self.entries.pop(id_).outputs]
        for path in gone:
            inside(self.out, path).unlink(missing_ok=True)
        if gone:
            self.flush()

    def flush(self) -> None:
        """Write ``manifest.json``: runs by id, keys sorted, so that the same runs give the same text."""
        runs = [asdict(self.entries[id_]) for id_ in sorted(self.entries)]
        content = {"runs": runs, "versions": _versions()}
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(self.path, text.encode() + b"\n")
        self._journal.unlink(missing_ok=True)
        self._written = time.monotonic()

    def is_current(self, id_: str, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> bool:
        """Has the run succeeded with the same inputs and parameters, and are its outputs untouched?"""
        entry = self.entries.get(id_)
        if entry is None or not entry.is_good or entry.inputs != inputs or entry.parameters != parameters:
            return False
        return self.is_whole(entry)

    def is_whole(self, entry: Entry) -> bool:
        """Are the outputs of the run as it left them?"""
        files = ((inside(self.out, path), digest) for path, digest in entry.outputs.items())
        return all(path.is_file() and sha256_of(path) == digest for path, digest in files)


def inside(folder: Path, path: str) -> Path:
    """``path`` within ``folder``; ClosedLoopError when it leads out of it."""
    full = (folder / path).resolve()
    if not full.is_relative_to(folder.resolve()):
        raise ClosedLoopError(f"{path!r} leads out of the run folder {folder}; allowed: a path inside it")
    return full


def _read(path: Path, what: str, runs: Callable[[str], Iterable[dict[str, Any]]]) -> list[Entry]:
    try:
        return [_entry(run) for run in runs(path.read_text("utf-8"))] if path.exists() else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClosedLoopError(f"{path}: is no {what} ({error}); move it away, and its runs run again") from error


def _entry(run: dict[str, Any]) -> Entry:
    known = {one.name: run[one.name] for one in fields(Entry) if one.name in run}
    return Entry(**known | {"status": Status(run["status"])})


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    found = {"python": python_version()}
    for name in ("closedloop", *_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Own the run folder ``out``, or raise LockedError naming the owner; a lock whose owner died is free."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("a+")
    except OSError as error:
        raise ClosedLoopError(f"{out}: cannot be written: {error.strerror}; choose another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise LockedError(f"{out} is in use by {owner}; wait for it, or choose another --out") from error
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)
