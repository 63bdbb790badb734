"""Collect hand-ins from the hand-in service: the newest attempt of each student, with the time it arrived."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handin.client import Client
from handin.deadlines import shown_time
from handin.errors import HandInError

from autograder.course import Instance
from autograder.grade.intake import TIMESTAMP
from autograder.gradebook import one_writer
from autograder.handin import collected, remember_collected, service, told

STUDENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
"""What a student's name may look like: it becomes the name of a folder."""


@dataclass
class Collected:
    """Students who have handed in; those of them whose attempt is `new` here; and why some could not be taken."""

    students: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def collect_lab(instance: Instance, lab_id: str) -> Collected:
    """Collect the newest attempt of each student; one that is here already is not fetched again.

    One student's attempt that cannot be fetched keeps no other waiting. Raises ConfigurationError
    without a service and IntakeError when it does not answer.
    """
    client = service(instance)
    result = Collected()
    with one_writer(instance):
        try:
            attempts = client.newest(lab_id)
        except HandInError as error:
            raise told(error, f"{lab_id} could not be collected") from error
        for attempt in attempts:
            student = str(attempt["student"])
            if STUDENT.fullmatch(student) is None:
                result.failed[student] = "this name cannot be that of a folder"
                continue
            result.students.append(student)
            try:
                if _take(instance, lab_id, student, attempt, client):
                    result.new.append(student)
            except (HandInError, OSError) as error:
                result.failed[student] = str(error)
    return result


def _take(instance: Instance, lab_id: str, student: str, attempt: Mapping[str, Any], client: Client) -> bool:
    """Put an attempt into `submitted/`, whole or not at all. Whether it was not there before."""
    when = shown_time(attempt["received"])
    folder = instance.submitted / student / lab_id
    if when in collected(instance, student, lab_id) and folder.is_dir():
        return False
    files = client.attempt(attempt["id"])
    unfinished = folder.with_name(f".{lab_id}.collect")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, content in files.items():
        (unfinished / name).write_bytes(content)
    (unfinished / TIMESTAMP).write_text(when, "utf-8")
    _take_the_place(unfinished, folder)
    remember_collected(instance, student, lab_id, when, attempt["id"])
    return True


def _take_the_place(unfinished: Path, folder: Path) -> None:
    """What was collected before is in the service still; intake has a copy of what was graded."""
    if folder.is_dir():
        shutil.rmtree(folder)
    unfinished.rename(folder)
