"""Make hand-ins from a lab bundle: the reference, the untouched release, and variations of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.build.regions import split_region
from autograder.bundle import Bundle, MasterNotebook

WRITTEN = "The measured values above answer this: see the second row of the table."


def released_notebook(master: MasterNotebook) -> NotebookNode:
    """The notebook exactly as students receive it."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict(master.metadata)
    for cell in master.cells:
        make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.append(
            make(source=cell.released, id=cell.id, metadata=nbformat.from_dict(cell.metadata))
        )
    return notebook


def reference_notebook(master: MasterNotebook) -> NotebookNode:
    """The released notebook with the reference solution in every slot and a written answer."""
    notebook = released_notebook(master)
    for cell, known in zip(notebook.cells, master.cells, strict=True):
        if known.kind == "solution":
            cell.source = known.full
        elif known.kind == "written":
            _, answers = split_region(known.full, "SOLUTION")
            cell.source = "\n".join(answers) or WRITTEN
    return notebook


def replace_solution(notebook: NotebookNode, grade_id: str, source: str) -> NotebookNode:
    """The same notebook with another source in one cell."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id:
            cell.source = source
    return notebook


def write_handin(folder: Path, bundle: Bundle, make: Callable[[MasterNotebook], NotebookNode]) -> None:
    """Write one hand-in: `make` is called for each notebook of the lab."""
    folder.mkdir(parents=True)
    for master in bundle.notebooks:
        nbformat.write(make(master), folder / f"{master.id}.ipynb")
