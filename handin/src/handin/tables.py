"""The tables of the hand-in service, in SQLite or PostgreSQL. `migrations/` brings a database up to them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

NAME = 255
"""Characters of a name of a lab, a student or a notebook."""
HASH = 64


class Moment(TypeDecorator[datetime]):  # type: ignore[misc]
    """An instant: kept as UTC without a zone, because SQLite has none, and aware on this side."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):  # type: ignore[misc]
    """Every table."""


class Lab(Base):
    """The deadline of one lab."""

    __tablename__ = "lab"

    id: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    due: Mapped[datetime] = mapped_column(Moment)
    closes: Mapped[datetime | None] = mapped_column(Moment)


class Extension(Base):
    """A later deadline of one student for one lab."""

    __tablename__ = "extension"

    lab: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    student: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    until: Mapped[datetime] = mapped_column(Moment)


class Attempt(Base):
    """One hand-in, never changed: a trigger refuses it. `files` maps names to bytes; `sha256` is of the content.

    `due` is the student's deadline as it was known then, None without one.
    """

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("lab", "student", "number"),
        Index("attempt_of_student", "student", "lab"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    lab: Mapped[str] = mapped_column(String(NAME))
    student: Mapped[str] = mapped_column(String(NAME))
    number: Mapped[int]
    received: Mapped[datetime] = mapped_column(Moment)
    sha256: Mapped[str] = mapped_column(String(HASH))
    files: Mapped[dict[str, int]] = mapped_column(JSON)
    due: Mapped[datetime | None] = mapped_column(Moment)


class Feedback(Base):
    """The page about one notebook of an attempt; replaced when a lab is graded again."""

    __tablename__ = "feedback"

    attempt: Mapped[int] = mapped_column(ForeignKey("attempt.id"), primary_key=True)
    notebook: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(HASH))
    written: Mapped[datetime] = mapped_column(Moment)


class Score(Base):
    """What an attempt was graded with, as its student may know it; replaced when it is graded again."""

    __tablename__ = "score"

    attempt: Mapped[int] = mapped_column(ForeignKey("attempt.id"), primary_key=True)
    score: Mapped[float]
    maximum: Mapped[float]
    written: Mapped[datetime] = mapped_column(Moment)


class Request(Base):
    """A student's request to look at the grade of an attempt again, and the answer to it."""

    __tablename__ = "request"

    id: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(ForeignKey("attempt.id"))
    text: Mapped[str] = mapped_column(Text)
    asked: Mapped[datetime] = mapped_column(Moment)
    answer: Mapped[str | None] = mapped_column(Text)
    answered: Mapped[datetime | None] = mapped_column(Moment)
