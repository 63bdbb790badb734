"""Later deadlines of single students, and what the hand-in service is told of deadlines.

The instance keeps them; the service is told all of them each time, so that what it missed in an outage is made
up for by the next command.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from handin.errors import HandInError

from autograder.course import Course, Instance, Lab
from autograder.errors import ConfigurationError
from autograder.files import locked, write_whole
from autograder.grade.collect import STUDENT
from autograder.handin import has_service, service, told

Extensions = dict[str, dict[str, datetime]]
"""Aware times by lab and student."""
PATIENCE = 30.0
"""Seconds that one person who extends waits for another."""


def read_extensions(instance: Instance) -> Extensions:
    """Every extension of an instance. Raises ConfigurationError when the file is damaged."""
    file = instance.root / "extensions.json"
    if not file.is_file():
        return {}
    try:
        return {
            lab: {student: datetime.fromisoformat(until) for student, until in students.items()}
            for lab, students in json.loads(file.read_text("utf-8")).items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is damaged ({error}): put it back from a backup, or remove it"
        ) from error


def give_extension(
    instance: Instance, course: Course, lab: Lab, student: str, until: datetime | None
) -> None:
    """Give a student until `until` for a lab, in place of any earlier extension; None takes it back.

    Raises ConfigurationError when that is no later than the lab is due anyway.
    """
    if STUDENT.fullmatch(student) is None:
        raise ConfigurationError(f"{student!r} cannot be the name of a student")
    if until is not None and until <= course.due(lab):
        when = f"{course.due(lab):%Y-%m-%d %H:%M} ({course.time_zone})"
        raise ConfigurationError(f"{lab.id} is due {when} for everybody; an extension is later")
    with locked(instance.root / "extensions.lock", PATIENCE):
        extensions = read_extensions(instance)
        of_lab = extensions.setdefault(lab.id, {})
        if until is None:
            of_lab.pop(student, None)
        else:
            of_lab[student] = until
        _write(instance, extensions)


def forget_extensions(instance: Instance, student: str) -> None:
    """Remove every extension of a student."""
    with locked(instance.root / "extensions.lock", PATIENCE):
        extensions = read_extensions(instance)
        if any(student in of_lab for of_lab in extensions.values()):
            for of_lab in extensions.values():
                of_lab.pop(student, None)
            _write(instance, extensions)


def _write(instance: Instance, extensions: Extensions) -> None:
    given = {
        lab: {student: until.isoformat() for student, until in of_lab.items()}
        for lab, of_lab in extensions.items()
        if of_lab
    }
    write_whole(instance.root / "extensions.json", json.dumps(given, indent=1))


def tell_deadlines(instance: Instance, course: Course) -> int:
    """Tell the service the deadline of every lab and every extension; return of how many, 0 without a service.

    Raises IntakeError when it does not answer, BusyError when it has not answered another command for long.
    """
    if not has_service(instance):
        return 0
    client = service(instance)
    # of two that extend at once, the one that read less must not be the last to tell; a lock of its own, because a
    # service that hangs must not keep anybody from extending
    with locked(instance.root / "telling.lock", PATIENCE):
        extensions = read_extensions(instance)
        for lab in course.labs:
            when = course.due(lab)
            days = course.late.closes_after
            closes = (when + timedelta(days=days)).isoformat() if days is not None else None
            of_lab = {student: until.isoformat() for student, until in extensions.get(lab.id, {}).items()}
            try:
                client.set_deadline(lab.id, when.isoformat(), closes, of_lab)
            except HandInError as error:
                raise told(error, "the hand-in service was not told the deadlines") from error
    return len(course.labs)
