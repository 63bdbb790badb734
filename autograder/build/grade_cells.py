"""What a grade cell and its probes may do, so that a verdict never depends on student code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from autograder.build.names import free_names, imported_modules
from autograder.build.percent import SourceCell
from autograder.build.regions import split_region
from autograder.errors import BuildError

TRUSTED = ("reference_impl", "heldout")
MEASUREMENTS = ("accuracy", "loss", "cross_entropy", "perplexity", "getsize", "st_size", "sqnr", "label")
"""A name in a probe that holds one of these words computes a measurement beside student code."""


def check_grade_cell(cell: SourceCell, functions: set[str], classes: set[str], shared: set[str]) -> None:
    """Raise BuildError when a grade cell breaks a rule.

    `functions` and `classes` are what the reference defined so far, `shared` the names of shared cells.
    """
    visible, hidden = split_region(cell.source, "HIDDEN TESTS")
    if not hidden or not any(text.strip() for text in hidden):
        raise BuildError(
            cell.where,
            "a grade cell needs a hidden part between '### BEGIN HIDDEN TESTS' and '### END HIDDEN TESTS'",
        )
    if not visible.strip():
        raise BuildError(cell.where, "a grade cell needs a visible part before its hidden tests")
    if not cell.node.metadata["nbgrader"].get("points", 0) > 0:
        raise BuildError(cell.where, "a grade cell needs points above 0")
    for text in (visible, cell.source):
        _check_last_statement(cell, _parse(cell, text))
    for module, line in imported_modules(_parse(cell, visible)):
        if module.split(".")[0] in TRUSTED:
            raise BuildError(
                f"{cell.where}+{line - 1}", f"{module} may be imported in the hidden region only"
            )
    unknown = free_names(cell.source) - functions - classes - shared
    if unknown:
        raise BuildError(
            cell.where,
            f"a grade cell may not use {', '.join(sorted(unknown))}: only functions of the reference, probes, labkit "
            "and names of cells tagged 'shared'",
        )
    tree = _parse(cell, cell.source)
    for function in _probes(tree):
        _check_probe(cell, function)
    for call in _calls_outside_probes(tree):
        if isinstance(call.func, ast.Name) and call.func.id in classes:
            raise BuildError(
                f"{cell.where}+{call.lineno - 1}",
                f"{call.func.id} is a class: use it inside a @probe that returns tensors",
            )


def _parse(cell: SourceCell, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise BuildError(f"{cell.where}+{(error.lineno or 1) - 1}", f"syntax error: {error.msg}") from error


def _check_last_statement(cell: SourceCell, tree: ast.Module) -> None:
    if not tree.body:
        raise BuildError(cell.where, "a grade cell needs a visible part before its hidden tests")
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        return
    called = last.value.func if isinstance(last.value, ast.Call) else None
    if not (isinstance(called, ast.Attribute) and called.attr.startswith("assert_")):
        raise BuildError(
            f"{cell.where}+{last.lineno - 1}",
            "a grade cell may not end in a bare expression: nbgrader takes its value as partial credit. "
            "End with a checks.assert_* call",
        )


def _is_probe(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(decorator, ast.Name) and decorator.id == "probe" for decorator in node.decorator_list
    )


def _probes(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _is_probe(node)]


def _calls_outside_probes(node: ast.AST) -> Iterator[ast.Call]:
    for child in ast.iter_child_nodes(node):
        if not _is_probe(child):
            if isinstance(child, ast.Call):
                yield child
            yield from _calls_outside_probes(child)


def _check_probe(cell: SourceCell, function: ast.FunctionDef) -> None:
    """A probe returns evidence: no verdict, no measurement, no label, no trusted module."""

    def refuse(node: ast.AST, what: str) -> None:
        line = getattr(node, "lineno", function.lineno)
        raise BuildError(
            f"{cell.where}+{line - 1}",
            f"the probe {function.name} {what}: it runs beside student code, so return evidence and judge it outside",
        )

    given = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            refuse(node, "holds an assert")
        if isinstance(node, ast.Compare) and any(
            isinstance(part, ast.Constant) and isinstance(part.value, float) for part in node.comparators
        ):
            refuse(node, "holds a threshold")
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in (*TRUSTED, "checks"):
            refuse(node, f"uses {name}")
        if name not in given and any(word in name.lower() for word in MEASUREMENTS):
            refuse(node, f"measures ({name})")
    for returned in _own_returns(function):
        for part in ast.walk(returned):
            if (
                isinstance(part, ast.Call)
                and isinstance(part.func, ast.Name)
                and part.func.id in ("len", "sum")
            ):
                refuse(part, f"returns a count ({part.func.id})")
            if isinstance(part, ast.Attribute) and part.attr in ("numel", "nbytes"):
                refuse(part, f"returns a size ({part.attr})")
    for module, line in imported_modules(function):
        if module.split(".")[0] in TRUSTED:
            raise BuildError(
                f"{cell.where}+{line - 1}",
                f"the probe {function.name} imports {module}, which students do not have",
            )


def _own_returns(node: ast.AST) -> Iterator[ast.expr]:
    """What a function returns itself; functions defined inside it (a scripted clock, say) are left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Return) and child.value is not None:
            yield child.value
        if not isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _own_returns(child)
