"""nbgrader's exchange, the folder through which labs go out and hand-ins come in."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

from autograder.course import COURSE_ID
from hub_config.errors import HubError

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare_exchange(exchange: Path, account: str) -> None:
    """The exchange with the modes that nbgrader wants.

    nbgrader wants the exchange itself writable to everybody. It is opened last, and sticky; the
    course's folder in it stays this account's, so that nobody, `account` included, can put a link in
    the place of what is handed over here. Raises HubError when something else lies there.
    """
    number = pwd.getpwnam(account).pw_uid if account else os.geteuid()
    group = pwd.getpwnam(account).pw_gid if account else os.getegid()
    exchange.mkdir(exist_ok=True)
    root = _open(exchange, None)
    course = _made(COURSE_ID, root)
    os.fchown(course, os.geteuid(), os.getegid())
    os.fchmod(course, 0o755)
    for name, mode in {"outbound": 0o755, "inbound": 0o3733, "feedback": 0o711}.items():
        folder = _made(name, course)
        os.fchown(folder, number, group)
        os.fchmod(folder, mode)
        os.close(folder)
    os.fchmod(root, 0o1777)
    os.close(course)
    os.close(root)


def _made(name: str, parent: int) -> int:
    """A folder in an open folder, made where it is missing, open."""
    with contextlib.suppress(FileExistsError):  # what is there is checked when it is opened
        os.mkdir(name, dir_fd=parent)
    return _open(Path(name), parent)


def _open(path: Path, parent: int | None) -> int:
    try:
        return os.open(path, OPEN_FOLDER, dir_fd=parent)
    except OSError as error:
        raise HubError(
            f"{path} in the exchange is not a folder ({error.strerror}): look who put it there"
        ) from error
