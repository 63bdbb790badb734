"""Walk a source notebook in order: inline the reference, and check that every name exists where it is used."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from autograder.build.grade_cells import check_grade_cell
from autograder.build.inline import inline_reference
from autograder.build.names import defined_names, free_names
from autograder.build.percent import SourceCell
from autograder.build.regions import check_regions
from autograder.errors import BuildError


@dataclass
class Notebook:
    """One source notebook after inlining. `defines` maps a solution cell to the names it provides."""

    id: str
    cells: list[SourceCell] = field(default_factory=list)
    defines: dict[str, list[str]] = field(default_factory=dict)
    points: float = 0.0
    """All points, written questions included."""


def check_and_inline(notebook_id: str, cells: list[SourceCell], root: Path) -> Notebook:
    """Apply every rule of the builder to one notebook of the checkout `root`.

    Raises BuildError at the first rule that is broken.
    """
    notebook = Notebook(notebook_id)
    seen: dict[str, SourceCell] = {}
    student: set[str] = set()
    shared: set[str] = set()
    functions: set[str] = set()
    classes: set[str] = set()
    for original in cells:
        cell = original
        if cell.grade_id is not None:
            if cell.grade_id in seen:
                raise BuildError(cell.where, f"duplicate grade_id, first used at {seen[cell.grade_id].where}")
            seen[cell.grade_id] = cell
        if cell.kind == "solution":
            cell, names = inline_reference(cell, root)
            notebook.defines[cell.grade_id or ""] = names
        check_regions(cell)
        if cell.kind in ("provided", "shared", "solution"):
            known = shared if cell.kind == "shared" else student | shared
            defined = _defined(cell)
            unknown = free_names(cell.source) - known - defined
            if unknown:
                reason = (
                    "a shared cell may not depend on student names"
                    if cell.kind == "shared"
                    else "it does not exist there"
                )
                raise BuildError(
                    cell.where, f"{', '.join(sorted(unknown))} is used before the student has it: {reason}"
                )
            (shared if cell.kind == "shared" else student).update(defined)
            if cell.kind == "solution":
                for node in ast.parse(cell.source).body:
                    if isinstance(node, ast.ClassDef):
                        classes.add(node.name)
                    elif isinstance(node, ast.FunctionDef):
                        functions.add(node.name)
        elif cell.kind == "grade":
            check_grade_cell(cell, functions, classes, shared)
        if cell.kind in ("grade", "written"):
            notebook.points += float(cell.node.metadata["nbgrader"].get("points", 0))
        notebook.cells.append(cell)
    return notebook


def _defined(cell: SourceCell) -> set[str]:
    try:
        return defined_names(cell.source)
    except SyntaxError as error:
        raise BuildError(f"{cell.where}+{(error.lineno or 1) - 1}", f"syntax error: {error.msg}") from error


def check_points(lab_id: str, notebooks: list[Notebook]) -> None:
    """Raise BuildError when the lab's points do not add up to 100."""
    total = sum(notebook.points for notebook in notebooks)
    if total != 100:
        parts = ", ".join(f"{notebook.id}: {notebook.points:g}" for notebook in notebooks)
        raise BuildError(lab_id, f"the points add up to {total:g}, not 100 ({parts})")
