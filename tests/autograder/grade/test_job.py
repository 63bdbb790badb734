"""The judge's process: what happens when it fails, and what it knows."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import nbformat
import pytest

from autograder.errors import CourseError
from autograder.grade.course_grade import grade_lab
from autograder.grade.engine import Engine
from autograder.grade.job import Grader
from autograder.grade.rebuild import rebuild
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome
from autograder.grade.work import Fault
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from tests.conftest import MiniLab


def faulty(broken_for_everyone: bool) -> type[Grader]:
    """A grader whose judge fails on hand-ins that hold a solution, or on every notebook."""

    class Faulty(Grader):
        def attempt(self, job: dict[str, Any]) -> NotebookVerdict | Fault:
            solved = any(
                cell["kind"] == "solution" and "NotImplemented" not in cell["source"] for cell in job["cells"]
            )
            if solved or broken_for_everyone:
                return Fault("Traceback: the judge fell over")
            return NotebookVerdict(job["notebook"])

    return Faulty


class NoWorker(Engine):
    """An engine whose worker fails on every job."""

    def run(self, jobs: Iterable[tuple[str, Any]], *_: Any) -> Iterator[tuple[str, Fault]]:
        for key, _job in jobs:
            yield key, Fault("the worker fell over")


def test_two_faults_make_a_handin_not_gradable(mini: MiniLab) -> None:
    grader = faulty(False)(mini.bundle, "secret")
    verdict = grader.judge(
        mini.master, grader.job(mini.master, rebuild(mini.master, mini.reference())[0], [])
    )
    assert {cell.outcome for cell in verdict.cells} == {Outcome.NOT_GRADABLE} and verdict.score == 0
    assert verdict.notes == [] and verdict.fault == "Traceback: the judge fell over"


def test_nothing_is_scored_when_the_judge_fails_on_the_release_too(mini: MiniLab) -> None:
    grader = faulty(True)(mini.bundle, "secret")
    with pytest.raises(CourseError, match="fails even on the released notebook, so nothing was scored"):
        grader.judge(mini.master, grader.job(mini.master, rebuild(mini.master, mini.reference())[0], []))


def test_a_handin_that_cannot_be_judged_waits_for_a_person(
    fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Grader, "attempt", faulty(False).attempt)
    folder = fresh_mini.instance.submitted / "ada" / fresh_mini.lab.id
    folder.mkdir(parents=True)
    nbformat.write(fresh_mini.reference(), folder / "01-Scale.ipynb")
    (graded,) = grade_lab(fresh_mini.instance, fresh_mini.lab.id, engine=NoWorker())
    assert graded.score == 0 and graded.failure == ""
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        grade = gradebook.find_grade("test_largest", "01-Scale", fresh_mini.lab.id, "ada")
        assert grade.needs_manual_grade and grade.auto_score == 0


def test_the_seed_depends_on_secret_handin_and_the_notebooks_code(mini: MiniLab) -> None:
    grader, master = Grader(mini.bundle, "one"), mini.master
    prose, code = copy.deepcopy(master), copy.deepcopy(master)
    object.__setattr__(next(cell for cell in prose.cells if cell.kind == "markdown"), "full", "better said")
    object.__setattr__(next(cell for cell in code.cells if cell.kind == "grade"), "full", "assert True")
    seeds = {
        grader.seed(master, "a"),
        grader.seed(master, "b"),
        grader.seed(code, "a"),
        Grader(mini.bundle, "two").seed(master, "a"),
    }
    assert len(seeds) == 4 and grader.seed(prose, "a") == grader.seed(master, "a")


def test_a_verdict_survives_its_way_through_json() -> None:
    cell = CellVerdict("test", Outcome.FAIL, 0.0, 3.0, "why")
    verdict = NotebookVerdict("01", [cell], restarts=1)
    assert NotebookVerdict.from_json(verdict.to_json()) == verdict
    for text in ("", "[]", "{}", '{"cells": [{}], "runs": []}'):
        with pytest.raises((ValueError, KeyError, TypeError)):
            NotebookVerdict.from_json(text)
