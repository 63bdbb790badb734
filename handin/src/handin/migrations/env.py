"""Alembic's way in; `handin.database` runs it with an open connection."""

from __future__ import annotations

from alembic import context

from handin.tables import Base

VERSION_TABLE = "handin_version"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
