"""What a person, a log or a program sees while the batch runs."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from closedloop.batch.ledger import Entry
from closedloop.errors import allowed

_SECONDS = 5.0  # a log that is silent for longer looks like a standstill
_MOST_NAMED = 3


class Heartbeat:
    """Writes every few seconds, from a thread of its own, what is being done, how far it is, and since when."""

    def __init__(self, doing: str, stream: IO[str] | None = None, seconds: float | None = None) -> None:
        self.doing = doing
        self._stream, self._seconds, self._began = stream or sys.stderr, seconds or _SECONDS, time.monotonic()
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds):
            print(f"{self.doing} ({time.monotonic() - self._began:.0f} s)", file=self._stream, flush=True)

    def tell(self, doing: str) -> None:
        """What is being done from now on."""
        self.doing = doing

    def close(self) -> None:
        """Nothing more is done."""
        self._ended.set()


@contextmanager
def telling(doing: str) -> Iterator[Callable[[str], None]]:
    """Shows what is being done, and takes what is done next: beside a spinner on a terminal, else as a Heartbeat."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(doing) as status:
            yield status.update
        return
    heartbeat = Heartbeat(doing)
    try:
        yield heartbeat.tell
    finally:
        heartbeat.close()


class Listener(Protocol):
    """Is told when runs are planned, started and finished."""

    def planned(self, n_runs: int) -> None:
        """``n_runs`` is the number of runs known so far; it grows."""

    def started(self, id_: str) -> None:
        """A run has begun."""

    def finished(self, entry: Entry) -> None:
        """A run has ended, in whatever way."""

    def close(self) -> None:
        """Nothing more will come."""


class Lines:
    """One plain line for each finished run, and every few seconds what is still running: for logs."""

    def __init__(self, stream: IO[str] | None = None, seconds: float | None = None) -> None:
        self.stream = stream or sys.stderr
        self.n_runs = self.n_done = 0
        self.running: dict[str, None] = {}
        self._heartbeat = Heartbeat("opening the markets", self.stream, seconds)

    def planned(self, n_runs: int) -> None:
        """Remember the number of runs."""
        self.n_runs = n_runs
        self._tell()

    def started(self, id_: str) -> None:
        """Name the run among those that are running."""
        self.running[id_] = None
        self._tell()

    def finished(self, entry: Entry) -> None:
        """Write the run's status, and the cause of a bad one."""
        self.n_done += 1
        self.running.pop(entry.id, None)
        cause = f": {entry.cause}" if entry.cause and not entry.is_good else ""
        print(f"[{self.n_done}/{self.n_runs}] {entry.id} {entry.status}{cause}", file=self.stream, flush=True)
        self._tell()

    def _tell(self) -> None:
        running = allowed(self.running, _MOST_NAMED) if self.running else "none"
        self._heartbeat.tell(f"[{self.n_done}/{self.n_runs}] running: {running}")

    def close(self) -> None:
        """Nothing is left to write."""
        self._heartbeat.close()


class JsonLines:
    """Every event as one JSON object on a line: for programs."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.stream = stream or sys.stdout

    def _write(self, event: str, **details: Any) -> None:
        print(json.dumps({"event": event, **details}, ensure_ascii=False), file=self.stream, flush=True)

    def planned(self, n_runs: int) -> None:
        """Write ``planned`` with the number of runs known so far."""
        self._write("planned", n_runs=n_runs)

    def started(self, id_: str) -> None:
        """Write ``started`` with the run's id."""
        self._write("started", id=id_)

    def finished(self, entry: Entry) -> None:
        """Write ``finished`` with id, status, cause and duration."""
        self._write("finished", id=entry.id, status=entry.status, cause=entry.cause, seconds=entry.seconds)

    def close(self) -> None:
        """Nothing is left to write."""


class Bar:
    """A progress bar with what is running; bad runs stay above it. For terminals."""

    def __init__(self, console: Console) -> None:
        columns = TextColumn("{task.fields[running]}", style="dim")
        self.bar = Progress(BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), columns, console=console)
        self.task = self.bar.add_task("", total=None, running="opening the markets")
        self.running: dict[str, None] = {}
        self.bar.start()

    def planned(self, n_runs: int) -> None:
        """Stretch the bar."""
        self.bar.update(self.task, total=n_runs)

    def started(self, id_: str) -> None:
        """Name the run beside the bar."""
        self.running[id_] = None
        self._show(0)

    def finished(self, entry: Entry) -> None:
        """Move the bar; keep a line for a bad run."""
        self.running.pop(entry.id, None)
        if not entry.is_good:
            self.bar.console.print(f"{entry.status}  {entry.id}  {entry.cause}", markup=False, highlight=False)
        self._show(1)

    def _show(self, advance: int) -> None:
        self.bar.update(self.task, advance=advance, running="  ".join(self.running))

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()


def failures(console: Console, bad: Mapping[str, Entry], out: Path) -> None:
    """Print a table of the runs that did not succeed: status, cause, and the notebook to open."""
    from rich.table import Table
    from rich.text import Text

    title = f"{len(bad)} run{'s' * (len(bad) != 1)} did not succeed"
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("run", "cause, and what to open"):
        table.add_column(heading, overflow="fold")
    for entry in bad.values():
        files = [str(out / path) for path in entry.outputs if path.endswith((".ipynb", ".txt"))]
        table.add_row(Text(f"{entry.id}\n{entry.status}"), Text("\n".join([entry.cause, *files[:1]])))
    console.print(table)
