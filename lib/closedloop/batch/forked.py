"""Runs a notebook in a process forked from the warm parent, within its limits; what it shows is kept as it comes."""

import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict

from closedloop.batch.parent import Child, Parent, ParentLost
from closedloop.batch.trace import GRACE_SECONDS, Trace, portable
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
