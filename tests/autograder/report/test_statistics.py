"""Statistics of a lab: known answers, bounds, and a page that a screen reader can read."""

from __future__ import annotations

import random
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.grade.verdict import CellVerdict, CheckReport, NotebookVerdict, Outcome
from autograder.report.statistics import FEW, discrimination, lab_statistics
from autograder.report.statistics_page import page
from tests.conftest import MiniLab

CELLS = {"test_scale_tensor": 40.0, "test_largest": 30.0, "test_running_sum": 20.0}


def verdict(passed: set[str], seconds: float = 1.0) -> list[NotebookVerdict]:
    """A hand-in that passes these cells; the others fail at their first check."""
    cells = [
        CellVerdict(
            name,
            Outcome.PASS if name in passed else Outcome.FAIL,
            points if name in passed else 0.0,
            points,
            checks=[CheckReport(f"first of <{name}>", "1", "2", name in passed)],
        )
        for name, points in CELLS.items()
    ]
    return [NotebookVerdict("01-Scale", cells, cpu_seconds=seconds)]


def test_difficulty_and_outcomes_are_counted(mini: MiniLab) -> None:
    found = lab_statistics(
        mini.bundle, {"a": verdict(set(CELLS), 3.0), "b": verdict({"test_largest"}), "c": []}
    )
    scale = found.checks[0]
    assert (scale.grade_id, scale.handins, scale.difficulty) == ("test_scale_tensor", 3, pytest.approx(1 / 3))
    assert scale.outcomes == {"pass": 1, "fail": 1} and scale.failed_at == {"first of <test_scale_tensor>": 1}
    assert found.totals == [90.0, 30.0, 0] and found.maximum == 90.0
    assert found.cpu_seconds == {"01-Scale": (2.0, 3.0)}


def test_a_check_that_only_the_strong_pass_discriminates_and_a_coin_does_not(mini: MiniLab) -> None:
    coin = random.Random(0)
    class_of = {}
    for number in range(200):
        passed = {"test_largest", "test_scale_tensor"} if number % 2 else set()
        class_of[f"s{number}"] = verdict(passed | ({"test_running_sum"} if coin.random() < 0.5 else set()))
    checks = {check.grade_id: check for check in lab_statistics(mini.bundle, class_of).checks}
    assert checks["test_largest"].discrimination is not None and checks["test_largest"].discrimination > 0.9
    assert checks["test_running_sum"].remark == "does not tell strong from weak"
    assert checks["test_largest"].remark == ""


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0, 100)), max_size=40))
def test_a_correlation_is_one_or_none(pairs: list[tuple[float, float]]) -> None:
    value = discrimination([passed for passed, _ in pairs], [rest for _, rest in pairs])
    assert value is None or -1.000001 <= value <= 1.000001
    if len(pairs) < FEW:
        assert value is None


class Labels(HTMLParser):
    """Collects what a screen reader says of pictures, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "svg":
            self.labels.append(dict(attrs).get("aria-label") or "")


def test_the_page_describes_its_plots_and_escapes_names(mini: MiniLab) -> None:
    text = page(
        lab_statistics(
            mini.bundle, {f"s{n}": verdict({"test_largest"} if n % 3 else set()) for n in range(20)}
        )
    )
    parser = Labels()
    parser.feed(text)
    assert len(parser.labels) == 2 and all(parser.labels)
    assert "first of &lt;test_scale_tensor&gt; (20)" in text and "script" not in parser.tags
    assert "nobody passes: is the check right?" in text
