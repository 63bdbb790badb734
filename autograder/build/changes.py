"""What differs between two releases of a lab, cell by cell, and whether a release is what was built."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from labkit.merge import Cell, NotANotebook, cells_of, mark, name_of
from labkit.update import ERRATA

from autograder.bundle import Bundle, MasterCell, MasterNotebook
from autograder.errors import BuildError

Content = dict[str, list[str]]
"""What students see of a lab, short enough for a record: each file's name to its parts.

A part is `mark:hash`. Of a notebook it is a cell: its mark (see `labkit.merge.mark`) and a hash over
its other properties. Any other file is one part with an empty mark and a hash over its bytes.
"""
IGNORED = ".ipynb_checkpoints"
"""nbgrader does not copy these."""
PLACES = ("grade_id", "checksum")
"""Properties that follow from a cell's name and text; a cell added before another shifts its name."""


def content_of(folder: Path) -> Content:
    """The content of a released lab, without the list of errata, which is added when it is published."""
    files = [path for path in sorted(folder.iterdir()) if path.name not in (ERRATA, IGNORED)]
    return {path.name: _parts(path) for path in files}


def changes(old: Content, new: Content) -> dict[str, list[str]]:
    """What a student has to know of, by file: names of cells that changed, came or went."""
    found = {}
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            found[name] = ["the file is new" if name in new else "the file was removed"]
        elif old[name] != new[name]:
            found[name] = _cells_changed(old[name], new[name]) if name.endswith(".ipynb") else ["the text"]
    return found


def superseded(earlier: list[Content], new: Content) -> list[str]:
    """Marks of cells that earlier releases had and the new one has not."""
    now = {_mark(part) for parts in new.values() for part in parts}
    return sorted({_mark(part) for old in earlier for parts in old.values() for part in parts} - now - {""})


def check_release(bundle: Bundle, release: Path) -> None:
    """Raise BuildError, naming file and cell, unless `release` holds what was built and nothing else."""
    again = f"build it again (course build {bundle.lab})"
    if not release.is_dir():
        raise BuildError(bundle.lab, f"{release} is missing: {again}")
    notebooks = {f"{notebook.id}.ipynb": notebook for notebook in bundle.notebooks}
    for path in sorted(release.iterdir()):
        if path.name == IGNORED:
            continue
        if path.name not in {*notebooks, "README.md", *bundle.extra_files}:
            raise BuildError(
                str(path),
                "this is no file of the lab and would go to students: move it away, or name it in "
                "extra_files of course.toml and build again",
            )
        if path.is_symlink() or not path.is_file():
            raise BuildError(str(path), f"this is not a regular file: remove it, then {again}")
    for name, master in notebooks.items():
        _check_notebook(release / name, master, again)


def _check_notebook(path: Path, master: MasterNotebook, again: str) -> None:
    try:
        notebook = json.loads(path.read_bytes())
        cells = cells_of(notebook)
    except (OSError, ValueError) as error:
        raise BuildError(str(path), f"it cannot be read ({error}): {again}") from error
    if len(cells) != len(master.cells) or notebook.get("metadata") != master.metadata:
        raise BuildError(str(path), f"it is not the notebook that was built: {again}")
    for number, (cell, known) in enumerate(zip(cells, master.cells, strict=True), start=1):
        if not _is_released(cell, known):
            raise BuildError(
                f"{path}, cell {number} ({name_of(cell)})",
                f"it is not the cell that was built. Change the source notebook instead of the release, then {again}",
            )


def _is_released(cell: Cell, known: MasterCell) -> bool:
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    same = (source, cell["cell_type"], cell.get("id"), cell.get("metadata")) == (
        known.released, known.cell_type, known.id, known.metadata,
    )  # fmt: skip
    return same and not cell.get("outputs") and not cell.get("attachments")


def _parts(path: Path) -> list[str]:
    """The parts of one file; a notebook that cannot be read counts as any other file."""
    if path.suffix == ".ipynb" and path.is_file():
        try:
            notebook = json.loads(path.read_bytes())
            cells = [f"{mark(cell)}:{_about(cell)}" for cell in cells_of(notebook)]
            return [f":{_hash(notebook.get('metadata'))}", *cells]
        except (ValueError, NotANotebook):
            pass  # a damaged published notebook must be replaceable: it differs from every sound one
    return [f":{hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else 'no file'}"]


def _about(cell: Cell) -> str:
    """A hash over everything but name, text and outputs of a cell."""
    metadata: dict[str, Any] = dict(cell.get("metadata") or {})
    if isinstance(metadata.get("nbgrader"), dict):
        metadata["nbgrader"] = {k: v for k, v in metadata["nbgrader"].items() if k not in PLACES}
    return _hash([metadata, cell.get("attachments")])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _cells_changed(old: list[str], new: list[str]) -> list[str]:
    before, after = ({_unnamed(part) for part in parts} for parts in (old, new))
    changed = [_name(part) for part in new if _unnamed(part) not in before]
    removed = [_name(part) for part in old if _unnamed(part) not in after and _name(part) not in changed]
    return changed + [f"{name} (removed)" for name in removed] or ["the order of cells"]


def _mark(part: str) -> str:
    return part.rpartition(":")[0]


def _name(part: str) -> str:
    return _mark(part).rpartition(":")[0] or "settings of the notebook"


def _unnamed(part: str) -> tuple[str, ...]:
    """A part without its name, which is the first of three."""
    return tuple(part.rsplit(":", 2)[-2:])
