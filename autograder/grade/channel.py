"""Short JSON messages over a socket, each with its length before it and a limit on it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

HEADER = 8


class ChannelClosed(Exception):
    """The other side is gone, too slow, or does not keep to the form."""


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one message. Raises ChannelClosed."""
    content = json.dumps(message).encode()
    try:
        channel.sendall(len(content).to_bytes(HEADER, "little") + content)
    except OSError as error:
        raise ChannelClosed(f"it cannot be written to: {error}") from error


def receive(channel: socket.socket, largest: int, deadline: float) -> dict[str, Any]:
    """The next message, of at most `largest` bytes, before `deadline` on the monotonic clock.

    Raises ChannelClosed; a socket's time-out also means the deadline.
    """
    size = int.from_bytes(read_exactly(channel, HEADER, deadline), "little")
    if size > largest:
        raise ChannelClosed(f"a message of {size} bytes is over the limit of {largest}")
    try:
        message = json.loads(read_exactly(channel, size, deadline))
    except (ValueError, RecursionError) as error:
        raise ChannelClosed("a message is not JSON") from error
    if not isinstance(message, dict):
        raise ChannelClosed("a message is not an object")
    return message


def read_exactly(channel: socket.socket, size: int, deadline: float) -> bytes:
    """The next `size` bytes. Memory is taken as they come, not for what was announced. Raises ChannelClosed."""
    content = bytearray()
    while len(content) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ChannelClosed("no answer within the time limit")
        channel.settimeout(left)
        try:
            part = channel.recv(min(size - len(content), 1 << 20))
        except TimeoutError as error:
            raise ChannelClosed("no answer within the time limit") from error
        except OSError as error:
            raise ChannelClosed(f"it cannot be read: {error}") from error
        if not part:
            raise ChannelClosed("it was closed")
        content += part
    return bytes(content)
