"""One database by its URL, SQLite or PostgreSQL: how people see it named, and what its errors mean to them."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from autograder.errors import ConfigurationError

CONNECT_SECONDS = 10
"""How long a server may take to answer before it counts as not running."""

STOPPED = "the server was stopped. Start it and run the command again; what was stored before is kept"
NOT_RUNNING = (
    "the server is not running, or listens elsewhere. Start it (Debian: systemctl start postgresql, or "
    "pg_ctlcluster VERSION main start) and run the command again; nothing was lost"
)
SQLITE_ADVICE = {
    "locked": "another program holds it. Nothing was changed; close that program and run the command again",
    "read-?only|permission denied": "it is read-only. Make the file and its folder writable for this account; "
    "nothing was changed",
    "is full|no space left": "the disk is full. Make room and run the command again; what was stored before is "
    "kept",
}
"""What a message of the database says, as a pattern, and what it means; the first that fits is shown."""
POSTGRESQL_ADVICE = {
    "lock timeout": "another program holds it. Nothing was changed; wait for that program or close it, then run "
    "the command again",
    "read-only transaction|during recovery": "it is read-only, a standby perhaps. Name the primary server; "
    "nothing was changed",
    "no space left": "the server's disk is full. Make room there and run the command again; what was stored "
    "before is kept",
    "on socket .*no such file or directory|connection refused": NOT_RUNNING,
    "timeout expired": "the server does not answer. Look at its host and the network; nothing was lost",
    "terminating connection|closed the connection|connection already closed": STOPPED,
    "shutting down": STOPPED,
    "starting up": "the server is still starting. Run the command again in a moment",
    "too many clients|connection slots": "the server has no connection left. Close other programs, or raise its "
    "max_connections",
    "permission denied": "the role {role} may not do this. As the database's owner: GRANT ALL ON SCHEMA public "
    "TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};",
    'database ".*" does not exist': "the server has no such database. As the account postgres: "
    "createdb --owner={role} {name}",
    'role ".*" does not exist': "the server does not know this account. As the account postgres: "
    "createuser {role}",
    "peer authentication failed": "the server lets each account in under its own name only. Leave the user name "
    "out of the URL, or map it in pg_ident.conf",
    "password": "the server wants a password. Put it into ~/.pgpass (mode 0600), never into the URL",
    'relation ".*" does not exist': "it holds no gradebook. Build a lab into this instance first",
}


def parse(name: str, where: str) -> URL:
    """The URL of a SQLite file or a PostgreSQL database; `where` tells people who wrote it.

    Raises ConfigurationError, which never repeats the URL: there may be a password in it.
    """
    try:
        url = make_url(name)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            f"{where}: this is no database URL; expected something like "
            "postgresql+psycopg2:///gradebook?host=/run/postgresql"
        ) from error
    if url.password is not None or "password" in url.query:
        raise ConfigurationError(
            f"{where}: the URL holds a password, which everyone who reads the file or the process list would "
            "see. Put it into ~/.pgpass (mode 0600) and leave it out of the URL"
        )
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            f"{where}: {url.get_backend_name()} is not supported; use SQLite or PostgreSQL"
        )
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError(f"{where}: the URL names no database")
    return url


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None for PostgreSQL."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def shown(url: URL) -> str:
    """The database as a person types it: a path, or an URL that psql takes. Without a password."""
    file = sqlite_file(url)
    return str(file) if file else unquote(libpq(url))


def libpq(url: URL) -> str:
    """The URL as PostgreSQL's own programs take it; a password, which `parse` refuses, would be hidden."""
    return str(url.set(drivername="postgresql").render_as_string(hide_password=True))


@contextlib.contextmanager
def connect(url: URL, patience: float = 30.0, isolation: str | None = None) -> Iterator[Connection]:
    """One connection to PostgreSQL of its own; a statement waits `patience` seconds for a lock.

    Leaving it ends the connection, and with it every lock it holds. Raises SQLAlchemy's errors.
    """
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    if isolation:
        engine = engine.execution_options(isolation_level=isolation)
    with engine.connect() as database:
        # set_config, because SET takes no parameters
        database.execute(
            text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": str(int(patience * 1000))}
        )
        yield database


def advice(url: URL, error: Exception) -> str:
    """What a database's error means and what to do next: `(reason): advice`."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    on_file = sqlite_file(url) is not None
    for sign, meaning in (SQLITE_ADVICE if on_file else POSTGRESQL_ADVICE).items():
        if re.search(sign, reason, re.IGNORECASE):
            role = url.username or os.environ.get("PGUSER") or getpass.getuser()
            return f"({reason}): {meaning.format(role=role, name=url.database)}"
    if on_file:
        return f"({reason}). Restore it from a backup, or move it away to start a new one"
    return f"({reason}). The server's log says more (Debian: /var/log/postgresql)"
