"""What a forked process becomes: IPython's shell, which runs a notebook's cells one after the other.

It is the shell of an ordinary kernel (ipykernel 7) and gives its bytes, without its sockets, threads and requests. What
cells show goes to the runner as lines of JSON: Jupyter's messages, and ``ready``, ``cell`` (one begins), ``done`` (it
has ended, perhaps with an error) and ``finished``.
"""

import asyncio
import builtins
import fcntl
import getpass
import importlib
import io
import os
import random
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any, NoReturn

from ipykernel.compiler import XCachingCompiler
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.application import BaseIPythonApplication
from IPython.core.error import StdinNotImplementedError
from IPython.core.shellapp import InteractiveShellApp
from jupyter_client.session import Session, json_packer
from traitlets.config import Config

import closedloop
from closedloop.batch.ledger import cut
from closedloop.errors import ClosedLoopError

# What notebooks use. None of it may start a thread or open a database when it is imported.
LIBRARIES = (
    *("numpy", "pandas", "pyarrow.dataset", "pyarrow.parquet", "scipy.signal", "scipy.stats", "sklearn.ensemble"),
    *("duckdb", "ibis.backends.duckdb", "yaml"),
    *("matplotlib.pyplot", "pandas.io.formats.csvs", "pandas.io.formats.html", "pandas.io.formats.string"),
    *("PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PpmImagePlugin"),  # of any figure
    *("pandas.core.arrays.arrow.extension_types", "pandas.core.reshape.reshape", "importlib.readers"),
    "IPython.extensions.storemagic",
)
INLINE = "module://matplotlib_inline.backend_inline"
NO_HISTORY = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})  # it keeps a thread
_LAST_SECONDS = 1  # what threads and cancelled tasks still have after the last cell
_TASKS_SECONDS = 0.001  # what tasks have between two cells, as while a kernel waits for the next one


def prepare() -> None:
    """In the parent, once: import libraries and verbs while there is a shell, which pandas and matplotlib look for."""
    os.environ["MPLBACKEND"] = INLINE
    shell = ZMQInteractiveShell.instance(config=NO_HISTORY, compiler_class=XCachingCompiler, kernel=SimpleNamespace())
    with shell.builtin_trap:
        for name in LIBRARIES:
            importlib.import_module(name)
        for name in closedloop.__all__:
            getattr(closedloop, name)
    with suppress(OSError, ClosedLoopError):  # a child that needs it and cannot have it says why
        importlib.import_module("closedloop.market.kept").makers()
    ZMQInteractiveShell.clear_instance()


def run(end: socket.socket, request: Mapping[str, Any]) -> NoReturn:
    """In the child: run the cells of ``request``, tell through ``end`` what they show, and end the process."""
    _settle(request["cwd"], request["environment"])
    messages = Messages(end, request["output_bytes"])
    application = Application.instance(config=NO_HISTORY)
    application.open(messages)
    messages.tell("ready", language_info=IPythonKernel.language_info)
    asyncio.run(_run_cells(application.shell, messages, request["cells"]))
    os._exit(1)  # it has not finished


def _settle(cwd: str, environment: Mapping[str, str]) -> None:
    """A process of its own: folder, environment, arguments, and generators that no other child shares."""
    os.environ.clear()
    os.environ.update(environment)
    os.environ["MPLBACKEND"] = environment.get("MPLBACKEND") or INLINE
    os.chdir(cwd)
    sys.argv = [str(find_spec("ipykernel_launcher").origin), "-f", "kernel.json"]  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until a cell runs
    builtins.input = getpass.getpass = _refuse
    warnings.filterwarnings("ignore", "Message serialization failed")  # it would name a file of ours
    random.seed()
    importlib.import_module("numpy").random.seed(int.from_bytes(os.urandom(4), "little"))


def _refuse(*_: object, **__: object) -> NoReturn:
    raise StdinNotImplementedError("raw_input was called, but this frontend does not support input requests.")


class Messages(Session):
    """Jupyter's messages to the runner through ``end``: of each cell as many ``n_bytes`` as it may show."""

    def __init__(self, end: socket.socket, n_bytes: int) -> None:
        super().__init__(key=b"")
        self._end, self._n_bytes, self._left = end, n_bytes, -1
        self._process, self._lock = os.getpid(), threading.RLock()
        self._files = {name: _Diverted(number) for number, name in ((1, "stdout"), (2, "stderr"))}
        sys.stdout, sys.stderr = Text(self, "stdout", 1), Text(self, "stderr", 2)

    def tell(self, name: str, /, **content: Any) -> None:
        """Send a message to the runner."""
        self._send(json_packer({"msg_type": name, "content": content}))

    def begin(self, index: int, count: int) -> None:
        """A cell begins: what is shown from now on is its own, and measured anew."""
        self.flush()
        self.tell("cell", index=index, execution_count=count)
        self._left = self._n_bytes

    def flush(self) -> None:
        """Send what is still to be shown, that of file descriptors behind Python's own."""
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with suppress(AttributeError, OSError, ValueError):  # a cell may have closed or replaced it
                stream.flush()  # type: ignore[union-attr]
        for name, file in self._files.items():
            if text := file.read(self._n_bytes + 1):
                self.send(None, "stream", {"name": name, "text": text})

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *_: Any, **__: Any) -> dict[str, Any]:
        """Show something, in Jupyter's words: a message, or its type and content; nothing before the first cell."""
        message = msg_or_type if isinstance(msg_or_type, dict) else {"msg_type": msg_or_type, "content": content}
        if os.getpid() != self._process:  # a process that a cell has forked: its words go where its own programs' go
            shown = message["content"]
            text = shown.get("text") or shown.get("data", {}).get("text/plain", "")
            os.write(2 if shown.get("name") == "stderr" else 1, text.encode("utf8", "replace"))
            return message
        line = json_packer({"msg_type": message["msg_type"], "content": message["content"]})
        is_update = message["msg_type"] == "update_display_data"  # it takes the place of another one
        before, self._left = self._left, self._left - len(line) * (not is_update)
        if self._left >= 0 and len(line) <= self._n_bytes:
            self._send(line)
        elif before >= 0:
            self._left = -1
            self.tell("stream", name="stderr", text=cut(self._n_bytes))
        return message

    def _send(self, line: bytes) -> None:
        with self._lock:  # the first end of line closes one that an interrupt has cut off
            self._end.sendall(b"\n" + line + b"\n")


