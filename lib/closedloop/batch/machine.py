"""Where tasks are performed: what every place offers, and this machine."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from closedloop.batch.ledger import Entry
from closedloop.batch.perform import Bench, Task


class Place(Protocol):
    """Where tasks are performed: this machine or a cluster. ``n_slots``: how many at once."""

    n_slots: int

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task some time soon."""

    def stop(self) -> None:
        """Kill what runs."""

    def close(self) -> None:
        """Give back all that was taken."""


class ThisMachine:
    """Threads of this process that each drive one notebook's process or one market's worker."""

    def __init__(self, bench: Bench, n_slots: int) -> None:
        self.bench, self.n_slots = bench, n_slots
        self.threads = ThreadPoolExecutor(n_slots)

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task in the next thread that is free."""
        return self.threads.submit(self.bench.perform, task)

    def stop(self) -> None:
        """Kill all processes that work."""
        self.bench.stop()

    def close(self) -> None:
        """End the threads; nothing runs any more."""
        self.threads.shutdown()
