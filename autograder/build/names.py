"""Which names a piece of notebook code uses, and which it defines."""

from __future__ import annotations

import ast
import builtins
import symtable

ALWAYS = frozenset(dir(builtins)) | {"__name__", "get_ipython", "display"}
"""Names every notebook has."""


def defined_names(source: str) -> set[str]:
    """Names bound at the top level of `source`."""
    table = symtable.symtable(source, "<cell>", "exec")
    return {
        symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()
    }


def free_names(source: str) -> set[str]:
    """Global names used anywhere in `source` that its top level does not bind; builtins left out."""
    table = symtable.symtable(source, "<cell>", "exec")
    used: set[str] = set()

    def walk(scope: symtable.SymbolTable, top: bool) -> None:
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                used.add(symbol.get_name())
        for child in scope.get_children():
            walk(child, False)

    walk(table, True)
    return used - defined_names(source) - ALWAYS


def imported_modules(tree: ast.AST) -> list[tuple[str, int]]:
    """Modules a piece of code imports, each with its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.lineno))
    return found
