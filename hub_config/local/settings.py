"""What the launcher tells the Hub's configuration, besides the Site: ports, and the password of a shared account."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from hub_config.errors import HubError


@dataclass(frozen=True)
class Settings:
    """One run. `password` is empty where each account has its own."""

    port: int
    hub_port: int
    proxy_port: int
    proxy_command: list[str]
    homes: str
    password: str

    def write(self, path: Path) -> None:
        """Write it where only its owner can read it."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read it back."""
        return cls(**json.loads(path.read_text("utf-8")))


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
