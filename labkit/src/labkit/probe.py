"""Evidence from student code: `probe` marks a function that runs beside it, `answer` serves a call.

In a notebook, `probe` changes nothing: the marked function is called like any other. While a
hand-in is judged, the grade cell runs in another process than the student's code. There the judge
puts its own `probe` in place, sends the marked function to the student's kernel by source, and
brings back what it returns. A probe therefore returns evidence (tensors, numbers, strings, lists,
dicts), never a verdict.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

MESSAGE_LIMIT = 500
"""Characters of a student's error message that cross to the judge."""

NOT_DEFINED = "NotDefined"
NOT_A_VALUE = "NotAValue"
"""Kinds that are no error of the student's function: no check for an expected error may accept them."""

_finite_required = True


class StudentError(Exception):
    """A student's function raised, died, ran out of time, or returned what is not a value.

    `kinds` are the names of the error's classes, most specific first, as in its `__mro__`.
    """

    def __init__(self, kinds: list[str], message: str) -> None:
        self.kinds = kinds
        self.message = message
        super().__init__(f"{kinds[0]}: {message}" if kinds else message)


def probe(function: F) -> F:
    """Mark a function that touches classes, modules or callables of the student and returns evidence."""
    return function


@contextlib.contextmanager
def nonfinite_allowed() -> Iterator[None]:
    """Let NaN and infinity through the calls made inside the `with` block; elsewhere they are refused."""
    global _finite_required
    before, _finite_required = _finite_required, False
    try:
        yield
    finally:
        _finite_required = before


def finite_required() -> bool:
    """Whether a value that holds NaN or infinity is refused at this moment."""
    return _finite_required


def answer(request: str, namespace: Mapping[str, object]) -> str:
    """Call one function of the student's notebook; return the encoded value or error.

    `request` is an encoded `[name, args, kwargs]`, see `labkit.values`. Any error of the student's
    code is part of the answer, so nothing is raised for it. Only what the function itself raised
    crosses with its classes.
    """
    from labkit import values

    try:
        name, args, kwargs = values.decode(request, names=namespace, finite=False)
    except values.NotAValue as error:
        # an argument that names a function which does not exist ends here
        return values.encode(["error", [NOT_DEFINED], str(error)[:MESSAGE_LIMIT]])
    function = namespace.get(name)
    if not callable(function):
        return values.encode(["error", [NOT_DEFINED], f"{name} is not a function of the notebook"])
    try:
        returned = function(*args, **kwargs)
    except BaseException as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return values.encode(["error", kinds, str(error)[:MESSAGE_LIMIT]])
    try:
        return values.encode(["value", returned])
    except values.NotAValue as error:
        return values.encode(["error", [NOT_A_VALUE], str(error)[:MESSAGE_LIMIT]])
