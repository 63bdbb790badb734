"""Run the judge on one rebuilt notebook, in a process of its own that knows no secret but a derived seed."""

from __future__ import annotations

import hmac
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from nbformat import NotebookNode

from autograder.bundle import Bundle, MasterNotebook
from autograder.course import Instance
from autograder.errors import CourseError
from autograder.grade.rebuild import KIND, rebuild, submission_hash
from autograder.grade.sandbox import Sandbox, require
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome

JUDGE_MEMORY = 8 << 30
"""Address space of the judge, bytes."""
GRACE_SECONDS = 60
"""How much longer than its notebook's limit a judge may take before it is ended."""


@dataclass
class JudgeFault(Exception):
    """The judge's process failed. `detail` is for staff."""

    detail: str


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
                fault = failure.detail
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
        """One run of the judge. Raises JudgeFault."""
        full = {cell.id: cell for cell in master.cells}
        job = {
            "notebook": master.id,
            "seed": self.seed(
                master.id, "|".join([submission_hash(notebook), *map(_file_hash, sorted(files))])
            ),
            "limits": asdict(self.sandbox.limits),
            "unsafe": self.sandbox.unsafe,
            "files": [str(file) for file in files],
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
        with tempfile.TemporaryDirectory(prefix="judge") as folder:
            Path(folder).chmod(0o711)  # the sandbox's account has to reach the socket folder below
            result = Path(folder) / "verdict.json"
            command = [require("prlimit", "util-linux"), f"--as={JUDGE_MEMORY}", "--core=0"]
            command += [sys.executable, "-I", "-m", "autograder.grade.judge", str(result)]
            try:
                done = subprocess.run(
                    command,
                    input=json.dumps(job),
                    text=True,
                    capture_output=True,
                    cwd="/",
                    env=_environment(folder),
                    umask=0o077,  # the verdict lies in a folder that other accounts can pass through
                    timeout=self.sandbox.limits.notebook_seconds + GRACE_SECONDS,
                )
            except subprocess.TimeoutExpired as error:
                raise JudgeFault("the judge did not end in time") from error
            if done.returncode != 0:
                raise JudgeFault(done.stderr[-2000:] or f"the judge ended with status {done.returncode}")
            return NotebookVerdict.from_json(result.read_text("utf-8"))

    def _require_healthy(self, master: MasterNotebook, fault: str) -> None:
        control, _ = rebuild(master, {"cells": []})
        try:
            self.run(master, control, [])
        except JudgeFault as failure:
            raise CourseError(
                f"{self.bundle.lab}, {master.id}: the judge fails even on the released notebook, "
                f"so nothing was scored.\n{fault}"
            ) from failure


def _file_hash(file: Path) -> str:
    return f"{file.name}:{sha256(file.read_bytes()).hexdigest()}"


def _environment(home: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": home,
    }
