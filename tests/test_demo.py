"""The demonstration semester: every student gets what was earned, and the summary says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograder.bundle import read_bundle
from autograder.course import Instance, load_course
from autograder.demo.scenarios import scenarios
from autograder.demo.semester import run_semester

OUTCOMES = {
    "student01": "pass",
    "student02": "error",
    "student03": "fail",
    "student04": "error",
    "student05": "timeout",
    "student06": "pass",
    "student07": "pass",
    "student08": "forbidden",
}


@pytest.mark.nightly
def test_a_semester_in_miniature(tmp_path: Path) -> None:
    course = load_course()
    instance = Instance(tmp_path / "demo")
    rows = run_semester(course, course.labs[0], instance, lambda text: None)
    assert [(row.student, row.notebook) for row in rows if row.score != row.expected] == []
    assert {row.student: row.outcome for row in reversed(rows)} == OUTCOMES
    (late,) = [row for row in rows if row.student == "student07"]
    assert late.reason == "2.0 days late."
    assert json.loads((instance.root / "summary.json").read_text()) == [row.__dict__ for row in rows]
    students = scenarios(read_bundle(instance.bundle(course.labs[0].id)))
    pages = [page for student in students for page in (instance.feedback / student.student).rglob("*.html")]
    assert len(pages) == len(rows)
