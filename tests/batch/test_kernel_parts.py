"""The parts of a warm kernel on their own: the line it talks through, and what its parent does before the fork."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from closedloop.batch.imports import without
from closedloop.batch.kernels.line import Line
from closedloop.batch.kernels.warm import ENVIRONMENT

AFTER = """
import os, sys
from closedloop.batch.kernels import forked
forked.prepare()
print(len(os.listdir("/proc/self/task")), sorted({"duckdb", "ibis", "scipy.stats", "debugpy"} & set(sys.modules)))
files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
print([name for name in files if name.startswith("/") and not name.startswith("/dev/") and not name.endswith(".ttf")])
print([name for name in os.listdir(sys.argv[1])])
"""


@pytest.fixture
def ends() -> Iterator[tuple[Line, Line]]:
    """Both ends of a line."""
    one, other = (Line(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize("n_bytes", [0, 10, 65_526, 65_536, 65_537, 900_000])
def test_a_message_arrives_whole(ends: tuple[Line, Line], n_bytes: int) -> None:
    text = "ü" * (n_bytes // 2)
    sender = threading.Thread(target=ends[0].send, args=(f'{{"text": "{text}"}}'.encode(),))
    sender.start()
    assert ends[1].receive() == {"text": text}
    sender.join()


def test_messages_of_two_processes_are_told_apart(ends: tuple[Line, Line]) -> None:
    """A cell may fork, and both print: pieces of long messages arrive in any order."""
    n_messages = 20
    child = os.fork()
    for _ in range(n_messages if child == 0 else 0):
        ends[0].send(b'{"from": "child", "text": "%s"}' % (b"c" * 200_000))
    if child == 0:
        os._exit(0)

    def parent() -> None:
        for _ in range(n_messages):
            ends[0].send(b'{"from": "parent", "text": "%s"}' % (b"p" * 200_000))

    sender = threading.Thread(target=parent)
    sender.start()
    heard = [ends[1].receive() or {} for _ in range(2 * n_messages)]
    sender.join()
    os.waitpid(child, 0)
    assert sorted(message["from"] for message in heard) == ["child"] * n_messages + ["parent"] * n_messages
    assert all(set(message["text"]) == {message["from"][0]} for message in heard)


def test_the_end_of_a_line_is_heard(ends: tuple[Line, Line]) -> None:
    ends[0].send(b'{"last": 1}')
    ends[0].close()
    assert ends[1].receive() == {"last": 1}
    assert ends[1].receive() is None
    with pytest.raises(OSError, match="Broken pipe"):
        ends[1].send(b"{}")


def test_a_library_is_missing_only_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with without("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    with without("colorsys"):  # it is there: nothing is taken away from who uses it
        assert sys.modules["colorsys"] is colorsys


def test_before_the_fork_there_is_one_thread_and_no_file_but_fonts(tmp_path: os.PathLike[str]) -> None:
    # matplotlib opens its fonts anew in a process that was forked
    environment = os.environ | ENVIRONMENT | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", AFTER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert done.stdout.splitlines() == ["1 []", "[]", "[]"]
