"""What the parent of notebooks is before a fork, and what the runner hears of a child."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from closedloop.batch.runner.parent import ENVIRONMENT, Child, ParentLost

BEFORE = """
import os, sys
from closedloop.batch.runner import shell
shell.prepare()
print(len(os.listdir("/proc/self/task")), {"duckdb", "ibis", "scipy.stats", "sklearn"} <= set(sys.modules))
import IPython, matplotlib
print(IPython.get_ipython(), "matplotlib_inline.backend_inline" in sys.modules)
files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
print([name for name in files if name.startswith("/") and not name.startswith("/dev/")])
print(os.listdir(sys.argv[1]))
"""


def test_before_a_fork_there_is_one_thread_and_no_file_and_no_shell(tmp_path: Path) -> None:
    environment = os.environ | ENVIRONMENT | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", BEFORE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert done.stdout.splitlines() == ["1 True", "None False", "[]", "[]"]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Child]]:
    """The other end of a child's socket, and the child as the runner knows it."""
    other, own = socket.socketpair()
    with other, Child(own) as child:
        yield other, child


def test_messages_are_lines_and_one_that_was_cut_off_is_passed_over(ends: tuple[socket.socket, Child]) -> None:
    other, child = ends
    line = '\n{"msg_type": "stream", "content": {"text": "ä\\n"}}\n'.encode()
    other.sendall(line[:-9] + line + line[:-12])
    assert child.hear(1) == {"msg_type": "stream", "content": {"text": "ä\n"}}
    assert child.hear(0.01) is None
    other.sendall(line[-12:])
    assert child.hear(1) == {"msg_type": "stream", "content": {"text": "ä\n"}}
    other.close()
    with pytest.raises(ParentLost, match="the process that notebooks are forked from has ended"):
        child.hear(1)


def test_signals_go_the_other_way_as_bytes(ends: tuple[socket.socket, Child]) -> None:
    other, child = ends
    child.signal(2)
    child.signal(9)
    assert other.recv(16) == b"\x02\x09"
    child.close()
    assert other.recv(16) == b""
    child.signal(9)  # nobody is there: no error
