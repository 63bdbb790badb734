"""Hand built instructor notebooks to nbgrader's own `generate_assignment`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

from autograder.course import Course, Instance, Lab
from autograder.errors import BuildError
from autograder.gradebook import create_gradebook, open_gradebook
from autograder.nbgrader_api import call_nbgrader
from autograder.schedule import dated, followed


def generate_assignment(instance: Instance, lab: Lab, course: Course) -> Path:
    """Strip the lab with nbgrader, register it in the gradebook with its due date, return the release folder.

    Raises BuildError with nbgrader's own log when it refuses, GradebookError when the gradebook is not usable.
    """
    create_gradebook(instance)  # first, because nbgrader would report a missing server as a failed assignment
    failure = call_nbgrader(instance, "generate_assignment", lab.id, force=True, create=True)
    if failure:
        raise BuildError(lab.id, f"nbgrader generate_assignment failed:\n{failure}")
    set_due(instance, lab, course)
    return instance.release / lab.id


def set_due(instance: Instance, lab: Lab, course: Course) -> None:
    """Write a lab's due date into the gradebook: that of the path the class follows, if the lab is on it."""
    own = [item for item in followed(course, instance).labs if item.id == lab.id] or [
        dated(replace(course, labs=(lab,)), instance).labs[0]
    ]
    with open_gradebook(instance) as gradebook:
        due = course.due(own[0]).astimezone(UTC).replace(tzinfo=None)
        gradebook.update_or_create_assignment(lab.id, duedate=due)  # the gradebook stores naive UTC
