"""Every lab of the course: what `course verify` proves, plain nbgrader's word for it, and calibration.

Every day the shorter notebooks are judged with the reference, and the first lab also as it is released and with its
wrong solutions. The long notebooks, the other labs as they are released (`course build` judges both
too), their wrong solutions, and plain nbgrader's word for all labs, take more than an hour of one core: `make nightly`
runs them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from autograder.build.builder import build_lab
from autograder.bundle import Bundle, read_bundle
from autograder.course import Instance, Lab, load_course
from autograder.grade.job import Grader
from autograder.grade.rebuild import rebuild
from autograder.grade.sandbox import Sandbox
from autograder.quality.handins import reference_notebook, released_notebook, write_handin
from autograder.quality.mutants import missing_functions, read_mutants, run_mutants
from autograder.quality.plain import plain_autograde
from autograder.quality.verify import verify_notebook

COURSE = load_course()
Built = Callable[[Lab], tuple[Instance, Bundle]]


LONG = {
    "3.1": ["02", "04"], "3.3": ["02", "04"], "3.4": ["01", "03", "04"], "3.5": ["01", "02", "03"], "3.6": ["02"],
    "3.7": ["01", "04"], "3.9": ["02"], "3.10": ["01", "04"], "3.12": ["01"],
}  # fmt: skip
"""Notebooks with which the judge needs 25 s of one core or more."""


def number(lab: Lab) -> str:
    """A lab's number: 3.1."""
    return lab.id.split("-")[1]


def is_long(lab: Lab, name: str) -> bool:
    """Whether a notebook is one of LONG."""
    return name[:2] in LONG.get(number(lab), [])


def not_first(lab: Lab, name: str) -> bool:
    """Whether a notebook is of another lab than the first one."""
    return lab is not COURSE.labs[0]


def notebooks(by_night: Callable[[Lab, str], bool]) -> list[Any]:
    """A parameter for each notebook of the course; those are left to the night for which `by_night` holds."""
    return [
        pytest.param(
            lab, name, id=f"{number(lab)}-{name}", marks=[pytest.mark.nightly] if by_night(lab, name) else []
        )
        for lab in COURSE.labs
        for name in lab.notebooks
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a lab once, into an instance of its own."""

    @cache
    def build(lab: Lab) -> tuple[Instance, Bundle]:
        instance = Instance(tmp_path_factory.mktemp("lab"))
        build_lab(lab, COURSE, instance)
        return instance, read_bundle(instance.bundle(lab.id))

    return build


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("lab", "name"), notebooks(is_long))
def test_the_reference_earns_everything(lab: Lab, name: str, built: Built) -> None:
    instance, bundle = built(lab)
    report = verify_notebook(bundle, bundle.notebook(name), instance, untouched=False, mutants=False)
    assert report.problems == []
    assert (report.reference, report.leaks, report.warnings) == (100, 0, 0)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("lab", "name"), notebooks(not_first))
def test_the_release_earns_nothing(lab: Lab, name: str, built: Built) -> None:
    instance, bundle = built(lab)
    master = bundle.notebook(name)
    handed_in, _ = rebuild(master, released_notebook(master))
    assert Grader.of(instance, bundle, Sandbox()).run(master, handed_in, []).score == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("lab", "name"), notebooks(not_first))
def test_every_wrong_solution_dies_as_it_should(lab: Lab, name: str, built: Built) -> None:
    master, mutants = built(lab)[1].notebook(name), read_mutants(lab.id, name)
    assert [f"{fate.name}: {fate.why}" for fate in run_mutants(master, mutants) if fate.why] == []
    assert not missing_functions(master, mutants)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lab", COURSE.labs, ids=number)
def test_plain_nbgrader_gives_the_reference_full_points(
    lab: Lab, built: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    instance, bundle = built(lab)
    write_handin(instance.submitted / "reference" / lab.id, bundle, reference_notebook)
    expected = {
        ("reference", notebook.id, cell.grade_id): cell.points
        for notebook in bundle.notebooks
        for cell in notebook.cells
        if cell.kind == "grade"
    }
    assert plain_autograde(instance, lab.id, tmp_path_factory.mktemp("plain") / lab.id).scores == expected


@pytest.mark.parametrize("lab", COURSE.labs, ids=number)
def test_half_of_the_mutants_pass_every_visible_check(lab: Lab) -> None:
    mutants = [mutant for name in lab.notebooks for mutant in read_mutants(lab.id, name)]
    assert len(mutants) >= 20
    assert sum(mutant.passes_visible for mutant in mutants) >= len(mutants) / 2


@pytest.mark.parametrize("lab", COURSE.labs, ids=number)
def test_every_limit_lies_between_reference_and_baseline(lab: Lab) -> None:
    report = json.loads((lab.source / "calibration.json").read_text())
    assert report["seeds"] >= 10 and report["checks"]
    source = "\n".join((lab.source / f"{name}.py").read_text("utf-8") for name in lab.notebooks)
    for label, check in report["checks"].items():
        sign = 1 if check["direction"] == "at_least" else -1
        between = sign * check["baseline_bound"] < sign * check["limit"] <= sign * check["reference_bound"]
        assert check["graded"] == between, label
        assert not check["graded"] or label.split(",")[0] in source, label
