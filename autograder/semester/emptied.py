"""Empty an instance without deleting anything: its files go aside, and so does a gradebook that lies elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.api import Base
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from autograder.course import Instance
from autograder.database import connect, shown, sqlite_file
from autograder.dump import SIDE_FILES, dump
from autograder.errors import BackupError, GradebookError
from autograder.gradebook import gradebook_exists

PATIENCE = 5.0
"""Seconds to wait for whoever reads the gradebook."""
AGAIN = "Run the same command again when that is mended"


def require_nobody_reads(instance: Instance) -> None:
    """Raise GradebookError when a gradebook in PostgreSQL cannot be emptied because somebody has it open."""
    url = make_url(instance.gradebook_url)
    if sqlite_file(url) is not None or not gradebook_exists(instance):
        return
    tables = ", ".join(f'"{name}"' for name in sorted(Base.metadata.tables))
    try:
        with connect(url, PATIENCE) as database:
            database.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
    except SQLAlchemyError as error:
        raise GradebookError(
            f"the gradebook {shown(url)} is open elsewhere ({type(error).__name__}): close every grading page, wait "
            "until the queue is empty, and run the command again. Nothing was changed"
        ) from error


def make_aside(instance: Instance) -> Path:
    """A new folder beside the instance, on the same file system. Raises BackupError when there can be none."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
    aside = instance.root.with_name(f"{instance.root.name}-until-{stamp}")
    probe = instance.root / ".probe"
    try:
        aside.mkdir(mode=0o700)
        probe.touch()
        probe.rename(aside / probe.name)
        (aside / probe.name).unlink()
    except OSError as error:
        probe.unlink(missing_ok=True)
        raise BackupError(
            f"{instance.root} cannot be moved to {aside}: {error.strerror}. Both have to lie on one file system and in "
            "a folder that this account can write to. Nothing was changed"
        ) from error
    return aside


def move_aside(instance: Instance, aside: Path, stays: Collection[str]) -> None:
    """Move everything but what stays. What came after a kill, under a name that is taken there, gets another."""
    try:
        for path in sorted(instance.root.iterdir()):
            if path.name not in stays:
                place = aside / path.name
                while place.exists():
                    place = place.with_name(f"{place.name}.later")
                path.rename(place)
    except OSError as error:
        raise BackupError(f"{instance.root} could not be moved to {aside}: {error}. {AGAIN}") from error


def empty_gradebook(instance: Instance, aside: Path) -> None:
    """Store a gradebook that lies outside the instance in `aside`, then remove it. One inside was moved already."""
    url = make_url(instance.gradebook_url)
    file = sqlite_file(url)
    try:
        if file is not None:
            for part in (file, *(file.with_name(file.name + suffix) for suffix in SIDE_FILES)):
                if part.exists():
                    shutil.move(part, aside / part.name)
            return
        if not gradebook_exists(instance):
            return
        for half in aside.glob("gradebook.dump"):
            half.unlink()  # a killed command may have written a part of it
        dump(url, aside, "gradebook")
        with connect(url, PATIENCE) as database:
            Base.metadata.drop_all(database)
            database.commit()
    except (OSError, SQLAlchemyError) as error:
        raise BackupError(
            f"the gradebook {shown(url)} could not be emptied ({type(error).__name__}: {error}). {AGAIN}"
        ) from error
