"""The process that notebooks are forked from, and the runner's handle on it: Linux only.

It imports the libraries once, then forks a child for each request; it runs no notebook's code and opens no database.
A request is a socket and JSON. What the child shows comes through that socket (batch/shell.py), before it ``forked`` or
``refused``, after it how the child ``ended``; the other way come numbers of signals for the child's process group.
Whoever lets go of a child's socket ends the child; the end of the runner ends the parent, and that ends all children.
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from closedloop.errors import ClosedLoopError

# one thread at a fork, and small fits that do not wait for each other's threads
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_IO_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
_START_SECONDS = 120  # what the parent's imports may take
_LENGTH = struct.Struct("<I")
_PARENT_DEATH_SIGNAL = 1  # prctl(2)
_NAME = "the process that notebooks are forked from"


class NoFork(ClosedLoopError):
    """Notebooks cannot be run in forked processes here; ordinary kernels can run them."""


class ParentLost(Exception):
    """The process that notebooks are forked from has ended; another one can be started."""


class Parent(AbstractContextManager["Parent"]):
    """Forks children from one warm process, which ``with`` ends, and all of them; many threads may ask at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._control: socket.socket | None = None
        self._is_stopped = self._has_forked = False
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> socket.socket:
        """Start the process unless it lives: it imports libraries while others plan; the socket for requests.

        Raises NoFork where nothing can be forked, ParentLost once it is stopped.
        """
        if sys.platform != "linux":
            raise NoFork(f"notebooks are forked on Linux only, and this is {sys.platform}")
        if self._is_stopped:
            raise ParentLost("the batch is being stopped")
        with self._lock:
            if self._control is None or self.process is None or self.process.poll() is not None:
                self.close()
                self._control, end = socket.socketpair()
                self._control.settimeout(_START_SECONDS)
                with end:
                    self.process = subprocess.Popen(
                        [sys.executable, "-m", "closedloop.batch.runner.parent", str(end.fileno())],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        pass_fds=[end.fileno()],
                        env=os.environ | ENVIRONMENT,
                        start_new_session=True,  # Ctrl-C is for the runner
                    )
            return self._control

    def fork(self, request: Mapping[str, Any]) -> "Child":
        """A child that does the request; raises NoFork when there is none to be had, ParentLost to try it again."""
        own, end = socket.socketpair()
        child, data = Child(own), json.dumps(request).encode()
        try:
            with self._lock, end:
                control = self.begin()
                self._has_forked = True
                socket.send_fds(control, [_LENGTH.pack(len(data))], [end.fileno()])
                control.sendall(data)
            answer = child.hear(_START_SECONDS)
            if answer is None:
                raise TimeoutError
            if answer["msg_type"] == "refused":
                raise NoFork(answer["content"]["why"])
        except BaseException as error:
            child.close()
            if isinstance(error, TimeoutError):
                raise NoFork(f"{_NAME} does not answer for {_START_SECONDS} seconds") from error
            if isinstance(error, OSError):
                raise ParentLost(f"{_NAME} cannot be reached: {error}") from error
            raise
        return child

    def stop(self) -> None:
        """Start nothing more."""
        self._is_stopped = True

    def close(self) -> None:
        """End the process and its children."""
        with self._lock:
            if self._control is not None:
                self._control.close()
            if self.process is not None:
                try:  # one that has no children may still be importing
                    self.process.wait(5 if self._has_forked else 0)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            self._control, self.process, self._has_forked = None, None, False

    def __exit__(self, *_: object) -> None:
        self.close()


class Child(AbstractContextManager["Child"]):
    """A forked child as the runner knows it: what it tells, and signals to it."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._rest = end, b""
        self._lines: deque[bytes] = deque()

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None when there is none for so many seconds. Raises ParentLost."""
        deadline = time.monotonic() + seconds
        while True:
            while not self._lines:
                self._end.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    found = self._end.recv(1 << 20)
                except TimeoutError:
                    return None
                except ConnectionResetError:
                    found = b""
                if not found:
                    raise ParentLost(f"{_NAME} has ended")
                *lines, self._rest = (self._rest + found).split(b"\n")
                self._lines.extend(filter(None, lines))
            with suppress(ValueError):  # a line that was cut off when the child was killed
                return dict(json.loads(self._lines.popleft().decode("utf8", "replace")))

    def signal(self, number: int) -> None:
        """Send a signal to the child and all that it has started."""
        with suppress(OSError):  # it may have ended
            self._end.send(bytes([number]))

    def close(self) -> None:
        """Let go of the child; one that still lives is killed."""
        self._end.close()

    def __exit__(self, *_: object) -> None:
        self.close()


