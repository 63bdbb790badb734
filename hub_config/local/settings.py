"""What the launcher tells the Hub's configuration, besides the Site: ports, and the password of a shared account."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


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
