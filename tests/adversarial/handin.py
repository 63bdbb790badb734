"""What a hand-in of the zoo is, and the short words in which the zoo is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.grade.sandbox import Limits
from autograder.quality.handins import replace_solution
from tests.conftest import LIMITS

Change = Callable[[NotebookNode], NotebookNode]

FULL = {"test_scale_tensor": 40.0, "test_largest": 30.0, "test_running_sum": 20.0}
NOTHING = dict.fromkeys(FULL, 0.0)
NOTEBOOK = "01-Scale.ipynb"

HASTY = Limits(
    cell_seconds=3, check_seconds=2, notebook_seconds=60, memory=1024, disk=32, file=16, processes=128
)
"""For what has to run into a limit. The zoo has these and `LIMITS` only: each kind of sandbox has templates."""

TELL = 'mark = "LEAK" + chr(58)\n'
"""Begins a cell that tells what it found. The mark is put together there, because a page shows the source too."""
TRY = f"""{TELL}import ctypes, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def attempt(what, action):
    try:
        found = action()
    except BaseException as error:
        print(what, "failed:", type(error).__name__, str(error)[:80])
    else:
        if found:
            print(mark, what, repr(found)[:300])

def call(number, *arguments):
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *passed)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f"returned {{result}}"

"""
"""The same for attempts that should fail: each that returns something true is told."""

WRONG_SCALE = "def scale_tensor(x, factor):\n    return x * 0 + 1\n"
WRONG_LARGEST = "def largest(x):\n    return 3.0\n"
SUM = """class RunningSum:
    def __init__(self):
        self.total = torch.zeros(())
    def add(self, x):
        self.total = self.total + x.sum()

"""
"""Stands in the cell of `largest`."""
LARGEST = "def largest(x):\n    return x.abs().max().item() if x.numel() > 0 else 0.0\n"


@dataclass(frozen=True)
class HandIn:
    """One hand-in: what it changes in the reference, and what it earns by that."""

    name: str
    description: str
    change: Change
    expected: dict[str, float] = field(default_factory=lambda: dict(FULL))
    limits: Limits = LIMITS
    files: dict[str, bytes] = field(default_factory=dict)
    """Files that lie beside the notebook."""
    folder: Callable[[Path], None] | None = None
    """Changes the folder with the notebook in it, before intake."""
    forbidden: tuple[str, ...] = ()
    """Further texts that must not come out."""
    grouped: bool = False
    """Whether only a control group can hold it."""
    nightly: bool = False
    """Whether it takes longer than a person waits for."""


def without(*names: str) -> dict[str, float]:
    """Full points but for these graded functions."""
    lost = {f"test_{name}" for name in names}
    return {name: 0.0 if name in lost else points for name, points in FULL.items()}


def unchanged(notebook: NotebookNode) -> NotebookNode:
    """The reference as it is."""
    return notebook


def solve(grade_id: str, source: str) -> Change:
    """Another solution in one cell."""
    return lambda notebook: replace_solution(notebook, grade_id, source)


def largest(body: str, before: str = "") -> Change:
    """Another `largest`, whose body reads `x`, after whatever stands before it."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return solve("largest", f"{SUM}{before}def largest(x):\n{lines}")


def scale(body: str, before: str = "") -> Change:
    """Another `scale_tensor`, whose body reads `x` and `factor`, after whatever stands before it."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return solve("scale_tensor", f"{before}def scale_tensor(x, factor):\n{lines}")


def cell(source: str, before: str = "scale_tensor", kind: str = "code") -> Change:
    """A cell of the student's own before the cell with this grade id."""

    def add(notebook: NotebookNode) -> NotebookNode:
        make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.insert(place(notebook, before), make(source=source))
        return notebook

    return add


def place(notebook: NotebookNode, grade_id: str) -> int:
    """Where the cell with this grade id stands."""
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    return ids.index(grade_id)


def both(*changes: Change) -> Change:
    """One change after another."""

    def change(notebook: NotebookNode) -> NotebookNode:
        for each in changes:
            notebook = each(notebook)
        return notebook

    return change


def wrong(*changes: Change) -> Change:
    """A wrong `scale_tensor`, and what is meant to hide that."""
    return both(solve("scale_tensor", WRONG_SCALE), *changes)


def read(name: str) -> list[HandIn]:
    """The innocent hand-ins of a text file beside this one.

    Each begins with `=== name` and a line that describes it. Its parts begin with `--- cell before ID` or
    `--- solution of ID`, where ID is the grade id of a cell.
    """
    text = Path(__file__).with_name(f"{name}.txt").read_text("utf-8")
    found = []
    for block in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        (title, description), *parts = (
            part.split("\n", 1) for part in re.split(r"^--- ", block, flags=re.MULTILINE)
        )
        changes = []
        for about, source in parts:
            kind, _, grade_id = about.split()
            changes.append(
                cell(source.strip("\n"), grade_id) if kind == "cell" else solve(grade_id, source.strip("\n"))
            )
        found.append(HandIn(title, description.strip(), both(*changes)))
    return found
