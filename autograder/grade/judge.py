"""The judge: grade cells run here, in a process of their own; student code runs in a kernel; only values cross.

    python -I -m autograder.grade.judge RESULT < job.json

The job (see `autograder.grade.job`) names the cells in order. Student, provided and shared cells run
in the kernel; shared cells run here too, because grade cells use their names. A student's function is
a proxy here: calling it sends encoded arguments and brings back an encoded value.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from labkit.probe import StudentError, finite_required

from autograder.grade.kernel import CellResult, KernelLost, StudentKernel
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.verdict import CellVerdict, CheckReport, NotebookVerdict, Outcome, RunReport
from labkit import checks, values

RESTARTS = 2
"""How often a kernel that died or hung is started again for one notebook."""
NOT_IMPLEMENTED = "not written yet: the function still raises NotImplementedError"


class Lost(StudentError):
    """A call during which the kernel was lost; `outcome` says how."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        self.outcome = outcome
        super().__init__([outcome.value], message)


class GraderFault(BaseException):
    """The sandbox failed, not the student. Not an Exception, so that no test can swallow it."""


class Calls(Protocol):
    """Where a proxy's calls go."""

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call a function of the notebook with plain values."""

    def define(self, source: str) -> None:
        """Define a probe beside the student's code."""


class Proxy:
    """Stands for a function of the student's notebook; crosses by name when passed to a probe."""

    def __init__(self, session: Calls, name: str, remote_name: str) -> None:
        self._session = session
        self._remote_name = remote_name
        self.__name__ = name

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self._session.call(self._remote_name, args, kwargs)


def reference_name(value: object) -> str | None:
    """The name under which a proxy crosses, None for any other value."""
    return value._remote_name if isinstance(value, Proxy) else None


def read_answer(reply: str) -> Any:
    """The value in an encoded answer. Raises StudentError for the student's own error, Lost for what is no value."""
    try:
        kind, *content = values.decode(reply, finite=False)
        if kind == "value" and len(content) == 1:
            if finite_required():
                values.decode(reply, finite=True)
            return content[0]
        kinds, message = content
        error = StudentError([str(item)[:80] for item in kinds][:10], str(message)[:500])
    except values.NotAValue as problem:
        raise Lost(Outcome.FORBIDDEN, f"what came back is not a plain value: {problem}") from problem
    except (ValueError, TypeError) as problem:
        raise Lost(Outcome.FORBIDDEN, "what came back is not a plain value") from problem
    raise error


class Session:
    """One notebook's kernel, restarted and replayed when it is lost."""

    def __init__(self, sandbox: Sandbox, files: list[Path]) -> None:
        self.sandbox = sandbox
        self.files = files
        self.deadline = time.monotonic() + sandbox.limits.notebook_seconds
        self.history: list[str] = []
        self.restarts = 0
        self.lost_in: dict[str, Outcome] = {}
        self.kernel_cpu = 0.0
        self.cells_cpu = 0.0
        self.stack = contextlib.ExitStack()
        self.kernel: StudentKernel | None = None

    def close(self) -> None:
        self._count_cpu()
        self.stack.close()
        self.kernel = None

    def run(self, source: str) -> CellResult:
        """Run a cell and remember it for a replay. Raises KernelLost; such a cell is not replayed."""
        kernel = self._alive()
        try:
            result = kernel.run(source, self._seconds(self.sandbox.limits.cell_seconds))
        except KernelLost:
            self._discard()
            raise
        self.history.append(source)
        return result

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call a function of the notebook. Raises Lost or StudentError."""
        request = values.encode([name, args, kwargs], reference=reference_name)
        if self.restarts >= RESTARTS and name in self.lost_in:
            # the last restart is kept for functions that have not hung or died before
            raise Lost(self.lost_in[name], "did not come back from an earlier check and is not called again")
        try:
            kernel = self._alive()
            reply = kernel.call(request, self._seconds(self.sandbox.limits.check_seconds))
        except KernelLost as loss:
            if loss.outcome is Outcome.GRADER_FAULT:
                raise GraderFault(str(loss)) from loss
            if loss.outcome is not Outcome.FORBIDDEN:
                self.lost_in[name] = loss.outcome
                self._discard()
            raise Lost(loss.outcome, str(loss)) from loss
        return read_answer(reply)

    def define(self, source: str) -> None:
        """Define a probe beside the student's code."""
        try:
            self._alive().run(source, self._seconds(self.sandbox.limits.check_seconds))
        except KernelLost as loss:
            self._discard()
            raise Lost(loss.outcome, str(loss)) from loss

    def _seconds(self, limit: float) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise KernelLost(
                Outcome.TIMEOUT, f"the notebook took longer than {self.sandbox.limits.notebook_seconds} s"
            )
        return min(limit, left)

    def _alive(self) -> StudentKernel:
        """The kernel; after a loss a new one with the earlier cells replayed."""
        if self.kernel is None:
            if self.restarts > RESTARTS:
                raise KernelLost(
                    Outcome.ERROR,
                    f"the notebook's process was lost {self.restarts} times; it is not started again",
                )
            self.kernel = self.stack.enter_context(StudentKernel(self.sandbox, self.files))
            for source in self.history:
                try:
                    self.kernel.run(source, self._seconds(self.sandbox.limits.cell_seconds))
                except KernelLost:
                    self._discard()
                    raise
        return self.kernel

    def _discard(self) -> None:
        self._count_cpu()
        self.stack.close()
        self.stack = contextlib.ExitStack()
        self.kernel = None
        self.restarts += 1

    def _count_cpu(self) -> None:
        if self.kernel is not None:
            used = self.kernel.cpu_seconds()  # bubblewrap does not pass its child's usage on when it ends
            self.kernel_cpu += used
            self.cells_cpu += max(0.0, used - self.kernel.started_cpu)


