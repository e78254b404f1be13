"""Warm worker processes, one for each market: a market's moments follow one another, and share what they know."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, TypeVar

import psutil

Result = TypeVar("Result")


class WorkerDied(Exception):
    """A worker process ended while it was at work."""


def _start() -> None:
    """In the new worker: leave Ctrl-C to the parent, and end when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


class Workers:
    """At most ``n_kept`` idle processes stay warm; a dead one takes down nothing but its own task."""

    def __init__(self, n_kept: int) -> None:
        self.n_kept = n_kept
        self._idle: dict[str, ProcessPoolExecutor] = {}
        self._lock = threading.Lock()

    def call(self, market: str, task: Callable[..., Result], *arguments: Any) -> Result:
        """The result of ``task`` in the market's worker; raises what it raises, or WorkerDied."""
        pool = self._taken(market)
        try:
            result = pool.submit(task, *arguments).result()
        except BrokenProcessPool as error:
            pool.shutdown(wait=False)
            raise WorkerDied("the worker process died, often for lack of memory") from error
        except BaseException:
            self._keep(market, pool)
            raise
        self._keep(market, pool)
        return result

    def _taken(self, market: str) -> ProcessPoolExecutor:
        with self._lock:
            pool = self._idle.pop(market, None)
        context = multiprocessing.get_context("spawn")
        return pool or ProcessPoolExecutor(1, mp_context=context, initializer=_start)

    def _keep(self, market: str, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            surplus = [pool] if market in self._idle else []
            self._idle.setdefault(market, pool)
            while len(self._idle) > self.n_kept:
                surplus.append(self._idle.pop(next(iter(self._idle))))
        for old in surplus:
            old.shutdown(wait=False)

    def close(self) -> None:
        """End all workers."""
        for pool in self._idle.values():
            pool.shutdown()


def kill_children() -> None:
    """End every process that this one has started, kernels and workers alike, and theirs."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            # Python's own tracker of semaphores ends by itself, and complains when it cannot
            if not any("resource_tracker" in part for part in child.cmdline()):
                child.kill()
