"""Hand-ins under the judge: each earns what it honestly earned, whatever it tries."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.grade.sandbox import Limits
from autograder.grade.verdict import Outcome
from autograder.quality.handins import released_notebook, replace_solution
from tests.conftest import LIMITS, MiniLab

ALL = {"test_scale_tensor": 40.0, "test_largest": 30.0, "test_running_sum": 20.0}
NOTHING = dict.fromkeys(ALL, 0.0)
LARGEST = "class RunningSum:\n    def __init__(self): self.total = torch.zeros(())\n    def add(self, x): self.total = self.total + x.sum()\n\n"


def without(*names: str) -> dict[str, float]:
    """Full points but for these cells."""
    return {name: 0.0 if name in names else points for name, points in ALL.items()}


def add_cell(notebook: NotebookNode, source: str, position: int = 0) -> NotebookNode:
    """Insert a code cell of the student's own."""
    notebook.cells.insert(position, nbformat.v4.new_code_cell(source=source))
    return notebook


def test_the_reference_earns_everything(mini: MiniLab) -> None:
    verdict = mini.judge(mini.reference())
    assert {cell.grade_id: cell.points for cell in verdict.cells} == ALL
    assert all(check.passed for cell in verdict.cells for check in cell.checks)
    assert verdict.restarts == 0 and 0 < verdict.cells_cpu_seconds < verdict.cpu_seconds


def test_the_untouched_release_earns_nothing_and_says_why(mini: MiniLab) -> None:
    verdict = mini.judge(released_notebook(mini.master))
    assert verdict.score == 0
    assert {cell.message for cell in verdict.cells} == {
        "not written yet: the function still raises NotImplementedError"
    }


def test_a_wrong_value_fails_with_value_limit_and_hint(mini: MiniLab) -> None:
    wrong = replace_solution(
        mini.reference(), "scale_tensor", "def scale_tensor(x, factor):\n    return x * factor\n"
    )
    (cell,) = [cell for cell in mini.judge(wrong).cells if cell.grade_id == "test_scale_tensor"]
    assert cell.outcome is Outcome.FAIL and cell.points == 0
    assert cell.message == "first two values: largest difference 0.28571, at most 0: round after scaling"
    assert [check.passed for check in cell.checks] == [True, False]


def test_the_same_handin_gets_the_same_hidden_inputs(mini: MiniLab) -> None:
    wrong = replace_solution(
        mini.reference(),
        "scale_tensor",
        "def scale_tensor(x, factor):\n    return torch.round(x * factor) + (x.numel() == 50) * x\n",
    )
    first, second = (mini.judge(wrong).cells[0].message for _ in range(2))
    assert first == second and "hidden values" in first


