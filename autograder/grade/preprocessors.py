"""The judge as nbgrader's own preprocessors: one path for `course grade`, nbgrader's CLI and formgrader."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import MissingEntry
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool, Dict

from autograder.bundle import Bundle, MasterNotebook, read_bundle
from autograder.course import Instance
from autograder.grade.cache import VerdictCache
from autograder.grade.fingerprint import environment, job_key
from autograder.grade.intake import IntakeReport, digest, take_in_place
from autograder.grade.job import Grader
from autograder.grade.rebuild import KIND, rebuild, submission_hash
from autograder.grade.receipts import Receipt, Receipts
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome
from autograder.gradebook import open_gradebook
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


def is_current(
    instance: Instance,
    bundle: Bundle,
    student: str,
    sandbox: Sandbox,
    latest: dict[tuple[str, str, str], Receipt],
) -> bool:
    """Whether the gradebook already holds what grading this hand-in again would give.

    Asked of the receipts, without reading the notebooks: the same files were handed in, against the same
    tests, in the same environment.
    """
    folder = instance.submitted / student / bundle.lab
    now = digest(folder)
    handed_in = {master.id for master in bundle.notebooks if (folder / f"{master.id}.ipynb").is_file()}
    for master in bundle.notebooks:
        receipt = latest.get((bundle.lab, student, master.id))
        if receipt is None:
            if master.id in handed_in:
                return False
            continue
        if receipt["handed_in"] != now or receipt["version"] != master.version or receipt["fault"]:
            return False
        if receipt["environment"] != environment() or receipt["limits"] != asdict(sandbox.limits):
            return False
        if not (instance.verdicts / bundle.lab / student / f"{master.id}.json").is_file():
            return False
    with open_gradebook(instance) as gradebook:
        try:
            gradebook.find_submission(bundle.lab, student)
        except MissingEntry:
            return False
    return bool(handed_in) and (instance.autograded / student / bundle.lab).is_dir()


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
        verdict.notes += self._intake_notes(instance, student, lab, notebook_id)
        text = verdict.to_json()
        path = instance.verdicts / lab / student / f"{notebook_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        write_outcome(nb, verdict)
        resources["course"] = {
            "not_gradable": {cell.grade_id for cell in verdict.cells if cell.outcome is Outcome.NOT_GRADABLE},
            "receipt": {
                "lab": lab,
                "student": student,
                "notebook": notebook_id,
                "handed_in": digest(instance.submitted / student / lab),
                "submission": submission_hash(nb),
                "version": master.version,
                "environment": environment(),
                "limits": job["limits"],
                "sandbox": verdict.sandbox,
                "judged": verdict.judged,
                "fault": bool(verdict.fault),
                "verdict": sha256(text.encode()).hexdigest(),
                "cells": [_receipt_of(cell) for cell in verdict.cells],
            },
        }
        return nb, resources

    def _intake_notes(self, instance: Instance, student: str, lab: str, notebook_id: str) -> list[str]:
        record = instance.intake_record(student, lab)
        if not record.is_file():
            return []
        report = json.loads(record.read_text("utf-8"))["report"]
        notes = [f"{name} was not taken: {why}" for name, why in report["dropped"].items()]
        if notebook_id in report["broken"]:
            notes.append(f"the notebook could not be read: {report['broken'][notebook_id]}. Hand it in again")
        return notes


class SaveJudgedGrades(SaveAutoGrades):  # type: ignore[misc]
    """Writes scores into the gradebook, then the receipt; asks for a person only where an automatic score changed."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        instance, *_ = _where(self, resources)
        nb, resources = super().preprocess(nb, resources)
        # after the grade: killed between the two, the next run finds no receipt and writes both again
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
            grade.needs_manual_grade = grade.auto_score != old_score or was_flagged
        if identity[0] in resources["course"]["not_gradable"]:
            grade.needs_manual_grade = True
        self.gradebook.db.commit()


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
