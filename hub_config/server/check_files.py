"""Files and folders whose mode or owner lets somebody read or change what is not theirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hub_config.server.secret_files import LENGTH, MEANING
from hub_config.server.settings import Settings
from hub_config.server.weakness import Weakness

INSTALL = "run python -m hub_config.server install"
GROUP_OR_OTHERS = 0o077
WRITE = 0o022


def file_weaknesses(settings: Settings, root: Path) -> Iterator[Weakness]:
    """Weaknesses of the settings file, the secrets, the course's folders and this process's umask."""
    yield from _settings_file(settings.file)
    yield from _secrets(Path(settings.paths.secrets))
    course = settings.course
    for what, folder in (
        ("the checkout that the Hub runs from", root),
        ("the course's home, with solutions and hidden tests", Path(course.home)),
        ("the course's checkout", course.checkout),
        ("the instance, with every grade", course.instance),
        ("the folder with everybody's hand-ins", Path(settings.handin.folder)),
    ):
        yield from _closed(what, folder)
    yield from _exchange(Path(course.exchange))
    yield from _umask()


def _mode(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _settings_file(file: Path) -> Iterator[Weakness]:
    for path in (file, file.parent):
        found = _mode(path)
        if found is not None and (found.st_mode & WRITE or found.st_uid != os.geteuid()):
            yield Weakness(
                "somebody else could change the Hub's settings",
                f"{path} (mode {stat.S_IMODE(found.st_mode):o})",
                f"chown root:root {path}; chmod go-w {path}",
            )


def _secrets(folder: Path) -> Iterator[Weakness]:
    make = "run python -m hub_config.server secrets"
    found = _mode(folder)
    if found is None:
        yield Weakness("the Hub's secrets are missing", str(folder), make)
        return
    if stat.S_IMODE(found.st_mode) != 0o700 or found.st_uid != os.geteuid():
        yield Weakness(
            "others can enter the folder of the secrets",
            f"{folder} (mode {stat.S_IMODE(found.st_mode):o})",
            f"chown root:root {folder}; chmod 700 {folder}",
        )
    for name in MEANING:
        yield from _secret(folder / name, make)


def _secret(file: Path, make: str) -> Iterator[Weakness]:
    if file.is_symlink() or not file.is_file():
        yield Weakness(f"the secret {file.name} is missing", str(file), make)
        return
    found = file.stat()
    if found.st_mode & GROUP_OR_OTHERS:
        yield Weakness(
            f"others can read the secret {file.name}",
            f"{file} (mode {stat.S_IMODE(found.st_mode):o})",
            f"remove it, {make}: somebody may have read it",
        )
    if found.st_uid != os.geteuid():
        yield Weakness(
            f"the secret {file.name} belongs to another account",
            f"{file} (account {found.st_uid})",
            f"remove it, {make}",
        )
    digits = file.read_bytes().strip()
    if len(digits) < LENGTH or not set(digits) <= set(b"0123456789abcdef"):
        yield Weakness(
            f"the secret {file.name} is too short or not hexadecimal",
            str(file),
            f"remove it, {make}; it has {LENGTH} digits",
        )


def _closed(what: str, folder: Path) -> Iterator[Weakness]:
    found = _mode(folder)
    if found is None:
        yield Weakness(f"{what} is missing", str(folder), INSTALL)
    elif found.st_mode & GROUP_OR_OTHERS:
        yield Weakness(
            f"{what} can be entered by others",
            f"{folder} (mode {stat.S_IMODE(found.st_mode):o})",
            f"chmod 700 {folder}",
        )


def _exchange(folder: Path) -> Iterator[Weakness]:
    found = _mode(folder)
    if found is None:
        yield Weakness("the exchange is missing, so nobody could fetch a lab", str(folder), INSTALL)
    elif found.st_mode & WRITE:
        yield Weakness(
            "others could put something in the place of a published lab",
            f"{folder} (mode {stat.S_IMODE(found.st_mode):o})",
            f"chmod 755 {folder}",
        )


def _umask() -> Iterator[Weakness]:
    current = os.umask(0o077)
    os.umask(current)
    if current & WRITE != WRITE:
        yield Weakness(
            "files that the Hub writes could be changed by others",
            f"umask {current:03o}",
            "start it with UMask=0022, as course-hub.service does",
        )
