"""An IPython kernel that talks through a line: no sockets of its own, no threads between a cell and its reader."""

import asyncio
import socket
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from IPython.core import shellapp
from IPython.core.application import BaseIPythonApplication
from jupyter_client.session import Session, json_packer

from closedloop.batch.kernels.line import READY, Line


class LineSession(Session):
    """Jupyter's messages, sent through a line."""

    line: Line

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """Send a message, and return it; ``stream``, ``ident`` and ``track`` are other transports'."""
        if isinstance(msg_or_type, dict):
            message = msg_or_type
            name, content, metadata = message["msg_type"], message["content"], message["metadata"]
            parent, buffers = message["parent_header"], buffers or message.get("buffers")
        else:
            name, content, metadata = msg_or_type, content or {}, metadata or {}
            parent = parent.get("header", parent) if parent else {}
            message = {"msg_type": name, "content": content, "metadata": metadata, "parent_header": parent}
        if name != "status":  # nobody waits for it
            heard = {"execution_count": content["execution_count"]} if name == "execute_input" else content
            if name == "stream":  # half a letter cannot be sent; an ordinary kernel loses all that was printed with it
                heard = content | {"text": content["text"].encode("utf8", "replace").decode("utf8")}
            told = {"msg_type": name, "header": {"msg_type": name}, "content": heard, "metadata": metadata}
            told["parent_header"] = {"msg_id": parent.get("msg_id")}
            if buffers:
                told["buffers"] = [b64encode(memoryview(part)).decode() for part in buffers]
            self.line.send(json_packer(told))
        return message


class LineKernel(IPythonKernel):
    """One request at a time; nothing that waits is dropped, as the runner sends a cell after the last one's end."""

    _supports_kernel_subshells = False
    _execute_sleep = 0.0

    def __init__(self, **traits: Any) -> None:
        """The kernel of ``session``, which is given its line later."""
        super().__init__(**traits)
        self.shell_channel_thread = SimpleNamespace(parent_thread=threading.main_thread())

    def start(self) -> None:
        """Take the loop that runs; there are no sockets to listen to."""
        Kernel.start(self)  # past a warning that nobody can debug this

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        pass

    async def answer(self, request: Mapping[str, Any]) -> None:
        """Do what is asked for; a cell's end is told by its reply, after all that it has shown.

        What a cell raises is in the reply; what is raised here ends the kernel, which its runner then hears of.
        """
        self.set_parent([], request)
        self.pre_handler_hook()
        try:
            done = self.shell_handlers[request["header"]["msg_type"]](None, [], request)
            if done is not None:
                await done
        finally:
            self.post_handler_hook()


class LineKernelApp(IPKernelApp):
    """The kernel's application: what does not depend on the kernel's own environment is made before the fork."""

    kernel_class = LineKernel

    def prepare(self) -> None:
        """In the parent: a kernel without a line, whose shell is there already."""
        self.init_pdb()
        self.session = LineSession(parent=self)
        self.configure_tornado_logger()
        self.iopub_thread = _NoThread(session=self.session)
        self.kernel = self.kernel_class.instance(
            parent=self, session=self.session, iopub_thread=self.iopub_thread, log=self.log
        )
        shell: Any = self.kernel.shell
        shell.kernel, shell.parent = self.kernel, self.kernel
        self.init_shell()
        self.init_extensions()
        self.default_extensions = []  # the user's are still to come
        self._rehearse()
        self._modules = set(sys.modules)

    def _rehearse(self) -> None:
        """One cell, so that a kernel's first is not the first of all; nobody hears it, and it leaves nothing."""
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with own, other:
            self.session.line = Line(own)
            content = {"code": "None", "silent": True, "store_history": False}
            header = {"msg_type": "execute_request", "msg_id": ""}
            asyncio.run(self.kernel.answer({"header": header, "content": content, "metadata": {}}))
        self.kernel.shell.display_formatter.format(0)
        self.kernel.set_parent([], {})

    def open(self, line: Line) -> None:
        """In the child: the user's configuration, output, extensions and start-up code."""
        self.session.line = line
        BaseIPythonApplication.initialize(self, [])
        self.init_blackhole()
        self.init_io()
        self.init_signal()
        self.displayhook.get_execution_count = lambda: self.kernel.execution_count
        self.kernel.profile_dir = self.profile_dir
        self._configure()
        self.init_path()
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()

    def _configure(self) -> None:
        """Hand the user's configuration, if there is any, to what was made without it."""
        if self.config:
            formatter = self.kernel.shell.display_formatter
            for part in (self.kernel, self.kernel.shell, formatter, *formatter.formatters.values()):
                part.update_config(self.config)

    def parse_command_line(self, argv: Any = None) -> None:
        """There is no command line."""

    def init_code(self) -> None:
        """Start-up code. The shell notes all modules then; looking at each would copy the page that its name is on."""
        setattr(shellapp, "sys", _Quiet())  # noqa: B010  # it is not exported, says mypy
        try:
            super().init_code()
        finally:
            setattr(shellapp, "sys", sys)  # noqa: B010
        self.kernel.shell._sys_modules_keys = self._modules

    def start(self) -> None:
        """Answer what comes through the line until it ends."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.kernel.start()
        line, loop, requests = self.session.line, asyncio.get_running_loop(), asyncio.Queue[Any]()
        loop.add_reader(line.socket, lambda: requests.put_nowait(line.receive()))
        told = {"msg_type": READY, "content": {"language_info": self.kernel.language_info}}
        line.send(json_packer(told))
        while (request := await requests.get()) is not None:
            await self.kernel.answer(request)


class _NoThread(IOPubThread):
    """Stands where a thread sends a kernel's output: it is sent at once."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.socket = None
        self.thread = threading.Thread()  # never started
        self.io_loop: Any = SimpleNamespace(call_later=_call_later)


def _call_later(seconds: float, function: Callable[[], None]) -> None:
    """For text that a long cell has printed: it is sent though nobody flushes it."""
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


class _Quiet:
    """The module ``sys``, without its modules."""

    modules: ClassVar[dict[str, None]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(sys, name, value)


def prepare() -> None:
    """In the parent: all of a kernel that can be there before the fork."""
    LineKernelApp.instance().prepare()


def run(line: Line, ready: Callable[[], None]) -> None:
    """In the child: be a kernel until the line ends; ``ready`` is called when all is there."""
    app = LineKernelApp.instance()
    app.open(line)
    ready()
    app.start()
