"""The course's side of the hand-in service: where it is, and as whom the course asks it."""

from __future__ import annotations

import json
from pathlib import Path

from handin.client import Client
from handin.errors import HandInError

from autograder.course import Instance
from autograder.errors import ConfigurationError, IntakeError
from autograder.files import write_whole

ADDRESS = "handin.json"
"""File of an instance with the address of the service and the token that it knows the course by; mode 0600."""


def remember_service(instance: Instance, url: str, token: str) -> None:
    """Write down where the service is. The course service does it when it starts: its token is new each time."""
    file = instance.root / ADDRESS
    write_whole(file, json.dumps({"url": url, "token": token}))


def has_service(instance: Instance) -> bool:
    """Whether this instance belongs to a Hub with a hand-in service."""
    return (instance.root / ADDRESS).is_file()


def service(instance: Instance) -> Client:
    """The service, asked as the course. Raises ConfigurationError when the instance knows none."""
    file = instance.root / ADDRESS
    try:
        known = json.loads(file.read_text("utf-8"))
        return Client(known["url"], known["token"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} does not say where the hand-in service is ({type(error).__name__}): the Hub writes it when it "
            "starts (make hub). Without a Hub, put hand-ins into submitted/STUDENT/LAB/ and grade them"
        ) from error


def told(error: HandInError, what: str) -> IntakeError:
    """An error of the service as one of the course's."""
    return IntakeError(f"{what}: {error}")


def collected(instance: Instance, student: str, lab_id: str) -> dict[str, int]:
    """The attempts of a student that were collected: the service's number of each, by the time it arrived."""
    try:
        known = json.loads(_record(instance, student, lab_id).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(when): int(number) for when, number in known.items()}


def remember_collected(instance: Instance, student: str, lab_id: str, when: str, number: int) -> None:
    """Add an attempt to those that were collected."""
    file = _record(instance, student, lab_id)
    write_whole(file, json.dumps({**collected(instance, student, lab_id), when: number}))


def _record(instance: Instance, student: str, lab_id: str) -> Path:
    return instance.root / "collected" / student / f"{lab_id}.json"
