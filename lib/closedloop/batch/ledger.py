"""What happened to a notebook, cell by cell, and the ledger of all runs of a run folder."""

import fcntl
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from closedloop.errors import ClosedLoopError, LockedError, WriteError
from closedloop.market.files import append, sha256_of, write_atomic
from closedloop.terms import Status

_FLUSH_SECONDS = 5
GOOD = (Status.OK, Status.OK_WITH_WARNINGS, Status.CACHED)
_PACKAGES = ("pandas", "numpy", "duckdb", "ibis-framework", "scikit-learn", "scipy", "matplotlib", "papermill")
GRACE_SECONDS = 5  # between an interrupt and the end of a process
_OWN_METADATA = ("kernelspec", "language_info", "widgets")
_RESULTS = "application/vnd.closedloop.results+json"
_INJECTED = "injected-parameters"
_CELL_FILE = re.compile(r"(?<!\S)\S*/ipykernel_\d+/(\d+)\.py")


@dataclass(frozen=True)
class Limits:
    """What a notebook may take: seconds for its start, one cell, and all of it; bytes of one cell's output."""

    start_seconds: float = 60
    cell_seconds: float = 900
    run_seconds: float = 3600
    output_bytes: int = 4_000_000


@dataclass
class Trace:
    """What happened to a notebook as it happened, its cells' ``states`` by index; cancelled until it has ended."""

    notebook: Any
    limits: Limits
    states: dict[int, str] = field(default_factory=dict)
    status: Status = Status.CANCELLED
    cause: str = ""
    peak_mb: float | None = None
    is_started: bool = False
    is_lost: bool = False  # through no fault of its own, so that it may be tried again
    _limit: str = ""
    _deadline: float = 0

    def start(self) -> None:
        """It can run its cells from now on."""
        self.is_started, self._deadline = True, time.monotonic() + self.limits.run_seconds

    def begin(self, index: int) -> float:
        """A cell begins; the seconds that it has: its own, or what is left of the notebook's."""
        self.states |= dict.fromkeys(range(index), "completed") | {index: "failed"}
        own, left = self.limits.cell_seconds, self._deadline - time.monotonic()
        whose = ("cell", own) if own <= left else ("notebook", self.limits.run_seconds)
        self._limit = "the {}'s limit of {:g} seconds".format(*whose)
        return min(own, left)

    def end(self, status: Status, cause: str = "") -> None:
        """How it ended, and why, in one line; what was noted first stays."""
        if self.status is Status.CANCELLED:
            self.status, self.cause = status, cause
        if self.status is Status.OK:
            self.states = dict.fromkeys(range(len(self.notebook.cells)), "completed")

    def finish(self, index: int, error: Sequence[str] | None) -> None:
        """A cell has ended; ``error``: its name and text."""
        if error is None:
            self.states[index] = "completed"
        else:
            outputs = self.notebook.cells[index].get("outputs", [])
            shown = [(o["ename"], o["evalue"]) for o in outputs if o["output_type"] == "error"]
            told = shown[-1] if shown else error  # an error of a display has no name but on the page
            self.end(Status.FAILED, f"{self._cell}: {short(*told)}")

    def be_late(self) -> None:
        """The cell is still running after its limit, or the process is not ready after its own."""
        if self.is_started:
            self.end(Status.TIMED_OUT, f"{self._cell}: still running after {self._limit}")
        self.end(Status.START_FAILED, f"the process was not ready after {self.limits.start_seconds:g} seconds")

    def die(self, code: int | None = None, why: str = "") -> None:
        """The process has ended before the notebook; ``code``: of its end, negative for a signal's number."""
        name = signal.Signals(-code).name if code is not None and code < 0 else why
        why = f" ({name}{', often for lack of memory' * (name == 'SIGKILL')})" if name else ""
        if self.is_started:
            self.end(Status.DIED, f"{self._cell}: the process died{why}")
        self.end(Status.START_FAILED, f"the process ended before it was ready{why}")

    @property
    def results(self) -> dict[str, Any]:
        """The key figures that the notebook's last results display holds; none without one."""
        shown = [output.get("data", {}) for cell in self.notebook.cells for output in cell.get("outputs", [])]
        return next((dict(data[_RESULTS]) for data in reversed(shown) if _RESULTS in data), {})

    @property
    def _cell(self) -> str:
        return f"cell {max(self.states, default=-1) + 1}"


def short(name: str, text: str) -> str:
    """An error in one line."""
    lines = text.strip().splitlines()
    return f"{name}: {lines[0][:300]}" if lines else name


def portable(text: str) -> str:
    """Text without the folders of cells' files, which are others in each process: warnings name them."""
    return _CELL_FILE.sub(r"cell-\1.py", text)


def cut(n_bytes: int) -> str:
    """What is said where a cell has shown more than ``n_bytes``."""
    return f"The rest of this cell's output was left out: it is longer than {n_bytes / 1e6:g} MB.\n"


def mark(trace: Trace) -> None:
    """Replace papermill's marks, timings and paths in the notebook by the state of every cell."""
    notebook = trace.notebook
    kept = {name: value for name, value in notebook.metadata.items() if name in _OWN_METADATA}
    notebook.metadata = type(notebook.metadata)(kept)
    notebook.metadata["closedloop"] = {"status": str(trace.status)}
    for index, cell in enumerate(notebook.cells):
        tags = list(cell.metadata.get("tags", []))
        cell.metadata = type(cell.metadata)({"tags": tags} if tags else {})
        if _INJECTED in tags:
            cell.id = _INJECTED  # papermill draws a new id each time
        if cell.cell_type == "code":
            cell.metadata["closedloop"] = {"state": trace.states.get(index, "pending")}


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
        known = [field.name for field in fields(Entry)]
        stored = runs(path.read_text("utf-8")) if path.exists() else ()
        return [Entry(**{name: run[name] for name in known if name in run} | {"status": Status(run["status"])})
                for run in stored]  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClosedLoopError(f"{path}: is no {what} ({error}); move it away, and its runs run again") from error


def _versions() -> dict[str, str]:
    found = {"python": python_version()}
    for name in ("closedloop", *_PACKAGES):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
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
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()}\n")
            file.flush()
        except OSError as error:
            raise WriteError(f"{out}: cannot be written: {error.strerror}; nothing is changed") from error
        yield
        file.truncate(0)
