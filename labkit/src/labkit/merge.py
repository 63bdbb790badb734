"""Merge the notebook of a newer release into a student's own: the course's cells new, the student's text kept.

Notebooks are plain dictionaries as `json.load` gives them (nbformat 4), so nothing is normalised on the way.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Cell = dict[str, Any]


class NotANotebook(ValueError):
    """This is no notebook of format 4; the text says why."""


@dataclass
class Merged:
    """A merged notebook, and by name the cells a student should know about.

    `updated`: the course's text is another one. `added`: new, or deleted by the student and put back.
    `kept`: the student's text stayed although the released text changed. `replaced`: a locked cell
    that the student had changed; the released one took its place.
    """

    notebook: dict[str, Any]
    changed: bool = False
    updated: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def merge(mine: dict[str, Any], released: dict[str, Any], earlier: frozenset[str] = frozenset()) -> Merged:
    """The released notebook with the student's solutions, answers, own cells and still valid outputs.

    A solution or written cell keeps the source of the first of the student's cells with its grade id,
    unless that is still a released text. Every cell that is not the course's stays after the
    course's cell it followed. `earlier` holds the marks (see `mark`) of cells of earlier releases: by
    them a superseded cell is told from one that the student wrote. Raises NotANotebook.
    """
    own, new = cells_of(mine), cells_of(released)
    course = earlier | {mark(cell) for cell in new}
    match = _match(own, new, course if earlier else None)
    taken = {position: own[number] for number, position in match.items()}
    extra: dict[int, list[Cell]] = {}
    anchor = -1
    merged = Merged({**released, "metadata": {**released.get("metadata", {}), **mine.get("metadata", {})}})
    for number, cell in enumerate(own):
        if number in match:
            anchor = match[number]
            theirs = new[anchor]
            if writable(theirs) or text_of(cell) == text_of(theirs) or mark(cell) in course:
                continue
            if cell["cell_type"] == "code":
                merged.replaced.append(name_of(theirs))
                continue
        elif mark(cell) in course:
            continue
        extra.setdefault(anchor, []).append(cell)
    used = {str(cell.get("id")) for cell in new}
    cells = [_own_cell(cell, used) for cell in extra.get(-1, [])]
    for position, theirs in enumerate(new):
        cells.append(_course_cell(theirs, taken.get(position), course, merged))
        cells += [_own_cell(cell, used) for cell in extra.get(position, [])]
    merged.notebook["cells"] = cells
    merged.changed = [_essence(cell) for cell in own] != [_essence(cell) for cell in cells]
    return merged


def cells_of(notebook: dict[str, Any]) -> list[Cell]:
    """The cells of a notebook. Raises NotANotebook naming the first that is malformed."""
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise NotANotebook("it has no list of cells")
    if notebook.get("nbformat") != 4:
        raise NotANotebook(f"its format is {notebook.get('nbformat')!r}, not 4")
    for number, cell in enumerate(notebook["cells"], start=1):
        good = isinstance(cell, dict) and cell.get("cell_type") in ("code", "markdown", "raw")
        source = cell.get("source") if good else None
        lines = source if isinstance(source, list) else [source]
        if not good or not all(isinstance(line, str) for line in lines):
            raise NotANotebook(f"its cell {number} is malformed")
    cells: list[Cell] = notebook["cells"]
    return cells


def text_of(cell: Cell) -> str:
    """The source without white space around it."""
    source = cell["source"]
    return (source if isinstance(source, str) else "".join(source)).strip()


def about(cell: Cell) -> dict[str, Any]:
    """nbgrader's metadata of a cell; empty for a cell without."""
    metadata = cell.get("metadata")
    found = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def name_of(cell: Cell) -> str:
    """The grade id, or else the cell's id, which the course derives from a grade id."""
    return str(about(cell).get("grade_id") or cell.get("id") or "")


def mark(cell: Cell) -> str:
    """`name:sixteen hex digits over kind and text`: by its mark a released cell is known again."""
    content = f"{cell['cell_type']}\n{text_of(cell)}".encode("utf-8", "surrogatepass")
    return f"{name_of(cell)}:{hashlib.sha256(content).hexdigest()[:16]}"


def writable(cell: Cell) -> bool:
    """Whether a student writes in this cell: a solution, an answer or a task."""
    return bool(about(cell).get("solution") or about(cell).get("task"))


def _match(own: list[Cell], new: list[Cell], course: frozenset[str] | None) -> dict[int, int]:
    """Which of the student's cells stands for which released one, by position.

    Cells with a grade go by their name. The others are numbered (`setup-3`), so that a cell put
    between them shifts the names: there an equal text counts for more than an equal name. Where the
    marks of all releases are known, a student's own copy of a released text is not taken for it.
    """

    def text(cell: Cell) -> str | None:
        known = course is None or mark(cell) in course or not cell.get("id")
        return text_of(cell) or None if known else None

    graded = {name_of(cell) for cell in new if writable(cell) or about(cell).get("grade")}
    rules: list[Callable[[Cell], Any]] = [
        lambda cell: name_of(cell) if name_of(cell) in graded else None,
        lambda cell: None if name_of(cell) in graded else mark(cell),
        lambda cell: None if name_of(cell) in graded else text(cell),
        lambda cell: None if name_of(cell) in graded else name_of(cell) or None,
    ]
    match: dict[int, int] = {}
    for rule in rules:
        free: dict[Any, list[int]] = {}
        claimed = set(match.values())
        for position, cell in enumerate(new):
            if position not in claimed and rule(cell) is not None:
                free.setdefault((cell["cell_type"], rule(cell)), []).append(position)
        for number, cell in enumerate(own):
            places = free.get((cell["cell_type"], rule(cell)))
            if number not in match and places:
                match[number] = places.pop(0)
    return match


def _course_cell(theirs: Cell, mine: Cell | None, course: frozenset[str], merged: Merged) -> Cell:
    """A released cell with what stays of the student's: source where it is theirs to write, outputs."""
    cell = copy.deepcopy(theirs)
    if mine is None:
        merged.added.append(name_of(theirs))
        return cell
    if writable(theirs) and mark(mine) not in course:
        cell["source"] = copy.deepcopy(mine["source"])
        if mine.get("attachments"):
            cell["attachments"] = copy.deepcopy(mine["attachments"])
        if about(mine).get("checksum", about(theirs).get("checksum")) != about(theirs).get("checksum"):
            merged.kept.append(name_of(theirs))
    elif text_of(mine) != text_of(theirs):
        merged.updated.append(name_of(theirs))
        return cell
    for key in ("outputs", "execution_count"):
        if key in mine and cell["cell_type"] == "code":
            cell[key] = copy.deepcopy(mine[key])
    return cell


def _own_cell(cell: Cell, used: set[str]) -> Cell:
    """A cell of the student's own: no grade hangs on it, and no other cell has its id."""
    own = copy.deepcopy(cell)
    metadata: dict[str, Any] = own["metadata"] if isinstance(own.get("metadata"), dict) else {}
    if about(own):
        metadata = {
            key: metadata[key] for key in metadata if key not in ("nbgrader", "deletable", "editable")
        }
    own["metadata"] = metadata
    number, name = 1, own.get("id")
    while not isinstance(name, str) or name in used:
        name, number = f"own-{number}", number + 1
    used.add(name)
    own["id"] = name
    return own


def _essence(cell: Cell) -> tuple[Any, ...]:
    """What makes two cells the same to a reader; what Jupyter notes about their display is not in it."""
    return cell.get("id"), cell["cell_type"], text_of(cell), about(cell)
