"""Take a newer release of a lab into your own copy; everything you wrote stays.

In a terminal, beside the lab's folder:

    python -m labkit.update Lab-3.1-Post_Training_Quantization

or in a notebook cell, after saving, and then reload the notebook from disk:

    from labkit.update import update_lab
    update_lab("Lab-3.1-Post_Training_Quantization")
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.exchange import UpdateError, release_folder
from labkit.merge import Merged, NotANotebook, cells_of, merge

ERRATA = "ERRATA.md"
COURSE_FILES = ("README.md", ERRATA)
"""Files that are the course's to change; any other file of a student is left alone."""
EARLIER = re.compile(r"^<!-- cells of earlier releases:(.*)-->$", re.MULTILINE)
"""The comment in ERRATA.md that holds the marks of superseded cells."""


def update_lab(folder: str | Path, released: str | Path | None = None) -> None:
    """Merge the newest release of a lab into `folder` and print a line for each notebook.

    `released` is the folder of the new release, or one that holds it; by default the course's
    exchange. The notebooks are first copied to `LAB-before-update-TIME` (UTC) beside the folder.
    Raises UpdateError when either folder cannot be found.
    """
    _update(folder, released)


def _update(folder: str | Path, released: str | Path | None) -> list[str]:
    """The same; returns the names of notebooks that could not be read and were left alone."""
    mine = _lab_folder(Path(folder))
    source = release_folder(mine.name, Path(released) if released else None)
    if source.resolve() == mine:
        raise UpdateError(f"{mine} is the release itself: name the folder you work in")
    earlier = _earlier(source)
    writes: dict[Path, bytes] = {}
    lines: list[str] = []
    broken: list[str] = []
    for file in sorted(path for path in source.iterdir() if path.is_file()):
        target = mine / file.name
        content = file.read_bytes()
        if not target.exists():
            writes[target] = content
            lines.append(f"{file.name}: was not here, added")
        elif file.suffix == ".ipynb":
            theirs = _released(file)
            try:
                merged = merge(_read(target), theirs, earlier)
            except NotANotebook as reason:
                broken.append(file.name)
                lines.append(f"{file.name}: left alone, it cannot be read ({reason})")
                continue
            if merged.changed:
                writes[target] = _encode(merged.notebook)
            lines.append(f"{file.name}: {_told(merged)}")
        elif file.name in COURSE_FILES and content != target.read_bytes():
            writes[target] = content
            lines.append(f"{file.name}: replaced by the released one")
    backup = _back_up(mine) if writes else None
    for target, content in writes.items():
        _write(target, content)
    for line in lines:
        print(line)
    if backup is None:
        print(f"{mine.name}: nothing newer was released, nothing was changed")
    else:
        print(
            f"Your old files are in {backup}. An open notebook must be reloaded from disk before you save it."
        )
    return broken


def _lab_folder(folder: Path) -> Path:
    # inside a notebook the working directory is the lab's own folder
    for candidate in (folder, Path("..") / folder):
        if candidate.is_dir():
            return candidate.resolve()
    raise UpdateError(f"there is no folder {folder} here: name the folder of the lab you work in")


def _earlier(source: Path) -> frozenset[str]:
    """Marks of cells of earlier releases, which the course notes in a comment of ERRATA.md."""
    errata = source / ERRATA
    found = EARLIER.search(errata.read_text("utf-8")) if errata.is_file() else None
    return frozenset(found[1].split()) if found else frozenset()


def _read(path: Path) -> dict[str, Any]:
    try:
        notebook: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise NotANotebook(f"{type(error).__name__}: {error}") from error
    return notebook


def _released(path: Path) -> dict[str, Any]:
    try:
        notebook = _read(path)
        cells_of(notebook)
    except NotANotebook as reason:
        raise UpdateError(f"the released {path} cannot be read ({reason}): tell your instructor") from reason
    return notebook


def _told(merged: Merged) -> str:
    parts = [
        f"{what} {', '.join(names)}"
        for what, names in (
            ("updated", merged.updated),
            ("added", merged.added),
            ("put back the released", merged.replaced),
            ("kept your text, whose released text changed, in", merged.kept),
        )
        if names
    ]
    if not merged.changed:
        return "up to date"
    return "; ".join(parts) or "cells were moved or removed as in the release"


def _back_up(folder: Path) -> Path:
    """Copy the notebooks and the course's files to a new folder beside the lab."""
    name = f"{folder.name}-before-update-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    backup, number = folder.with_name(name), 1
    while backup.exists():
        number += 1
        backup = folder.with_name(f"{name}-{number}")
    try:
        backup.mkdir()
        for path in folder.iterdir():
            if path.is_file() and (path.suffix == ".ipynb" or path.name in COURSE_FILES):
                shutil.copy2(path, backup / path.name)
    except OSError as error:
        raise UpdateError(f"no copy could be made in {backup} ({error}); nothing was changed") from error
    return backup


def _encode(notebook: dict[str, Any]) -> bytes:
    """The bytes that Jupyter writes for a notebook."""
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": ")) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can hold
        return (json.dumps(notebook, indent=1, sort_keys=True, separators=(",", ": ")) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Write in one step: a reader, or an update that is stopped, finds the old file or the new one."""
    path = path.resolve()  # a link stays a link
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        shutil.copymode(path, part)
    part.replace(path)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m labkit.update", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the folder of the lab you work in")
    parser.add_argument("--from", dest="released", help="the new release; the course's exchange by default")
    chosen = parser.parse_args()
    try:
        broken = _update(chosen.folder, chosen.released)
    except UpdateError as error:
        sys.exit(f"error: {error}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
