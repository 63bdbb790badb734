"""The judge: grade cells run here, in a process and a sandbox of their own; only plain values come in.

The job (see `autograder.grade.job`) names the cells in order. Student, provided and shared cells run
in the kernel; shared cells run here too, because grade cells use their names. Where a grade cell stands,
the kernel is copied. When the last cell has run, each grade cell is run here against its copy: a student's
function is a proxy, and calling it sends encoded arguments and brings back an encoded value.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labkit.probe import NOT_A_VALUE, NOT_DEFINED, StudentError

from autograder.grade import shown
from autograder.grade.channel import receive, send
from autograder.grade.kernel import MESSAGE_BYTES, Keeper, KernelLost
from autograder.grade.relevant import relevant_parts
from autograder.grade.sandbox import Limits
from autograder.grade.session import Calls, Copy, GraderFault, Lost, Proxy, Session
from autograder.grade.verdict import CellVerdict, CheckReport, NotebookVerdict, Outcome, RunReport
from labkit import checks

NOTEBOOK_OUTPUT = 5_000_000
"""Characters of output kept per notebook; later cells lose theirs."""
NOT_IMPLEMENTED = "not written yet: the function still raises NotImplementedError"
JOB_BYTES = 256 << 20
ANSWER_SECONDS = 180.0
"""For the slot to start a kernel on a machine that is busy."""


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Interrupt the judge's own work on a grade cell after this long: values can be made to be slow to look at."""

    def too_long(*_: object) -> None:
        raise KernelLost(Outcome.TIMEOUT, "looking at what your code returned took too long")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge_notebook(job: dict[str, Any], keeper: Keeper, jobs: Path) -> NotebookVerdict:
    """Judge one notebook. Student code can make any cell fail; it cannot make this function raise.

    `jobs` is the folder in which kernels' folders appear. CPU time in the verdict is that of grade cells.
    """
    limits = Limits(**job["limits"])
    verdict = NotebookVerdict(job["notebook"])
    checks.set_hidden_seed(job["seed"])
    session = Session(keeper, limits, jobs)
    trusted: dict[str, Any] = {"__name__": "__main__"}
    functions: list[str] = []
    waiting: list[tuple[GradeCell, Copy]] = []
    size = 0
    sources = {
        kind: [cell["source"] for cell in job["cells"] if cell["kind"] == kind]
        for kind in ("shared", "grade")
    }
    parts = iter(relevant_parts(sources["shared"], sources["grade"]))
    for cell in job["cells"]:
        if cell["kind"] == "grade":
            copy = session.copy()
            waiting.append((GradeCell(cell, copy, dict(trusted), list(functions)), copy))
            continue
        run = _run(cell, session)
        size += len(json.dumps(run.outputs))
        if size > NOTEBOOK_OUTPUT:
            run.outputs = []
        verdict.runs.append(run)
        if cell["kind"] == "shared":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(next(parts), f"<{cell['id']}>", "exec"), trusted)
        functions += cell["defines"]
    session.settle()
    started = time.process_time()
    # every visible part before the first hidden one: copies share files and memory, and a visible part is told whole
    for part in (GradeCell.visible, GradeCell.hidden):
        for graded, _ in waiting:
            try:
                with _bounded(session.seconds(limits.notebook_seconds)):
                    part(graded)
            except KernelLost as loss:
                graded.fail(loss.outcome, str(loss))
    for graded, copy in waiting:
        verdict.cells.append(graded.verdict)
        copy.close()
    verdict.restarts = session.restarts
    verdict.cells_cpu_seconds = time.process_time() - started
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


