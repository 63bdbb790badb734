"""The part of a shared cell that the judge needs: what its grade cells use, and what may have a side effect."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence

LOADERS = {"zoo", "data", "evaluation"}
"""Modules of labkit whose calls only load and measure."""
READERS = {"items", "keys", "values", "index"}
"""Methods of the dicts and lists of shared cells that change nothing."""
PLAIN = (ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
"""Statements that only bind names, if their targets are plain names."""


def relevant_parts(shared: Sequence[str], grade: Sequence[str]) -> list[ast.Module]:
    """The shared cells of a notebook, in order, without definitions that nothing in `grade` comes back to.

    A shared cell loads models and data for the student's side too; the judge would only wait for them.
    Imports, calls and everything else that may do more than bind a name stay.
    """
    wanted = set[str]().union(*(_used_by_judge(source) for source in grade)) if grade else set()
    parts = []
    for source in reversed(shared):
        tree = ast.parse(source)
        kept = []
        for statement in reversed(tree.body):
            bound = _bound(statement)
            if bound is None or bound & wanted:
                kept.append(statement)
                wanted |= _names(statement)
        tree.body = kept[::-1]
        parts.append(tree)
    return parts[::-1]


def _bound(statement: ast.stmt) -> set[str] | None:
    """The names that a statement binds and nothing more, or None when it may do something else."""
    if not isinstance(statement, PLAIN):
        return None
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        # a decorator, or a base class that keeps a list, may do more
        more = statement.decorator_list or (isinstance(statement, ast.ClassDef) and statement.bases)
        return None if more else {statement.name}
    if any(isinstance(node, ast.NamedExpr) or _may_do_more(node) for node in ast.walk(statement)):
        return None
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    leaves = [leaf for target in targets for leaf in _leaves(target)]
    return (
        {leaf.id for leaf in leaves if isinstance(leaf, ast.Name)}
        if all(isinstance(leaf, ast.Name) for leaf in leaves)
        else None
    )


def _may_do_more(node: ast.AST) -> bool:
    """Whether a call may change something: another object, or the state from which random numbers are drawn."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    if isinstance(function, ast.Name):
        return function.id not in dir(builtins)
    if isinstance(function, ast.Attribute) and function.attr in READERS:
        return False  # what it is called on is looked at by itself
    owner = function.value if isinstance(function, ast.Attribute) else None
    while isinstance(owner, ast.Attribute | ast.Subscript | ast.Call):
        owner = owner.func if isinstance(owner, ast.Call) else owner.value
    return not (isinstance(owner, ast.Name) and owner.id in LOADERS)


def _leaves(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [leaf for element in target.elts for leaf in _leaves(element)]
    return [target]


def _used_by_judge(source: str) -> set[str]:
    """Names in a grade cell, but for the bodies of probes, which run beside the student's code."""
    used = set[str]()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef) and any(
            isinstance(mark, ast.Name) and mark.id == "probe" for mark in statement.decorator_list
        ):
            used |= _names(statement.args)  # defaults are looked up here
        else:
            used |= _names(statement)
    return used | {"probe"}


def _names(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