class Text(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` of a cell: whole lines are sent at once, so that a killed cell's are kept."""

    encoding = "UTF-8"

    def __init__(self, messages: Messages, name: str, number: int) -> None:
        self._messages, self.name, self._number = messages, name, number
        self._parts: list[str] = []
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Keep the text until its line ends."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        with self._lock:
            self._parts.append(text)
            if "\n" in text:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Send what was kept; half a letter, which cannot be sent, as a question mark."""
        with self._lock:
            text, self._parts = "".join(self._parts).encode("utf8", "replace").decode(), []
            if text:
                self._messages.send(None, "stream", {"name": self.name, "text": text})

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The file descriptor, for programs that a cell starts."""
        return self._number


class _Diverted:
    """A file descriptor that goes to an unlinked file: a pipe that nobody reads would hang who writes to it."""

    def __init__(self, number: int) -> None:
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115  # as long as the process lives
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)
        os.dup2(self._file.fileno(), number)
        self._place = 0

    def read(self, most: int) -> str:
        """What was written since the last time, at most so many bytes of it."""
        size = os.fstat(self._file.fileno()).st_size
        begin, self._place = self._place if self._place <= size else 0, size  # who opens /dev/stdout anew empties it
        return os.pread(self._file.fileno(), min(most, size - begin), begin).decode("utf8", "replace")


class Application(BaseIPythonApplication, InteractiveShellApp):
    """What an ordinary kernel reads of the user: configuration, extensions and start-up code."""

    name = "ipython-kernel"

    def parse_command_line(self, argv: Any = None) -> None:
        """There is none."""

    def open(self, messages: Messages) -> None:
        """Make the shell whose cells show their outputs by ``messages``."""
        self.initialize([])
        self.kernel = SimpleNamespace(language_info=IPythonKernel.language_info, eventloop=None)  # a stand-in
        shell: Any = ZMQInteractiveShell.instance(
            parent=self, profile_dir=self.profile_dir, kernel=self.kernel, compiler_class=XCachingCompiler, user_ns={}
        )
        shell.configurables.append(self)
        shell.display_pub.session = shell.displayhook.session = messages
        self.shell = shell
        self.init_path()
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()


async def _run_cells(shell: Any, messages: Messages, cells: Sequence[Mapping[str, Any]]) -> None:
    """Run the cells until one fails, and end the process; one loop runs all the while, so that tasks go on."""
    for cell in cells:
        messages.begin(cell["index"], shell.execution_count)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        result = await _run_cell(shell, cell["source"])
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        await asyncio.sleep(_TASKS_SECONDS if len(asyncio.all_tasks()) > 1 else 0)
        messages.flush()
        shell.payload_manager.clear_payload()
        error = result.error_before_exec or result.error_in_exec
        is_bad = not result.success or shell._last_traceback_during_displayhook
        is_bad = is_bad and not cell["may_fail"]
        messages.tell("done", error=[type(error).__name__, str(error)] if is_bad else None)
        if shell.exit_now:  # by a cell's ``exit``
            os._exit(0)
        if is_bad:
            break
    await _end_tasks()
    messages.flush()
    messages.tell("finished")
    os._exit(0)  # what libraries registered for an end in the parent is not for a child


async def _run_cell(shell: Any, source: str) -> Any:
    """The shell's result of a cell, which runs as ipykernel's ``do_execute`` has it run."""
    problem = None
    try:
        transformed = shell.transform_cell(source)
    except Exception:
        transformed, problem = source, sys.exc_info()
    given = {"transformed_cell": transformed, "preprocessing_exc_tuple": problem}
    if not shell.should_run_async(source, **given):
        return shell.run_cell(source, store_history=True)
    result, loop = None, asyncio.get_running_loop()
    task = asyncio.ensure_future(shell.run_cell_async(source, store_history=True, **given))
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        result = await task
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        shell.events.trigger("post_execute")
        shell.events.trigger("post_run_cell", result)
    return result


async def _end_tasks() -> None:
    """Cancel the tasks that still run, and wait a moment for them and for threads."""
    deadline = time.monotonic() + _LAST_SECONDS
    if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_LAST_SECONDS)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
