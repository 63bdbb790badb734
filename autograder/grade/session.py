"""One notebook's kernel over the time of its judging: cells, copies for the checks, restarts with replay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

from labkit.probe import StudentError, finite_required

from autograder.grade.kernel import BRANCH_SECONDS, Branch, CellResult, Keeper, KernelLost, StudentKernel
from autograder.grade.sandbox import Limits
from autograder.grade.verdict import Outcome
from labkit import values

RESTARTS = 2
"""How often a kernel that died or hung is started again for one notebook."""
PATIENCE = 2
"""How often a function may hang or die before it is not called again."""


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
    """One notebook's kernel, restarted and replayed when it is lost, and copied where a grade cell stands.

    All cells run first. `settle` then ends the kernel, and only after that are copies asked: no input of a
    hidden test is in the sandbox while outputs are still taken from it.
    """

    def __init__(self, keeper: Keeper, limits: Limits, jobs: Path) -> None:
        self.keeper = keeper
        self.limits = limits
        self.jobs = jobs
        self.deadline = time.monotonic() + limits.notebook_seconds
        self.history: list[str] = []
        self.restarts = 0
        self.losses: dict[str, list[Outcome]] = {}
        self.kernel: StudentKernel | None = None

    def run(self, source: str) -> CellResult:
        """Run a cell and remember it for a replay. Raises KernelLost; such a cell is not replayed."""
        kernel = self._alive()
        try:
            result = kernel.run(source, self.seconds(self.limits.cell_seconds))
        except KernelLost:
            self._discard()
            raise
        self.history.append(source)
        return result

    def copy(self) -> Copy:
        """The notebook as it is now, to be asked after `settle`."""
        try:
            return Copy(self, self._alive().branch(self.seconds(BRANCH_SECONDS)))
        except KernelLost as loss:
            if loss.outcome is Outcome.GRADER_FAULT:
                raise GraderFault(str(loss)) from loss
            if self.kernel is not None:
                self._discard()  # it is dead, or its late copy would be taken for the next one
            return Copy(self, loss)

    def settle(self) -> None:
        """End the kernel; its copies stay."""
        if self.kernel is not None:
            self.kernel.end()
            self.kernel = None

    def seconds(self, limit: float) -> float:
        """`limit`, or what is left of the notebook's own. Raises KernelLost when nothing is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise KernelLost(
                Outcome.TIMEOUT, f"the notebook took longer than {self.limits.notebook_seconds} s"
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
            self.kernel = StudentKernel(self.keeper, self.jobs).__enter__()
            for source in self.history:
                try:
                    self.kernel.run(source, self.seconds(self.limits.cell_seconds))
                except KernelLost:
                    self._discard()
                    raise
        return self.kernel

    def _discard(self) -> None:
        self.settle()
        self.restarts += 1


class Copy:
    """The notebook at the point of one grade cell."""

    def __init__(self, session: Session, branch: Branch | KernelLost) -> None:
        self.session = session
        self.branch = branch

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """Call a function of the notebook. Raises Lost or StudentError."""
        request = values.encode([name, args, kwargs], reference=reference_name)
        losses = self.session.losses.setdefault(name, [])
        if len(losses) >= PATIENCE:
            raise Lost(losses[0], "did not come back from earlier checks and is not called again")
        try:
            reply = self._branch().call(request, self.session.seconds(self.session.limits.check_seconds))
        except KernelLost as loss:
            if loss.outcome in (Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY):
                losses.append(loss.outcome)
            raise Lost(loss.outcome, str(loss)) from loss
        return read_answer(reply)

    def define(self, source: str) -> None:
        """Define a probe beside the student's code. Raises Lost."""
        try:
            self._branch().define(source, self.session.seconds(self.session.limits.check_seconds))
        except KernelLost as loss:
            raise Lost(loss.outcome, str(loss)) from loss

    def close(self) -> None:
        """Let the copy end."""
        if isinstance(self.branch, Branch):
            self.branch.close()

    def _branch(self) -> Branch:
        if isinstance(self.branch, KernelLost):
            raise self.branch
        return self.branch
