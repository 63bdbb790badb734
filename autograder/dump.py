"""One database in one file and back: SQLite by its online backup, PostgreSQL by pg_dump and pg_restore."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from autograder.database import advice, connect, libpq, shown, sqlite_file
from autograder.errors import BackupError

LOCK_SECONDS = 30
SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database."""


@dataclass(frozen=True)
class Dump:
    """One database in a backup: `tables` maps each table to its number of rows, `server` names the version."""

    kind: str
    file: str
    place: str
    server: str
    tables: dict[str, int]
    owner: tuple[int, int, int] = (-1, -1, 0o600)
    """uid, gid and mode of a SQLite file."""


def kind_of(url: URL) -> str:
    """`sqlite` or `postgresql`."""
    return str(url.get_backend_name())


def dump(url: URL, folder: Path, name: str) -> Dump:
    """Write the database into the new file `name` (mode 0600) of `folder`, as it is at one moment.

    Readers and writers go on meanwhile. Raises BackupError with advice.
    """
    source = sqlite_file(url)
    target = folder / f"{name}.{'db' if source else 'dump'}"
    target.touch(0o600, exist_ok=False)
    try:
        if source:
            return _dump_sqlite(source, target)
        return _dump_postgresql(url, target)
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise BackupError(f"the database {shown(url)} could not be stored {advice(url, error)}") from error


def _dump_sqlite(source: Path, target: Path) -> Dump:
    with (
        contextlib.closing(_open_sqlite(source)) as database,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        database.execute(
            "SELECT count(*) FROM sqlite_master"
        )  # backup() below would wait for a lock for ever
        database.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        problem = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if problem != "ok":
            raise BackupError(f"the database {source} is damaged ({problem}); restore an earlier backup")
        status = source.stat()
        owner = (status.st_uid, status.st_gid, status.st_mode & 0o777)
        return Dump("sqlite", target.name, str(source), sqlite3.sqlite_version, _count_sqlite(copy), owner)


def _open_sqlite(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=LOCK_SECONDS)


def _count_sqlite(database: sqlite3.Connection) -> dict[str, int]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in names}


def _dump_postgresql(url: URL, target: Path) -> Dump:
    with connect(url, LOCK_SECONDS, "REPEATABLE READ") as database:
        snapshot = database.scalar(text("SELECT pg_export_snapshot()"))
        server = database.scalar(text("SHOW server_version"))
        tables = _count_postgresql(database)  # in the snapshot that pg_dump writes, so that both agree
        options = ["--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_SECONDS}s"]
        _run("pg_dump", *options, f"--snapshot={snapshot}", f"--file={target}", f"--dbname={libpq(url)}")
    return Dump("postgresql", target.name, shown(url), str(server), tables)


def _count_postgresql(database: Connection) -> dict[str, int]:
    names = text(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    )
    return {
        name: int(database.scalar(text(f"SELECT count(*) FROM {name}")) or 0)
        for name in database.scalars(names).all()
    }


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs. Raises BackupError with what it said."""
    environment = {**os.environ, "PGOPTIONS": f"-c lock_timeout={LOCK_SECONDS}s"}
    try:
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BackupError(
            f"{program} is not installed: as root, apt-get install -y postgresql-client"
        ) from error
    if done.returncode != 0:
        raise BackupError(f"{program} failed, the database was not changed: {done.stderr.strip()[-1500:]}")


def count_rows(url: URL) -> dict[str, int]:
    """Rows of each table; no tables when a SQLite file is missing or empty. Raises BackupError."""
    file = sqlite_file(url)
    try:
        if file is None:
            with connect(url, LOCK_SECONDS) as database:
                return _count_postgresql(database)
        if not file.exists():
            return {}
        with contextlib.closing(_open_sqlite(file)) as opened:
            return _count_sqlite(opened)
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise BackupError(f"the database {shown(url)} cannot be used {advice(url, error)}") from error


def load(url: URL, file: Path, about: Dump, aside: str) -> None:
    """Put a dump in the database's place: in PostgreSQL in one transaction, in SQLite by one rename.

    Tables of the same name are replaced; a SQLite file that is there is kept, `aside` added to its name.
    Raises BackupError.
    """
    target = sqlite_file(url)
    if target is None:
        options = ["--clean", "--if-exists", "--single-transaction", "--exit-on-error", "--no-password"]
        _run("pg_restore", *options, "--no-owner", "--no-privileges", f"--dbname={libpq(url)}", str(file))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.partial")
    fresh.unlink(missing_ok=True)
    fresh.touch(0o600)
    shutil.copyfile(file, fresh)
    uid, gid, mode = about.owner
    if os.geteuid() == 0:
        os.chown(fresh, uid, gid)
    fresh.chmod(mode)
    for suffix in ("", *SIDE_FILES):  # a log of the old file would be played into the new one
        old = target.with_name(target.name + suffix)
        if old.exists():
            old.rename(target.with_name(f"{target.name}{aside}{suffix}"))
    fresh.rename(target)
