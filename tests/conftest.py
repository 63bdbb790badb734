"""Fixtures shared by the tests: one small lab, built once, and a way to judge hand-ins of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from autograder.build.builder import build_lab
from autograder.bundle import Bundle, MasterNotebook
from autograder.course import Course, Instance, load_course
from autograder.grade.job import Grader
from autograder.grade.rebuild import rebuild
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.verdict import NotebookVerdict
from autograder.quality.handins import reference_notebook

MINI = Path(__file__).parent / "fixtures" / "mini"
LIMITS = Limits(cell_seconds=8, check_seconds=4, notebook_seconds=120, memory=4096, disk=32, file=16)


class MiniLab:
    """The small lab of tests/fixtures/mini, built into a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.course: Course = load_course(MINI / "course.toml")
        self.lab = self.course.labs[0]
        self.instance = Instance(folder)
        self.bundle: Bundle = build_lab(self.lab, self.course, self.instance)
        self.master: MasterNotebook = self.bundle.notebooks[0]

    def copy(self, folder: Path) -> MiniLab:
        """The same lab with a copy of the instance, which may be graded into, locked or damaged."""
        copy = object.__new__(MiniLab)
        copy.__dict__.update(self.__dict__)
        shutil.copytree(self.instance.root, folder)
        copy.instance = Instance(folder)
        return copy

    def reference(self) -> NotebookNode:
        """A fresh hand-in that solves everything."""
        return reference_notebook(self.master)

    def judge(self, handed_in: NotebookNode, limits: Limits = LIMITS) -> NotebookVerdict:
        """Rebuild a hand-in and judge it in the sandbox."""
        grader = Grader(self.bundle, "a secret of the tests", Sandbox(limits))
        return grader.run(self.master, rebuild(self.master, handed_in)[0], [])

    def points(self, handed_in: NotebookNode) -> dict[str, float]:
        """Points of each graded cell under the judge."""
        return {cell.grade_id: cell.points for cell in self.judge(handed_in).cells}


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniLab:
    """The small lab, built once for all tests; do not grade into its instance."""
    return MiniLab(tmp_path_factory.mktemp("mini"))


@pytest.fixture
def fresh_mini(mini: MiniLab, tmp_path: Path) -> MiniLab:
    """A copy of the small lab's instance that a test may grade into, lock or damage."""
    return mini.copy(tmp_path / "instance")


@pytest.fixture
def mini_source(tmp_path: Path) -> Callable[[Callable[[str], str]], Path]:
    """Write a changed copy of the small lab's checkout; the argument edits the source notebook's text."""

    def write(edit: Callable[[str], str]) -> Path:
        root = tmp_path / "checkout"
        shutil.copytree(MINI, root)
        notebook = root / "source" / "Lab-0.1-Mini" / "01-Scale.py"
        changed = edit(notebook.read_text("utf-8"))
        assert changed != notebook.read_text("utf-8"), "the edit changed nothing"
        notebook.write_text(changed, "utf-8")
        return root

    return write
