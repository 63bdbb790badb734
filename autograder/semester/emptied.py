"""Empty an instance without deleting anything: its files go aside, and so does a gradebook that lies elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
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
from autograder.errors import BackupError, ConfigurationError, GradebookError
from autograder.files import to_disk
from autograder.gradebook import gradebook_exists
from autograder.service.jobs import read_jobs

PATIENCE = 5.0
"""Seconds to wait for whoever reads the gradebook."""
AGAIN = "Run the same command again when that is mended"


def require_nobody_works(instance: Instance) -> None:
    """Raise ConfigurationError while the queue has work, GradebookError when a gradebook in PostgreSQL cannot be
    emptied because somebody has it open."""
    waiting = [job.title for job in read_jobs(instance.root / "queue.json") if job.open]
    if waiting:
        raise ConfigurationError(
            f"the queue of the course service has {len(waiting)} open jobs, as {waiting[0]!r}: wait until they have "
            "ended. Nothing was changed"
        )
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
    try:
        aside.mkdir(mode=0o700)
    except OSError as error:
        raise BackupError(_not_aside(instance, aside, str(error.strerror))) from error
    here = aside.stat().st_dev
    elsewhere = [
        path.name for path in (instance.root, *instance.root.iterdir()) if path.lstat().st_dev != here
    ]
    if elsewhere:
        aside.rmdir()
        raise BackupError(_not_aside(instance, aside, f"{elsewhere[0]} is on another file system"))
    return aside


def _not_aside(instance: Instance, aside: Path, why: str) -> str:
    return (
        f"{instance.root} cannot be moved to {aside} ({why}). Both have to lie on one file system and in a folder that "
        "this account can write to. Nothing was changed"
    )


def move_aside(instance: Instance, aside: Path, stays: Collection[str]) -> None:
    """Move everything but what stays, and an exchange inside. What came after a kill gets another name there."""
    exchange = instance.exchange
    if exchange.is_relative_to(instance.root):
        stays = {*stays, exchange.relative_to(instance.root).parts[0]}
    try:
        for path in sorted(instance.root.iterdir()):
            if path.name not in stays:
                path.rename(_free(aside / path.name))
    except OSError as error:
        raise BackupError(f"{instance.root} could not be moved to {aside}: {error}. {AGAIN}") from error


def _free(place: Path) -> Path:
    """This path, or one like it where something lies there."""
    while os.path.lexists(place):
        place = place.with_name(f"{place.name}.later")
    return place


def empty_gradebook(instance: Instance, aside: Path) -> None:
    """Store a gradebook that lies outside the instance in `aside`, then remove it. One inside was moved already."""
    url = make_url(instance.gradebook_url)
    file = sqlite_file(url)
    try:
        if file is not None:
            for part in (file, *(file.with_name(file.name + suffix) for suffix in SIDE_FILES)):
                if part.exists():
                    shutil.move(part, _free(aside / part.name))
            return
        if not gradebook_exists(instance):
            return
        with tempfile.TemporaryDirectory(prefix=".dumping-", dir=aside) as unfinished:
            stored = Path(unfinished) / dump(url, Path(unfinished), "gradebook").file
            to_disk(stored)
            stored.rename(_free(aside / stored.name))
        to_disk(aside)
        with connect(url, PATIENCE) as database:
            Base.metadata.drop_all(database)
            database.commit()
    except (OSError, SQLAlchemyError) as error:
        raise BackupError(
            f"the gradebook {shown(url)} could not be emptied ({type(error).__name__}: {error}). {AGAIN}"
        ) from error
