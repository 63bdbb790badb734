"""Every failure the course's own code reports.

    CourseError                 a person has to do something; the text says what, where and what next
    ├── ConfigurationError      course.toml or a command's arguments are wrong
    ├── BuildError              a source notebook breaks a rule; names file, cell and line
    ├── IntakeError             a hand-in cannot be read at all
    ├── SandboxError            the sandbox cannot be started here
    ├── EngineError             the workers or their scheduler cannot be reached, or were lost
    ├── ReceiptError            the chain of receipts is broken; says where
    ├── GradebookError          the gradebook is locked, read-only or does not know the lab
    ├── BusyError               another command holds a lock for too long
    ├── BackupError             a backup cannot be made, or cannot be trusted
    ├── RefusedError            a capstone hand-in is refused; says which file, which tensor and why
    └── QualityError            a proof did not hold: leak, surviving mutant, reference below 100

What a student's code does wrong is never one of these: it is an outcome of a check, see
`autograder.grade.verdict`.
"""

from __future__ import annotations


class CourseError(Exception):
    """Something a person has to act on. The text is shown as it is, without a traceback."""


class ConfigurationError(CourseError):
    """course.toml or a command's arguments are wrong."""


class BuildError(CourseError):
    """A source notebook breaks a rule of the builder.

    `where` is `file, cell 3 (grade_id), line 12`; the message says the rule and the way out.
    """

    def __init__(self, where: str, message: str) -> None:
        self.where = where
        super().__init__(f"{where}: {message}")


class IntakeError(CourseError):
    """A hand-in cannot be read at all."""


class SandboxError(CourseError):
    """The sandbox cannot be started on this machine."""


class EngineError(CourseError):
    """The workers that judge, or their scheduler, cannot be reached or were lost."""


class ReceiptError(CourseError):
    """The chain of receipts is broken, or does not say what the gradebook says."""


class GradebookError(CourseError):
    """The gradebook is locked, read-only, missing, or does not know the lab."""


class BusyError(CourseError, TimeoutError):
    """Another command holds a lock for longer than this one waits."""


class BackupError(CourseError):
    """A backup cannot be made, or cannot be trusted and restored."""


class RefusedError(CourseError):
    """A capstone hand-in is refused: malformed, too large, or not what its manifest says."""


class QualityError(CourseError):
    """A proof about the course itself did not hold."""
