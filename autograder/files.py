"""Files that a kill or a power cut leaves whole, and locks that end with the process that holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from autograder.errors import BusyError


def write_whole(file: Path, text: str) -> None:
    """Write a text file in one step, and to the disk; its folder is made if it is missing.

    A file that was there keeps its mode; a new one is its owner's alone.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
            if file.is_file():
                os.fchmod(descriptor, file.stat().st_mode & 0o777)
            writing.write(text)
            writing.flush()
            os.fsync(writing.fileno())
        Path(name).replace(file)
        to_disk(file.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_private(file: Path, text: str) -> None:
    """Write a text file as its owner's alone when it is new: grades are not for the other accounts of a machine."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as writing:
        writing.write(text)


def to_disk(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(file: Path, patience: float) -> Iterator[None]:
    """Hold a lock file against every other process, which waits its turn up to `patience` seconds.

    A lock of the operating system: a killed holder leaves nothing behind. Raises BusyError when the patience ends.
    """
    end = time.monotonic() + patience
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise BusyError(
                        f"{file} is locked by another `course` command: wait until that has ended, then try again"
                    ) from error
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
