"""Access to nbgrader's gradebook: one writer, SQLite with its write-ahead log."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy.exc import OperationalError

from autograder.course import COURSE_ID, Instance
from autograder.errors import GradebookError


@contextlib.contextmanager
def open_gradebook(instance: Instance) -> Iterator[Gradebook]:
    """The instance's gradebook. Raises GradebookError when it is locked, read-only or damaged."""
    try:
        gradebook = Gradebook(instance.gradebook_url, COURSE_ID)
    # nbgrader and SQLAlchemy raise many types here; each means the same to a person
    except Exception as error:
        raise GradebookError(_advice(instance, error)) from error
    try:
        yield gradebook
    except OperationalError as error:
        raise GradebookError(_advice(instance, error)) from error
    finally:
        gradebook.close()


def _advice(instance: Instance, error: Exception) -> str:
    reason = str(getattr(error, "orig", error)).splitlines()[0]
    where = f"the gradebook {instance.gradebook} cannot be used ({reason})"
    if "locked" in reason:
        return f"{where}: another program holds it. Nothing was changed; close that program and run the command again"
    if "readonly" in reason or "read-only" in reason:
        return f"{where}: it is read-only. Make the file and its folder writable for this account; nothing was changed"
    return f"{where}. Restore it from a backup, or move it away to start a new one"


def require_writable(instance: Instance, patience: float = 30.0) -> None:
    """Take the write lock once, waiting `patience` seconds, so that a locked or read-only gradebook is
    noticed before any work is done. Switches SQLite to its write-ahead log, which lets readers go on.

    Raises GradebookError.
    """
    if not instance.gradebook.exists():
        raise GradebookError(
            f"there is no gradebook at {instance.gradebook}: build a lab into this instance first"
        )
    if not os.access(instance.gradebook, os.W_OK) or not os.access(instance.root, os.W_OK):
        raise GradebookError(_advice(instance, PermissionError("attempt to write a readonly database")))
    try:
        with contextlib.closing(
            sqlite3.connect(instance.gradebook, timeout=patience, isolation_level=None)
        ) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise GradebookError(_advice(instance, error)) from error


def count_submissions(instance: Instance, lab_id: str) -> int:
    """How many students handed in this lab; 0 when there is no gradebook yet."""
    if not instance.gradebook.exists():
        return 0
    with open_gradebook(instance) as gradebook:
        try:
            return len(gradebook.find_assignment(lab_id).submissions)
        except MissingEntry:
            return 0
