"""What a person, a log or a program sees while the batch runs."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from closedloop.batch.ledger import GOOD, Entry
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


class Listener:
    """Is told when runs are planned, started and finished, and shows it in its own way."""

    def __init__(self) -> None:
        self.n_runs = self.n_done = 0
        self.running: dict[str, None] = {}

    def planned(self, n_runs: int) -> None:
        """``n_runs`` is the number of runs known so far; it grows."""
        self.n_runs = n_runs
        self._show("planned", n_runs=n_runs)

    def started(self, id_: str) -> None:
        """A run has begun."""
        self.running[id_] = None
        self._show("started", id=id_)

    def finished(self, entry: Entry) -> None:
        """A run has ended, in whatever way."""
        self.n_done += 1
        self.running.pop(entry.id, None)
        self._show("finished", id=entry.id, status=entry.status, cause=entry.cause, seconds=entry.seconds)

    def close(self) -> None:
        """Nothing more will come."""

    def _show(self, event: str, **details: Any) -> None:
        raise NotImplementedError


class Lines(Listener):
    """One plain line for each finished run, and every few seconds what is still running: for logs."""

    def __init__(self, stream: IO[str] | None = None, seconds: float | None = None) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self._heartbeat = Heartbeat("opening the markets", self.stream, seconds)

    def _show(self, event: str, **details: Any) -> None:
        done = f"[{self.n_done}/{self.n_runs}]"
        if event == "finished":
            cause = f": {details['cause']}" if details["cause"] and details["status"] not in GOOD else ""
            print(f"{done} {details['id']} {details['status']}{cause}", file=self.stream, flush=True)
        running = allowed(self.running, _MOST_NAMED) if self.running else "none"
        self._heartbeat.tell(f"{done} running: {running}")

    def close(self) -> None:
        """Nothing is left to write."""
        self._heartbeat.close()


class JsonLines(Listener):
    """Every event as one JSON object on a line: for programs."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        super().__init__()
        self.stream = stream or sys.stdout

    def _show(self, event: str, **details: Any) -> None:
        print(json.dumps({"event": event, **details}, ensure_ascii=False), file=self.stream, flush=True)


class Bar(Listener):
    """A progress bar with what is running; bad runs stay above it. For terminals."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        columns = TextColumn("{task.fields[running]}", style="dim")
        self.bar = Progress(BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), columns, console=console)
        self.task = self.bar.add_task("", total=None, running="opening the markets")
        self.bar.start()

    def _show(self, event: str, **details: Any) -> None:
        if event == "finished" and details["status"] not in GOOD:
            self.bar.console.print("{status}  {id}  {cause}".format(**details), markup=False, highlight=False)
        self.bar.update(self.task, total=self.n_runs, completed=self.n_done, running="  ".join(self.running))

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()


def failures(console: Console, bad: Mapping[str, Entry], out: Path) -> None:
    """Print a table of the runs that did not succeed: status, cause, and the notebook to open."""
    title = f"{len(bad)} run{'s' * (len(bad) != 1)} did not succeed"
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("run", "cause, and what to open"):
        table.add_column(heading, overflow="fold")
    for entry in bad.values():
        files = [str(out / path) for path in entry.outputs if path.endswith((".ipynb", ".txt"))]
        table.add_row(Text(f"{entry.id}\n{entry.status}"), Text("\n".join([entry.cause, *files[:1]])))
    console.print(table)
