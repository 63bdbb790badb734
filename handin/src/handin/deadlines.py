"""When a hand-in is on time, late, or no longer taken. All times are aware and compared as instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Standing(StrEnum):
    """What a moment is to a student's deadline."""

    ON_TIME = "on time"
    LATE = "late"
    CLOSED = "closed"


@dataclass(frozen=True)
class Deadline:
    """The deadline of one lab for one student: without `closes`, late hand-ins are always taken."""

    due: datetime
    closes: datetime | None

    def standing(self, moment: datetime) -> Standing:
        """What a moment is; both ends belong to the earlier side."""
        if moment <= self.due:
            return Standing.ON_TIME
        return Standing.LATE if self.closes is None or moment <= self.closes else Standing.CLOSED


def deadline_of(due: datetime, closes: datetime | None, extended_to: datetime | None) -> Deadline:
    """A student's own deadline. An extension moves both ends by as much, and never to an earlier time."""
    if extended_to is None or extended_to <= due:
        return Deadline(due, closes)
    return Deadline(extended_to, closes + (extended_to - due) if closes else None)


def read_time(text: object) -> datetime:
    """An aware time from ISO 8601. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("a time is a text like 2027-03-07T23:59:00+08:00")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone; write it like 2027-03-07T23:59:00+08:00")
    if not 2000 <= moment.year < 3000:
        raise ValueError(f"{text} is no time of this millennium")
    return moment.astimezone(UTC)


def shown_time(received: str) -> str:
    """A time of the service, in ISO 8601, as nbgrader writes times."""
    return datetime.fromisoformat(received).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
