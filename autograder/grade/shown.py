"""What a student reads of a hidden check: enough to find the mistake, nothing that code could write into it.

The visible part of a grade cell is known, so everything about it is shown. What comes back from a hidden part
was made by code that had just seen a hidden input. Of it only short numbers are shown, as the judge formatted
them, and names of Python's own errors.
"""

from __future__ import annotations

import builtins
import re

from labkit.probe import NOT_A_VALUE, NOT_DEFINED, StudentError

from autograder.grade.verdict import CheckReport, Outcome

MARKER = "### BEGIN HIDDEN TESTS"
LABEL = 100
"""Characters of a label that are shown."""
MOST_NUMBERS = 4
MOST_DIGITS = 6
MOST_CHARACTERS = 48
NOT_SHOWN = "a value that is not shown"
PLAIN = re.compile(
    r"(largest difference |shape )?[-+\d.,()\[\]e ]*( ?(nan|inf))?( [A-Za-z%/]{1,12}){0,2}"
    r"|holds|does not hold|True|False|None|raised nothing|\d+ of \d+ values not finite|\d+ values"
    r"|the (returned|expected) value is an? [A-Za-z]{1,12}|an? (Tensor|[a-z]{1,8})"
)
"""The forms in which `labkit.checks` writes a measured value."""
OWN_ERRORS = {
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}


def split(source: str) -> tuple[str, str]:
    """The visible and the hidden part of a grade cell; the second keeps its line numbers."""
    before, marker, after = source.partition(MARKER)
    if not marker:
        return source, ""
    return before, "\n" * before.count("\n") + marker + after


def of_hidden_value(value: str) -> str:
    """A measured value of a hidden check, if it is one of the judge's short forms."""
    if value.startswith("raised ") and value.removeprefix("raised ") in OWN_ERRORS:
        return value
    numbers = re.findall(r"\d+(?:\.\d+)?", value)
    short = len(numbers) <= MOST_NUMBERS and all(len(n.replace(".", "")) <= MOST_DIGITS for n in numbers)
    return value if short and len(value) <= MOST_CHARACTERS and PLAIN.fullmatch(value) else NOT_SHOWN


def of_hidden_check(check: CheckReport) -> CheckReport:
    """A hidden check as it is shown: a limit that quotes a value is treated like a value."""
    limit = check.limit
    if limit.startswith("expected ") and of_hidden_value(limit.removeprefix("expected ")) == NOT_SHOWN:
        limit = f"expected {NOT_SHOWN}"
    return CheckReport(check.label[:LABEL], of_hidden_value(check.value), limit, check.passed)


def of_hidden_error(error: StudentError) -> tuple[Outcome, str]:
    """What is said of an error of the student's code in a hidden check: its kind, not its text."""
    if error.kinds[:1] == [NOT_A_VALUE]:
        return Outcome.FORBIDDEN, "what your code returned in a hidden check is not a plain value"
    if error.kinds[:1] == [NOT_DEFINED]:
        return (
            Outcome.ERROR,
            "a function was not there in a hidden check: did the cell that defines it raise an error?",
        )
    kind = next((name for name in error.kinds if name in OWN_ERRORS), "an error")
    return Outcome.ERROR, f"your code raised {kind} in a hidden check; its text is not shown"
