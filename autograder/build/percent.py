"""Read a percent notebook: cells with their kind, their line in the file, and stable ids."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from autograder.errors import BuildError

LANGUAGES = ("en", "zh-TW")


@dataclass(frozen=True)
class SourceCell:
    """One cell of a source notebook. `kind` is markdown, provided, shared, solution, grade or written."""

    node: NotebookNode
    kind: str
    file: Path
    line: int
    number: int

    @property
    def where(self) -> str:
        """`file, cell 4 (grade_id), line 31`, for error messages."""
        name = f" ({self.grade_id})" if self.grade_id else ""
        return f"{self.file.name}, cell {self.number}{name}, line {self.line}"

    @property
    def grade_id(self) -> str | None:
        """nbgrader's name of the cell, None for plain Markdown."""
        name: str | None = self.node.metadata.get("nbgrader", {}).get("grade_id")
        return name

    @property
    def source(self) -> str:
        """The cell's text."""
        text: str = self.node.source
        return text


def read_source(path: Path, language: str = "en") -> tuple[NotebookNode, list[SourceCell]]:
    """Read one source notebook; keep the Markdown cells of `language` and those without one.

    Code cells without nbgrader metadata are locked. Every cell gets an id that derives from the
    grade id before it, so that building twice gives the same bytes. Raises BuildError.
    """
    if language not in LANGUAGES:
        raise BuildError(
            path.name, f"unknown language {language!r}; the languages are {', '.join(LANGUAGES)}"
        )
    try:
        notebook = jupytext.read(path, fmt="py:percent")
    except Exception as error:  # jupytext passes on whatever its parsers raise
        raise BuildError(path.name, f"not a percent notebook: {error}") from error
    lines = _cell_lines(path, len(notebook.cells))
    cells: list[SourceCell] = []
    anchor, since = "start", 0
    for number, (node, line) in enumerate(zip(notebook.cells, lines, strict=True), start=1):
        since += 1
        metadata = node.metadata.get("nbgrader")
        if metadata is None and node.cell_type == "code":
            metadata = node.metadata["nbgrader"] = _locked(f"{anchor}-{since}")
        elif metadata is not None:
            anchor, since = metadata.get("grade_id") or anchor, 0
        node["id"] = str(metadata["grade_id"] if metadata else f"{anchor}-{since}")[:64]
        wanted = node.metadata.pop("lang", language)
        if wanted not in LANGUAGES:
            raise BuildError(f"{path.name}, cell {number}, line {line}", f"unknown lang={wanted!r}")
        if wanted == language:
            cells.append(SourceCell(node, _kind(node), path, line, number))
    header = nbformat.v4.new_notebook()
    header.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    header.metadata["language_info"] = {"name": "python"}
    return header, cells


def with_source(cell: SourceCell, source: str) -> SourceCell:
    """The same cell with another text."""
    node = copy.deepcopy(cell.node)
    node.source = source
    return SourceCell(node, cell.kind, cell.file, cell.line, cell.number)


def _locked(grade_id: str) -> dict[str, object]:
    return {
        "grade": False,
        "grade_id": grade_id,
        "locked": True,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }


def _kind(node: NotebookNode) -> str:
    metadata = node.metadata.get("nbgrader", {})
    if (metadata.get("grade") and metadata.get("solution")) or metadata.get("task"):
        return "written"
    if node.cell_type != "code":
        return "markdown"
    if metadata.get("grade"):
        return "grade"
    if metadata.get("solution"):
        return "solution"
    return "shared" if "shared" in node.metadata.get("tags", []) else "provided"


def _cell_lines(path: Path, count: int) -> list[int]:
    lines = [
        number
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if line.startswith("# %%")
    ]
    if len(lines) != count:
        raise BuildError(
            path.name,
            f"{count} cells were read but {len(lines)} lines begin with '# %%': text before the first cell?",
        )
    return lines
