"""Give feedback pages back: each goes to the attempt that was graded, where only its student can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handin.errors import HandInError

from autograder.course import Instance
from autograder.errors import CourseError
from autograder.grade.intake import TIMESTAMP
from autograder.gradebook import open_gradebook
from autograder.handin import collected, service
from autograder.nbgrader_api import quiet


def publish_feedback(instance: Instance, lab_id: str, student: str | None = None) -> int:
    """Give back the pages that were written, of one student or of all; return how many.

    What one student cannot be given keeps no other waiting. Raises CourseError naming each that
    could not, and ConfigurationError where there is no service.
    """
    client = service(instance)
    given, failed = 0, []
    scores = graded_scores(instance, lab_id)
    for name, pages in _written(instance, lab_id, student):
        attempt = graded_attempt(instance, name, lab_id)
        if attempt is None:
            failed.append(f"{name}: the graded hand-in did not come from the hand-in service")
            continue
        try:
            for page in pages:
                client.put_feedback(attempt, name, page.stem, page.read_bytes())
                given += 1
            if name in scores:
                client.put_score(attempt, name, *scores[name])
        except (HandInError, OSError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise CourseError(f"{given} pages of {lab_id} were given back; not these:\n" + "\n".join(failed))
    return given


def graded_scores(instance: Instance, lab_id: str) -> dict[str, tuple[float, float]]:
    """Score and maximum of each student's graded hand-in, before lateness, which is reckoned over all labs."""
    with open_gradebook(instance) as gradebook, quiet():
        return {
            one.student_id: (max(0.0, float(one.score)), float(one.max_score))
            for one in gradebook.assignment_submissions(lab_id)
        }


def graded_attempt(instance: Instance, student: str, lab_id: str) -> int | None:
    """The service's number of the attempt that the grade belongs to: a newer one may have been collected since."""
    file = instance.autograded / student / lab_id / TIMESTAMP
    when = file.read_text("utf-8").strip() if file.is_file() else ""
    return collected(instance, student, lab_id).get(when)


def _written(instance: Instance, lab_id: str, student: str | None) -> Iterator[tuple[str, list[Path]]]:
    for folder in sorted(instance.feedback.glob(f"{student or '*'}/{lab_id}")):
        if pages := sorted(folder.glob("*.html")):
            yield folder.parent.name, pages
