"""Ports of the loopback address."""

from __future__ import annotations

import socket

from hub_config.errors import HubError


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def require_free(port: int) -> None:
    """Raise HubError when the port that people will type is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HubError(
                f"port {port} is taken by another program: choose one with make hub ARGS='--port {port + 1}'"
            ) from error
