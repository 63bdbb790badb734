"""What each student's labs count in the end: the gradebook's scores, extensions, and the late policy over all labs."""

from __future__ import annotations

from datetime import UTC

from nbgrader.api import Gradebook

from autograder.course import Course, Instance
from autograder.extensions import read_extensions
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.report.late import LabResult, days_late, with_grace


def final_results(instance: Instance, course: Course) -> dict[str, list[LabResult]]:
    """Every graded lab of every student, in the order of the course, with grace days spent.

    Penalties that somebody entered in nbgrader's gradebook are taken off before.
    """
    with open_gradebook(instance) as gradebook, quiet():
        earned = _results(gradebook, instance, course)
    return {student: with_grace(results, course.late) for student, results in earned.items()}


def _results(gradebook: Gradebook, instance: Instance, course: Course) -> dict[str, list[LabResult]]:
    known = {assignment.name for assignment in gradebook.assignments}
    extensions = read_extensions(instance)
    results: dict[str, list[LabResult]] = {student.id: [] for student in gradebook.students}
    deadlines = {lab.id: course.due(lab) for lab in course.labs}
    others = sorted(known - set(deadlines))  # not on this class's path: without a deadline of its own
    for lab in [*(name for name in deadlines if name in known), *others]:
        for submission in gradebook.assignment_submissions(lab):
            penalty = sum(notebook.late_submission_penalty or 0.0 for notebook in submission.notebooks)
            until = extensions.get(lab, {}).get(submission.student_id)
            ends = [when for when in (deadlines.get(lab), until) if when is not None]
            # a hand-in without a time came by another way than the service, and is taken to be on time
            received = submission.timestamp and submission.timestamp.replace(tzinfo=UTC)
            late = days_late(received, max(ends), course.time_zone) if received and ends else 0
            score = max(0.0, float(submission.score) - penalty)
            results[submission.student_id].append(LabResult(lab, score, late))
    return results
