"""Runs a notebook's cells in one kernel: ready at its first message, within its limits, ended at once."""

import asyncio
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zmq
import zmq.asyncio
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError
from nbformat import from_dict
from nbformat.v4 import new_output

from closedloop.batch.trace import Limits, StartError, Trace

_RECONNECT_MS = 5  # zmq waits 100 ms by default before it looks again for a socket that is not there yet
GRACE_SECONDS = 5
_FIELDS = {
    "stream": ("name", "text"),
    "display_data": ("data", "metadata"),
    "execute_result": ("data", "metadata", "execution_count"),
    "error": ("ename", "evalue", "traceback"),
}
_CELL_FILE = re.compile(r"(?<!\S)\S*/ipykernel_\d+/(\d+)\.py")


class Client(NotebookClient):
    """nbclient with limits and a trace of what happened; how a kernel is started and listened to is for subclasses."""

    trace: Trace
    limits: Limits
    provisioner: Any = None  # of jupyter_client: it starts, signals and ends the kernel
    _seconds: float = 60  # what a reply may take

    def run(self) -> None:
        """Run all cells; the notebook holds what they gave, also when this raises."""
        self.reset_execution_trackers()
        asyncio.run(self._run())

    async def _run(self) -> None:
        try:
            self.nb.metadata["language_info"] = await self._start()
            self.trace.is_started = True
            await self._run_cells()
        finally:
            await self._end()

    async def _start(self) -> Any:
        """Start a kernel, and say which language it speaks; raises StartError."""
        raise NotImplementedError

    async def _interrupt(self, cell: Any, index: int) -> None:
        """Interrupt the cell, and take what it still has to say; the kernel is killed afterwards."""
        raise NotImplementedError

    async def _end(self) -> None:
        """Kill the kernel's whole group: all its answers are there, and what it has started is nobody's any more."""
        if self.provisioner is None:
            return
        self.trace.signal = _signal_name(await self.provisioner.poll())
        if self.provisioner.has_process:
            await self.provisioner.kill()
            await self.provisioner.wait()

    async def _run_cells(self) -> None:
        deadline = time.monotonic() + self.limits.run_seconds
        for index, cell in enumerate(self.nb.cells):
            self.trace.states[index] = "failed"
            self._begin(deadline)
            try:
                await self.async_execute_cell(cell, index)
            except CellTimeoutError:
                await self._interrupt(cell, index)
                raise
            self.trace.states[index] = "completed"
        self.set_widgets_metadata()

    def _begin(self, deadline: float) -> None:
        """Set the next cell's limits: its own, or what is left of the notebook's."""
        left, own = deadline - time.monotonic(), self.limits.cell_seconds
        which = (
            f"the cell's limit of {own:g}" if own <= left else f"the notebook's limit of {self.limits.run_seconds:g}"
        )
        self.trace.limit = f"{which} seconds"
        self._seconds, self._n_bytes = max(0.001, min(left, own)), 0

    def _get_timeout(self, cell: Any) -> Any:
        return self._seconds

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Keep an output, unless the cell has already filled what it may."""
        before, self._n_bytes = self._n_bytes, self._n_bytes + _size(msg["content"])
        if self._n_bytes <= self.limits.output_bytes:
            if "text" in msg["content"]:  # a warning names the cell's file, whose folder is another in each kernel
                msg["content"]["text"] = _CELL_FILE.sub(r"cell-\1.py", msg["content"]["text"])
            return self._kept(outs, msg, display_id, cell_index)
        if before <= self.limits.output_bytes:
            outs.append(new_output("stream", name="stderr", text=self._cut()))  # type: ignore[no-untyped-call]
        return None

    def _kept(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """As nbclient, which checks each output against the schema of notebooks; all are checked when it is written."""
        is_hooked = self.output_hook_stack.get(msg["parent_header"].get("msg_id"))
        fields = _FIELDS.get(msg["msg_type"])
        if display_id or is_hooked or self.clear_before_next_output or fields is None:
            return super().output(outs, msg, display_id, cell_index)
        kept = from_dict(  # type: ignore[no-untyped-call]
            {"output_type": msg["msg_type"], **{name: msg["content"][name] for name in fields}}
        )
        outs.append(kept)
        return kept

    def _cut(self) -> str:
        return (
            f"The rest of this cell's output was left out: it is longer than {self.limits.output_bytes / 1e6:g} MB.\n"
        )

    def _note_peak(self, *told: float | None) -> None:
        """The highest so far: a kernel that the system has killed cannot be asked any more."""
        self.trace.peak_mb = max((mb for mb in (self.trace.peak_mb, *told) if mb is not None), default=None)


class OrdinaryClient(Client):
    """Starts a kernel as jupyter does, on Unix sockets in a private folder instead of open TCP ports."""

    sockets: Path
    km: Any
    kc: Any

    def run(self) -> None:
        """As any client; the sockets are gone afterwards."""
        with TemporaryDirectory(prefix="kernel-") as sockets:  # a short path: sockets allow some hundred characters
            self.sockets = Path(sockets)
            self.km = self.create_kernel_manager()
            super().run()

    def create_kernel_manager(self) -> Any:
        """A manager of one kernel."""
        manager: Any = super().create_kernel_manager()
        manager.transport, manager.ip = "ipc", str(self.sockets / "s")
        manager.connection_file = str(self.sockets / "kernel.json")
        manager.context = zmq.asyncio.Context()
        manager.context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        return manager

    async def _start(self) -> Any:
        began = time.monotonic()
        await self.km.start_kernel(
            extra_arguments=[f"--HistoryManager.hist_file={self.ipython_hist_file}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.kc = self.km.client(context=self.km.context)
        self.kc.start_channels(stdin=False, hb=False, control=False)
        self.kc.allow_stdin = False
        await self._until(self.kc.iopub_channel.socket, began)  # a kernel greets who subscribes to its output
        asked = self.kc.kernel_info()
        await self._until(self.kc.shell_channel.socket, began)
        reply = await self.async_wait_for_reply(asked)
        return reply["content"]["language_info"] if reply else {}

    async def _until(self, socket: Any, began: float) -> None:
        """Wait for a message; StartError when the kernel ends before, or takes too long."""
        while not await socket.poll(200):
            if not await self.km.is_alive():
                raise StartError("the kernel ended before it was ready")
            if time.monotonic() - began > self.limits.start_seconds:
                raise StartError(f"the kernel was not ready after {self.limits.start_seconds:g} seconds")

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        self._asked = parent_msg_id
        await super()._async_poll_output_msg(parent_msg_id, cell, cell_index)

    async def _interrupt(self, cell: Any, index: int) -> None:
        await self.km.interrupt_kernel()
        with suppress(TimeoutError):
            await asyncio.wait_for(super()._async_poll_output_msg(self._asked, cell, index), GRACE_SECONDS)

    async def _async_poll_kernel_alive(self) -> None:
        while await self.km.is_alive():
            self._note_peak(_peak_mb(self.km.provisioner.pid))
            await asyncio.sleep(0.25)
        if self.task_poll_for_reply is not None:
            self.task_poll_for_reply.cancel()

    async def _end(self) -> None:
        self.provisioner = self.km.provisioner
        if self.km.has_kernel:
            self._note_peak(_peak_mb(self.provisioner.pid))
        await super()._end()
        if self.kc is not None:
            self.kc.stop_channels()
        await self.km.cleanup_resources()
        self.kc = self.km = None


def _size(content: Any) -> int:
    """Characters of text in a message."""
    if isinstance(content, dict):
        return sum(map(_size, content.values()))
    if isinstance(content, list | tuple):
        return sum(map(_size, content))
    return len(content) if isinstance(content, str) else 0


def _peak_mb(pid: int) -> float | None:
    """Highest resident memory of a process so far, in MB of 10^6 bytes; None where the system is silent."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None


def _signal_name(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else ""
