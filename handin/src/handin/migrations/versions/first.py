"""Labs, extensions, attempts, feedback, scores, requests to look again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None

FINAL = "a hand-in is never changed"


def upgrade() -> None:
    """Make the tables, and refuse every change of an attempt."""
    op.create_table(
        "lab",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("due", sa.DateTime, nullable=False),
        sa.Column("closes", sa.DateTime),
    )
    op.create_table(
        "extension",
        sa.Column("lab", sa.String(255), primary_key=True),
        sa.Column("student", sa.String(255), primary_key=True),
        sa.Column("until", sa.DateTime, nullable=False),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("lab", sa.String(255), nullable=False),
        sa.Column("student", sa.String(255), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("received", sa.DateTime, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("due", sa.DateTime),
        sa.UniqueConstraint("lab", "student", "number"),
        # a number that was deleted is never another attempt's
        sqlite_autoincrement=True,
    )
    op.create_index("attempt_of_student", "attempt", ["student", "lab"])
    op.create_table(
        "feedback",
        sa.Column("attempt", sa.Integer, sa.ForeignKey("attempt.id"), primary_key=True),
        sa.Column("notebook", sa.String(255), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("written", sa.DateTime, nullable=False),
    )
    op.create_table(
        "score",
        sa.Column("attempt", sa.Integer, sa.ForeignKey("attempt.id"), primary_key=True),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("maximum", sa.Float, nullable=False),
        sa.Column("written", sa.DateTime, nullable=False),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, sa.ForeignKey("attempt.id"), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("asked", sa.DateTime, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("answered", sa.DateTime),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER attempt_is_final BEFORE UPDATE ON attempt BEGIN SELECT RAISE(ABORT, '{FINAL}'); END"
        )
    else:
        op.execute(
            "CREATE FUNCTION attempt_is_final() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{FINAL}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER attempt_is_final BEFORE UPDATE ON attempt "
            "FOR EACH ROW EXECUTE FUNCTION attempt_is_final()"
        )


def downgrade() -> None:
    """There is nothing before this."""
    raise NotImplementedError("hand-ins are not thrown away by a migration")