class _Forks:
    """In the parent: forks children, passes on signals to them, and tells how each one ends."""

    def __init__(self, control: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.pids: set[int] = set()
        self.problem = ""
        self.selector.register(control, selectors.EVENT_READ, self._requested)

    def serve(self) -> NoReturn:
        """Answer requests until the runner ends."""
        try:
            importlib.import_module("closedloop.batch.runner.shell").prepare()
        except Exception as error:  # every request is then answered with it
            self.problem = f"{type(error).__name__}: {error}"
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page that it shares with us
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def _requested(self, control: socket.socket) -> None:
        head, ends, _, _ = socket.recv_fds(control, _LENGTH.size, 1)
        if not ends:  # the runner has ended
            for pid in self.pids:
                _signal(pid, signal.SIGKILL)
            os._exit(0)
        data = control.recv(_LENGTH.unpack(head)[0], socket.MSG_WAITALL)
        os.set_inheritable(ends[0], False)
        end = socket.socket(fileno=ends[0])
        threads = sorted((task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir())
        if len(threads) > 1:
            self.problem = f"a library has started threads, which do not survive a fork: {', '.join(threads)}"
        if self.problem:
            _tell(end, "refused", why=self.problem)
            end.close()
            return
        _tell(end, "forked")
        try:
            parent, pid = os.getpid(), os.fork()
        except OSError:  # for want of memory: the runner, who hears of no end, asks again
            end.close()
            return
        if pid == 0:
            self._become_child(end, data, parent)
        with suppress(OSError):
            os.setpgid(pid, pid)  # both do it: whoever comes first
        self.pids.add(pid)
        self.selector.register(end, selectors.EVENT_READ, partial(self._asked, pid))
        self.selector.register(os.pidfd_open(pid), selectors.EVENT_READ, partial(self._ended, pid, end))

    def _become_child(self, end: socket.socket, data: bytes, parent: int) -> NoReturn:
        try:
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            os.setpgid(0, 0)
            for key in list(self.selector.get_map().values()):
                os.close(key.fd)
            self.selector.close()
            if os.getppid() == parent:  # else it ended before we asked
                importlib.import_module("closedloop.batch.runner.shell").run(end, json.loads(data))
        except BaseException as error:
            _tell(end, "failed", why=f"{type(error).__name__}: {error}")
        finally:
            os._exit(1)  # what the parent registered to do at its own end is not for us

    def _asked(self, pid: int, end: socket.socket) -> None:
        if end.fileno() < 0:  # the child has ended at the same moment
            return
        try:
            numbers = end.recv(16)
        except OSError:
            numbers = b""
        for number in numbers or (signal.SIGKILL,):  # nobody waits for it any more
            _signal(pid, number)
        if not numbers:
            self.selector.unregister(end)

    def _ended(self, pid: int, end: socket.socket, pidfd: int) -> None:
        _, status, usage = os.wait4(pid, 0)
        self.pids.remove(pid)
        self.selector.unregister(pidfd)
        os.close(pidfd)
        _signal(pid, signal.SIGKILL)  # what the child has started ends with it
        _tell(end, "ended", code=os.waitstatus_to_exitcode(status), peak_kb=usage.ru_maxrss)
        with suppress(KeyError):
            self.selector.unregister(end)
        end.close()


def _signal(pid: int, number: int) -> None:
    """To the child's whole group, of which there may be nobody left."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _tell(end: socket.socket, name: str, **content: Any) -> None:
    with suppress(OSError):  # who asked may be gone
        end.sendall(b"\n" + json.dumps({"msg_type": name, "content": content}).encode() + b"\n")


if __name__ == "__main__":
    if sys.path[0] == str(Path.cwd()):
        del sys.path[0]  # a kernel puts its own folder there
    _Forks(socket.socket(fileno=int(sys.argv[1]))).serve()
