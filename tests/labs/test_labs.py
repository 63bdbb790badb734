"""Every lab of the course: what `course verify` proves, plain nbgrader's word for it, and calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autograder.build.builder import build_lab
from autograder.bundle import Bundle, read_bundle
from autograder.course import Instance, Lab, load_course
from autograder.quality.handins import reference_notebook, write_handin
from autograder.quality.mutants import read_mutants
from autograder.quality.plain import PlainRun, plain_autograde
from autograder.quality.verify import NotebookReport, verify_notebook

COURSE = load_course()
NOTEBOOKS = [(lab, name) for lab in COURSE.labs for name in lab.notebooks]


def number(lab: Lab) -> str:
    """A lab's number: 3.1."""
    return lab.id.split("-")[1]


@dataclass
class Proofs:
    """What was found out about every lab, two at a time: each takes a core, and one core would take too long."""

    notebooks: dict[tuple[str, str], Future[NotebookReport]]
    plain: dict[str, tuple[Bundle, Future[PlainRun]]]


def selected(request: pytest.FixtureRequest, test: str) -> list[dict[str, Any]]:
    """The parameters with which this run asks for a test of this module."""
    return [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test and item.path == Path(__file__)
    ]


@pytest.fixture(scope="module")
def proofs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proofs]:
    """What the selected tests ask for, started in the order in which they ask; every lab is built once."""
    notebooks = [(asked["lab"], asked["name"]) for asked in selected(request, "test_a_notebook_is_proven")]
    plain = [
        asked["lab"] for asked in selected(request, "test_plain_nbgrader_gives_the_reference_full_points")
    ]
    instance, folder = Instance(tmp_path_factory.mktemp("labs")), tmp_path_factory.mktemp("plain")
    bundles = {}
    for lab in dict.fromkeys([*(lab for lab, _ in notebooks), *plain]):
        build_lab(lab, COURSE, instance)
        bundles[lab.id] = read_bundle(instance.bundle(lab.id))
        write_handin(instance.submitted / "reference" / lab.id, bundles[lab.id], reference_notebook)
    with ThreadPoolExecutor(2) as pool:
        yield Proofs(
            {
                (lab.id, name): pool.submit(
                    verify_notebook, bundles[lab.id], bundles[lab.id].notebook(name), instance
                )
                for lab, name in notebooks
            },
            {
                lab.id: (bundles[lab.id], pool.submit(plain_autograde, instance, lab.id, folder / lab.id))
                for lab in plain
            },
        )
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("lab", "name"), NOTEBOOKS, ids=[f"{number(lab)}-{name}" for lab, name in NOTEBOOKS])
def test_a_notebook_is_proven(lab: Lab, name: str, proofs: Proofs) -> None:
    report = proofs.notebooks[lab.id, name].result()
    assert report.problems == []
    assert (report.reference, report.untouched, report.leaks, report.warnings) == (100, 0, 0, 0)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lab", COURSE.labs, ids=number)
def test_plain_nbgrader_gives_the_reference_full_points(lab: Lab, proofs: Proofs) -> None:
    bundle, run = proofs.plain[lab.id]
    expected = {
        ("reference", notebook.id, cell.grade_id): cell.points
        for notebook in bundle.notebooks
        for cell in notebook.cells
        if cell.kind == "grade"
    }
    assert run.result().scores == expected


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
