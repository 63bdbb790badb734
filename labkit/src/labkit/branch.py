"""Hold a notebook still at one point, to be asked for values later.

While a hand-in is judged, its kernel is forked where a grade cell stands. The copy waits, silent, with
every name as it was at that point; the notebook goes on. When the last cell has run, the judge asks the
copies. So no input of a hidden test exists anywhere near the notebook while its outputs are still taken.
"""

from __future__ import annotations

import linecache
import os
import signal
import socket
import sys
from typing import Any

from labkit.probe import answer

HEADER = 9
"""Bytes before a message: its length in 8, then `C` for a call or `D` for a definition."""


def branch(address: str, namespace: dict[str, Any]) -> int:
    """Fork this process; the copy serves calls from the Unix socket at `address` and never returns.

    Returns the copy's process number in the calling process.
    """
    copy = os.fork()
    if copy:
        return copy
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _alone()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as judge:
            judge.connect(address)
            serve(judge, namespace)
    finally:
        os._exit(0)


def serve(judge: socket.socket, namespace: dict[str, Any]) -> None:
    """Answer one message after another until the other side is gone."""
    while header := _read(judge, HEADER):
        text = _read(judge, int.from_bytes(header[:8], "little")).decode()
        reply = _define(text, namespace) if header[8:] == b"D" else answer(text, namespace)
        judge.sendall(len(reply).to_bytes(8, "little") + reply.encode())


def _define(source: str, namespace: dict[str, Any]) -> str:
    """Define a probe; the reply is empty, or says why it could not be defined."""
    name = f"<probe {hash(source):x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        exec(compile(source, name, "exec"), namespace)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:500]
    return ""


def _read(judge: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or none when the other side is gone."""
    content = bytearray()
    while len(content) < size:
        part = judge.recv(min(size - len(content), 1 << 20))
        if not part:
            return b""
        content += part
    return bytes(content)


def _alone() -> None:
    """Drop what is printed or displayed from here on, and use one thread: other threads were not copied."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if "torch" in sys.modules:
        # OpenMP's threads were not copied either: work for more than one would wait for ever
        sys.modules["torch"].set_num_threads(1)
    if "ipykernel.iostream" in sys.modules:
        iostream = sys.modules["ipykernel.iostream"]
        iostream.OutStream.write = lambda self, text: len(text)
        iostream.OutStream.flush = lambda self: None
        iostream.IOPubThread.send_multipart = lambda self, *parts, **options: None
