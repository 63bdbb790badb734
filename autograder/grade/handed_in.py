"""A handed-in notebook, read with nothing believed: only sources, grade ids and pictures are taken from it."""

from __future__ import annotations

import json
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.report.neutral import is_picture
from autograder.text import well_formed

MOST_CELLS = 1000
MARKDOWN_CHARACTERS = 50_000
CODE_CHARACTERS = 500_000
PICTURE_CHARACTERS = 700_000
"""Of one pasted picture in base64, about 500 kB."""
IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,64}")
PICTURE_NAME = re.compile(r"[\w.-]{1,80}")


class NotANotebook(Exception):
    """These bytes are not a notebook; the text says why."""


def read_handed_in(content: bytes) -> NotebookNode:
    """A fresh notebook of format 4.5 with the cells of a handed-in one. Raises NotANotebook.

    Kept of a cell: its kind, its source, its id, its grade id, pictures pasted into Markdown.
    """
    if not content.strip():
        raise NotANotebook("the file is empty")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotANotebook(f"not a notebook: not JSON ({type(error).__name__})") from error
    if not isinstance(found, dict) or not isinstance(found.get("cells"), list):
        raise NotANotebook("not a notebook: it has no list of cells")
    if found.get("nbformat") != 4:
        raise NotANotebook(f"not a notebook of format 4 (nbformat is {found.get('nbformat')!r:.40})")
    if len(found["cells"]) > MOST_CELLS:
        raise NotANotebook(f"{len(found['cells'])} cells are over the limit of {MOST_CELLS}")
    notebook = nbformat.v4.new_notebook()
    seen: set[str] = set()
    for number, cell in enumerate(found["cells"], start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
            raise NotANotebook(f"not a notebook: cell {number} is malformed")
        notebook.cells.append(_cell(cell, number, seen))
    return notebook


def _cell(cell: dict[str, Any], number: int, seen: set[str]) -> NotebookNode:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise NotANotebook(f"not a notebook: the source of cell {number} is not text")
    kind = cell["cell_type"]
    limit = CODE_CHARACTERS if kind == "code" else MARKDOWN_CHARACTERS
    if len(source) > limit:
        raise NotANotebook(f"cell {number} has {len(source)} characters, over the limit of {limit}")
    identity = cell.get("id")
    if not isinstance(identity, str) or not IDENTITY.fullmatch(identity) or identity in seen:
        identity = f"handed-in-{number}"
    seen.add(identity)
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}.get(
        kind, nbformat.v4.new_raw_cell
    )
    made = make(source=well_formed(source).replace("\r\n", "\n"), id=identity)
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = about.get("grade_id") if isinstance(about, dict) else None
    if isinstance(grade_id, str):
        made.metadata["nbgrader"] = {"grade_id": well_formed(grade_id)}
    if kind == "markdown" and isinstance(cell.get("attachments"), dict):
        pictures = _pictures(cell["attachments"])
        if pictures:
            made["attachments"] = pictures
    return made


def _pictures(attachments: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The attachments that are PNG or JPEG pictures of moderate size."""
    kept = {}
    for name, data in attachments.items():
        if not PICTURE_NAME.fullmatch(name) or not isinstance(data, dict):
            continue
        for kind, content in data.items():
            if isinstance(content, str) and len(content) <= PICTURE_CHARACTERS and is_picture(kind, content):
                kept[name] = {kind: "".join(content.split())}
    return kept
