"""The Hub's three secrets: one file each, in a folder that only the Hub's owner can enter."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

COOKIE, PROXY, CRYPT = "cookie_secret", "proxy_auth_token", "crypt_key"
MEANING = {
    COOKIE: "signs the Hub's cookies; a new one logs everybody out",
    PROXY: "lets the Hub tell the proxy its routes",
    CRYPT: "encrypts what the Hub's database keeps about logins",
}
LENGTH = 64
"""Hexadecimal digits of each: 32 bytes."""


def make_secrets(folder: Path) -> list[str]:
    """Make those that are missing, and close the folder. Returns the names of new ones; nothing is overwritten."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for name in MEANING:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(folder / name, flags, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(LENGTH // 2))
        made.append(name)
    return made


def read_secret(folder: Path, name: str) -> str:
    """One secret, as JupyterHub takes it."""
    return (folder / name).read_text("ascii").strip()
