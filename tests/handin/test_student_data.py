"""A student gets everything that is kept about them, and can be deleted; an audit is content afterwards."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder.errors import ConfigurationError, IntakeError
from autograder.grade.audit import audit
from autograder.grade.collect import collect_lab
from autograder.grade.course_grade import grade_lab
from autograder.gradebook import open_gradebook
from autograder.handin import remember_service
from autograder.nbgrader_api import quiet
from autograder.report.feedback import make_feedback
from autograder.report.publish_feedback import publish_feedback
from autograder.student_data import export_student, forget_student
from tests.conftest import MiniLab
from tests.handin.running import RunningService

LAB = "Lab-0.1-Mini"


@pytest.fixture
def graded(service: RunningService, fresh_mini: MiniLab) -> MiniLab:
    """Two students who handed in, were graded and got their feedback."""
    remember_service(fresh_mini.instance, service.url, "token-collector")
    for who in ("ada", "bob"):
        notebook = fresh_mini.reference()
        notebook.cells.append(nbformat.v4.new_markdown_cell(f"written by {who}"))
        service.client(who).hand_in(LAB, {"01-Scale.ipynb": nbformat.writes(notebook).encode()})
    collect_lab(fresh_mini.instance, LAB)
    grade_lab(fresh_mini.instance, LAB)
    make_feedback(fresh_mini.instance, LAB)
    publish_feedback(fresh_mini.instance, LAB)
    return fresh_mini


def files_holding(instance: Path, text: bytes) -> list[str]:
    """Files of an instance that hold a text."""
    return sorted(
        str(path.relative_to(instance))
        for path in instance.rglob("*")
        if path.is_file() and text in path.read_bytes()
    )


def test_the_archive_holds_work_grades_feedback_and_receipts(graded: MiniLab, tmp_path: Path) -> None:
    target = tmp_path / "ada.zip"
    count = export_student(graded.instance, "ada", target)
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        record = json.loads(archive.read("gradebook.json"))
        assert b"written by ada" in archive.read(f"attempts/{LAB}/1/01-Scale.ipynb")
        assert all(b"bob" not in archive.read(name) for name in names)
    assert len(names) == count and record["labs"][LAB]["score"] == 90.0
    assert {name.split("/")[0] for name in names} == {
        "attempts", "autograded", "collected", "feedback", "gradebook.json", "intake", "received", "receipts.jsonl",
        "submitted", "verdicts",
    }  # fmt: skip
    assert f"attempts/{LAB}/1/feedback/01-Scale.html" in names
    with pytest.raises(ConfigurationError, match="exists already"):
        export_student(graded.instance, "ada", target)


def test_after_deleting_only_receipts_and_the_journal_name_the_student(
    graded: MiniLab, service: RunningService
) -> None:
    gone = forget_student(graded.instance, "ada")
    assert (gone.attempts, gone.labs, gone.folders, gone.receipts) == (1, 1, 7, 2)
    assert [path for path in graded.instance.root.rglob("*") if "ada" in path.parts] == []
    kept = ["actions.jsonl", "receipts.jsonl"]
    assert files_holding(graded.instance.root, b'"student": "ada"') == kept
    assert files_holding(graded.instance.root, b"written by ada") == []
    assert len(files_holding(graded.instance.root, b"written by bob")) > 2  # the search finds what is there
    with open_gradebook(graded.instance) as gradebook, quiet():
        assert [one.id for one in gradebook.students] == ["bob"]
    assert service.client("ada").overview()["attempts"] == []
    assert len(service.client("bob").overview()["attempts"]) == 1
    assert audit(graded.instance).problems == []
    assert export_student(graded.instance, "ada", graded.instance.root / "ada.zip") == 2  # receipts, journal


def test_a_deleted_student_can_hand_in_again(graded: MiniLab, service: RunningService) -> None:
    forget_student(graded.instance, "ada")
    notebook = nbformat.writes(graded.reference()).encode()
    service.client("ada").hand_in(LAB, {"01-Scale.ipynb": notebook})
    assert collect_lab(graded.instance, LAB).new == ["ada"]
    scores = {one.student: one.score for one in grade_lab(graded.instance, LAB)}
    assert scores == {"ada": 90.0, "bob": 90.0} and audit(graded.instance).problems == []


def test_nothing_is_deleted_while_the_service_is_down(graded: MiniLab, service: RunningService) -> None:
    service.kill()
    with pytest.raises(IntakeError, match="nothing of ada was deleted"):
        forget_student(graded.instance, "ada")
    assert (graded.instance.submitted / "ada").is_dir() and audit(graded.instance).problems == []
    service.start()


def test_a_name_that_is_none_is_refused(graded: MiniLab, tmp_path: Path) -> None:
    for name in ("..", "a/b", "", "*"):
        with pytest.raises(ConfigurationError, match="cannot be the name"):
            forget_student(graded.instance, name)
    with pytest.raises(ConfigurationError, match="nothing is kept about a student 'eve'"):
        export_student(graded.instance, "eve", tmp_path / "eve.zip")
