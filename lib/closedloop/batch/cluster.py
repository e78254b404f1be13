"""The same plan on a Dask cluster: each worker process has a bench of its own; artefacts go through shared folders."""

import atexit
from concurrent.futures import Future
from typing import Any

from distributed import Client

from closedloop.batch.ledger import Entry
from closedloop.batch.perform import Bench, Task
from closedloop.errors import ClosedLoopError

_MOST_LOST = 2  # how often a task may lose the worker that performs it, until it counts as failed
_CONNECT_SECONDS = 30
_bench = Bench()  # in a worker process: kept from task to task


class Cluster:
    """Performs tasks on the workers of the Dask scheduler at ``address``; those of a lost worker go to another one.

    The workers see the project and the run folder at the same paths as the runner does. Raises ClosedLoopError when
    nobody answers at the address, or no worker has come.
    """

    def __init__(self, address: str) -> None:
        try:
            self.client: Any = Client(address, timeout=_CONNECT_SECONDS)
            self.client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            found = f"no cluster answers at --scheduler {address} ({error})"
            raise ClosedLoopError(f"{found}; allowed: the address of a running one, like tcp://host:8786") from error
        self.executor = self.client.get_executor(pure=False, retries=_MOST_LOST)
        self.n_slots = sum(self.client.nthreads().values())

    def submit(self, task: Task) -> "Future[Entry]":
        """Perform the task on some worker."""
        future: Future[Entry] = self.executor.submit(_perform_here, task)
        return future

    def stop(self) -> None:
        """Cancel what waits, and kill what runs on the workers."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.client.run(_stop_here)

    def close(self) -> None:
        """Leave the cluster as it was."""
        self.client.run(_close_here)
        self.client.close()


def _perform_here(task: Task) -> Entry:
    return _bench.perform(task)


def _stop_here() -> None:
    _bench.stop()


@atexit.register
def _close_here() -> None:
    global _bench
    _bench.close()
    _bench = Bench()
