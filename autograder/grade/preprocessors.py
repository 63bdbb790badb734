"""The judge as nbgrader's own preprocessors: one path for `course grade`, nbgrader's CLI and formgrader."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool, Dict

from autograder.bundle import Bundle, MasterNotebook, read_bundle
from autograder.course import Instance
from autograder.errors import IntakeError
from autograder.files import write_whole
from autograder.grade.cache import VerdictCache
from autograder.grade.fingerprint import environment, job_key
from autograder.grade.intake import IntakeReport, digest, read_record, take_in_place
from autograder.grade.job import Grader
from autograder.grade.rebuild import KIND, rebuild, submission_hash
from autograder.grade.receipts import Receipts
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome
from autograder.report.neutral import neutral_markdown, neutral_outputs

Resources = dict[str, Any]


def take_in(assignment: str, student: str, notebooks: str, **_: object) -> None:
    """nbgrader's hook before a hand-in is converted: every hand-in of the lab passes intake first."""
    instance = Instance(Path.cwd())
    students = [student] if student != "*" else sorted(path.name for path in instance.submitted.iterdir())
    for name in students:
        folder = instance.submitted / name / assignment
        if folder.exists() or folder.is_symlink():
            take_in_one(instance, name, assignment)


def take_in_one(instance: Instance, student: str, lab_id: str) -> IntakeReport:
    """Intake of one hand-in of an instance."""
    bundle = read_bundle(instance.bundle(lab_id))
    return take_in_place(
        instance.submitted / student / lab_id,
        instance.received / student / lab_id,
        instance.intake_record(student, lab_id),
        ([notebook.id for notebook in bundle.notebooks], bundle.extra_files),
    )


def _where(step: NbGraderPreprocessor, resources: Resources) -> tuple[Instance, str, str, str]:
    about = resources["nbgrader"]
    return (
        Instance(Path(step.config.CourseDirectory.root)),
        about["assignment"],
        about["student"],
        about["notebook"],
    )


class Rebuild(NbGraderPreprocessor):  # type: ignore[misc]
    """Replaces the handed-in notebook by one rebuilt from the lab bundle."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        instance, lab, _, notebook_id = _where(self, resources)
        master = read_bundle(instance.bundle(lab)).notebook(notebook_id)
        rebuilt, notes = rebuild(master, nb)
        rebuilt.metadata["course_notes"] = notes
        return rebuilt, resources


def handed_in_files(instance: Instance, bundle: Bundle, student: str) -> list[Path]:
    """The extra files of a hand-in that are there."""
    files = [instance.submitted / student / bundle.lab / name for name in bundle.extra_files]
    return [file for file in files if file.is_file()]


def handed_in_job(instance: Instance, grader: Grader, master: MasterNotebook, student: str) -> dict[str, Any]:
    """The job of one notebook of a hand-in that has passed intake."""
    file = instance.submitted / student / grader.bundle.lab / f"{master.id}.ipynb"
    notebook, _ = rebuild(master, nbformat.read(file, as_version=4))
    return grader.job(master, notebook, handed_in_files(instance, grader.bundle, student))


class Judge(NbGraderPreprocessor):  # type: ignore[misc]
    """Judges the rebuilt notebook and writes its outcome into the cells' outputs, where nbgrader reads grades.

    A verdict that the cache holds is not judged again; `course grade` has it filled by many workers.
    """

    unsafe_no_sandbox = Bool(
        False, help="Run hand-ins without bubblewrap; only where every hand-in is trusted."
    ).tag(config=True)
    limits = Dict(help="Fields of autograder.grade.sandbox.Limits to replace, by name.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        instance, lab, student, notebook_id = _where(self, resources)
        bundle = read_bundle(instance.bundle(lab))
        master = bundle.notebook(notebook_id)
        handed_in = digest(instance.submitted / student / lab)
        record = read_record(instance.intake_record(student, lab))
        if record is None or record["digest"] != handed_in:
            # nbgrader goes on when its hook has failed
            raise IntakeError(f"{student}, {lab}: the hand-in has not passed intake and is not judged")
        sandbox = Sandbox(Limits(**self.limits), self.unsafe_no_sandbox)
        grader = Grader.of(instance, bundle, sandbox)
        job = grader.job(master, nb, handed_in_files(instance, bundle, student))
        cache, key = VerdictCache(instance.cache), job_key(job, sandbox)
        verdict = cache.get(key)
        if verdict is None:
            verdict = grader.judge(master, job)
            if not verdict.fault:
                cache.put(key, verdict)
        verdict.notes += nb.metadata.pop("course_notes", [])
        verdict.notes += _intake_notes(record["report"], notebook_id)
        verdict.submission = submission_hash(nb)
        text = verdict.to_json()
        path = instance.verdicts / lab / student / f"{notebook_id}.json"
        before = stored_verdict(path)
        write_whole(path, text)
        write_outcome(nb, verdict)
        resources["course"] = {
            "rewritten": before is not None and before.submission != verdict.submission,
            "not_gradable": {cell.grade_id for cell in verdict.cells if cell.outcome is Outcome.NOT_GRADABLE},
            "receipt": {
                "lab": lab,
                "student": student,
                "notebook": notebook_id,
                "handed_in": handed_in,
                "submission": verdict.submission,
                "version": master.version,
                "environment": environment(),
                "limits": job["limits"],
                "unsafe": sandbox.unsafe,
                "sandbox": verdict.sandbox,
                "judged": verdict.judged,
                "fault": bool(verdict.fault),
                "verdict": sha256(text.encode()).hexdigest(),
                "cells": [_receipt_of(cell) for cell in verdict.cells],
            },
        }
        return nb, resources


def _intake_notes(report: dict[str, Any], notebook_id: str) -> list[str]:
    notes = [f"{name} was not taken: {why}" for name, why in report["dropped"].items()]
    if notebook_id in report["broken"]:
        notes.append(f"the notebook could not be read: {report['broken'][notebook_id]}. Hand it in again")
    return notes


class SaveJudgedGrades(SaveAutoGrades):  # type: ignore[misc]
    """Writes scores into the gradebook, then the receipt; asks for a person only where an automatic score changed."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        instance, *_ = _where(self, resources)
        nb, resources = super().preprocess(nb, resources)
        # after the grade: killed between the two, the receipt does not fit what is stored, and both are written again
        Receipts(instance.receipts).append(resources["course"]["receipt"])
        return nb, resources

    def _add_score(self, cell: NotebookNode, resources: Resources) -> None:
        identity = (
            cell.metadata["nbgrader"]["grade_id"],
            self.notebook_id,
            self.assignment_id,
            self.student_id,
        )
        before = self.gradebook.find_grade(*identity)
        old_score, was_flagged = before.auto_score, before.needs_manual_grade
        super()._add_score(cell, resources)
        grade = self.gradebook.find_grade(*identity)
        if grade.manual_score is not None:
            # a written answer has no automatic score; another answer asks for another look
            rewritten = grade.auto_score is None and resources["course"]["rewritten"]
            grade.needs_manual_grade = grade.auto_score != old_score or was_flagged or rewritten
        if identity[0] in resources["course"]["not_gradable"]:
            grade.needs_manual_grade = True
        self.gradebook.db.commit()


