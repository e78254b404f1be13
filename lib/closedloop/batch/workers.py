"""Worker processes, one for each market: a market's moments follow one another, and share what they know."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import psutil

from closedloop.batch.parent import ENVIRONMENT

_OURS = ("closedloop.batch.", "ipykernel_launcher")
Result = TypeVar("Result")


class WorkerDied(Exception):
    """A worker process ended while it was at work."""


class WorkerLate(Exception):
    """A worker process was still at work after the time that it had."""


class Worker:
    """One process that does one task after another; a plain child, so that a cluster's workers can have it too."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "closedloop.batch.workers", str(theirs.fileno())],
                stdin=subprocess.PIPE,  # it ends when this does
                env=os.environ | ENVIRONMENT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the runner
            )
        self.connection = Connection(ours.detach())
        self.connection.send(sys.path)

    def call(self, task: Callable[..., Result], *arguments: Any, seconds: float | None) -> Result:
        """The result of ``task``; raises what it raises, WorkerDied or WorkerLate, after which the worker is gone."""
        try:
            self.connection.send((task, arguments))
            if not self.connection.poll(seconds):
                self.end()
                raise WorkerLate(f"still running after {seconds:g} seconds")
            is_good, result = self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDied(_why(self.process.wait())) from error
        if is_good:
            return result  # type: ignore[no-any-return]
        raise result

    @property
    def is_alive(self) -> bool:
        """Can it be given another task?"""
        return self.process.poll() is None

    def end(self) -> None:
        """Kill the process and what it has started."""
        self.connection.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def _why(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the worker process was killed (SIGKILL), often for lack of memory"
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the worker process died ({name})"


class Workers:
    """At most ``n_kept`` idle processes are kept; a dead one takes down nothing but its own task."""

    def __init__(self, n_kept: int) -> None:
        self.n_kept = n_kept
        self._idle: dict[str, Worker] = {}
        self._lock = threading.Lock()

    def call(self, market: str, task: Callable[..., Result], *arguments: Any, seconds: float | None = None) -> Result:
        """The result of ``task`` in the market's worker; raises what it raises, WorkerDied or WorkerLate."""
        with self._lock:
            worker = self._idle.pop(market, None)
        worker = worker or Worker()
        try:
            return worker.call(task, *arguments, seconds=seconds)
        finally:
            self._keep(market, worker)

    def _keep(self, market: str, worker: Worker) -> None:
        with self._lock:
            surplus = [worker] if market in self._idle or not worker.is_alive else []
            if not surplus:
                self._idle[market] = worker
            while len(self._idle) > self.n_kept:
                surplus.append(self._idle.pop(next(iter(self._idle))))
        for old in surplus:
            old.end()

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            idle, self._idle = list(self._idle.values()), {}
        for worker in idle:
            worker.end()


def kill_children() -> None:
    """End every worker, parent of notebooks and kernel that this process has started, and what they have started."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(part.startswith(_OURS) for part in child.cmdline()):
                for process in [*child.children(recursive=True), child]:
                    process.kill()


def serve(connection: Connection) -> None:
    """In the worker: do tasks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.path[:] = connection.recv()
    with suppress(EOFError):
        while True:
            task, arguments = connection.recv()
            connection.send_bytes(_done(task, arguments))


def _done(task: Callable[..., Any], arguments: Any) -> bytes:
    try:
        return pickle.dumps((True, task(*arguments)))
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        try:
            error.add_note(f"In the worker process:\n{told}")
            return pickle.dumps((False, error))
        except Exception:  # an error that cannot be sent is told in words
            return pickle.dumps((False, RuntimeError(told)))


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
