"""A week of the course: release, solve, erratum, update or not, hand in, grade."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
from labkit.update import update_lab
from nbformat import NotebookNode

from autograder.build.builder import build_lab
from autograder.build.outbound import destination
from autograder.course import load_course
from autograder.grade.course_grade import Graded, grade_lab
from autograder.quality.handins import replace_solution
from tests.autograder.build.test_publish import LAB, NAME, WHY, release
from tests.conftest import MiniLab

CLIPS = "def scale_tensor(x, factor):\n    # mine\n    return torch.round(x * factor).clamp(-6, 7)\n"
FAST = {"cell_seconds": 20, "check_seconds": 4, "disk": 32}


def erratum(text: str) -> str:
    """The check of scale_tensor with other visible values, and a hidden test that catches clipping at 7."""
    text = text.replace("scaled[:2], torch.tensor([-6.0, -4.0])", "scaled[:1], torch.tensor([-6.0])")
    return text.replace(
        "secret, 7.0), torch.round(secret * 7.0)", "secret, 70.0), torch.round(secret * 70.0)"
    )


def fetch_and_solve(mini: MiniLab, home: Path, change: Callable[[NotebookNode], object]) -> Path:
    """A student's folder: the published lab with the reference's solutions, then `change`."""
    folder = shutil.copytree(destination(mini.instance, LAB), home / LAB)
    notebook = nbformat.read(folder / NAME, as_version=4)
    for mine, solved in zip(notebook.cells, mini.reference().cells, strict=True):
        mine.source = solved.source
    notebook.cells.insert(3, nbformat.v4.new_markdown_cell("my note"))
    change(notebook)
    nbformat.write(notebook, folder / NAME)
    return folder


def grade(mini: MiniLab, homes: dict[str, Path]) -> dict[str, Graded]:
    """Hand in each student's folder and grade."""
    for student, folder in homes.items():
        shutil.copytree(folder, mini.instance.submitted / student / LAB)
    return {item.student: item for item in grade_lab(mini.instance, LAB, limits=FAST)}


def test_an_erratum_costs_nobody_their_work(
    fresh_mini: MiniLab, mini_source: Callable[[Callable[[str], str]], Path], tmp_path: Path
) -> None:
    release(fresh_mini)
    homes = {
        "updates": fetch_and_solve(fresh_mini, tmp_path / "updates", lambda nb: None),
        "stays": fetch_and_solve(fresh_mini, tmp_path / "stays", lambda nb: None),
        "wrong": fetch_and_solve(
            fresh_mini, tmp_path / "wrong", lambda nb: replace_solution(nb, "scale_tensor", CLIPS)
        ),
    }
    course = load_course(mini_source(erratum) / "course.toml")
    build_lab(course.labs[0], course, fresh_mini.instance)
    plan = release(fresh_mini, WHY, course)
    assert plan.changed == {NAME: ["test_scale_tensor"]}
    update_lab(homes["updates"], fresh_mini.instance.exchange)
    updated = nbformat.read(homes["updates"] / NAME, as_version=4)
    assert "scaled[:1]" in updated.cells[6].source and updated.cells[3].source == "my note"
    assert WHY in (homes["updates"] / "ERRATA.md").read_text("utf-8")

    graded = grade(fresh_mini, homes)
    # all that a judge can give: the written question is read by a person
    assert {name: item.score for name, item in graded.items()} == {"updates": 90, "stays": 90, "wrong": 50}
    differs = "the cell test_scale_tensor differs from the released one; the released one was used"
    notes = {name: item.verdicts[0].notes for name, item in graded.items()}
    assert [differs in notes[name] for name in homes] == [False, True, True]
    # the new hidden test judged the old notebook, and the student's own source is in what was graded
    (lost,) = [cell for cell in graded["wrong"].verdicts[0].cells if cell.points < cell.maximum]
    assert lost.grade_id == "test_scale_tensor"
    stored = json.loads((fresh_mini.instance.autograded / "wrong" / LAB / NAME).read_text("utf-8"))
    assert any("# mine" in "".join(cell["source"]) for cell in stored["cells"])
