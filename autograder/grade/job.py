"""What the judge is given for one rebuilt notebook; it knows no secret but a seed derived for this hand-in."""

from __future__ import annotations

import atexit
import hmac
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from autograder.bundle import Bundle, MasterNotebook
from autograder.course import Instance
from autograder.errors import CourseError
from autograder.grade.rebuild import KIND, rebuild, submission_hash
from autograder.grade.sandbox import Sandbox
from autograder.grade.slot import JudgeFault, Slot
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome


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

    def judge(self, master: MasterNotebook, notebook: NotebookNode, files: list[Path]) -> NotebookVerdict:
        """The verdict on a rebuilt notebook. A judge that fails twice makes it `not_gradable`.

        Raises CourseError when the judge fails on the released notebook too: then the machine or the
        lab is at fault, and no hand-in is scored.
        """
        fault = ""
        for _ in range(2):
            try:
                return self.run(master, notebook, files)
            except JudgeFault as failure:
                fault = str(failure)
        self._require_healthy(master, fault)
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
        return NotebookVerdict(master.id, cells, fault=fault)

    def seed(self, notebook_id: str, submission: str) -> int:
        """The seed of a hand-in's hidden inputs: repeatable for a regrade, unknown to students."""
        message = f"{submission}|{notebook_id}|{self.bundle.version}".encode()
        return int(hmac.new(self.secret.encode(), message, sha256).hexdigest()[:12], 16)

    def run(self, master: MasterNotebook, notebook: NotebookNode, files: list[Path]) -> NotebookVerdict:
        """One run of the judge in this process's slot. Raises JudgeFault."""
        return own_slot(self.sandbox).judge(self.job(master, notebook, files))

    def job(self, master: MasterNotebook, notebook: NotebookNode, files: list[Path]) -> dict[str, Any]:
        """Everything a judge needs for one rebuilt notebook, in plain values; `files` by name with their bytes."""
        full = {cell.id: cell for cell in master.cells}
        handed_in = {file.name: file.read_bytes() for file in sorted(files)}
        hashes = [f"{name}:{sha256(content).hexdigest()}" for name, content in handed_in.items()]
        return {
            "notebook": master.id,
            "seed": self.seed(master.id, "|".join([submission_hash(notebook), *hashes])),
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

    def _require_healthy(self, master: MasterNotebook, fault: str) -> None:
        control, _ = rebuild(master, {"cells": []})
        try:
            self.run(master, control, [])
        except JudgeFault as failure:
            raise CourseError(
                f"{self.bundle.lab}, {master.id}: the judge fails even on the released notebook, "
                f"so nothing was scored.\n{fault}"
            ) from failure


@cache
def own_slot(sandbox: Sandbox) -> Slot:
    """This process's slot for a kind of sandbox, started when it is first needed and closed at exit."""
    slot = Slot(sandbox)
    slot.__enter__()
    atexit.register(slot.__exit__)
    return slot
