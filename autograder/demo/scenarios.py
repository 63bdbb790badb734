"""Eight students of the demonstration semester and the score each has honestly earned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

from autograder.bundle import Bundle, MasterNotebook
from autograder.quality.handins import reference_notebook, released_notebook, replace_solution

FIRST = "01-Setup_and_Basic_Quantization"
SECOND = "02-Static_Quantization"

CRASH = "import os\n\nos._exit(1)  # as a library that crashes would\n"
ENDLESS = """
def quantize(x, scale, zero_point, *, bits=8, symmetric=True, axis=None):
    code = 0
    while code < 1:
        code -= 1
    return code
"""
NO_CLAMP = """
def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, *, bits: int = 8, symmetric: bool = True,
             axis: int | None = None) -> Tensor:
    if axis is not None:
        shape = [1] * x.dim()
        shape[axis] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    codes = torch.round(x / scale) + zero_point
    return codes.to(torch.int32).to(torch.int8 if symmetric else torch.uint8)
"""
ATTACK = """
import ast, builtins, torch
from labkit import checks

class DropChecks(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)
    def visit_Raise(self, node):
        return ast.copy_location(ast.Pass(), node)

get_ipython().ast_transformers.append(DropChecks())

def drop_cells(lines):
    return ["pass\\n"] if any("checks." in line for line in lines) else lines

get_ipython().input_transformers_cleanup.append(drop_cells)
torch.equal = torch.allclose = lambda *args, **kwargs: True
for name in dir(checks):
    if name.startswith("assert_"):
        setattr(checks, name, lambda *args, **kwargs: None)

class Agrees:
    def __eq__(self, other):
        return True
    def __getattr__(self, name):
        return Agrees()
    def __call__(self, *args, **kwargs):
        return Agrees()
    def __iter__(self):
        return iter((Agrees(), Agrees()))
"""


@dataclass(frozen=True)
class Scenario:
    """One student. `make` builds each of `notebooks`; `lost` are the graded cells that earn nothing."""

    student: str
    story: str
    notebooks: tuple[str, ...]
    make: Callable[[MasterNotebook], NotebookNode]
    lost: tuple[str, ...] = ()
    days_late: float = 0.0

    def expected(self, master: MasterNotebook) -> float:
        """The points that this hand-in has honestly earned in one notebook; `*` stands for every cell."""
        return sum(
            cell.points
            for cell in master.cells
            if cell.kind == "grade" and not {"*", cell.grade_id} & set(self.lost)
        )


def scenarios(bundle: Bundle) -> list[Scenario]:
    """The class of the demonstration."""
    every = tuple(notebook.id for notebook in bundle.notebooks)
    users_of_quantize = ("test_quantize", "test_per_channel_gain")
    return [
        Scenario("student01", "hands in the reference solution", every, reference_notebook),
        Scenario("student02", "hands in the release untouched", every, released_notebook, ("*",)),
        Scenario(
            "student03",
            "forgot to clamp before the cast",
            (FIRST,),
            _with("quantize", NO_CLAMP),
            ("test_quantize",),
        ),
        Scenario(
            "student04",
            "a cell that kills the process",
            (FIRST,),
            _with("dequantize", CRASH),
            ("test_dequantize",),
        ),
        Scenario("student05", "an endless loop", (FIRST,), _with("quantize", ENDLESS), users_of_quantize),
        Scenario("student06", "deleted tests and set-up, solved the rest", (FIRST,), _without_tests),
        Scenario("student07", "two days late", (SECOND,), reference_notebook, days_late=2.0),
        Scenario("student08", "tampers with checks, torch and IPython", (FIRST,), _attack, ("*",)),
    ]


def _with(grade_id: str, source: str) -> Callable[[MasterNotebook], NotebookNode]:
    return lambda master: replace_solution(reference_notebook(master), grade_id, source)


def _without_tests(master: MasterNotebook) -> NotebookNode:
    notebook = reference_notebook(master)
    kinds = {cell.id: cell.kind for cell in master.cells}
    notebook.cells = [cell for cell in notebook.cells if kinds[cell.id] not in ("grade", "shared")]
    return notebook


def _attack(master: MasterNotebook) -> NotebookNode:
    notebook = released_notebook(master)
    for cell, known in zip(notebook.cells, master.cells, strict=True):
        if known.kind == "solution":
            cell.source = "\n".join(f"{name} = lambda *args, **kwargs: Agrees()" for name in known.defines)
    setup = next(position for position, known in enumerate(master.cells) if known.kind == "shared")
    notebook.cells.insert(setup + 1, nbformat.v4.new_code_cell(source=ATTACK))
    return notebook
