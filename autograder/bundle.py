"""The lab bundle: everything the grader knows about a lab, in one file that only staff can read.

It is written by the builder and read by rebuild, judge and reports. The master cells come in
order; a grade cell carries both the text students received and the full text with hidden tests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder.errors import ConfigurationError

FORMAT = 1


@dataclass(frozen=True)
class MasterCell:
    """One cell of the released notebook.

    `kind`: markdown, provided, shared, solution, grade or written. `full` is the source with
    solution or hidden tests; for other cells it equals `released`. `defines` are the names that a
    solution cell provides.
    """

    id: str
    kind: str
    cell_type: str
    released: str
    full: str
    metadata: dict[str, Any]
    defines: list[str]

    @property
    def grade_id(self) -> str | None:
        name: str | None = self.metadata.get("nbgrader", {}).get("grade_id")
        return name

    @property
    def points(self) -> float:
        return float(self.metadata.get("nbgrader", {}).get("points", 0))


@dataclass(frozen=True)
class MasterNotebook:
    """One released notebook with its master cells."""

    id: str
    metadata: dict[str, Any]
    cells: list[MasterCell]

    @property
    def autograded_points(self) -> float:
        """Points the judge can give; the written question is not among them."""
        return sum(cell.points for cell in self.cells if cell.kind == "grade")

    @property
    def version(self) -> str:
        """A hash over what can change a grade of this notebook: its code, its tests and their points.

        A corrected sentence leaves it as it is, and what another notebook of the lab changes does too.
        """
        code = [
            [cell.id, cell.kind, cell.full, cell.points, cell.defines]
            for cell in self.cells
            if cell.cell_type == "code" and cell.kind != "written"
        ]
        return hashlib.sha256(json.dumps(code).encode()).hexdigest()

    def functions(self) -> list[str]:
        """Every name a student defines in this notebook, in order."""
        return [name for cell in self.cells for name in cell.defines]


@dataclass(frozen=True)
class Bundle:
    """One lab. `version` is a hash over everything that can change a grade."""

    lab: str
    language: str
    extra_files: list[str]
    notebooks: list[MasterNotebook]
    version: str = ""

    def notebook(self, notebook_id: str) -> MasterNotebook:
        """The notebook with this id. Raises KeyError."""
        return {notebook.id: notebook for notebook in self.notebooks}[notebook_id]


def write_bundle(bundle: Bundle, path: Path) -> Bundle:
    """Write the bundle, readable by its owner only; return it with its version filled in."""
    content = {**asdict(bundle), "format": FORMAT}
    content.pop("version")
    version = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(json.dumps({**content, "version": version}, indent=1, sort_keys=True), "utf-8")
    return Bundle(bundle.lab, bundle.language, bundle.extra_files, bundle.notebooks, version)


def read_bundle(path: Path) -> Bundle:
    """Read a bundle. Raises ConfigurationError when the lab was not built."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} is missing: build the lab first (course build {path.stem})"
        ) from error
    if content.get("format") != FORMAT:
        raise ConfigurationError(
            f"{path} was written by another version: build the lab again (course build {path.stem})"
        )
    notebooks = [
        MasterNotebook(item["id"], item["metadata"], [MasterCell(**cell) for cell in item["cells"]])
        for item in content["notebooks"]
    ]
    return Bundle(content["lab"], content["language"], content["extra_files"], notebooks, content["version"])
