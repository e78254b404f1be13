"""What is told while the batch runs: lines for logs, JSON for programs, a bar for terminals."""

import io
import json
import sys
import threading
from pathlib import Path

import pytest
from closedloop.batch.ledger import Entry
from closedloop.batch.progress import Bar, Heartbeat, JsonLines, Lines, Listener, failures, telling
from closedloop.terms import Status
from rich.console import Console

GOOD = Entry("m/p/a", "m", "p", "a", {}, Status.OK, seconds=1.5)
BAD = Entry("m/p/b", "m", "p", "b", {}, Status.FAILED, "cell 3: [red]no", outputs={"m/p/b.ipynb": "", "m/p/b.html": ""})


def _tell(listener: Listener) -> None:
    listener.planned(2)
    listener.started("m/p/a")
    listener.started("m/p/b")
    listener.finished(GOOD)
    listener.finished(BAD)
    listener.close()


def test_lines_count_and_give_the_cause() -> None:
    stream = io.StringIO()
    _tell(Lines(stream))
    assert stream.getvalue() == "[1/2] m/p/a ok\n[2/2] m/p/b failed: cell 3: [red]no\n"


class Log(io.StringIO):
    """A log that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        n = super().write(text)
        self.written.set()
        return n

    def next_line(self) -> str:
        self.written.clear()
        assert self.written.wait(20)
        return self.getvalue().splitlines()[-1]


def test_lines_tell_between_two_ends_what_is_running() -> None:
    log = Log()
    lines = Lines(log, seconds=0.02)
    assert log.next_line().startswith("opening the markets (")
    lines.planned(7)
    for number in range(5):
        lines.started(f"m/p/{number}")
    log.next_line()
    assert log.next_line().startswith("[0/7] running: m/p/0, m/p/1, m/p/2 and 2 more (")
    lines.close()


def test_a_heartbeat_says_what_is_done_and_ends() -> None:
    log = Log()
    heartbeat = Heartbeat("reading", log, seconds=0.02)
    assert log.next_line() == "reading (0 s)"
    heartbeat.tell("12 of 200 shuffled worlds")
    log.next_line()
    assert log.next_line() == "12 of 200 shuffled worlds (0 s)"
    heartbeat.close()
    heartbeat.thread.join(20)
    assert not heartbeat.thread.is_alive()


def test_off_a_terminal_a_long_computation_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr("closedloop.batch.progress._SECONDS", 0.02)
    with telling("reading") as tell:
        tell("replaying 2024-q2, 2 of 8 periods")
        log.next_line()
        assert log.next_line().startswith("replaying 2024-q2, 2 of 8 periods (")


def test_json_lines_hold_every_event() -> None:
    stream = io.StringIO()
    _tell(JsonLines(stream))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"event": "planned", "n_runs": 2},
        {"event": "started", "id": "m/p/a"},
        {"event": "started", "id": "m/p/b"},
        {"event": "finished", "id": "m/p/a", "status": "ok", "cause": "", "seconds": 1.5},
        {"event": "finished", "id": "m/p/b", "status": "failed", "cause": "cell 3: [red]no", "seconds": None},
    ]


def test_a_bar_keeps_the_bad_runs() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    _tell(Bar(console))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "failed  m/p/b  cell 3: [red]no" in told
    assert "2/2" in told
    assert "ok  m/p/a" not in told


def test_failures_name_status_cause_and_the_notebook_to_open() -> None:
    console = Console(file=io.StringIO(), width=120)
    failures(console, {BAD.id: BAD}, Path("runs"))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 run did not succeed" in told
    for part in ("m/p/b", "failed", "cell 3: [red]no", "runs/m/p/b.ipynb"):
        assert part in told
