"""Open the service's database and bring it up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
READS = "handin_reads"
"""Execution option of a transaction that changes nothing, and so waits for no other."""


def open_database(url: str) -> Engine:
    """The database at an SQLAlchemy URL, with every migration applied; a SQLite file is made."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    # a connection that a restart of the server has cut is noticed before a request is given it
    options = {"connect_args": {"timeout": BUSY_SECONDS}} if sqlite else {"pool_pre_ping": True}
    engine = create_engine(url, **options)
    if sqlite:
        _make_durable(engine)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
    return engine


def _make_durable(engine: Engine) -> None:
    """A row that was committed is on disk, and a writer waits for the other instead of failing half-way."""

    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late, see the next listener
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Any) -> None:
        reads = connection.get_execution_options().get(READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)
