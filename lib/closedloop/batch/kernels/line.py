"""Messages between a kernel and its runner: one socket, JSON in packets, instead of five sockets and three threads."""

import json
import os
import socket
import struct
import threading
from typing import Any

READY = "ready"  # the name of a kernel's first message that matters
_HEAD = struct.Struct("<Ib")  # the sending process, and whether its message ends with this packet
_PIECE = 1 << 16  # bytes: well below what a socket's buffer holds


class Line:
    """One end. Many threads and processes may send at once: a kernel's cell may have forked, and print in both."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._lock = threading.Lock()
        self._begun: dict[int, list[bytes]] = {}

    def send(self, message: bytes) -> None:
        """Send a message, whole; raises OSError when the other end is gone."""
        with self._lock:
            pid = os.getpid()
            for begin in range(0, len(message), _PIECE) or (0,):
                end = begin + _PIECE
                self.socket.send(_HEAD.pack(pid, end >= len(message)) + message[begin:end])

    def receive(self) -> dict[str, Any] | None:
        """The next message, when it has come whole; None when the other end is gone."""
        while packet := self._packet():
            pid, is_last = _HEAD.unpack_from(packet)
            self._begun.setdefault(pid, []).append(packet[_HEAD.size :])
            if is_last:
                return dict(json.loads(b"".join(self._begun.pop(pid)).decode("utf8", "replace")))
        return None

    def _packet(self) -> bytes:
        try:
            return self.socket.recv(_PIECE + _HEAD.size)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """Let go of this end."""
        self.socket.close()
