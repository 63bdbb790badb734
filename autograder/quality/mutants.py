"""Wrong solutions (mutants): each must pass or fail as its file says, and die on the check it names.

    python -I -m autograder.quality.mutants RESULT < job.json

One notebook's mutants run in one process: the shared cells and the reference once, then a fork for
each mutant, in which the wrong solution replaces the right one and only the grade cell of its
function is judged. Values cross the same wire as in the judge.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder.build.names import defined_names, free_names
from autograder.bundle import MasterNotebook
from autograder.course import ROOT
from autograder.errors import QualityError
from autograder.grade.judge import grade_cell
from autograder.grade.session import read_answer, reference_name
from autograder.grade.verdict import CellVerdict, Outcome
from labkit import probe, values

CPU_SECONDS = 30
"""Hard limit of one mutant. The aim is 5."""
FOLDER = ROOT / "tests" / "mutants"


@dataclass(frozen=True)
class Mutant:
    """A wrong solution as a patch of the reference: in the cell that defines `function`, `find` becomes `replace`.

    `killed_by` is the beginning of the label of the check that must fail.
    """

    name: str
    function: str
    grade_id: str
    killed_by: str
    passes_visible: bool
    describe: str
    find: str
    replace: str


@dataclass(frozen=True)
class Fate:
    """What became of a mutant; `why` is empty when it died as its file says."""

    name: str
    why: str
    seconds: float


def read_mutants(lab_id: str, notebook_id: str, folder: Path = FOLDER) -> list[Mutant]:
    """The mutants of one notebook. Raises QualityError when the file is wrong."""
    path = folder / lab_id / f"{notebook_id}.toml"
    if not path.is_file():
        return []
    try:
        return [Mutant(**entry) for entry in tomllib.loads(path.read_text("utf-8"))["mutant"]]
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise QualityError(f"{path}: {error}") from error


def missing_functions(master: MasterNotebook, mutants: list[Mutant]) -> list[str]:
    """Functions a student writes for which no mutant exists."""
    return sorted(set(master.functions()) - {mutant.function for mutant in mutants})


def run_mutants(master: MasterNotebook, mutants: list[Mutant]) -> list[Fate]:
    """Run every mutant of a notebook in a process of its own; one Fate each, in order."""
    job = {"notebook": asdict(master), "mutants": [asdict(mutant) for mutant in mutants]}
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        result = Path(folder) / "fates.json"
        command = [sys.executable, "-I", "-m", "autograder.quality.mutants", str(result)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            command, input=json.dumps(job), text=True, capture_output=True, env=environment, cwd=folder
        )
        if done.returncode != 0:
            raise QualityError(f"{master.id}: the mutants could not be run:\n{done.stderr[-3000:]}")
        return [Fate(**fate) for fate in json.loads(result.read_text("utf-8"))]


class Local:
    """The student's side in this process; calls pass through the same wire as to a kernel."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call a function of the namespace with values that crossed the wire."""
        request = values.encode([name, args, kwargs], reference=reference_name)
        return read_answer(probe.answer(request, self.namespace))

    def define(self, source: str) -> None:
        """Define a probe in the namespace."""
        exec(compile(source, "<probe>", "exec"), self.namespace)


class Bench:
    """A notebook's names with the reference in place, ready to have one solution replaced."""

    def __init__(self, notebook: dict[str, Any]) -> None:
        self.cells = notebook["cells"]
        self.functions = [name for cell in self.cells for name in cell["defines"]]
        solutions = [cell for cell in self.cells if cell["kind"] == "solution"]
        needed = set().union(*(free_names(cell["full"]) for cell in solutions)) - set(self.functions)
        self.trusted: dict[str, Any] = {"__name__": "__main__"}
        self.student: dict[str, Any] = {"__name__": "__main__"}
        for cell in self.cells:
            if cell["kind"] == "shared":
                exec(compile(cell["full"], "<shared>", "exec"), self.trusted)
                self.student |= self.trusted
            elif cell["kind"] == "solution" or (
                cell["kind"] == "provided" and defined_names(cell["full"]) & needed
            ):
                exec(compile(cell["full"], "<solution>", "exec"), self.student)

    def judge(self, grade_id: str, *, visible_only: bool) -> CellVerdict:
        """The verdict on one grade cell."""
        (cell,) = [
            cell for cell in self.cells if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id
        ]
        source = cell["released"] if visible_only else cell["full"]
        job = {"id": grade_id, "source": source, "points": cell["metadata"]["nbgrader"]["points"]}
        return grade_cell(job, Local(self.student), self.trusted, self.functions)

    def fate(self, mutant: Mutant) -> str:
        """Replace the solution and judge; an empty string when the mutant died as its file says."""
        position = [i for i, cell in enumerate(self.cells) if mutant.function in cell["defines"]]
        if not position:
            return f"no solution cell defines {mutant.function}"
        original = self.cells[position[0]]["full"]
        if original.count(mutant.find) != 1:
            return (
                f"the text to replace occurs {original.count(mutant.find)} times in the reference, not once"
            )
        changed = original.replace(mutant.find, mutant.replace)
        for number, cell in enumerate(self.cells[position[0] :]):
            if cell["kind"] == "solution":
                exec(compile(changed if number == 0 else cell["full"], "<mutant>", "exec"), self.student)
        if mutant.passes_visible:
            visible = self.judge(mutant.grade_id, visible_only=True)
            if visible.outcome is not Outcome.PASS:
                return f"it should pass the visible checks but did not: {visible.message}"
        verdict = self.judge(mutant.grade_id, visible_only=False)
        if verdict.outcome is Outcome.PASS:
            return "SURVIVED: every check passed"
        failed = [check.label for check in verdict.checks if not check.passed] or [verdict.outcome.value]
        return (
            ""
            if any(label.startswith(mutant.killed_by) for label in failed)
            else f"killed by {failed[0]!r} ({verdict.message[:200]}), not by {mutant.killed_by!r}"
        )


def _in_fork(bench: Bench, mutant: Mutant) -> Fate:
    """Run one mutant in a child process, so that it leaves nothing behind."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            answer = bench.fate(mutant)
        except BaseException as error:
            answer = f"the run itself failed: {type(error).__name__}: {error}"
        os.write(writer, answer.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        answer = "" if mutant.killed_by == "timeout" else f"used more than {CPU_SECONDS} s of CPU or died"
    return Fate(mutant.name, answer, round(usage.ru_utime + usage.ru_stime, 2))


def main() -> None:
    """Read a job from standard input, write the fates to the file named on the command line."""
    job = json.load(sys.stdin)
    bench = Bench(job["notebook"])
    fates = [_in_fork(bench, Mutant(**mutant)) for mutant in job["mutants"]]
    Path(sys.argv[1]).write_text(json.dumps([asdict(fate) for fate in fates]), "utf-8")


if __name__ == "__main__":
    main()
