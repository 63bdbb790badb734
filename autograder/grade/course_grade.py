"""Grade the hand-ins of one lab into nbgrader's gradebook."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import asdict, dataclass

from nbgrader.api import MissingEntry
from traitlets.config import Config

from autograder.bundle import read_bundle
from autograder.course import Instance
from autograder.errors import IntakeError
from autograder.grade.intake import finish_interrupted, interrupted
from autograder.grade.preprocessors import take_in_one
from autograder.grade.sandbox import require
from autograder.grade.verdict import NotebookVerdict
from autograder.gradebook import one_writer, open_gradebook, require_writable
from autograder.nbgrader_api import call_nbgrader, quiet


@dataclass
class Graded:
    """One graded hand-in. `failure` is set when nbgrader could not process it; then nothing was stored."""

    student: str
    lab: str
    score: float
    maximum: float
    seconds_late: float
    verdicts: list[NotebookVerdict]
    failure: str = ""

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


def students_with(instance: Instance, lab_id: str, student: str | None) -> list[str]:
    """The students whose hand-ins are to be graded. Raises IntakeError when there is none."""
    for folder in instance.submitted.glob("*"):
        if interrupted(folder / lab_id):
            with one_writer(instance):  # another `course grade` may be at that very hand-in
                finish_interrupted(folder / lab_id)
    pattern = f"{glob.escape(student) if student else '*'}/{lab_id}"
    found = sorted(path.parent.name for path in instance.submitted.glob(pattern))
    if not found:
        who = f"{student} has handed in nothing" if student else "no student has handed in"
        raise IntakeError(
            f"{who} for {lab_id}: expected notebooks in {instance.submitted / (student or 'STUDENT') / lab_id}"
        )
    return found


def grade_lab(
    instance: Instance,
    lab_id: str,
    student: str | None = None,
    *,
    unsafe: bool = False,
    limits: dict[str, int] | None = None,
    before: Callable[[str], None] = lambda name: None,
) -> list[Graded]:
    """Judge every hand-in of a lab, or one student's; `before` is called with each student's name.

    `limits` replaces fields of `autograder.grade.sandbox.Limits`.

    Raises CourseError before any hand-in is touched when sandbox, bundle or gradebook are not usable.
    """
    read_bundle(instance.bundle(lab_id))
    if not unsafe:
        require("bwrap", "bubblewrap")
    require_writable(instance)
    config = Config({"Judge": {"unsafe_no_sandbox": unsafe, "limits": limits or {}}})
    graded = []
    for name in students_with(instance, lab_id, student):
        before(name)
        try:
            with one_writer(instance):  # for one hand-in at a time, so that two people grading take turns
                take_in_one(instance, name, lab_id)
                failure = call_nbgrader(
                    instance, "autograde", lab_id, name, config=config, force=True, create=True
                )
        except OSError as error:  # one student's odd files must not keep the others waiting
            failure = f"the hand-in could not be read: {error}"
        graded.append(_read_back(instance, name, lab_id, failure))
    return graded


def _read_back(instance: Instance, student: str, lab_id: str, failure: str) -> Graded:
    verdicts = [
        NotebookVerdict.from_json(path.read_text("utf-8"))
        for path in sorted((instance.verdicts / lab_id / student).glob("*.json"))
    ]
    with open_gradebook(instance) as gradebook, quiet():
        try:
            submission = gradebook.find_submission(lab_id, student)
        except MissingEntry:
            return Graded(student, lab_id, 0.0, 0.0, 0.0, verdicts, failure or "nothing was stored")
        late = submission.total_seconds_late
        return Graded(student, lab_id, submission.score, submission.max_score, late, verdicts, failure)
