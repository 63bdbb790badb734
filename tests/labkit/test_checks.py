"""Checks: what holds passes and is recorded; what does not says value, limit and hint."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labkit.probe import StudentError, answer, nonfinite_allowed
from labkit.values import decode, encode

from labkit import checks

NUMBERS = st.floats(-1e6, 1e6)


@pytest.fixture(autouse=True)
def _fresh_record() -> None:
    checks.clear()


@given(NUMBERS, NUMBERS, st.floats(0, 10), st.floats(0, 1))
def test_close_is_the_stated_inequality(actual: float, expected: float, atol: float, rtol: float) -> None:
    holds = abs(actual - expected) <= atol + rtol * abs(expected)
    if holds:
        checks.assert_close(actual, expected, "x", atol=atol, rtol=rtol)
    else:
        with pytest.raises(checks.CheckFailed):
            checks.assert_close(actual, expected, "x", atol=atol, rtol=rtol)


@pytest.mark.parametrize("bad", [math.nan, None, "1", object(), torch.tensor([1.0, 2.0])])
def test_nan_and_other_types_never_pass(bad: object) -> None:
    for check in (
        lambda: checks.assert_close(bad, 1.0, "x", atol=1e9),
        lambda: checks.assert_at_least(bad, -1e9, "x"),  # type: ignore[arg-type]
        lambda: checks.assert_at_most(bad, 1e9, "x"),  # type: ignore[arg-type]
        lambda: checks.assert_true(bad, "x"),
        lambda: checks.assert_equal(bad, 1.0, "x"),
    ):
        with pytest.raises(checks.CheckFailed):
            check()


def test_a_failure_names_value_limit_and_hint_and_is_recorded() -> None:
    with pytest.raises(checks.CheckFailed) as failure:
        checks.assert_at_most(
            0.31, 0.05, "relative error", unit="dB", hint="is the zero point added before rounding?"
        )
    assert (
        str(failure.value)
        == "relative error: 0.31 dB, at most 0.05 dB: is the zero point added before rounding?"
    )
    assert failure.value.label == "relative error"
    assert checks.recorded() == [checks.Check("relative error", "0.31 dB", "at most 0.05 dB", False)]


def test_a_pass_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    checks.assert_equal(torch.tensor([1, 2]), torch.tensor([1, 2]), "codes")
    assert capsys.readouterr().out == "ok  codes: largest difference 0, at most 0\n"


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (True, 1),
        (1, True),
        (["1"], [1]),
        ("1", 1),
        ({"a": 1}, {"a": 2}),
        ([1], [1, 2]),
        (torch.ones(2), torch.ones(3)),
        (torch.ones(1, 2), torch.ones(2)),
    ],
)
def test_equal_does_not_mix_types_or_shapes(actual: object, expected: object) -> None:
    with pytest.raises(checks.CheckFailed):
        checks.assert_equal(actual, expected, "x")


@pytest.mark.parametrize(
    ("actual", "expected"), [(0, 0.0), ((1, 2.0), [1, 2]), ({"a": (1,)}, {"a": [1.0]}), (None, None)]
)
def test_equal_takes_numbers_and_sequences_for_what_they_say(actual: object, expected: object) -> None:
    checks.assert_equal(actual, expected, "x")


def test_infinities_of_one_sign_agree() -> None:
    checks.assert_close(math.inf, math.inf, "x")
    with pytest.raises(checks.CheckFailed):
        checks.assert_close(math.inf, -math.inf, "x")
    with pytest.raises(checks.CheckFailed):
        checks.assert_finite(torch.tensor([1.0, math.inf]), "x")


def test_raises_accepts_subclasses_here_and_across_the_wire() -> None:
    def wrong() -> None:
        raise KeyError("scale")

    checks.assert_raises("LookupError", wrong, label="here")
    kind, kinds, message = decode(answer(encode(["wrong", [], {}]), {"wrong": wrong}))
    assert kind == "error"

    def remote() -> None:
        raise StudentError(kinds, message)

    checks.assert_raises("LookupError", remote, label="remote")
    with pytest.raises(checks.CheckFailed, match="raised KeyError, must raise ValueError"):
        checks.assert_raises("ValueError", remote, label="other")
    with pytest.raises(checks.CheckFailed, match="raised nothing"):
        checks.assert_raises("ValueError", lambda: None, label="none")


def test_hidden_inputs_depend_on_seed_and_name_only() -> None:
    def draw(name: str) -> list[float]:
        return torch.rand(3, generator=checks.hidden_generator(name)).tolist()

    first = draw("a")
    assert draw("a") == first != draw("b")
    checks.set_hidden_seed(5)
    try:
        assert draw("a") != first
    finally:
        checks.set_hidden_seed(0)
    assert draw("a") == first


def test_the_answering_function_reports_any_error_as_an_answer() -> None:
    def leaves() -> None:
        raise SystemExit(3)

    cases = (
        ("gone", {}, "NotDefined"),
        ("x", {"x": 3}, "NotDefined"),
        ("leaves", {"leaves": leaves}, "SystemExit"),
        ("odd", {"odd": object}, "NotAValue"),
    )
    for name, namespace, kind in cases:
        status, kinds, _ = decode(answer(encode([name, [], {}]), namespace))
        assert status == "error" and kinds[0] == kind


def test_no_expected_error_is_met_by_what_is_missing_unwritten_or_no_value() -> None:
    def unwritten() -> None:
        raise NotImplementedError

    def remote(name: str, namespace: dict[str, object]) -> None:
        _, kinds, message = decode(answer(encode([name, [], {}]), namespace))
        raise StudentError(kinds, message)

    for name, namespace, kind in (
        ("gone", {}, "KeyError"),
        ("x", {"x": 3}, "TypeError"),
        ("odd", {"odd": object}, "ValueError"),
        ("unwritten", {"unwritten": unwritten}, "RuntimeError"),
    ):
        with pytest.raises(checks.CheckFailed):
            checks.assert_raises(kind, remote, name, namespace, label="x")
    checks.assert_raises("NotImplementedError", unwritten, label="asked for by name")


def test_nonfinite_is_allowed_inside_the_block_only() -> None:
    from labkit.probe import finite_required

    with nonfinite_allowed():
        assert not finite_required()
    assert finite_required()
