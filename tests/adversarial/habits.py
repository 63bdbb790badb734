"""Honest hand-ins with the habits that notebooks have (those of habits.txt, and some); all keep full marks."""

from __future__ import annotations

import nbformat
from nbformat import NotebookNode

from tests.adversarial.handin import SUM, HandIn, both, cell, read, scale, solve
from tests.adversarial.notebooks import everywhere

ROUND = "return torch.round(x * factor)"


def windows(found: NotebookNode) -> None:
    """Line ends as on Windows."""
    if found.metadata.get("nbgrader", {}).get("solution"):
        found.source = found.source.replace("\n", "\r\n")


def tabs(found: NotebookNode) -> None:
    """Tabs in place of spaces."""
    if found.metadata.get("nbgrader", {}).get("solution"):
        found.source = found.source.replace("    ", "\t")


def trailing(found: NotebookNode) -> None:
    """Spaces at the ends of lines, and empty lines around."""
    if found.metadata.get("nbgrader", {}).get("solution"):
        found.source = "\n\n" + found.source.replace("\n", "   \n") + "\n\n   \n"


def no_metadata(found: NotebookNode) -> None:
    """A front end that loses metadata."""
    found.metadata = nbformat.from_dict({"collapsed": False})


FORMS = [
    HandIn("many small cells", "a print for every step", both(*[cell(f"print({number})") for number in range(100)])),
    HandIn("Windows line ends", "carriage returns in every solution", everywhere(windows)),
    HandIn("tabs", "tabs in every solution", everywhere(tabs)),
    HandIn("spaces at line ends", "and empty lines around", everywhere(trailing)),
    HandIn("lost metadata", "a front end that drops every metadata; ids are left", everywhere(no_metadata)),
    HandIn("prose between", "Markdown cells with pictures, tables and mathematics", both(cell("# My notes\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n$$\\frac{a}{b}$$ <b>bold</b>", kind="markdown"), cell("![x](attachment:x.png) [link](https://example.org)", before="largest", kind="markdown"))),
    HandIn("a solution of two cells", "a class in a cell of its own", both(cell(SUM, before="largest"), solve("largest", "def largest(x):\n    return x.abs().max().item() if x.numel() > 0 else 0.0\n"))),
    HandIn("notes beside the notebook", "hands in the file that the lab asks for", cell("assert open('notes.txt').read() == 'mine'; print('read')"), files={"notes.txt": b"mine"}),
    HandIn("what a file manager leaves", "files of editors and systems beside the notebook", lambda notebook: notebook, files={".DS_Store": b"x", "Thumbs.db": b"x", "01-Scale.ipynb.bak": b"{}", "README.md": b"x", "desktop.ini": b"x"}),
    HandIn("comments in another script", "Chinese, Arabic and mathematics in comments and texts", scale('"""把張量乘以係數 — التقريب — ∀ε>0"""\n' + ROUND + "  # 四捨五入")),
]  # fmt: skip

HAND_INS = read("habits") + FORMS