def stored_verdict(path: Path) -> NotebookVerdict | None:
    """The verdict in a file, or None; one that cannot be read counts as none."""
    try:
        return NotebookVerdict.from_json(path.read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _receipt_of(cell: CellVerdict) -> dict[str, Any]:
    checks = [[check.label, check.value, check.limit, check.passed] for check in cell.checks]
    return {
        "grade_id": cell.grade_id,
        "outcome": cell.outcome,
        "points": cell.points,
        "maximum": cell.maximum,
        "checks": checks,
    }


def write_outcome(notebook: NotebookNode, verdict: NotebookVerdict) -> None:
    """Put outcomes and neutralised outputs into the cells; a failed check becomes an error output."""
    graded = {cell.grade_id: cell for cell in verdict.cells}
    runs = {run.id: run for run in verdict.runs}
    notebook.metadata["course_notes"] = verdict.notes
    for cell in notebook.cells:
        kind = cell.metadata.get(KIND)
        if cell.cell_type == "markdown" and kind in ("student", "written"):
            cell.source = neutral_markdown(cell.source, cell.get("attachments", {}))
        if cell.cell_type != "code":
            continue
        cell.outputs = []
        if cell.id in runs:
            cell.outputs = neutral_outputs(runs[cell.id].outputs)
            if runs[cell.id].outcome is not Outcome.PASS and not cell.outputs:
                cell.outputs = [_error(runs[cell.id].outcome, runs[cell.id].message)]
        elif kind == "grade":
            found = graded.get(cell.metadata["nbgrader"]["grade_id"])
            outcome = found.outcome if found else Outcome.NOT_GRADABLE
            lines = (
                [f"ok  {check.label}: {check.value}, {check.limit}" for check in found.checks if check.passed]
                if found
                else []
            )
            if lines:
                cell.outputs.append(
                    neutral_outputs([{"output_type": "stream", "name": "stdout", "text": "\n".join(lines)}])[
                        0
                    ]
                )
            if outcome is not Outcome.PASS:
                cell.outputs.append(_error(outcome, found.message if found else "was not judged"))


def _error(outcome: Outcome, message: str) -> NotebookNode:
    return NotebookNode(
        output_type="error", ename=outcome.value, evalue=message, traceback=[f"{outcome.value}: {message}"]
    )
