"""Run the demonstration: build, release, hand in, grade, feedback, and compare with what was earned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from pathlib import Path

import nbformat

from autograder.build.builder import build_lab
from autograder.bundle import Bundle
from autograder.course import Course, Instance, Lab
from autograder.demo.scenarios import Scenario, scenarios
from autograder.grade.course_grade import Graded, Standing, Watch, grade_lab
from autograder.grade.engine import Engine
from autograder.grade.intake import TIMESTAMP
from autograder.grade.verdict import NotebookVerdict, Outcome
from autograder.report.feedback import make_feedback

LIMITS = {"cell_seconds": 40, "check_seconds": 20}
"""Shorter than in a real course, so that the endless loop does not make a visitor wait."""


@dataclass
class Row:
    """One notebook of one student in `summary.json`; `seconds` is CPU time."""

    student: str
    lab: str
    notebook: str
    score: float
    max: float
    outcome: str
    reason: str
    seconds: float
    expected: float


def run_semester(course: Course, lab: Lab, instance: Instance, say: Callable[[str], None]) -> list[Row]:
    """Run one lab through a semester in miniature below `instance.root`, which is made anew.

    `say` is told each step. Writes `summary.json`.
    """
    if instance.root.exists():
        shutil.rmtree(instance.root)
    say(f"building and releasing {lab.id}")
    bundle = build_lab(lab, course, instance, course.language)
    students = scenarios(bundle)
    due = course.due(lab).astimezone(UTC)
    for student in students:
        say(f"{student.student} hands in: {student.story}")
        when = due + timedelta(days=student.days_late or -1)
        _hand_in(student, bundle, instance, when.strftime("%Y-%m-%d %H:%M:%S UTC"))
    say("grading, on two workers")
    graded = grade_lab(instance, lab.id, limits=LIMITS, engine=Engine(workers=2), watch=_say_progress(say))
    say("writing feedback")
    make_feedback(instance, lab.id)
    rows = [
        row
        for student, result in zip(students, graded, strict=True)
        for row in _rows(student, result, bundle)
    ]
    (instance.root / "summary.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")
    return rows


def _say_progress(say: Callable[[str], None]) -> Watch:
    """Say how far grading is whenever a hand-in was written."""
    said = 0

    def watch(standing: Standing) -> None:
        nonlocal said
        if standing.written > said:
            said = standing.written
            say(f"{standing.written} of {standing.handins} hand-ins graded")

    return watch


def _hand_in(student: Scenario, bundle: Bundle, instance: Instance, when: str) -> None:
    folder = instance.submitted / student.student / bundle.lab
    folder.mkdir(parents=True)
    for name in student.notebooks:
        nbformat.write(student.make(bundle.notebook(name)), folder / f"{name}.ipynb")
    Path(folder / TIMESTAMP).write_text(when, "utf-8")


def _rows(student: Scenario, graded: Graded, bundle: Bundle) -> list[Row]:
    verdicts = {verdict.notebook: verdict for verdict in graded.verdicts}
    rows = []
    for name in student.notebooks:
        master = bundle.notebook(name)
        verdict = verdicts.get(name) or NotebookVerdict(name)
        outcome, reason = summary(verdict)
        if graded.seconds_late:
            reason = f"{graded.seconds_late / 86400:.1f} days late. {reason}".strip()
        rows.append(
            Row(
                student.student,
                bundle.lab,
                name,
                score=verdict.score,
                max=master.autograded_points,
                outcome=outcome,
                reason=graded.failure or reason,
                seconds=round(verdict.cpu_seconds, 1),
                expected=student.expected(master),
            )
        )
    return rows


def summary(verdict: NotebookVerdict) -> tuple[str, str]:
    """One outcome for a whole notebook: pass when every cell passed, else the first that did not, with its reason."""
    if not verdict.cells:
        return Outcome.NOT_GRADABLE.value, "no verdict"
    for run in verdict.runs:
        if run.outcome not in (Outcome.PASS, Outcome.ERROR):
            return run.outcome.value, f"{run.id}: {run.message}"
    for cell in verdict.cells:
        if cell.outcome is not Outcome.PASS:
            return cell.outcome.value, f"{cell.grade_id}: {cell.message}"
    return Outcome.PASS.value, ""