def judge_notebook(job: dict[str, Any]) -> NotebookVerdict:
    """Judge one notebook. Student code can make any cell fail; it cannot make this function raise."""
    sandbox = Sandbox(Limits(**job["limits"]), job["unsafe"])
    verdict = NotebookVerdict(job["notebook"], sandbox=sandbox.describe())
    checks.set_hidden_seed(job["seed"])
    session = Session(sandbox, [Path(file) for file in job["files"]])
    trusted: dict[str, Any] = {"__name__": "__main__"}
    functions: list[str] = []
    try:
        for cell in job["cells"]:
            if cell["kind"] == "grade":
                verdict.cells.append(grade_cell(cell, session, trusted, functions))
                continue
            verdict.runs.append(_run(cell, session))
            if cell["kind"] == "shared":
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(cell["source"], f"<{cell['id']}>", "exec"), trusted)
            functions += cell["defines"]
    finally:
        session.close()
    verdict.restarts = session.restarts
    judge = resource.getrusage(resource.RUSAGE_SELF)
    verdict.cpu_seconds = round(session.kernel_cpu + judge.ru_utime + judge.ru_stime, 3)
    verdict.cells_cpu_seconds = round(session.cells_cpu, 3)
    return verdict


def _run(cell: dict[str, Any], session: Session) -> RunReport:
    try:
        result = session.run(cell["source"])
    except KernelLost as loss:
        if loss.outcome is Outcome.GRADER_FAULT:
            raise GraderFault(str(loss)) from loss
        return RunReport(cell["id"], loss.outcome, str(loss))
    if result.error is None:
        return RunReport(cell["id"], Outcome.PASS, outputs=result.outputs)
    name, text = result.error
    outcome = Outcome.OUT_OF_MEMORY if _is_memory([name], text) else Outcome.ERROR
    return RunReport(cell["id"], outcome, f"{name}: {text}", result.outputs)


def grade_cell(
    cell: dict[str, Any], session: Calls, trusted: dict[str, Any], functions: list[str]
) -> CellVerdict:
    """Run one grade cell: `trusted` are names of shared cells, `functions` become proxies of the student's."""
    verdict = CellVerdict(cell["id"], Outcome.PASS, cell["points"], cell["points"])
    namespace = {**trusted, **{name: Proxy(session, name, name) for name in functions}}
    namespace["probe"] = _prober(cell["source"], session)
    checks.clear()
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(cell["source"], f"<{cell['id']}>", "exec"), namespace)
    except Exception as error:
        verdict.outcome, verdict.message = classify(error)
        verdict.points = 0.0
    verdict.seconds = round(time.monotonic() - started, 3)
    verdict.checks = [CheckReport(**asdict(check)) for check in checks.recorded()]
    return verdict


def classify(error: Exception) -> tuple[Outcome, str]:
    """The outcome an error of a grade cell stands for, and the message the student reads.

    An error that is neither a failed check nor the student's own comes from a value of another form
    than the check expects (a key that is missing, a shape that does not fit): with the reference
    solution every check passes, which `course verify` proves.
    """
    if isinstance(error, AssertionError):
        return Outcome.FAIL, str(error) or "a check did not hold"
    if isinstance(error, KernelLost):
        return error.outcome, str(error)
    if isinstance(error, Lost):
        return error.outcome, error.message
    if isinstance(error, StudentError):
        if _is_memory(error.kinds, error.message):
            return Outcome.OUT_OF_MEMORY, f"{error}"[:500]
        if "NotImplementedError" in error.kinds and not error.message:
            return Outcome.ERROR, NOT_IMPLEMENTED
        if "NotAValue" in error.kinds:
            return Outcome.FORBIDDEN, error.message
        return Outcome.ERROR, f"your code raised {error}"
    return (
        Outcome.ERROR,
        f"the value your code returned has another form than expected ({type(error).__name__}: {str(error)[:200]})",
    )


def _is_memory(kinds: list[str], message: str) -> bool:
    return "MemoryError" in kinds or "can't allocate memory" in message or "not enough memory" in message


def _prober(source: str, session: Calls) -> Callable[[Callable[..., Any]], Proxy]:
    """The judge's `probe`: ships the marked function to the kernel and returns a proxy for it."""
    shipped = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any(
            getattr(mark, "id", "") == "probe" for mark in node.decorator_list
        ):
            node.decorator_list = []
            original, node.name = node.name, f"_probe_{node.name}"
            shipped[original] = ast.unparse(node)

    def probe(function: Callable[..., Any]) -> Proxy:
        session.define(shipped[function.__name__])
        return Proxy(session, function.__name__, f"_probe_{function.__name__}")

    return probe


def main() -> None:
    """Read a job from standard input, write the verdict to the file named on the command line."""
    job = json.load(sys.stdin)
    verdict = judge_notebook(job)
    Path(sys.argv[1]).write_text(verdict.to_json(), "utf-8")


if __name__ == "__main__":
    main()
