"""Rebuilding: only sources come from a hand-in."""

from __future__ import annotations

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.grade.rebuild import KIND, rebuild, submission_hash
from tests.conftest import MiniLab


def sources(notebook: NotebookNode) -> list[str]:
    """Cell sources in order."""
    return [cell.source for cell in notebook.cells]


def test_an_honest_handin_comes_back_with_its_own_solutions(mini: MiniLab) -> None:
    handed_in = mini.reference()
    rebuilt, notes = rebuild(mini.master, handed_in)
    assert sources(rebuilt) == sources(handed_in) and notes == []


def test_metadata_of_the_handin_is_ignored(mini: MiniLab) -> None:
    handed_in = mini.reference()
    for cell in handed_in.cells:
        cell.metadata["tags"] = ["skip-execution", "remove_cell"]
        if "nbgrader" in cell.metadata:
            cell.metadata["nbgrader"] |= {"points": 1000, "grade": False, "solution": True, "locked": False}
    handed_in.metadata["kernelspec"] = {"name": "bash", "display_name": "x", "language": "bash"}
    clean, _ = rebuild(mini.master, mini.reference())
    assert rebuild(mini.master, handed_in)[0] == clean


def test_tests_and_setup_come_from_the_master(mini: MiniLab) -> None:
    handed_in = mini.reference()
    for cell in handed_in.cells:
        if cell.metadata.get("nbgrader", {}).get("locked"):
            cell.source = "print('mine')"
    rebuilt, notes = rebuild(mini.master, handed_in)
    assert rebuilt == rebuild(mini.master, mini.reference())[0]
    assert "the cell setup differs from the released one; the released one was used" in notes


def test_deleted_cells_are_put_back(mini: MiniLab) -> None:
    handed_in = mini.reference()
    handed_in.cells = [cell for cell in handed_in.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert rebuild(mini.master, handed_in)[0] == rebuild(mini.master, mini.reference())[0]


def test_a_missing_solution_is_the_released_stub_and_is_noted(mini: MiniLab) -> None:
    rebuilt, notes = rebuild(mini.master, {"cells": []})
    assert sources(rebuilt) == [cell.released for cell in mini.master.cells]
    assert notes[0] == "the cell scale_tensor was missing; the released one was put in its place"


def test_reordered_cells_come_back_in_order(mini: MiniLab) -> None:
    handed_in = mini.reference()
    handed_in.cells.reverse()
    assert sources(rebuild(mini.master, handed_in)[0]) == sources(mini.reference())


def test_a_duplicate_stays_as_a_cell_of_the_student(mini: MiniLab) -> None:
    handed_in = mini.reference()
    copy = nbformat.from_dict(dict(handed_in.cells[2]))
    copy.source = "def scale_tensor(x, factor):\n    return x\n"
    handed_in.cells.insert(3, copy)
    rebuilt, notes = rebuild(mini.master, handed_in)
    (extra,) = [cell for cell in rebuilt.cells if cell.metadata[KIND] == "student"]
    assert extra.source == copy.source and "nbgrader" not in extra.metadata
    assert rebuilt.cells.index(extra) == 3 and "scale_tensor" in notes[0]


def test_own_cells_follow_the_cell_they_followed(mini: MiniLab) -> None:
    handed_in = mini.reference()
    handed_in.cells.insert(0, nbformat.v4.new_code_cell("first = 1"))
    handed_in.cells.insert(4, nbformat.v4.new_markdown_cell("a note"))
    handed_in.cells[4]["attachments"] = {"x.png": {"image/png": "iVBORw0KGgo="}}
    rebuilt, _ = rebuild(mini.master, handed_in)
    assert rebuilt.cells[0].source == "first = 1"
    assert (
        rebuilt.cells[4].source == "a note" and rebuilt.cells[4].attachments == handed_in.cells[4].attachments
    )


def test_lost_nbgrader_metadata_is_made_up_for_by_cell_ids(mini: MiniLab) -> None:
    handed_in = mini.reference()
    for cell in handed_in.cells:
        cell.metadata.pop("nbgrader", None)
    assert sources(rebuild(mini.master, handed_in)[0]) == sources(mini.reference())


@pytest.mark.parametrize("change", ["source", "extra", "order"])
def test_the_submission_hash_follows_what_the_student_wrote(mini: MiniLab, change: str) -> None:
    handed_in = mini.reference()
    before = submission_hash(rebuild(mini.master, handed_in)[0])
    if change == "source":
        handed_in.cells[2].source += "\n# more"
    elif change == "extra":
        handed_in.cells.append(nbformat.v4.new_code_cell("1"))
    else:
        handed_in.cells[-1].source = "another answer"
    assert submission_hash(rebuild(mini.master, handed_in)[0]) != before
