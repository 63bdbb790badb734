"""What this service serves: one instance of the course."""

from __future__ import annotations

import os
from pathlib import Path

from autograder.course import Course, Instance, load_course
from autograder.schedule import followed
from autograder.service.permissions import INSTANCE_VARIABLE


def served() -> Instance:
    """The instance."""
    return Instance(Path(os.environ[INSTANCE_VARIABLE]))


def built_labs() -> list[str]:
    """Ids of the course's labs that are built here."""
    return [lab.id for lab in served_course().labs if served().bundle(lab.id).is_file()]


def served_course() -> Course:
    """The course as the class of this instance follows it."""
    return followed(load_course(), served())
