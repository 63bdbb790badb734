"""The class at a glance: for each lab who has handed in, what is graded, what waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from handin.errors import HandInError

from autograder.course import Course, Instance, Lab
from autograder.extensions import due, read_extensions
from autograder.grade.audit import Audit, audit
from autograder.gradebook import gradebook_exists, open_gradebook
from autograder.handin import has_service, service
from autograder.nbgrader_api import quiet
from autograder.report.final import final_results
from autograder.schedule import week_begins

BINS = 10


@dataclass(frozen=True)
class LabGlance:
    """One lab. `spread` counts graded hand-ins by tenths of the points; times have the course's time zone."""

    id: str
    opens: datetime | None
    due: datetime
    extended: int
    built: bool
    handed_in: int
    graded: int
    waits_for_person: int
    late: int
    mean: float | None
    maximum: float
    spread: tuple[int, ...]


@dataclass(frozen=True)
class Glance:
    """The class now. `requests` is None where there is no hand-in service or it does not answer."""

    students: int
    labs: list[LabGlance]
    requests: list[dict[str, object]] | None
    audit: Audit
    moment: datetime


def glance(instance: Instance, course: Course) -> Glance:
    """Gather it; seconds for a large class. Raises GradebookError when there is a gradebook that cannot be read."""
    known: dict[str, list[dict[str, object]]] = {}
    students = 0
    results = {}
    if gradebook_exists(instance):
        with open_gradebook(instance) as gradebook, quiet():
            students = len(gradebook.students)
            for assignment in gradebook.assignments:
                known[assignment.name] = gradebook.submission_dicts(assignment.name)
        results = final_results(instance, course)
    late = [one.lab for labs in results.values() for one in labs if one.days_late]
    extensions = read_extensions(instance)
    labs = [
        _lab(lab, course, instance, known.get(lab.id), late.count(lab.id), len(extensions.get(lab.id, {})))
        for lab in course.labs
    ]
    return Glance(
        students, labs, _requests(instance), audit(instance), datetime.now(UTC).astimezone(course.time_zone)
    )


def _lab(
    lab: Lab,
    course: Course,
    instance: Instance,
    graded: list[dict[str, object]] | None,
    late: int,
    extended: int,
) -> LabGlance:
    rows = graded or []
    scores = [_number(row["score"]) for row in rows]
    maximum = max((_number(row["max_score"]) for row in rows), default=0.0)
    spread = [0] * BINS
    for score in scores:
        spread[min(BINS - 1, int(score / maximum * BINS)) if maximum else 0] += 1
    opens = week_begins(course, lab.week).replace(tzinfo=course.time_zone) if course.starts else None
    return LabGlance(
        lab.id,
        opens,
        due(lab, course),
        extended,
        instance.bundle(lab.id).is_file(),
        sum(1 for _ in instance.submitted.glob(f"*/{lab.id}")),
        len(rows),
        sum(bool(row["needs_manual_grade"]) for row in rows),
        late,
        fmean(scores) if scores else None,
        maximum,
        tuple(spread),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _requests(instance: Instance) -> list[dict[str, object]] | None:
    if not has_service(instance):
        return None
    try:
        return [one for one in service(instance).asked() if one["answered"] is None]
    except HandInError:
        return None
