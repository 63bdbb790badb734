"""nbgrader's exchange, the folder in which labs are published. Hand-ins go through the hand-in service."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

from autograder.course import outbound
from hub_config.errors import HubError

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MODE = 0o755
"""The course's account publishes, everybody reads, nobody else writes."""


def prepare_exchange(exchange: Path, account: str) -> None:
    """The folders, as the course's own; `account` is empty where everybody shares one.

    Links are not followed: the account owns what lies there, and this may run as root. Raises HubError
    when something else lies there.
    """
    number = pwd.getpwnam(account).pw_uid if account else os.geteuid()
    group = pwd.getpwnam(account).pw_gid if account else os.getegid()
    exchange.mkdir(exist_ok=True)
    folders = [_open(exchange, None)]
    try:
        for name in outbound(exchange).relative_to(exchange).parts:
            with contextlib.suppress(FileExistsError):  # what is there is checked when it is opened
                os.mkdir(name, dir_fd=folders[-1])
            folders.append(_open(Path(name), folders[-1]))
        for folder in folders:
            os.fchown(folder, number, group)
            os.fchmod(folder, MODE)
    finally:
        for folder in folders:
            os.close(folder)


def _open(path: Path, parent: int | None) -> int:
    try:
        return os.open(path, OPEN_FOLDER, dir_fd=parent)
    except OSError as error:
        raise HubError(
            f"{path} in the exchange is not a folder ({error.strerror}): look who put it there"
        ) from error
