"""Access to nbgrader's gradebook, in SQLite with its write-ahead log or in PostgreSQL: one writer at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from nbgrader.api import Base, Gradebook, MissingEntry
from sqlalchemy import inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from autograder.configuration import nbgrader_configuration
from autograder.course import COURSE_ID, Instance
from autograder.database import advice, connect, shown, sqlite_file
from autograder.errors import GradebookError
from autograder.files import locked

WRITER_SECONDS = 900.0
"""How long one `course grade` waits for another to finish the hand-in it is at."""
WRITER_KEY = 3_141_592_653
"""PostgreSQL's advisory lock of the one writer; such locks belong to one database each."""


@contextlib.contextmanager
def open_gradebook(instance: Instance) -> Iterator[Gradebook]:
    """The instance's gradebook. Raises GradebookError when it is locked, read-only, damaged or not there."""
    url = make_url(instance.gradebook_url)
    try:
        gradebook = Gradebook(instance.gradebook_url, COURSE_ID)
    # nbgrader and SQLAlchemy raise many types here; each means the same to a person
    except Exception as error:
        raise _unusable(url, error) from error
    try:
        yield gradebook
    except DBAPIError as error:
        raise _unusable(url, error) from error
    finally:
        gradebook.close()


def create_gradebook(instance: Instance) -> None:
    """Make the gradebook's tables where they are missing. Raises GradebookError."""
    nbgrader_configuration(instance)  # puts `alembic`, which nbgrader starts by name, on the path
    with one_writer(instance), open_gradebook(instance):
        pass


def _unusable(url: URL, error: Exception) -> GradebookError:
    return GradebookError(f"the gradebook {shown(url)} cannot be used {advice(url, error)}")


def gradebook_exists(instance: Instance) -> bool:
    """Whether the gradebook has its tables. Raises GradebookError when its server cannot be asked."""
    url = make_url(instance.gradebook_url)
    file = sqlite_file(url)
    if file is not None:
        return file.exists()
    try:
        with connect(url) as database:
            return set(inspect(database).get_table_names()) >= set(Base.metadata.tables)
    except SQLAlchemyError as error:
        raise _unusable(url, error) from error


def require_writable(instance: Instance, patience: float = 30.0) -> None:
    """Take a write lock once, waiting `patience` seconds, so that a locked or read-only gradebook is
    noticed before any work is done. Switches SQLite to its write-ahead log, which lets readers go on.

    Raises GradebookError.
    """
    url = make_url(instance.gradebook_url)
    if not gradebook_exists(instance):
        raise GradebookError(f"there is no gradebook at {shown(url)}: build a lab into this instance first")
    file = sqlite_file(url)
    try:
        if file is not None:
            _try_sqlite(file, patience)
        else:
            _try_postgresql(url, patience)
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise _unusable(url, error) from error


def _try_sqlite(file: Path, patience: float) -> None:
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        raise PermissionError("attempt to write a readonly database")
    with contextlib.closing(sqlite3.connect(file, timeout=patience, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")


def _try_postgresql(url: URL, patience: float) -> None:
    """The lock that every write takes, on every table, for a moment; and the right to each kind of write."""
    names = sorted(Base.metadata.tables)
    with connect(url, patience) as database:
        if database.scalar(text("SHOW transaction_read_only")) == "on":
            raise PermissionError("every write would be in a read-only transaction")
        quoted = ", ".join(f'"{name}"' for name in names)
        database.execute(text(f"LOCK TABLE {quoted} IN ROW EXCLUSIVE MODE"))
        for name in names:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                question = text("SELECT has_table_privilege(:name, :right)")
                if not database.scalar(question, {"name": f'"{name}"', "right": right}):
                    raise PermissionError(f"permission denied for {right} on table {name}")


@contextlib.contextmanager
def one_writer(instance: Instance, patience: float = WRITER_SECONDS) -> Iterator[None]:
    """Hold the instance against every other writer, which waits its turn up to `patience` seconds.

    A lock of the operating system or of PostgreSQL, so that a killed holder leaves nothing behind.
    Raises GradebookError when the patience ends.
    """
    url = make_url(instance.gradebook_url)
    with contextlib.ExitStack() as held:
        try:
            if sqlite_file(url) is not None:
                held.enter_context(locked(instance.root / "writer.lock", patience))
            else:
                database = held.enter_context(connect(url, patience, "AUTOCOMMIT"))
                database.execute(text("SELECT pg_advisory_lock(:key)"), {"key": WRITER_KEY})
        except (OSError, SQLAlchemyError) as error:
            raise _unusable(url, error) from error
        yield


def count_submissions(instance: Instance, lab_id: str) -> int:
    """How many students handed in this lab; 0 when there is no gradebook yet."""
    if not gradebook_exists(instance):
        return 0
    with open_gradebook(instance) as gradebook:
        try:
            return len(gradebook.find_assignment(lab_id).submissions)
        except MissingEntry:
            return 0
