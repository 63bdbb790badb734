"""Importing labkit is cheap and works on any system."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import labkit

ROOT = Path(labkit.__file__).parent
UNIX_ONLY = {"resource", "fcntl", "pwd", "grp", "termios", "readline"}


@pytest.mark.parametrize("module", ["labkit", "labkit.zoo", "labkit.data", "labkit.compat"])
def test_import_loads_neither_torch_nor_transformers(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'transformers', 'datasets'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); {code}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_a_whole_report_writes_nothing_to_stderr(tmp_path: Path) -> None:
    """A grade cell with text on stderr scores 0 under plain nbgrader."""
    code = (
        "from labkit import data, evaluation, plots, zoo\n"
        "rows = data.tensors(data.languages()['validation'], limit=32)\n"
        "frame = evaluation.report({'fp32': zoo.build('bert')}, rows, repeats=1)\n"
        "plots.show(plots.trade_off(frame))\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT.parent)}
    for name in ("HF_HUB_OFFLINE", "HF_HOME"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-600:]
    assert done.stdout.startswith("Accuracy over size. fp32")


def test_no_module_needs_unix_at_import() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names}
                module = (
                    {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()
                )
                assert not (names | module) & UNIX_ONLY, path


def test_labkit_fits_the_budget() -> None:
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
