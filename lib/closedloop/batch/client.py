"""Runs a notebook in an ordinary kernel: one in another language, where nothing can be forked, or papermill by hand."""

import asyncio
import atexit
import json
import logging
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output

from closedloop.batch.trace import GRACE_SECONDS, Trace, cut, portable, short
from closedloop.terms import Status


def run_in_kernel(trace: Trace, kernel_name: str) -> None:
    """Run the trace's notebook, and note in the trace how it ended."""
    with TemporaryDirectory(prefix="kernel-") as sockets:  # a short path: sockets allow some hundred characters
        client = Client(trace, Path(sockets), kernel_name)
        try:
            asyncio.run(client.async_execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            trace.end(Status.OK)
        except CellExecutionError as error:
            trace.finish(client.index, (error.ename, error.evalue))
        except CellTimeoutError:
            trace.be_late()
        except DeadKernelError:
            trace.die(client.code)
        except Exception as error:
            trace.end(
                Status.FAILED if trace.is_started else Status.START_FAILED, short(type(error).__name__, str(error))
            )


class Client(NotebookClient):
    """nbclient within limits, on Unix sockets in a private folder instead of open TCP ports."""

    km: Any
    kc: Any
    _seconds: float = 0

    def __init__(self, trace: Trace, sockets: Path, kernel_name: str) -> None:
        super().__init__(
            trace.notebook,
            kernel_name=kernel_name,
            coalesce_streams=True,
            shutdown_kernel="immediate",
            startup_timeout=max(1, round(trace.limits.start_seconds)),
            timeout_func=lambda cell: max(0.001, self._seconds),
            on_notebook_start=lambda notebook: trace.start(),
            on_cell_start=self._begin,
            on_cell_executed=self._executed,
        )
        self.log.setLevel(logging.CRITICAL)  # the ledger tells it; a log line would repeat data
        self.trace, self.sockets = trace, sockets
        self.index, self.code, self._left = 0, None, 0

    def create_kernel_manager(self) -> Any:
        """A manager of one kernel."""
        manager: Any = super().create_kernel_manager()
        manager.transport, manager.ip = "ipc", str(self.sockets / "s")
        manager.connection_file = str(self.sockets / "kernel.json")
        return manager

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Keep an output, unless the cell has already filled what it may."""
        content, before = msg["content"], self._left
        self._left -= len(json.dumps(content, default=str))
        if self._left >= 0:
            if "text" in content:
                content["text"] = portable(content["text"])
            return super().output(outs, msg, display_id, cell_index)
        if before >= 0:
            text = cut(self.trace.limits.output_bytes)
            outs.append(new_output("stream", name="stderr", text=text))  # type: ignore[no-untyped-call]
        return None

    def _begin(self, cell: Any, cell_index: int) -> None:
        self.index, self._left = cell_index, self.trace.limits.output_bytes
        self._seconds = self.trace.begin(cell_index)

    def _executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        """Note the memory so far: a kernel that the system has killed cannot be asked any more."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.km.provisioner.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.trace.peak_mb = round(int(line.split()[1]) * 1024 / 1e6, 1)

    async def _async_handle_timeout(self, timeout: float, cell: Any = None) -> Any:
        """Interrupt the cell, and take what it still has to say; the kernel is killed afterwards."""
        await self.km.interrupt_kernel()
        with suppress(Empty):
            await self.kc.get_shell_msg(timeout=GRACE_SECONDS)
        await asyncio.sleep(0.1)  # its last outputs come on another socket
        raise CellTimeoutError("", int(timeout), cell)

    async def _async_cleanup_kernel(self) -> None:
        """Kill the kernel's whole group: all its answers are there, and what it has started is nobody's any more."""
        if self.km.has_kernel:
            self.code = await self.km.provisioner.poll()
            await self.km.provisioner.send_signal(signal.SIGKILL)
        await super()._async_cleanup_kernel()
        atexit.unregister(self._cleanup_kernel)  # which is left there when a start fails
