"""Checks for notebooks: each says what was measured, the limit, and the usual mistake.

    checks.assert_at_most(error, 0.05, "relative error", hint="is the zero point added before rounding?")

A check that holds prints one line and is recorded; one that does not raises `CheckFailed` with the
measured value, the limit and the hint. The judge reads the record to report value against limit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from labkit.probe import StudentError


class CheckFailed(AssertionError):
    """A check did not hold. `label` names the check; the text is written for the student."""

    def __init__(self, label: str, message: str) -> None:
        self.label = label
        super().__init__(message)


@dataclass(frozen=True)
class Check:
    """One check as it went: `value` and `limit` are text, ready to show."""

    label: str
    value: str
    limit: str
    passed: bool


SHOWN = 300
"""Characters of a value or limit that a message shows."""

_record: list[Check] = []
_hidden_seed = 0


def recorded() -> list[Check]:
    """The checks made since the last `clear`, in order."""
    return list(_record)


def clear() -> None:
    """Forget the recorded checks."""
    _record.clear()


def set_hidden_seed(seed: int) -> None:
    """Set the seed behind `hidden_generator`; the judge does so for every hand-in."""
    global _hidden_seed
    _hidden_seed = seed


def hidden_generator(name: str) -> torch.Generator:
    """A random generator for the inputs of one hidden test.

    While a hand-in is judged its seed depends on a secret of the course and on the hand-in, so the
    inputs cannot be known beforehand and are the same when the hand-in is judged again. Elsewhere
    it is fixed.
    """
    digest = hashlib.sha256(f"{_hidden_seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


def _judge(passed: bool, label: str, value: str, limit: str, hint: str) -> None:
    value, limit = value[:SHOWN], limit[:SHOWN]
    _record.append(Check(label, value, limit, passed))
    line = f"{label}: {value}, {limit}"
    if not passed:
        raise CheckFailed(label, f"{line}: {hint}" if hint else line)
    print(f"ok  {line}")


def _number(value: float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _with_unit(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".strip()


def _as_tensor(value: object, label: str, name: str) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, (bool, int, float, list, tuple)):
        try:
            return torch.as_tensor(value, dtype=None if not isinstance(value, float) else torch.float64)
        except (ValueError, TypeError, RuntimeError):
            pass
    _judge(
        False, label, f"the {name} value is a {type(value).__name__}", "a tensor or a number is needed", ""
    )
    raise AssertionError("unreachable: a failed check raises")


def assert_close(
    actual: object, expected: object, label: str, *, atol: float = 0.0, rtol: float = 0.0, hint: str = ""
) -> None:
    """Hold when |actual − expected| ≤ atol + rtol·|expected| everywhere, computed in float64.

    Numbers, lists of numbers and tensors of one shape are accepted; dtypes may differ.
    """
    got = _as_tensor(actual, label, "returned").to(torch.float64)
    want = _as_tensor(expected, label, "expected").to(torch.float64)
    if got.shape != want.shape:
        _judge(False, label, f"shape {tuple(got.shape)}", f"expected shape {tuple(want.shape)}", hint)
    error = (got - want).abs()
    allowed = atol + rtol * want.abs()
    same = got == want  # infinities of one sign agree
    excess = torch.where(same, torch.zeros_like(error), error - allowed)
    passed = bool((excess <= 0).all())  # NaN compares false, so it fails
    worst = float(torch.where(same, torch.zeros_like(error), error).max()) if got.numel() else 0.0
    limit = " and ".join(
        part for part in (f"{atol:g}" if atol else "", f"{rtol:g} relative" if rtol else "") if part
    )
    _judge(passed, label, f"largest difference {_number(worst)}", f"at most {limit or '0'}", hint)


def assert_equal(actual: object, expected: object, label: str, *, hint: str = "") -> None:
    """Hold when both are the same value; tensors must agree in shape and in every element.

    1 and 1.0 are the same number, a list and a tuple of the same items are the same sequence; True is no number.
    """
    if isinstance(expected, torch.Tensor) or isinstance(actual, torch.Tensor):
        assert_close(actual, expected, label, hint=hint)
        return
    _judge(
        _same(actual, expected),
        label,
        _short(actual),
        f"expected {_short(expected)}",
        hint,
    )


def _same(actual: object, expected: object) -> bool:
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, (int, float)) and isinstance(expected, (int, float)):
        return actual == expected
    if isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(_same(actual[key], expected[key]) for key in expected)
    return type(actual) is type(expected) and actual == expected


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def assert_at_least(value: float, limit: float, label: str, *, unit: str = "", hint: str = "") -> None:
    """Hold when value ≥ limit. NaN fails."""
    number = _scalar(value, label)
    _judge(number >= limit, label, _with_unit(number, unit), f"at least {_with_unit(limit, unit)}", hint)


def assert_at_most(value: float, limit: float, label: str, *, unit: str = "", hint: str = "") -> None:
    """Hold when value ≤ limit. NaN fails."""
    number = _scalar(value, label)
    _judge(number <= limit, label, _with_unit(number, unit), f"at most {_with_unit(limit, unit)}", hint)


def _scalar(value: object, label: str) -> float:
    tensor = _as_tensor(value, label, "returned")
    if tensor.numel() != 1:
        _judge(False, label, f"{tensor.numel()} values", "one number is needed", "")
    number = tensor.reshape(()).item()
    return math.nan if isinstance(number, complex) else number


def assert_true(condition: object, label: str, *, hint: str = "") -> None:
    """Hold when `condition` is exactly True (a Python bool, or a one-element bool tensor)."""
    if isinstance(condition, torch.Tensor) and condition.dtype == torch.bool and condition.numel() == 1:
        condition = bool(condition)
    _judge(condition is True, label, "holds" if condition is True else "does not hold", "must hold", hint)


def assert_shape(tensor: object, shape: Sequence[int], label: str, *, hint: str = "") -> None:
    """Hold when `tensor` is a tensor of exactly this shape."""
    if not isinstance(tensor, torch.Tensor):
        _judge(
            False, label, f"a {type(tensor).__name__}", f"a tensor of shape {tuple(shape)} is expected", hint
        )
    else:
        _judge(
            tuple(tensor.shape) == tuple(shape),
            label,
            f"shape {tuple(tensor.shape)}",
            f"expected {tuple(shape)}",
            hint,
        )


def assert_finite(tensor: object, label: str, *, hint: str = "") -> None:
    """Hold when no element is NaN or infinite."""
    values = _as_tensor(tensor, label, "returned").to(torch.float64)
    bad = int((~torch.isfinite(values)).sum())
    _judge(bad == 0, label, f"{bad} of {values.numel()} values not finite", "none allowed", hint)


def assert_raises(
    kind: str, function: Callable[..., Any], *args: Any, label: str, hint: str = "", **kwargs: Any
) -> None:
    """Hold when the call raises an error of the class named `kind` or of a subclass of it.

    A slot that is not written yet raises NotImplementedError, which is accepted only when asked for by name.
    """
    try:
        function(*args, **kwargs)
    except StudentError as error:
        kinds = error.kinds
    except Exception as error:
        kinds = [ancestor.__name__ for ancestor in type(error).__mro__]
    else:
        kinds = []
    got = f"raised {kinds[0]}" if kinds else "raised nothing"
    unwritten = kinds[:1] == ["NotImplementedError"] and kind != "NotImplementedError"
    _judge(kind in kinds and not unwritten, label, got, f"must raise {kind}", hint)
