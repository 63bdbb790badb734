"""The people of a class: section, what each has handed in and earned, and who has left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from autograder.course import Course, Instance
from autograder.enrolment import Enrolment, read_enrolment
from autograder.extensions import read_extensions
from autograder.gradebook import gradebook_exists, open_gradebook
from autograder.nbgrader_api import quiet
from autograder.report.final import final_results


@dataclass(frozen=True)
class Member:
    """One student. `counts` is the sum of what their labs count in the end, of `graded` labs."""

    id: str
    name: str
    section: str
    left: date | None
    collected: int
    graded: int
    late: int
    extensions: int
    counts: float


def members(instance: Instance, course: Course) -> list[Member]:
    """Everybody of the gradebook, by section and name; who has left comes last. Raises GradebookError."""
    if not gradebook_exists(instance):
        return []
    with open_gradebook(instance) as gradebook, quiet():
        names = {
            student.id: f"{student.first_name or ''} {student.last_name or ''}".strip()
            for student in gradebook.students
        }
    results = final_results(instance, course)
    enrolment = read_enrolment(instance)
    extended = [student for of_lab in read_extensions(instance).values() for student in of_lab]
    found = []
    for student, name in names.items():
        about, labs = enrolment.get(student, Enrolment()), results.get(student, [])
        found.append(
            Member(
                student,
                name,
                about.section,
                date.fromisoformat(about.left) if about.left else None,
                sum((instance.submitted / student / lab.id).is_dir() for lab in course.labs),
                len(labs),
                sum(bool(lab.days_late) for lab in labs),
                extended.count(student),
                sum(lab.counts for lab in labs),
            )
        )
    return sorted(found, key=lambda one: (one.left is not None, one.section, one.id))
