"""nbgrader's own commands, `nbgrader collect` and the like, through the hand-in service."""

from __future__ import annotations

from pathlib import Path

from nbgrader.exchange.abc import ExchangeCollect, ExchangeReleaseFeedback

from autograder.course import Instance
from autograder.errors import CourseError
from autograder.grade.collect import collect_lab
from autograder.report.feedback import make_feedback
from autograder.report.publish_feedback import publish_feedback


class Collect(ExchangeCollect):  # type: ignore[misc]
    """`nbgrader collect LAB`."""

    def init_src(self) -> None:
        """Nothing to prepare."""

    def init_dest(self) -> None:
        """Nothing to prepare."""

    def copy_files(self) -> None:
        """Collect; fails with what the course's own command says."""
        try:
            found = collect_lab(Instance(Path(self.coursedir.root)), self.coursedir.assignment_id)
        except CourseError as error:
            self.fail(str(error))
        if found.failed:
            self.fail("; ".join(f"{student}: {why}" for student, why in found.failed.items()))
        self.log.info("%s students have handed in, %s are new", len(found.students), len(found.new))


class ReleaseFeedback(ExchangeReleaseFeedback):  # type: ignore[misc]
    """`nbgrader release_feedback LAB`."""

    def init_src(self) -> None:
        """Nothing to prepare."""

    def init_dest(self) -> None:
        """Nothing to prepare."""

    def copy_files(self) -> None:
        """Write the pages of what is graded now and give them back; fails with what the course's own command says."""
        student = self.coursedir.student_id
        instance = Instance(Path(self.coursedir.root))
        try:
            make_feedback(instance, self.coursedir.assignment_id, None if student == "*" else student)
            publish_feedback(instance, self.coursedir.assignment_id, None if student == "*" else student)
        except CourseError as error:
            self.fail(str(error))
