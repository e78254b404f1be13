"""Runs a notebook's cells in a kernel that is forked from a warm parent, and talks with it through one line."""

import select
import signal
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jupyter_client.session import Session, json_packer
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from closedloop.batch.client import GRACE_SECONDS, Client
from closedloop.batch.kernels.line import READY
from closedloop.batch.kernels.provisioner import WarmProvisioner
from closedloop.batch.kernels.warm import Kernel
from closedloop.batch.trace import StartError


class WarmClient(Client):
    """Asks for a kernel that is forked from a warm parent, and talks with it through one line."""

    warm: Path
    kernel: Kernel
    kc: Any

    async def _start(self) -> Any:
        self.provisioner = WarmProvisioner.at(self.warm)
        await self.provisioner.launch_kernel([])
        assert self.provisioner.kernel is not None
        self.kernel = self.provisioner.kernel
        self.kc = _Channel(self.kernel)
        self._poll = select.poll()
        for end in (self.kernel.connection, self.kernel.line.socket):
            self._poll.register(end, select.POLLIN)
        # what start-up code shows belongs to no cell
        ready = self._until(READY, self.limits.start_seconds, lambda message: None)
        if ready is None and self.kernel.poll() is None:
            raise StartError(f"the kernel was not ready after {self.limits.start_seconds:g} seconds")
        if ready is None:
            why = self.kernel.failure
            raise StartError(f"the kernel ended before it was ready{f' ({why})' * bool(why)}")
        return ready["content"]["language_info"]

    def _until(self, name: str, seconds: float, take: Callable[[Any], Any]) -> Any:
        """The next message ``name``, and ``take`` all before it; None when the time or the kernel ends first."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self._heard(left)
            if message is None and self.kernel.poll() is not None:
                break
            if message and message["msg_type"] == name:
                return message
            if message:
                take(message | {"buffers": [b64decode(part) for part in message.get("buffers", ())]})
        return None

    def _heard(self, seconds: float) -> dict[str, Any] | None:
        """What the kernel says next, within so many seconds; None when it says nothing, and when it has ended."""
        found = {number for number, _ in self._poll.poll(1000 * seconds)}
        if self.kernel.line.socket.fileno() not in found:
            return None
        message = self.kernel.line.receive()
        if message is None and self.kernel.wait(GRACE_SECONDS) is None:  # it lives, but can never be heard again
            self.kernel.send_signal(signal.SIGKILL)
            self.kernel.wait(GRACE_SECONDS)
        return message

    async def _async_poll_kernel_alive(self) -> None:
        """That it has ended is heard."""

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        self._index = cell_index

    async def _async_poll_for_reply(self, msg_id: str, cell: Any, timeout: Any, *_: Any) -> Any:
        """Take all that the kernel says until its reply."""

        def take(message: Any) -> None:
            if message["parent_header"].get("msg_id") == msg_id:
                self.process_message(message, cell, self._index)

        reply = self._until("execute_reply", timeout, take)
        if reply is None and self.kernel.poll() is not None:
            raise DeadKernelError("Kernel died")
        if reply is None:
            raise CellTimeoutError.error_from_timeout_and_cell("Cell execution timed out", timeout, cell)
        return reply

    async def _interrupt(self, cell: Any, index: int) -> None:
        await self.provisioner.send_signal(signal.SIGINT)
        with suppress(CellTimeoutError, DeadKernelError):
            await self._async_poll_for_reply(self.kc.asked, cell, GRACE_SECONDS)

    async def _end(self) -> None:
        await super()._end()
        if self.provisioner is not None and self.provisioner.kernel is not None:
            self.trace.is_lost = self.provisioner.kernel.is_lost
            self._note_peak(self.provisioner.kernel.peak_mb)
            await self.provisioner.cleanup()
        self.kc = None


class _Channel:
    """What nbclient asks of a kernel's client, on a line."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.session = kernel, Session()
        self.shell_channel = SimpleNamespace(send=self._send)

    def execute(self, source: str, **wanted: Any) -> str:
        """Ask for a cell; the message's id."""
        content = {"code": source, "silent": False, "user_expressions": {}, "allow_stdin": False, **wanted}
        message = self.session.msg("execute_request", content)
        self._send(message)
        self.asked = str(message["msg_id"])
        return self.asked

    def _send(self, message: Any) -> None:
        with suppress(OSError):  # that it is gone is found by who listens
            self.kernel.line.send(json_packer(message))