WRONG_SCALE = "def scale_tensor(x, factor):\n    return x * 0 + 1\n"
ATTACKS: dict[str, tuple[str, Callable[[NotebookNode], NotebookNode], dict[str, float]]] = {
    "AST transformer": (
        "drops every assert and raise in the kernel",
        lambda nb: add_cell(
            replace_solution(nb, "scale_tensor", WRONG_SCALE),
            "import ast\nclass T(ast.NodeTransformer):\n    def visit_Assert(self, n): return ast.copy_location(ast.Pass(), n)\n"
            "    visit_Raise = visit_Assert\nget_ipython().ast_transformers.append(T())\n",
        ),
        without("test_scale_tensor"),
    ),
    "input transformer": (
        "swallows every cell that mentions a check",
        lambda nb: add_cell(
            replace_solution(nb, "scale_tensor", WRONG_SCALE),
            "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'] if any('checks' in l for l in lines) else lines)\n",
            2,
        ),
        without("test_scale_tensor"),
    ),
    "lying object": (
        "returns an object that equals everything",
        lambda nb: replace_solution(
            nb,
            "scale_tensor",
            "class Yes:\n    shape = (8,)\n    __eq__ = lambda s, o: True\n    __getattr__ = lambda s, n: Yes()\n    __call__ = lambda s, *a, **k: Yes()\n"
            "def scale_tensor(x, factor): return Yes()\n",
        ),
        without("test_scale_tensor"),
    ),
    "lying tensor": (
        "a tensor subclass whose comparisons are always true",
        lambda nb: replace_solution(
            nb,
            "scale_tensor",
            "class L(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None):\n"
            "        return True if f.__name__ in ('allclose', 'equal', 'eq') else super().__torch_function__(f, t, a, k or {})\n"
            "def scale_tensor(x, factor): return (x * 0).as_subclass(L)\n",
        ),
        without("test_scale_tensor"),
    ),
    "patched torch and checks": (
        "replaces torch's comparisons and labkit's checks",
        lambda nb: replace_solution(
            nb,
            "scale_tensor",
            "torch.equal = torch.allclose = lambda *a, **k: True\n"
            "for name in dir(checks):\n    if name.startswith('assert'): setattr(checks, name, lambda *a, **k: None)\n"
            + WRONG_SCALE,
        ),
        without("test_scale_tensor"),
    ),
    "frame reading": (
        "looks for the expected value in the callers' frames",
        lambda nb: replace_solution(
            nb,
            "scale_tensor",
            "import sys, gc\ndef scale_tensor(x, factor):\n    frame = sys._getframe()\n    while frame:\n"
            "        for name, value in list(frame.f_locals.items()):\n            if name in ('expected', 'secret', 'scaled'): return value\n"
            "        frame = frame.f_back\n    texts = [o for o in gc.get_objects() if isinstance(o, str) and 'hidden_generator(\"scale\")' in o]\n"
            "    return texts[0] if texts else x * 0\n",
        ),
        without("test_scale_tensor"),
    ),
    "forged answer": (
        "replaces labkit's answering function",
        lambda nb: add_cell(
            replace_solution(nb, "scale_tensor", WRONG_SCALE),
            "import labkit.branch\nlabkit.branch.answer = lambda request, names: 'AAAA'\n",
            2,
        ),
        NOTHING,
    ),
    "os._exit in a call": (
        "ends the process when it is asked for a value",
        lambda nb: replace_solution(nb, "largest", "import os\n" + LARGEST + "def largest(x): os._exit(0)\n"),
        without("test_largest"),
    ),
    "os._exit in a cell": (
        "ends the process while the notebook runs",
        lambda nb: add_cell(nb, "import os\nos._exit(3)\n"),
        ALL,
    ),
    "endless loop": (
        "never answers",
        lambda nb: replace_solution(nb, "largest", LARGEST + "def largest(x):\n    while True: pass\n"),
        without("test_largest"),
    ),
    "endless loop that a shown cell calls": (
        "costs a restart before the first check; what does not use it is still judged",
        lambda nb: replace_solution(
            nb, "scale_tensor", "def scale_tensor(x, factor):\n    while True: pass\n"
        ),
        without("test_scale_tensor"),
    ),
    "out of memory": (
        "asks for a terabyte",
        lambda nb: replace_solution(
            nb, "largest", LARGEST + "def largest(x): return float(torch.zeros(1 << 38)[0])\n"
        ),
        without("test_largest"),
    ),
    "pickle in a reply": (
        "returns bytes and an object, which may not cross",
        lambda nb: replace_solution(
            nb, "largest", LARGEST + "import pickle\ndef largest(x): return pickle.dumps(x)\n"
        ),
        without("test_largest"),
    ),
    "deep nesting": (
        "returns a list nested a thousand deep",
        lambda nb: replace_solution(
            nb,
            "largest",
            LARGEST + "def largest(x):\n    v = 2.0\n    for _ in range(1000): v = [v]\n    return v\n",
        ),
        without("test_largest"),
    ),
    "huge reply": (
        "returns two hundred megabytes",
        lambda nb: replace_solution(
            nb, "largest", LARGEST + "def largest(x): return torch.zeros(50_000_000)\n"
        ),
        without("test_largest"),
    ),
    "NaN": (
        "returns NaN, which compares false with everything",
        lambda nb: replace_solution(nb, "largest", LARGEST + "def largest(x): return float('nan')\n"),
        without("test_largest"),
    ),
    "flood of output": (
        "prints for as long as it is allowed to",
        lambda nb: add_cell(nb, "for i in range(200_000): print('x' * 100)\n"),
        ALL,
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_earns_only_what_was_earned(mini: MiniLab, name: str) -> None:
    _, change, expected = ATTACKS[name]
    assert mini.points(change(mini.reference())) == expected


HARMLESS: dict[str, Callable[[NotebookNode], NotebookNode]] = {
    "warning on stderr": lambda nb: add_cell(
        nb, "import sys, warnings\nwarnings.warn('old')\nprint('note', file=sys.stderr)\n"
    ),
    "stderr inside a function": lambda nb: replace_solution(
        nb,
        "scale_tensor",
        "import sys\ndef scale_tensor(x, factor):\n    print('working', file=sys.stderr)\n    return torch.round(x * factor)\n",
    ),
    "tqdm": lambda nb: replace_solution(
        nb,
        "scale_tensor",
        "from tqdm.auto import tqdm\ndef scale_tensor(x, factor):\n    for _ in tqdm(range(3)): pass\n    return torch.round(x * factor)\n",
    ),
    "extra cells": lambda nb: add_cell(add_cell(nb, "note = 1 / 0"), "print('still here')", 3),
    "float64": lambda nb: replace_solution(
        nb, "scale_tensor", "def scale_tensor(x, factor):\n    return torch.round(x.double() * factor)\n"
    ),
    "a helper in a cell of its own": lambda nb: add_cell(
        replace_solution(
            nb, "scale_tensor", "def scale_tensor(x, factor):\n    return rounded(x * factor)\n"
        ),
        "def rounded(x):\n    return torch.round(x)\n",
        2,
    ),
    "a magic": lambda nb: add_cell(nb, "%timeit -n1 -r1 1 + 1"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_habit_keeps_full_marks(mini: MiniLab, name: str) -> None:
    assert mini.points(HARMLESS[name](mini.reference())) == ALL


def test_a_notebook_that_takes_too_long_is_stopped_and_says_so(mini: MiniLab) -> None:
    slow = add_cell(mini.reference(), "while True: pass")
    verdict = mini.judge(slow, Limits(cell_seconds=8, check_seconds=4, notebook_seconds=60))
    (run,) = [run for run in verdict.runs if run.id.startswith("student")]
    assert run.outcome is Outcome.TIMEOUT
    assert verdict.score == sum(ALL.values()) and verdict.restarts == 1


def test_a_full_disk_in_the_sandbox_is_the_students_error_only(mini: MiniLab) -> None:
    filled = add_cell(
        mini.reference(),
        "with open('/tmp/big', 'wb') as file:\n    for _ in range(200): file.write(b'0' * (1 << 20))\n",
    )
    verdict = mini.judge(filled)
    (run,) = [run for run in verdict.runs if run.id.startswith("student")]
    assert run.outcome is Outcome.ERROR and (
        "No space left" in run.message or "File too large" in run.message
    )
    assert verdict.score == sum(ALL.values())


def test_a_tiny_disk_fails_loudly_not_silently(mini: MiniLab) -> None:
    filled = add_cell(mini.reference(), "open('/box/a', 'wb').write(b'0' * (3 << 20))")
    verdict = mini.judge(filled, Limits(**{**LIMITS.__dict__, "disk": 2}))
    (run,) = [run for run in verdict.runs if run.id.startswith("student")]
    assert "No space left" in run.message
