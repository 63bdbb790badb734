"""Build one lab: read, check, inline, strip, bundle, prove."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path

import nbformat

from autograder.build.flow import Notebook, check_and_inline, check_points
from autograder.build.generate import generate_assignment
from autograder.build.percent import read_source
from autograder.build.prove import prove_release
from autograder.build.released import was_released
from autograder.bundle import Bundle, MasterCell, MasterNotebook, read_bundle, write_bundle
from autograder.configuration import prepare_instance
from autograder.course import Course, Instance, Lab
from autograder.errors import BuildError
from autograder.gradebook import count_submissions


def build_lab(lab: Lab, course: Course, instance: Instance, language: str = "en") -> Bundle:
    """Build a lab into an instance and prove the result without running it. Raises BuildError.

    Writes instructor notebooks, release, gradebook entries and the lab bundle below `instance.root`.
    """
    missing = [name for name in lab.notebooks if not (lab.source / f"{name}.py").is_file()]
    if missing:
        raise BuildError(lab.id, f"source/{lab.id} lacks {', '.join(name + '.py' for name in missing)}")
    notebooks = []
    headers = {}
    for name in lab.notebooks:
        headers[name], cells = read_source(lab.source / f"{name}.py", language)
        notebooks.append(check_and_inline(name, cells, lab.root))
    check_points(lab.id, notebooks)
    _refuse_changed_grades(lab, instance, notebooks)
    prepare_instance(instance)
    folder = instance.source / lab.id
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for notebook in notebooks:
        header = headers[notebook.id]
        header.cells = [cell.node for cell in notebook.cells]
        nbformat.write(header, folder / f"{notebook.id}.ipynb")
    for extra in ("README.md", *lab.extra_files):
        if (lab.source / extra).is_file():
            shutil.copy(lab.source / extra, folder / extra)
    release = generate_assignment(instance, lab, course)
    bundle = write_bundle(_bundle(lab, language, notebooks, release), instance.bundle(lab.id))
    prove_release(lab, bundle, release)
    return bundle


def _bundle(lab: Lab, language: str, notebooks: list[Notebook], release: Path) -> Bundle:
    masters = []
    for notebook in notebooks:
        released = json.loads((release / f"{notebook.id}.ipynb").read_text("utf-8"))
        cells = []
        for source, cell in zip(notebook.cells, released["cells"], strict=True):
            text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
            defines = notebook.defines.get(source.grade_id or "", [])
            cells.append(
                MasterCell(
                    cell["id"], source.kind, cell["cell_type"], text, source.source, cell["metadata"], defines
                )
            )
        masters.append(MasterNotebook(notebook.id, released["metadata"], cells))
    return Bundle(lab.id, language, list(lab.extra_files), masters)


def _refuse_changed_grades(lab: Lab, instance: Instance, notebooks: list[Notebook]) -> None:
    """After a release or hand-ins, the set of graded cells is fixed: scores hang on it.

    So are the solution cells that students have: under another name their text would not be found.
    """
    if not instance.bundle(lab.id).is_file():
        return
    if count_submissions(instance, lab.id):
        reason = "hand-ins exist"
    elif was_released(instance, lab.id):
        reason = "the lab was released"
    else:
        return
    old = {
        (notebook.id, cell.grade_id): cell.kind
        for notebook in read_bundle(instance.bundle(lab.id)).notebooks
        for cell in notebook.cells
    }
    new = {(notebook.id, cell.grade_id): cell.kind for notebook in notebooks for cell in notebook.cells}
    graded = _of_kinds(old, "grade", "written") ^ _of_kinds(new, "grade", "written")
    lost = _of_kinds(old, "solution") - _of_kinds(new, "solution")
    for what, cells in (
        ("graded cells were added or removed", graded),
        ("solution cells were removed", lost),
    ):
        if cells:
            changed = ", ".join(f"{notebook}: {name}" for notebook, name in sorted(cells, key=str))
            raise BuildError(
                lab.id,
                f"{what} ({changed}) although {reason}. Keep the old grade_id and "
                "change the cell's tests, or move the new cell to the next semester's instance",
            )


def _of_kinds(cells: dict[tuple[str, str | None], str], *kinds: str) -> set[tuple[str, str | None]]:
    return {place for place, kind in cells.items() if kind in kinds}


def copy_release(lab: Lab, instance: Instance, destination: Path) -> None:
    """Replace the committed release of a lab by the built one."""
    if destination.exists():
        shutil.rmtree(destination)
    shutil.copytree(instance.release / lab.id, destination)


def stale_files(lab: Lab, instance: Instance, committed: Path) -> list[str]:
    """Files in which the committed release differs from the built one; empty when it is current."""
    built = instance.release / lab.id
    names = {
        path.relative_to(root).as_posix()
        for root in (built, committed)
        for path in root.rglob("*")
        if path.is_file()
    }
    return sorted(
        name
        for name in names
        if not (built / name).is_file()
        or not (committed / name).is_file()
        or not filecmp.cmp(built / name, committed / name, shallow=False)
    )
