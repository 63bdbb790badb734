"""Every lab of the course: what `course verify` proves, plain nbgrader's word for it, and calibration."""

from __future__ import annotations

import json

import pytest

from autograder.build.builder import build_lab
from autograder.course import Instance, Lab, load_course
from autograder.quality.handins import reference_notebook, write_handin
from autograder.quality.mutants import read_mutants
from autograder.quality.plain import plain_autograde
from autograder.quality.verify import verify_notebook

COURSE = load_course()
NOTEBOOKS = [(lab, name) for lab in COURSE.labs for name in lab.notebooks]


def number(lab: Lab) -> str:
    """A lab's number: 3.1."""
    return lab.id.split("-")[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """Every lab, built once."""
    instance = Instance(tmp_path_factory.mktemp("labs"))
    for lab in COURSE.labs:
        build_lab(lab, COURSE, instance)
    return instance


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("lab", "name"), NOTEBOOKS, ids=[f"{number(lab)}-{name}" for lab, name in NOTEBOOKS])
def test_a_notebook_is_proven(lab: Lab, name: str, built: Instance) -> None:
    from autograder.bundle import read_bundle

    bundle = read_bundle(built.bundle(lab.id))
    report = verify_notebook(bundle, bundle.notebook(name), built)
    assert report.problems == []
    assert (report.reference, report.untouched, report.leaks, report.warnings) == (100, 0, 0, 0)


@pytest.mark.parametrize("lab", COURSE.labs, ids=number)
def test_half_of_the_mutants_pass_every_visible_check(lab: Lab) -> None:
    mutants = [mutant for name in lab.notebooks for mutant in read_mutants(lab.id, name)]
    assert len(mutants) >= 20
    assert sum(mutant.passes_visible for mutant in mutants) >= len(mutants) / 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize("lab", COURSE.labs, ids=number)
def test_plain_nbgrader_gives_the_reference_full_points(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    instance = Instance(tmp_path_factory.mktemp("parity"))
    bundle = build_lab(lab, COURSE, instance)
    write_handin(instance.submitted / "reference" / lab.id, bundle, reference_notebook)
    plain = plain_autograde(instance, lab.id, tmp_path_factory.mktemp("plain") / "instance")
    expected = {
        ("reference", notebook.id, cell.grade_id): cell.points
        for notebook in bundle.notebooks
        for cell in notebook.cells
        if cell.kind == "grade"
    }
    assert plain.scores == expected


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
