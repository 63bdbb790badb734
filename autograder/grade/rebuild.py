"""Rebuild the graded notebook from the lab bundle: nothing but sources is taken from a hand-in."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.bundle import MasterCell, MasterNotebook

KIND = "course_kind"
"""Metadata key of a rebuilt cell that says what the judge does with it."""


def rebuild(master: MasterNotebook, handed_in: Mapping[str, Any]) -> tuple[NotebookNode, list[str]]:
    """The notebook that is judged, and notes about what was put right.

    `handed_in` has passed intake (`autograder.grade.handed_in`), so its cells are well formed.

    Master cells come in master order with master metadata. A solution or written cell takes its
    source from the first handed-in cell with its grade id; one that is missing keeps the released
    stub. Every other code or Markdown cell of the student stays, after the known cell it followed:
    a second cell with a known solution id is such a cell too, as it is when Jupyter runs the notebook.
    """
    by_grade_id = {cell.grade_id: cell for cell in master.cells if cell.grade_id}
    by_id = {cell.id: cell for cell in master.cells}
    texts = {(cell.cell_type, cell.released.strip()) for cell in master.cells if not cell.grade_id}
    taken: dict[str, Mapping[str, Any]] = {}
    extra: dict[str, list[Mapping[str, Any]]] = {}
    notes: list[str] = []
    anchor = ""
    for cell in handed_in["cells"]:
        source, kind = cell["source"], cell["cell_type"]
        grade_id = _grade_id(cell)
        known = by_grade_id.get(grade_id) if grade_id is not None else by_id.get(str(cell.get("id")))
        if known is not None and known.kind not in ("solution", "written"):
            anchor = known.id
            if source.strip() != known.released.strip() and known.kind != "markdown":
                notes.append(
                    f"the cell {known.grade_id} differs from the released one; the released one was used"
                )
        elif known is not None and known.id not in taken and kind == known.cell_type:
            taken[known.id] = cell
            anchor = known.id
        elif kind in ("code", "markdown") and source.strip() and (kind, source.strip()) not in texts:
            extra.setdefault(anchor, []).append(cell)
            if known is not None:
                notes.append(f"a second cell {grade_id} was kept as a cell of the student's own")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict(copy.deepcopy(master.metadata))
    for student in extra.get("", []):
        notebook.cells.append(_student_cell(student, len(notebook.cells)))
    for cell in master.cells:
        if cell.kind in ("solution", "written") and cell.id not in taken:
            notes.append(f"the cell {cell.grade_id} was missing; the released one was put in its place")
        notebook.cells.append(_master_cell(cell, taken.get(cell.id)))
        for student in extra.get(cell.id, []):
            notebook.cells.append(_student_cell(student, len(notebook.cells)))
    return notebook, notes


def submission_hash(notebook: NotebookNode) -> str:
    """A hash over what the student wrote in a rebuilt notebook."""
    written = [
        [cell.id, cell.source]
        for cell in notebook.cells
        if cell.metadata[KIND] in ("solution", "student", "written")
    ]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def _grade_id(cell: Mapping[str, Any]) -> str | None:
    metadata = cell.get("metadata", {}).get("nbgrader")
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _master_cell(cell: MasterCell, written: Mapping[str, Any] | None) -> NotebookNode:
    metadata = {**copy.deepcopy(cell.metadata), KIND: cell.kind}
    if written is None:
        written = {"source": cell.released}
    return _new_cell(cell.cell_type, written, cell.id, metadata)


def _student_cell(cell: Mapping[str, Any], position: int) -> NotebookNode:
    return _new_cell(cell["cell_type"], cell, f"student-{position}", {KIND: "student"})


def _new_cell(kind: str, cell: Mapping[str, Any], identity: str, metadata: dict[str, Any]) -> NotebookNode:
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    made = make(source=cell["source"], id=identity, metadata=metadata)
    if kind == "markdown" and cell.get("attachments"):
        made["attachments"] = copy.deepcopy(cell["attachments"])
    return made
