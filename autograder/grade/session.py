"""One notebook's kernel over the time of its judging: calls, proxies, restarts with replay."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Protocol

from labkit.probe import StudentError, finite_required

from autograder.grade.kernel import CellResult, KernelLost, StudentKernel
from autograder.grade.sandbox import Sandbox
from autograder.grade.verdict import Outcome
from labkit import values

RESTARTS = 2
"""How often a kernel that died or hung is started again for one notebook."""


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

    def seconds_left(self) -> float:
        """Until the notebook's own limit."""
        return self.deadline - time.monotonic()

    def _seconds(self, limit: float) -> float:
        left = self.seconds_left()
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
