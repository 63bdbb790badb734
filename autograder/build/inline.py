"""Replace `from reference_impl.x import f` in a solution cell by the source of `f`."""

from __future__ import annotations

import ast
from pathlib import Path

from autograder.build.percent import SourceCell, with_source
from autograder.errors import BuildError

RULE = "a solution cell holds only lines of the form 'from reference_impl.x import name'"


def inline_reference(cell: SourceCell, root: Path) -> tuple[SourceCell, list[str]]:
    """The solution cell with the source of each imported function or class, and their names.

    Raises BuildError for hand-written code, an alias, an unknown module or name, or a function
    without a solution region.
    """
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError as error:
        raise BuildError(cell.where, f"{RULE}: {error.msg}") from error
    pieces: list[str] = []
    names: list[str] = []
    for statement in statements:
        if not isinstance(statement, ast.ImportFrom) or not (statement.module or "").startswith(
            "reference_impl."
        ):
            raise BuildError(cell.where, f"{RULE}; found hand-written code: {ast.unparse(statement)[:60]!r}")
        for alias in statement.names:
            if alias.asname or alias.name == "*":
                raise BuildError(cell.where, f"{RULE}, without 'as' or '*'")
            pieces.append(_definition(cell, statement.module or "", alias.name, root))
            names.append(alias.name)
    if not pieces:
        raise BuildError(cell.where, f"{RULE}; this one is empty")
    return with_source(cell, "\n\n\n".join(pieces)), names


def _definition(cell: SourceCell, module: str, name: str, root: Path) -> str:
    """Source lines of a top-level function or class, with its decorators and the comment above it."""
    file = root / Path(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        raise BuildError(cell.where, f"unknown reference: there is no module {module}")
    text = file.read_text("utf-8")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            while first > 0 and lines[first - 1].startswith("#"):
                first -= 1
            end = node.end_lineno or node.lineno
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
                end += 1  # the marker that closes a region is a comment, which the parser leaves out
            source = "\n".join(lines[first:end]).rstrip()
            if "BEGIN SOLUTION" not in source:
                raise BuildError(cell.where, f"{module}.{name} marks no '### BEGIN SOLUTION' region to strip")
            return source
    raise BuildError(
        cell.where, f"unknown reference: {module} defines no function or class {name!r} at its top level"
    )
