"""Runs a notebook in a process forked from the warm parent, within its limits; what it shows is kept as it comes."""

import asyncio
import atexit
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_output

from closedloop.batch.ledger import GRACE_SECONDS, Trace, cut, portable, short
from closedloop.batch.runner.parent import Child, Parent, ParentLost
from closedloop.terms import Status

_OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)
_WIDGET = "application/vnd.jupyter.widget-view+json"  # it would name a widget that no page can find


def run_forked(trace: Trace, parent: Parent) -> None:
    """Run the trace's notebook, and note in the trace how it ended; raises NoFork."""
    cells = [
        {"index": index, "source": cell.source, "may_fail": "raises-exception" in cell.metadata.get("tags", [])}
        for index, cell in enumerate(trace.notebook.cells)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    place = {"cwd": str(Path.cwd()), "environment": dict(os.environ)}
    page = Page(trace.notebook.cells)
    try:
        with parent.fork({"cells": cells, "output_bytes": trace.limits.output_bytes, **place}) as child:
            _follow(child, page, trace)
    except ParentLost as error:
        trace.is_lost = trace.status is Status.CANCELLED  # else it had come to its own end
        trace.die(why=str(error))
    page.close()


def _follow(child: Child, page: "Page", trace: Trace) -> None:
    """Take what the child tells until its end; a late one is interrupted, and killed if that does not help."""
    until, signals, why = time.monotonic() + trace.limits.start_seconds, [signal.SIGKILL], ""
    while True:
        left = until - time.monotonic()  # one that tells without end is late, too
        message = child.hear(left) if left > 0 else None
        name, content = (message["msg_type"], message["content"]) if message else ("late", {})
        match name:
            case "ready":
                trace.start()
                trace.notebook.metadata["language_info"] = from_dict(content["language_info"])  # type: ignore[no-untyped-call]
                signals = [signal.SIGINT, signal.SIGKILL]
            case "cell":
                page.begin(content["index"], content["execution_count"])
                until = time.monotonic() + trace.begin(content["index"])
            case "done":
                trace.finish(page.index, content["error"])
                until = time.monotonic() + 2 * GRACE_SECONDS
                if trace.status is Status.TIMED_OUT:
                    child.signal(signal.SIGKILL)
            case "finished":
                trace.end(Status.OK)
            case "failed":
                why = content["why"]
            case "ended":
                trace.peak_mb = round(content["peak_kb"] * 1024 / 1e6, 1)
                trace.die(content["code"], why)
                return
            case "late" if signals:
                trace.be_late()
                child.signal(signals.pop(0))
                until = time.monotonic() + GRACE_SECONDS
            case "late":
                raise ParentLost("it does not say that a killed process has ended")
            case _:
                page.take(name, content)


class Page:
    """The outputs of a notebook's cells as they come, in the shape that nbclient gives them."""

    def __init__(self, cells: Sequence[NotebookNode]) -> None:
        self.cells, self.index = cells, 0
        self._displays: dict[str, list[NotebookNode]] = defaultdict(list)
        self._texts: dict[tuple[int, str], tuple[NotebookNode, list[str]]] = {}
        self._is_cleared = False

    def begin(self, index: int, count: int) -> None:
        """The cell begins that fills its outputs from now on."""
        self.index, self._is_cleared = index, False
        self.cells[index].outputs, self.cells[index].execution_count = [], count

    def take(self, name: str, content: dict[str, Any]) -> None:
        """Take a message of Jupyter's that shows something, or changes what was shown, also by an earlier cell."""
        if name == "clear_output" and content["wait"]:
            self._is_cleared = True
        elif name == "clear_output":
            self._clear()
        elif name == "stream" and (text := self._texts.get((self.index, content["name"]))) and not self._is_cleared:
            text[1].append(content["text"])
        else:
            display = (content.pop("transient", None) or {}).get("display_id")
            content.get("data", {}).pop(_WIDGET, None)
            made = from_dict({"output_type": name, **content})  # type: ignore[no-untyped-call]
            for shown in self._displays[display] if display else ():
                shown.data, shown.metadata = made.data, made.metadata
            if name != "update_display_data":
                self._add(made, display)

    def _add(self, made: NotebookNode, display: str | None) -> None:
        if self._is_cleared:
            self._clear()
        self.cells[self.index].outputs.append(made)
        if display:
            self._displays[display].append(made)
        if made.output_type == "stream":
            self._texts[self.index, made.name] = (made, [made.text])

    def _clear(self) -> None:
        self.cells[self.index].outputs.clear()
        self._texts = {key: text for key, text in self._texts.items() if key[0] != self.index}
        self._is_cleared = False

    def close(self) -> None:
        """Finish the texts: a line that was written over is left out, standard output stands before standard error."""
        for made, parts in self._texts.values():
            made.text = _OVERWRITTEN.sub("", portable("".join(parts)))
        for cell in self.cells:
            outputs = cell.get("outputs", [])
            for n, (one, other) in enumerate(pairwise(outputs)):
                if (one.get("name"), other.get("name")) == ("stderr", "stdout"):
                    outputs[n : n + 2] = [other, one]
                    break


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
