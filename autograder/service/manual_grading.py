"""What a person changes in formgrader: scores, comments, flags, names. Each has a line in the staff's journal."""

from __future__ import annotations

from typing import Any

from nbgrader.api import MissingEntry
from nbgrader.server_extensions.formgrader import apihandlers
from tornado import web

from autograder.actions import note
from autograder.errors import CourseError
from autograder.service.served import served

BY_HAND = "by hand:"
"""How such a line begins."""


class RecordedGrade(apihandlers.GradeHandler):  # type: ignore[misc]
    """`/formgrader/api/grade/ID`."""

    @web.authenticated
    def put(self, grade_id: str) -> None:
        """Store the score, then what it was before and is now."""
        before = self._score(grade_id)
        super().put(grade_id)
        after = self._score(grade_id)
        if before != after:
            cell = self.gradebook.find_grade_by_id(grade_id)
            _note(self, cell, f"{cell.name} of {cell.notebook.name}, {before} before, {after} now")

    def _score(self, grade_id: str) -> str:
        try:
            grade = self.gradebook.find_grade_by_id(grade_id)
        except MissingEntry:
            return ""  # told by nbgrader's own handler
        given = "none" if grade.manual_score is None else f"{grade.manual_score:g}"
        return f"{given} and {grade.extra_credit:g} extra" if grade.extra_credit else given


class RecordedComment(apihandlers.CommentHandler):  # type: ignore[misc]
    """`/formgrader/api/comment/ID`."""

    @web.authenticated
    def put(self, comment_id: str) -> None:
        """Store the comment, then that there is another one; its words are the gradebook's alone."""
        before = self._comment(comment_id)
        super().put(comment_id)
        if before != self._comment(comment_id):
            cell = self.gradebook.find_comment_by_id(comment_id)
            _note(self, cell, f"another comment on {cell.name} of {cell.notebook.name}")

    def _comment(self, comment_id: str) -> str:
        try:
            return self.gradebook.find_comment_by_id(comment_id).manual_comment or ""
        except MissingEntry:
            return ""


class RecordedFlag(apihandlers.FlagSubmissionHandler):  # type: ignore[misc]
    """`/formgrader/api/submitted_notebook/ID/flag`."""

    @web.authenticated
    def post(self, submission_id: str) -> None:
        """Set or take the flag, then say which."""
        super().post(submission_id)
        notebook = self.gradebook.find_submission_notebook_by_id(submission_id)
        submission = notebook.assignment
        done = "flagged" if notebook.flagged else "took the flag off"
        _record(self, f"{done} {notebook.name}", submission.assignment.name, submission.student_id)


class RecordedStudent(apihandlers.StudentHandler):  # type: ignore[misc]
    """`/formgrader/api/student/NAME`."""

    @web.authenticated
    def put(self, student_id: str) -> None:
        """Store name and address, then that they were set; which they are is the gradebook's alone."""
        super().put(student_id)
        _record(self, "set name and address", "", student_id.strip())


def _note(handler: Any, cell: Any, text: str) -> None:
    submission = cell.notebook.assignment
    _record(handler, f"{BY_HAND} {text}", submission.assignment.name, submission.student_id)


def _record(handler: Any, what: str, lab: str, student: str) -> None:
    try:
        note(served(), what, who=handler.current_user.username, lab=lab, student=student)
    except (CourseError, OSError) as error:
        raise web.HTTPError(
            500, f"it is stored, but the staff's journal could not be written: {error}"
        ) from error
