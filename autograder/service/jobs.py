"""The jobs of the queue and the file that holds them: read, put aside where it is damaged, blanked."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from autograder.errors import ConfigurationError
from autograder.files import write_whole

FORGOTTEN = "(removed, because the data of a student were deleted)"
log = logging.getLogger(__name__)


class State(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Job:
    """One command. Times are UTC, ISO 8601; `who` pressed the button; `text` is what the command said.

    One that is `first` runs before those that wait already.
    """

    number: int
    title: str
    command: list[str]
    who: str
    asked: str
    state: State = State.WAITING
    started: str = ""
    ended: str = ""
    text: str = ""
    first: bool = False

    @property
    def order(self) -> tuple[bool, int]:
        """The smaller one runs before the greater."""
        return not self.first, self.number

    @property
    def open(self) -> bool:
        """Whether it still has to run or is running."""
        return self.state in (State.WAITING, State.RUNNING)


def forget_output(file: Path) -> None:
    """Have the queue in `file` forget what its jobs said until now. Raises ConfigurationError, OSError.

    A service that runs holds them in memory and finds a marker; where none runs, the file is blanked here.
    """
    for damaged in file.parent.glob(f"{file.name}.damaged-*"):
        damaged.unlink()
    if not file.is_file():
        return
    write_whole(file.with_suffix(".forget"), now())
    jobs = read_jobs(file)
    for job in jobs:
        job.text = FORGOTTEN if job.text else ""
    write_jobs(file, jobs)


def write_jobs(file: Path, jobs: Sequence[Job]) -> None:
    """Write the jobs of a queue. Raises OSError."""
    write_whole(file, json.dumps([asdict(job) for job in jobs]))


def read_jobs(file: Path) -> list[Job]:
    """The jobs of a queue. Raises ConfigurationError when its file cannot be read."""
    if not file.is_file():
        return []
    names = {field.name for field in fields(Job)}
    try:
        return [
            Job(**{name: job[name] for name in names & job.keys()} | {"state": State(job["state"])})
            for job in json.loads(file.read_text("utf-8"))
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{file} is damaged ({error}): restart the course service, which puts it aside"
        ) from error


def kept_jobs(file: Path) -> list[Job]:
    """The jobs of a file. One that cannot be read, as after a power cut, is put aside, so that the service starts."""
    try:
        return read_jobs(file)
    except ConfigurationError:
        aside = file.with_name(f"{file.name}.damaged-{time.time_ns()}")
        file.rename(aside)
        log.exception("the queue lies in %s now: queue again what waited", aside)
        return []


def now() -> str:
    """The time in UTC, ISO 8601 to the second; such texts are in the order of their times."""
    return datetime.now(UTC).isoformat(timespec="seconds")
