"""The process that kernels are forked from. It runs no notebook's code and opens no database.

Each connection to its socket is one kernel: a request in, then one message when the kernel has started and one when
it has ended; signals are asked for on the same connection, and closing it ends the kernel. Messages are JSON, one a
packet. It ends when its standard input does, and its kernels with it.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn

from closedloop.batch.kernels import forked

YIELDING = 10  # kernels give way to the moments that follow one another, which all else waits for
LARGEST = 1 << 20  # bytes of a message; an environment is some kilobytes


class Parent:
    """Forks kernels on request, and tells how each one ends."""

    def __init__(self, listener: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = listener
        self.kernels: dict[int, socket.socket] = {}
        self.problem = ""

    def serve(self) -> None:
        """Answer requests until standard input ends."""
        self._watch_children()
        self.selector.register(self.listener, selectors.EVENT_READ, self._connected)
        self.selector.register(0, selectors.EVENT_READ, None)
        self._prepare()
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    self._end()
                key.data(key.fileobj)

    def _prepare(self) -> None:
        try:
            forked.prepare()
        except Exception as error:  # every request is then answered with it
            self.problem = f"{type(error).__name__}: {error}"
        names = forked.threads()
        if len(names) > 1:
            self.problem = f"a library started threads, which do not survive a fork: {', '.join(names)}"
        gc.collect()
        gc.freeze()  # a collection in a kernel would copy every page that it shares with us

    def _watch_children(self) -> None:
        """Children that end wake the loop."""
        waker, wakened = socket.socketpair()
        for end in (waker, wakened):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._waker = waker
        self.selector.register(wakened, selectors.EVENT_READ, self._reap)

    def _connected(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        self.selector.register(connection, selectors.EVENT_READ, self._asked)

    def _asked(self, connection: socket.socket) -> None:
        try:
            packet, ends, _, _ = socket.recv_fds(connection, LARGEST, 1)
        except OSError:
            packet, ends = b"", []
        pid = next((pid for pid, own in self.kernels.items() if own is connection), 0)
        if not packet:
            self._forget(connection, pid)
            return
        message = json.loads(packet)
        if "signal" in message and pid:
            _signal(pid, message["signal"])
        elif ends:
            os.set_inheritable(ends[0], False)
            with socket.socket(fileno=ends[0]) as end:
                self._fork(connection, end, message)

    def _forget(self, connection: socket.socket, pid: int) -> None:
        """Nobody waits for this kernel any more."""
        self.selector.unregister(connection)
        connection.close()
        if pid:
            _signal(pid, signal.SIGKILL)

    def _fork(self, connection: socket.socket, end: socket.socket, message: dict[str, Any]) -> None:
        if self.problem:
            _tell(connection, {"problem": self.problem})
            return
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._child(connection, end, message, parent)
        self.kernels[pid] = connection
        _tell(connection, {"pid": pid})

    def _child(self, connection: socket.socket, end: socket.socket, message: dict[str, Any], parent: int) -> NoReturn:
        code = 1
        try:
            forked.end_with_parent(parent)
            os.setsid()
            signal.set_wakeup_fd(-1)
            inherited = [key.fileobj for key in self.selector.get_map().values()]
            self.selector.close()
            for other in (*inherited, self._waker):
                if isinstance(other, socket.socket) and other is not connection:
                    other.close()
            ready = connection.close  # who the kernel starts must not keep it open
            forked.become_kernel(end, message["argv"], message["cwd"], message["environment"], ready)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException as error:
            _tell(connection, {"failed": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(code)  # what the parent registered to do at its own end is not for us

    def _reap(self, wakened: socket.socket) -> None:
        with suppress(BlockingIOError):
            while wakened.recv(4096):
                continue
        with suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if not pid:
                    break
                self._ended(pid, os.waitstatus_to_exitcode(status), usage.ru_maxrss)

    def _ended(self, pid: int, code: int, peak_kb: int) -> None:
        connection = self.kernels.pop(pid, None)
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)  # what the kernel started ends with it
        if connection is not None and connection.fileno() >= 0:
            _tell(connection, {"ended": code, "peak_kb": peak_kb})

    def _end(self) -> NoReturn:
        for pid in self.kernels:
            _signal(pid, signal.SIGKILL)
        os._exit(0)


def _signal(pid: int, number: int) -> None:
    """To the kernel's whole group; to it alone while it has not made its group yet."""
    with suppress(ProcessLookupError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # who asked may be gone
        connection.send(json.dumps(message).encode())


if __name__ == "__main__":
    os.setsid()  # Ctrl-C is for the runner
    os.nice(YIELDING)
    del sys.path[0]  # the folder that this was started in; a kernel puts its own there
    Parent(socket.socket(fileno=int(sys.argv[1]))).serve()
