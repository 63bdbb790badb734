"""What the judge is given for one rebuilt notebook; it knows no secret but a seed derived for this hand-in."""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from autograder.bundle import Bundle, MasterNotebook
from autograder.course import Instance
from autograder.errors import CourseError
from autograder.grade.rebuild import KIND, rebuild, submission_hash
from autograder.grade.sandbox import Sandbox
from autograder.grade.slot import JudgeFault
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome
from autograder.grade.work import Fault, pack, unpack, work


@dataclass(frozen=True)
class Grader:
    """Everything that judging needs besides the hand-in."""

    bundle: Bundle
    secret: str
    sandbox: Sandbox = field(default_factory=Sandbox)

    @classmethod
    def of(cls, instance: Instance, bundle: Bundle, sandbox: Sandbox) -> Grader:
        """The grader of an instance, with the instance's secret."""
        return cls(bundle, instance.secret.read_text().strip(), sandbox)

    def judge(self, master: MasterNotebook, job: dict[str, Any]) -> NotebookVerdict:
        """The verdict on a job, from this process. One that cannot be judged twice becomes `not_gradable`.

        Raises CourseError when the judge fails on the released notebook too: then the machine or the
        lab is at fault, and no hand-in is scored.
        """
        result = self.attempt(job)
        if isinstance(result, NotebookVerdict):
            return result
        control, _ = rebuild(master, {"cells": []})
        if result.machine or isinstance(self.attempt(self.job(master, control, [])), Fault):
            raise CourseError(
                f"{self.bundle.lab}, {master.id}: the judge fails even on the released notebook, "
                f"so nothing was scored.\n{result.text}"
            )
        cells = [
            CellVerdict(
                cell.grade_id or "",
                Outcome.NOT_GRADABLE,
                0.0,
                cell.points,
                "could not be judged; your teacher looks at it",
            )
            for cell in master.cells
            if cell.kind == "grade"
        ]
        return NotebookVerdict(master.id, cells, fault=result.text)

    def attempt(self, job: dict[str, Any]) -> NotebookVerdict | Fault:
        """Judge a job in this process."""
        return unpack(work(pack(job, self.sandbox)))

    def run(self, master: MasterNotebook, notebook: NotebookNode, files: list[Path]) -> NotebookVerdict:
        """The verdict on a rebuilt notebook, from this process. Raises JudgeFault."""
        result = self.attempt(self.job(master, notebook, files))
        if isinstance(result, Fault):
            raise JudgeFault(result.text)
        return result

    def seed(self, master: MasterNotebook, submission: str) -> int:
        """The seed of a hand-in's hidden inputs: repeatable for a regrade, unknown to students."""
        message = f"{submission}|{master.id}|{master.version}".encode()
        return int(hmac.new(self.secret.encode(), message, sha256).hexdigest()[:12], 16)

    def job(self, master: MasterNotebook, notebook: NotebookNode, files: list[Path]) -> dict[str, Any]:
        """Everything a judge needs for one rebuilt notebook, in plain values; `files` by name with their bytes."""
        full = {cell.id: cell for cell in master.cells}
        handed_in = {file.name: file.read_bytes() for file in sorted(files)}
        hashes = [f"{name}:{sha256(content).hexdigest()}" for name, content in handed_in.items()]
        return {
            "notebook": master.id,
            "seed": self.seed(master, "|".join([submission_hash(notebook), *hashes])),
            "limits": asdict(self.sandbox.limits),
            "files": handed_in,
            "cells": [
                {
                    "id": cell.id,
                    "kind": cell.metadata[KIND],
                    "source": full[cell.id].full if cell.metadata[KIND] == "grade" else cell.source,
                    "points": full[cell.id].points if cell.id in full else 0.0,
                    "defines": full[cell.id].defines if cell.id in full else [],
                }
                for cell in notebook.cells
                if cell.cell_type == "code" and cell.metadata[KIND] != "written"
            ],
        }
