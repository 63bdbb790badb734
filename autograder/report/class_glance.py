"""The class at a glance: for each lab who has handed in, what is graded, what waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from handin.errors import HandInError

from autograder.build.released import was_released
from autograder.course import Course, Instance, Lab
from autograder.enrolment import in_section, read_enrolment
from autograder.extensions import read_extensions
from autograder.grade.audit import Audit, audit
from autograder.gradebook import gradebook_exists, open_gradebook
from autograder.handin import has_service, service
from autograder.nbgrader_api import quiet
from autograder.report.final import final_results
from autograder.schedule import week_begins

BINS = 10


@dataclass(frozen=True)
class LabGlance:
    """One lab. `out` is whether students have it; `spread` counts graded hand-ins by tenths of the points; times have
    the course's time zone."""

    id: str
    opens: datetime | None
    due: datetime
    extended: int
    built: bool
    out: bool
    handed_in: int
    graded: int
    waits_for_person: int
    late: int
    mean: float | None
    maximum: float
    spread: tuple[int, ...]


@dataclass(frozen=True)
class Glance:
    """The class now, or one section of it. `waiting` counts requests to look at a grade again; None where there is
    no hand-in service or it does not answer."""

    students: int
    left: int
    section: str
    sections: list[str]
    labs: list[LabGlance]
    has_handin: bool
    waiting: int | None
    audit: Audit
    moment: datetime


def glance(instance: Instance, course: Course, section: str = "") -> Glance:
    """Gather it; seconds for a large class. Who has left the class is not counted.

    Raises GradebookError when there is a gradebook that cannot be read, ConfigurationError for an unknown section.
    """
    # whoever has handed in belongs to the class, before the gradebook knows them
    collected = {
        lab.id: {folder.parent.name for folder in instance.submitted.glob(f"*/{lab.id}")}
        for lab in course.labs
    }
    everybody = set().union(*collected.values())
    known: dict[str, list[dict[str, object]]] = {}
    results = {}
    if gradebook_exists(instance):
        with open_gradebook(instance) as gradebook, quiet():
            everybody |= {student.id for student in gradebook.students}
            for assignment in gradebook.assignments:
                known[assignment.name] = gradebook.submission_dicts(assignment.name)
        results = final_results(instance, course)
    members = in_section(instance, everybody, section)
    late = [one.lab for student in members for one in results.get(student, []) if one.days_late]
    extensions = read_extensions(instance)
    labs = [
        _lab(
            lab, course, instance,
            [row for row in known.get(lab.id, []) if row["student"] in members],
            len(collected[lab.id] & members),
            late.count(lab.id),
            len(members & extensions.get(lab.id, {}).keys()),
        )
        for lab in course.labs
    ]  # fmt: skip
    enrolment = read_enrolment(instance)
    return Glance(
        len(members),
        sum(bool(about.left) for about in enrolment.values()),
        section,
        sorted({about.section for about in enrolment.values()} - {""}),
        labs,
        has_service(instance),
        _waiting(instance),
        audit(instance),
        datetime.now(UTC).astimezone(course.time_zone),
    )


def _lab(
    lab: Lab,
    course: Course,
    instance: Instance,
    rows: list[dict[str, object]],
    collected: int,
    late: int,
    extended: int,
) -> LabGlance:
    scores = [_number(row["score"]) for row in rows]
    maximum = max((_number(row["max_score"]) for row in rows), default=0.0)
    spread = [0] * BINS
    for score in scores:
        spread[min(BINS - 1, int(score / maximum * BINS)) if maximum else 0] += 1
    opens = week_begins(course, lab.week).replace(tzinfo=course.time_zone) if course.starts else None
    return LabGlance(
        lab.id,
        opens,
        course.due(lab),
        extended,
        instance.bundle(lab.id).is_file(),
        was_released(instance, lab.id),
        collected,
        len(rows),
        sum(bool(row["needs_manual_grade"]) for row in rows),
        late,
        fmean(scores) if scores else None,
        maximum,
        tuple(spread),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _waiting(instance: Instance) -> int | None:
    if not has_service(instance):
        return None
    try:
        return sum(one["answered"] is None for one in service(instance).asked())
    except HandInError:
        return None
