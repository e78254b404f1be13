"""The runner's side of warm kernels: it starts the parent when the first kernel is asked for, and ends it."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from closedloop.batch.kernels.line import Line
from closedloop.batch.kernels.parent import LARGEST
from closedloop.errors import ClosedLoopError

# one thread each at a fork, and small fits that do not wait for each other's threads
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_IO_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
SOCKET = "parent"
START_SECONDS = 120
_PARENT = "the process that kernels are forked from"


class NotWarm(ClosedLoopError):
    """Warm kernels are not to be had here; ordinary ones are."""


class ParentLost(Exception):
    """The process that kernels are forked from has ended; another one can be started."""


class Warmth:
    """Gives kernels that are forked from one warm parent process; ``with`` ends it, and all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parent: subprocess.Popen[bytes] | None = None
        self._place: TemporaryDirectory[str] | None = None
        self._is_asked = False

    def begin(self) -> None:
        """Start a parent unless one lives: it imports its libraries while others plan. Raises NotWarm as ``start``."""
        with self._lock:
            self._begin()

    def start(self) -> Path:
        """The folder of the parent's socket; starts a parent unless one lives. Raises NotWarm where it cannot be."""
        with self._lock:
            self._begin()
            self._is_asked = True
            assert self._place is not None
            return Path(self._place.name)

    def _begin(self) -> None:
        if sys.platform != "linux":
            raise NotWarm(f"kernels are forked on Linux only, and this is {sys.platform}")
        if self._parent is None or self._parent.poll() is not None:
            self._clear()
            self._place = TemporaryDirectory(prefix="closedloop-")  # made with mode 0700
            self._parent = _started(Path(self._place.name) / SOCKET)

    def close(self) -> None:
        """End the parent and its kernels."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._parent is not None:
            assert self._parent.stdin is not None
            self._parent.stdin.close()  # the parent ends when its input does
            if not self._is_asked:  # it has no kernel, and may still be importing
                self._parent.kill()
            try:
                self._parent.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._parent.kill()
                self._parent.wait()
            self._parent, self._is_asked = None, False
        if self._place is not None:
            self._place.cleanup()
            self._place = None

    def __enter__(self) -> "Warmth":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _started(path: Path) -> "subprocess.Popen[bytes]":
    """A parent that listens at ``path``, on a socket made here: it can be connected to at once, or not at all."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(128)
        return subprocess.Popen(
            [sys.executable, "-m", "closedloop.batch.kernels.parent", str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            env=os.environ | ENVIRONMENT,
            cwd="/",
        )


class Kernel:
    """One forked kernel as the runner knows it: its process id, whether it has ended, and signals to it."""

    def __init__(self, folder: Path, argv: Sequence[str], cwd: str, environment: Mapping[str, str]) -> None:
        """Ask the parent at ``folder`` for a kernel; NotWarm when it has none to give, ParentLost when it is gone."""
        self.code: int | None = None
        self.peak_mb: float | None = None
        self.failure, self.is_lost = "", False
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(START_SECONDS)
        own, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line = Line(own)
        request = {"argv": list(argv), "cwd": cwd, "environment": dict(environment)}
        try:
            with end:
                self.connection.connect(str(folder / SOCKET))
                socket.send_fds(self.connection, [json.dumps(request).encode()], [end.fileno()])
            answer = self._received()
        except TimeoutError as error:
            self.close()
            raise NotWarm(f"{_PARENT} does not answer for {START_SECONDS} seconds") from error
        except OSError as error:
            self.close()
            raise ParentLost(f"{_PARENT} cannot be reached: {error}") from error
        if "pid" not in answer:
            self.close()
            raise NotWarm(answer["problem"]) if "problem" in answer else ParentLost(f"{_PARENT} has ended")
        self.pid = int(answer["pid"])

    def poll(self) -> int | None:
        """The exit code once the kernel has ended (negative: a signal's number), else None."""
        return self.code if self.code is not None else self.wait(0)

    def wait(self, seconds: float | None = None) -> int | None:
        """As ``poll``, after at most ``seconds``."""
        if self.code is None:
            self.connection.settimeout(seconds)
            try:
                while "failed" in (told := self._received()):
                    self.failure = str(told["failed"])
                self.code, self.is_lost = int(told.get("ended", -9)), "ended" not in told
                self.peak_mb = round(told["peak_kb"] * 1024 / 1e6, 1) if "peak_kb" in told else None
            except (BlockingIOError, TimeoutError):
                return None
        return self.code

    def send_signal(self, number: int) -> None:
        """Have the parent send a signal to the kernel's group; nothing once it has ended."""
        if self.poll() is None:
            self.connection.settimeout(None)
            self.connection.send(json.dumps({"signal": int(number)}).encode())

    def close(self) -> None:
        """Let go of the kernel; one that still lives is killed."""
        self.connection.close()
        self.line.close()

    def _received(self) -> dict[str, Any]:
        """The next message; empty when the parent has gone."""
        try:
            packet = self.connection.recv(LARGEST)
        except ConnectionResetError:
            packet = b""
        return dict(json.loads(packet)) if packet else {}
