"""What a student reads of a hidden check: numbers and Python's own names, nothing a hand-in wrote."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labkit.probe import NOT_A_VALUE, StudentError

from autograder.grade import shown
from autograder.grade.judge import classify
from autograder.grade.shown import NOT_SHOWN, of_hidden_value
from autograder.grade.verdict import Outcome
from labkit import checks


@pytest.mark.parametrize(
    "value",
    ["largest difference 0.28571", "0.31", "12.5 dB", "shape (8, 3)", "holds", "raised ValueError", "3 of 9 values not finite",
     "1.2e-07", "the returned value is a str", "True", "nan", "[3, 3, 3]"],
)  # fmt: skip
def test_what_the_judge_measured_is_shown(value: str) -> None:
    assert of_hidden_value(value) == value


@pytest.mark.parametrize(
    "value",
    ["'LEAK: 0.1'", "[1, 2, 3, 4, 5]", "123456789876", "0.1234567", "raised Leak_0_12", "{'a': 1}", "a Leak12", "x" * 50],
)  # fmt: skip
def test_what_a_hand_in_could_have_written_is_not(value: str) -> None:
    assert of_hidden_value(value) == NOT_SHOWN


@given(st.text(max_size=60))
def test_whatever_comes_a_few_short_numbers_is_all_that_goes_through(value: str) -> None:
    passed = of_hidden_value(value)
    assert passed == NOT_SHOWN or len(re.findall(r"\d", passed)) <= shown.MOST_NUMBERS * shown.MOST_DIGITS


@given(
    st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=12), min_size=1, max_size=4),
    st.text(max_size=40),
)
def test_of_an_error_in_a_hidden_check_only_a_known_kind_is_told(kinds: list[str], text: str) -> None:
    _, message = classify(StudentError([*kinds, "ValueError", "Exception"], text), hidden=True)
    assert message in {
        f"your code raised {kind} in a hidden check; its text is not shown" for kind in shown.OWN_ERRORS
    } | {"not enough memory", "not written yet: the function still raises NotImplementedError"}


def test_a_visible_error_is_told_whole() -> None:
    assert classify(StudentError(["MyError", "ValueError"], "index 5 of 3")) == (
        Outcome.ERROR,
        "your code raised MyError: index 5 of 3",
    )
    assert classify(StudentError([NOT_A_VALUE], "a Leak cannot cross"), hidden=True)[1].endswith(
        "is not a plain value"
    )


def test_a_failed_check_keeps_its_label_limit_and_hint() -> None:
    checks.clear()
    with pytest.raises(checks.CheckFailed) as failure:
        checks.assert_equal("LEAK", "a", "the name", hint="write a")
    assert classify(failure.value, hidden=True)[1] == f"the name: {NOT_SHOWN}, expected {NOT_SHOWN}: write a"
    assert "LEAK" in classify(failure.value)[1]
    checks.clear()
    with pytest.raises(checks.CheckFailed) as failure:
        checks.assert_at_most(0.31, 0.05, "relative error", hint="round later")
    assert classify(failure.value, hidden=True)[1] == "relative error: 0.31, at most 0.05: round later"
    assert classify(AssertionError("LEAK"), hidden=True)[1] == "a check did not hold"


def test_a_cell_is_split_where_its_hidden_part_begins() -> None:
    source = "a = 1\nb = 2\n### BEGIN HIDDEN TESTS\nraise ValueError\n### END HIDDEN TESTS"
    visible, hidden = shown.split(source)
    assert visible == "a = 1\nb = 2\n"
    assert hidden.splitlines().index("raise ValueError") == source.splitlines().index("raise ValueError")
    assert shown.split("a = 1") == ("a = 1", "")
