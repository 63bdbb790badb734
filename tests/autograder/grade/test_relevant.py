"""The judge's part of a shared cell: everything a grade cell comes back to, and nothing that only takes time."""

from __future__ import annotations

import ast

import pytest

from autograder.grade.relevant import relevant_parts

SHARED = """
import math
from labkit import checks, zoo
zoo.start(3)
model = zoo.load("bert")
low, high = 1, 2
table = {}
table["x"] = high
def helper(x):
    return x + low
def unused(x):
    return model(x)
for name in ("a", "b"):
    table[name] = name
"""


def kept(shared: list[str], grade: list[str]) -> list[list[str]]:
    """The first lines of the kept statements of each shared cell."""
    return [
        [ast.unparse(statement).splitlines()[0] for statement in part.body]
        for part in relevant_parts(shared, grade)
    ]


def test_definitions_that_no_grade_cell_comes_back_to_are_left_out() -> None:
    (lines,) = kept([SHARED], ["checks.assert_equal(f(helper(1)), 3)"])
    assert lines == [
        "import math",
        "from labkit import checks, zoo",
        "zoo.start(3)",
        "low, high = (1, 2)",
        "table = {}",
        "table['x'] = high",
        "def helper(x):",
        "for name in ('a', 'b'):",
    ]


def test_the_body_of_a_probe_runs_elsewhere() -> None:
    assert (
        "model = zoo.load('bert')" not in kept([SHARED], ["@probe\ndef p(f):\n    return f(model)\np(f)"])[0]
    )
    assert "model = zoo.load('bert')" in kept([SHARED], ["def p(f):\n    return f(model)\np(f)"])[0]


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("m = zoo.load('x')\nhistory = train(m)", "m"),
        ("a = torch.randn(3)\nb = torch.randn(3)", "b"),
        ("a = (b := 3)", "b"),
        ("@register\ndef f(x): return x", "registry"),
        ("class A(Base): pass", "registry"),
        ("a = table.pop('x')", "table"),
    ],
)
def test_what_may_do_more_than_bind_a_name_stays(source: str, needed: str) -> None:
    assert kept([source], [f"use({needed})"])[0] == [
        ast.unparse(statement).splitlines()[0] for statement in ast.parse(source).body
    ]


def test_reading_a_dict_changes_nothing() -> None:
    loads = "from labkit import data, evaluation\nrows = data.tensors(data.languages()['validation'])\n"
    shared = loads + "answers = evaluation.logits(bert, {k: v for k, v in rows.items() if k != 'labels'})"
    assert kept([shared], ["f(1)"]) == [["from labkit import data, evaluation"]]
    assert len(kept([shared], ["f(answers)"])[0]) == 3
    taken = loads + "labels = rows.pop('labels')"
    assert len(kept([taken], ["f(1)"])[0]) == 3


def test_defaults_of_a_probe_are_looked_up_by_the_judge() -> None:
    assert kept(["n = 3"], ["@probe\ndef p(f, k=n):\n    return f(k)\np(f)"]) == [["n = 3"]]


def test_a_later_shared_cell_may_need_an_earlier_one() -> None:
    first, second = kept(["a = 1\nb = 2"], ["use(b)"])[0], kept(["a = 1\nb = 2", "c = a"], ["use(c)"])
    assert first == ["b = 2"]
    assert second == [["a = 1"], ["c = a"]]
