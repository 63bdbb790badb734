"""Proofs about a built release that need no execution."""

from __future__ import annotations

import ast
from pathlib import Path

from autograder.build.leaks import Leak, public_texts, scan, secrets
from autograder.build.regions import split_region
from autograder.bundle import Bundle, MasterCell
from autograder.course import ROOT, Lab
from autograder.errors import BuildError

STUBS = ("# YOUR CODE HERE", "raise NotImplementedError()", "YOUR ANSWER HERE")


def prove_release(lab: Lab, bundle: Bundle, release: Path) -> None:
    """Raise BuildError unless the release differs from the source in the marked regions only, every slot
    raises NotImplementedError, and nothing secret can be read from it or from labkit."""
    texts: dict[str, tuple[str, str]] = {}
    for notebook in bundle.notebooks:
        for cell in notebook.cells:
            where = f"{notebook.id}, cell {cell.grade_id or cell.id}"
            _prove_unchanged(cell, where)
            if cell.kind == "solution":
                _prove_slots(cell, where)
            texts[where] = (cell.full, cell.released)
    leaks = find_leaks(texts, release)
    if leaks:
        shown = "\n  ".join(str(leak) for leak in leaks[:10])
        raise BuildError(lab.id, f"{len(leaks)} leaks of solution or hidden-test text:\n  {shown}")


def find_leaks(texts: dict[str, tuple[str, str]], release: Path) -> list[Leak]:
    """Secret text of cells (place to full and released source) in the release and in labkit."""
    return scan(secrets(texts), public_texts([release, ROOT / "labkit" / "src"]))


def _prove_unchanged(cell: MasterCell, where: str) -> None:
    kept = [line for line in cell.released.splitlines() if line.strip() not in STUBS and line.strip()]
    expected = cell.full
    for region in ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME"):
        expected, _ = split_region(expected, region)
    if kept != [line for line in expected.splitlines() if line.strip()]:
        raise BuildError(where, "the released cell differs from its source outside the marked regions")


def _prove_slots(cell: MasterCell, where: str) -> None:
    """Every function with a stub must reach it: the stub is a statement of the body, not of a branch."""
    regions = len(split_region(cell.full, "SOLUTION")[1])
    stubs = 0
    for node in ast.walk(ast.parse(cell.released)):
        if isinstance(node, ast.FunctionDef):
            stubs += sum(ast.unparse(statement) == "raise NotImplementedError()" for statement in node.body)
    if stubs != regions:
        raise BuildError(
            where,
            f"{regions} solution regions but {stubs} slots that raise NotImplementedError at a function's top level",
        )