class GradeCell:
    """One grade cell: its visible part, then its hidden one, if the first held."""

    def __init__(
        self, cell: dict[str, Any], session: Calls, trusted: dict[str, Any], functions: list[str]
    ) -> None:
        """`trusted` are names of shared cells, `functions` become proxies of the student's."""
        self.verdict = CellVerdict(cell["id"], Outcome.PASS, cell["points"], cell["points"])
        self.namespace = {**trusted, **{name: Proxy(session, name, name) for name in functions}}
        self.namespace["probe"] = _prober(cell["source"], session)
        self.parts = shown.split(cell["source"])

    def visible(self) -> None:
        """Run the part that students have; what comes of it is told whole."""
        self.verdict.checks += self._run(self.parts[0], hidden=False)

    def hidden(self) -> None:
        """Run the rest, unless the cell has failed already; of it only what the judge measured is told."""
        if self.verdict.outcome is Outcome.PASS:
            self.verdict.checks += map(shown.of_hidden_check, self._run(self.parts[1], hidden=True))

    def fail(self, outcome: Outcome, message: str) -> None:
        """The cell earns nothing."""
        self.verdict.outcome, self.verdict.message, self.verdict.points = outcome, message[:1000], 0.0

    def _run(self, part: str, *, hidden: bool) -> list[CheckReport]:
        checks.clear()
        started = time.monotonic()
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(part, f"<{self.verdict.grade_id}>", "exec"), self.namespace)
        except Exception as error:
            self.fail(*classify(error, hidden=hidden))
        self.verdict.seconds = round(self.verdict.seconds + time.monotonic() - started, 3)
        return [CheckReport(**asdict(check)) for check in checks.recorded()]


def grade_cell(
    cell: dict[str, Any], session: Calls, trusted: dict[str, Any], functions: list[str]
) -> CellVerdict:
    """Run both parts of a grade cell, one after the other."""
    graded = GradeCell(cell, session, trusted, functions)
    graded.visible()
    graded.hidden()
    return graded.verdict


def classify(error: Exception, *, hidden: bool = False) -> tuple[Outcome, str]:
    """The outcome an error of a grade cell stands for, and the message the student reads.

    `hidden` says that it arose after the visible part. An error that is neither a failed check nor the student's
    own comes from a value of another form than the check expects (a key that is missing, a shape that does not
    fit): with the reference solution every check passes, which `course verify` proves.
    """
    if isinstance(error, AssertionError):
        last = checks.recorded()[-1:]
        if not hidden:
            return Outcome.FAIL, str(error) or "a check did not hold"
        if not isinstance(error, checks.CheckFailed) or not last:
            return Outcome.FAIL, "a check did not hold"
        told = shown.of_hidden_check(CheckReport(**asdict(last[0])))
        line = f"{last[0].label}: {last[0].value}, {last[0].limit}"
        return Outcome.FAIL, f"{told.label}: {told.value}, {told.limit}" + str(error).removeprefix(line)
    if isinstance(error, KernelLost):
        return error.outcome, str(error)
    if isinstance(error, Lost):
        refused = hidden and error.outcome is Outcome.FORBIDDEN
        return error.outcome, "what came back is not a plain value" if refused else error.message
    if isinstance(error, StudentError):
        if "NotImplementedError" in error.kinds and not error.message:
            return Outcome.ERROR, NOT_IMPLEMENTED
        if _is_memory(error.kinds, error.message):
            return Outcome.OUT_OF_MEMORY, "not enough memory" if hidden else f"{error}"[:500]
        if hidden:
            return shown.of_hidden_error(error)
        if error.kinds[:1] == [NOT_A_VALUE]:
            return Outcome.FORBIDDEN, error.message
        if error.kinds[:1] == [NOT_DEFINED]:
            return Outcome.ERROR, f"{error.message}: did the cell that defines it raise an error?"
        return Outcome.ERROR, f"your code raised {error}"
    detail = "" if hidden else f": {str(error)[:200]}"  # the text of a KeyError is a key that came back
    return (
        Outcome.ERROR,
        f"the value your code returned has another form than expected ({type(error).__name__}{detail})",
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


class SlotKeeper:
    """The slot at the other end of the judge's channel."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def ask(self, question: str, kernel: int | None = None) -> dict[str, Any]:
        """Send one question and wait for its answer."""
        send(self.channel, {"ask": question, "kernel": kernel})
        return receive(self.channel, MESSAGE_BYTES, time.monotonic() + ANSWER_SECONDS)


def serve(channel: socket.socket, jobs: str) -> None:
    """Take one job from the slot, send back the verdict or why there is none. The process ends after this."""
    try:
        job = receive(channel, JOB_BYTES, time.monotonic() + ANSWER_SECONDS)
        verdict = judge_notebook(job, SlotKeeper(channel), Path(jobs))
        send(channel, {"ask": "verdict", "verdict": verdict.to_json()})
    except BaseException:
        send(channel, {"ask": "fault", "text": traceback.format_exc()})
