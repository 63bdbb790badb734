"""A second opinion on a lab's checks: wrong solutions that a general mutation tool makes of the reference.

The wrong solutions of `tests/mutants` are written by people who know what students do. Those here come from
the operators of Cosmic Ray, which know nothing: another operator, another number, a condition turned round.
Each is judged by the checks of its function, in a fork, like the others. One that survives shows a line that
no check looks at, or a change that is none (`x / 1`); a person has to tell which.
"""

from __future__ import annotations

import ast
import difflib
import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from autograder.build.regions import split_region
from autograder.bundle import MasterCell, MasterNotebook
from autograder.errors import ConfigurationError
from autograder.quality.mutants import Mutant, run_mutants

OPERATORS = (
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Mul",
    "core/ReplaceBinaryOperator_Pow_Mul",
    "core/ReplaceComparisonOperator_Lt_*",
    "core/ReplaceComparisonOperator_LtE_*",
    "core/ReplaceComparisonOperator_Gt_*",
    "core/ReplaceComparisonOperator_GtE_*",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceUnaryOperator_*",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/AddNot",
    "core/NumberReplacer",
    "core/ZeroIterationForLoop",
)
"""Patterns of Cosmic Ray's operators; the other binary ones (a sum made a shift) only raise errors."""


@dataclass
class Opinion:
    """What became of the mutants of one notebook; `survivors` are differences to the reference."""

    notebook: str
    total: int = 0
    killed: int = 0
    survivors: list[str] = field(default_factory=list)


def second_opinion(
    master: MasterNotebook, known: list[Mutant], say: Callable[[str], None] = lambda text: None
) -> Opinion:
    """Run the general mutants of every function of a notebook.

    `known` are the notebook's own mutants; they tell which grade cells judge which function.

    Raises ConfigurationError when Cosmic Ray is not installed.
    """
    opinion = Opinion(master.id)
    for cell in master.cells:
        if cell.kind != "solution":
            continue
        grade_ids = sorted({mutant.grade_id for mutant in known if mutant.function in cell.defines})
        changed = list(general_mutants(cell))
        alive = {number: source for number, source in enumerate(changed)}
        for grade_id in grade_ids:
            mutants = [_mutant(cell, grade_id, number, source) for number, source in alive.items()]
            fates = run_mutants(master, mutants) if mutants else []
            alive = {
                int(fate.name): alive[int(fate.name)] for fate in fates if fate.why.startswith("SURVIVED")
            }
        opinion.total += len(changed)
        opinion.killed += len(changed) - len(alive)
        opinion.survivors += [difference(cell.full, source) for source in alive.values()]
        say(f"{master.id}, {', '.join(cell.defines)}: {len(changed) - len(alive)} of {len(changed)} killed")
    return opinion


def general_mutants(cell: MasterCell) -> Iterator[str]:
    """The cell's reference with one change each, inside what a student writes; never twice the same."""
    try:
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError as error:
        raise ConfigurationError("Cosmic Ray is not installed: run 'make setup-tests'") from error
    seen = {ast.dump(ast.parse(cell.full))}
    names = [name for name in operator_names() if any(fnmatch.fnmatch(name, p) for p in OPERATORS)]
    for name in names:
        occurrence = 0
        while (changed := mutate_code(cell.full, get_operator(name)(), occurrence)) is not None:
            occurrence += 1
            try:
                form = ast.dump(ast.parse(changed))
            except SyntaxError:
                continue
            if form not in seen and _outside(changed) == _outside(cell.full):
                seen.add(form)
                yield changed


def difference(before: str, after: str) -> str:
    """The changed lines, as a person reads them."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def _outside(source: str) -> str:
    """What is given to the student: signature, docstring, helpers."""
    return split_region(source, "SOLUTION")[0]


def _mutant(cell: MasterCell, grade_id: str, number: int, source: str) -> Mutant:
    return Mutant(
        name=str(number),
        function=cell.defines[0],
        grade_id=grade_id,
        killed_by="",
        passes_visible=False,
        describe="made by Cosmic Ray",
        find=cell.full,
        replace=source,
    )
