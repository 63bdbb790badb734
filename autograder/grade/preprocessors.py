"""The judge as nbgrader's own preprocessors: one path for `course grade`, nbgrader's CLI and formgrader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool, Dict

from autograder.bundle import read_bundle
from autograder.course import Instance
from autograder.grade.intake import IntakeReport, take_in_place
from autograder.grade.job import Grader
from autograder.grade.rebuild import KIND, rebuild
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.verdict import NotebookVerdict, Outcome
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


class Judge(NbGraderPreprocessor):  # type: ignore[misc]
    """Judges the rebuilt notebook and writes its outcome into the cells' outputs, where nbgrader reads grades."""

    unsafe_no_sandbox = Bool(
        False, help="Run hand-ins without bubblewrap; only where every hand-in is trusted."
    ).tag(config=True)
    limits = Dict(help="Fields of autograder.grade.sandbox.Limits to replace, by name.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        instance, lab, student, notebook_id = _where(self, resources)
        bundle = read_bundle(instance.bundle(lab))
        master = bundle.notebook(notebook_id)
        files = [instance.submitted / student / lab / name for name in bundle.extra_files]
        grader = Grader.of(instance, bundle, Sandbox(Limits(**self.limits), self.unsafe_no_sandbox))
        verdict = grader.judge(master, nb, [file for file in files if file.is_file()])
        verdict.notes += nb.metadata.pop("course_notes", [])
        verdict.notes += self._intake_notes(instance, student, lab, notebook_id)
        path = instance.verdicts / lab / student / f"{notebook_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(verdict.to_json(), "utf-8")
        write_outcome(nb, verdict)
        resources["course"] = {
            "not_gradable": {cell.grade_id for cell in verdict.cells if cell.outcome is Outcome.NOT_GRADABLE}
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
    """Writes scores into the gradebook; asks for a person only where an automatic score changed."""

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
