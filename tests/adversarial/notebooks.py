"""Hand-ins whose notebook is not what it was: cells, metadata, bytes. Only sources count, and only in their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from tests.adversarial.handin import (
    LARGEST,
    NOTEBOOK,
    NOTHING,
    SUM,
    WRONG_SCALE,
    HandIn,
    both,
    cell,
    place,
    scale,
    solve,
    unchanged,
    without,
    wrong,
)

SCALE_LOST = without("scale_tensor")
RIGHT = "def scale_tensor(x, factor):\n    return torch.round(x * factor)\n"


def of(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    """The cell with this grade id."""
    return notebook.cells[place(notebook, grade_id)]


def second(source: str, after: bool) -> Callable[[NotebookNode], NotebookNode]:
    """A second cell with the id of scale_tensor, before or after the first."""

    def change(notebook: NotebookNode) -> NotebookNode:
        copy = nbformat.v4.new_code_cell(source=source)
        copy.metadata["nbgrader"] = dict(of(notebook, "scale_tensor").metadata["nbgrader"])
        notebook.cells.insert(place(notebook, "scale_tensor") + after, copy)
        return notebook

    return change


def everywhere(edit: Callable[[NotebookNode], object]) -> Callable[[NotebookNode], NotebookNode]:
    """The same edit of every cell."""

    def change(notebook: NotebookNode) -> NotebookNode:
        for each in notebook.cells:
            edit(each)
        return notebook

    return change


def edit(grade_id: str, **fields: Any) -> Callable[[NotebookNode], NotebookNode]:
    """Other fields in one cell."""

    def change(notebook: NotebookNode) -> NotebookNode:
        of(notebook, grade_id).update(nbformat.from_dict(fields))
        return notebook

    return change


def reordered(notebook: NotebookNode) -> NotebookNode:
    """Every cell in another place."""
    notebook.cells.reverse()
    return notebook


def only_solutions(notebook: NotebookNode) -> NotebookNode:
    """Tests, set-up and prose are gone."""
    notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("solution")]
    return notebook


def retagged(found: NotebookNode) -> None:
    """Metadata that would keep a cell from being run, graded or shown."""
    found.metadata["tags"] = ["skip-execution", "remove_cell", "raises-exception", "shared", "parameters"]
    found.metadata |= {"deletable": True, "editable": True, "jupyter": {"source_hidden": True}}
    if "nbgrader" in found.metadata:
        about = {"points": 1000, "grade": False, "solution": True, "locked": False, "schema_version": 99}
        found.metadata["nbgrader"] |= about
    found.metadata["course_kind"] = "solution"


def another_kernel(notebook: NotebookNode) -> NotebookNode:
    """Metadata of the notebook that asks for another kernel."""
    notebook.metadata["kernelspec"] = {"name": "bash; rm -rf ~", "display_name": "x", "language": "bash"}
    notebook.metadata["language_info"] = {"name": "R", "file_extension": "/../../x"}
    notebook.metadata["course_notes"] = ["full points"]
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    return notebook


def handed_in_outputs(notebook: NotebookNode) -> NotebookNode:
    """Outputs, counts and scores that a hand-in brings along."""
    for found in notebook.cells:
        if found.cell_type == "code":
            html = {"text/html": "<script>alert(1)</script>", "text/plain": "LEAK" + ":"}
            found.outputs = [nbformat.v4.new_output("display_data", html)]
            found.outputs.append(
                nbformat.v4.new_output("stream", text="<img src=x onerror=alert(1)>" * 20_000)
            )
    return notebook


def claiming(grade_id: str, source: str, kind: str = "code") -> Callable[[NotebookNode], NotebookNode]:
    """A cell of the student's own that claims to be another."""

    def change(notebook: NotebookNode) -> NotebookNode:
        make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        new = make(source=source, id=of(notebook, grade_id).get("id", "x") + "-2")
        new.metadata["nbgrader"] = {"grade_id": grade_id, "grade": True, "points": 1000, "locked": True}
        notebook.cells.insert(1, new)
        return notebook

    return change


CELLS = [
    HandIn("a second solution before", "the cell that comes last counts, as when the notebook runs", second(WRONG_SCALE, False)),
    HandIn("a second solution after", "the cell that comes last counts, as when the notebook runs", second(WRONG_SCALE, True), SCALE_LOST),
    HandIn("a solution after its test", "comes too late", both(solve("scale_tensor", WRONG_SCALE), cell(RIGHT, before="largest")), SCALE_LOST),
    HandIn("a solution before its set-up", "uses names that are not there yet", both(solve("scale_tensor", "scale_tensor = early\n"), cell("early = torch.round", before="setup")), SCALE_LOST),
    HandIn("other points", "says that each cell is worth a thousand", everywhere(retagged)),
    HandIn("other points for a wrong solution", "says that each cell is worth a thousand", wrong(everywhere(retagged)), SCALE_LOST),
    HandIn("another kernel", "asks for a kernel that runs commands", another_kernel),
    HandIn("cells in reverse", "every cell is somewhere else", reordered),
    HandIn("tests deleted", "only solutions are left", only_solutions),
    HandIn("tests deleted from a wrong solution", "only solutions are left", wrong(only_solutions), SCALE_LOST),
    HandIn("tests emptied", "the tests pass everything", wrong(*[edit(f"test_{name}", source="pass") for name in ("scale_tensor", "largest", "running_sum")]), SCALE_LOST),
    HandIn("tests as prose", "the tests are Markdown", wrong(edit("test_scale_tensor", cell_type="markdown", outputs=[])), SCALE_LOST),
    HandIn("a set-up that cheats", "the locked set-up replaces the checks", wrong(edit("setup", source="import sys; sys.modules['labkit.checks'] = None; x = checks = 5")), SCALE_LOST),
    HandIn("a solution as prose", "the solution is Markdown", edit("scale_tensor", cell_type="markdown"), SCALE_LOST),
    HandIn("a solution as raw text", "the solution is a raw cell", edit("scale_tensor", cell_type="raw"), SCALE_LOST),
    HandIn("an answer as code", "the written answer is code that solves another cell", both(solve("scale_tensor", WRONG_SCALE), edit("question", cell_type="code", source=RIGHT, outputs=[], execution_count=None)), SCALE_LOST),
    HandIn("a cell that claims to be the set-up", "is taken for a changed set-up", wrong(claiming("setup", "scale_tensor = torch.round")), SCALE_LOST),
    HandIn("a cell that claims to be a test", "is taken for a changed test", wrong(claiming("test_scale_tensor", "checks.assert_true(True, 'x')")), SCALE_LOST),
    HandIn("a cell that claims to be a written answer", "code under the id of a written answer", claiming("question", "scale_tensor = None")),
    HandIn("outputs brought along", "outputs of the hand-in with tags in them", handed_in_outputs),
    HandIn("a solution in a magic", "runs in another process, so nothing is defined", solve("scale_tensor", f"%%script python3\n{RIGHT}"), SCALE_LOST),
    HandIn("active magics", "HTML, JavaScript and SVG magics", both(cell("%%html\n<script>alert(1)</script>"), cell("%%javascript\nalert(1)"), cell("%%svg\n<svg onload='alert(1)'/>"))),
]  # fmt: skip


def bytes_of(
    name: str, description: str, make: Callable[[dict[str, Any]], bytes], counts: bool = False
) -> HandIn:
    """A notebook with other bytes, made from the reference as JSON; `counts`: it is still a notebook."""

    def folder(place: Path) -> None:
        path = place / NOTEBOOK
        path.write_bytes(make(json.loads(path.read_text("utf-8"))))

    return HandIn(name, description, unchanged, without() if counts else NOTHING, folder=folder)


def first_source(notebook: dict[str, Any], source: Any) -> dict[str, Any]:
    """Another source in a new first cell."""
    new = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    }
    return {**notebook, "cells": [new, *notebook["cells"]]}


def dumped(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], bytes]:
    """The JSON of a changed notebook."""
    return lambda notebook: json.dumps(change(notebook)).encode()


BYTES = [
    bytes_of("an empty file", "no bytes", lambda _: b""),
    bytes_of("a picture", "bytes of a PNG", lambda _: b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    bytes_of("a page", "HTML", lambda _: b"<html><script>alert(1)</script></html>"),
    bytes_of("half a notebook", "cut off in the middle", lambda n: json.dumps(n).encode()[:-500]),
    bytes_of("a notebook of 100 megabytes", "larger than intake takes", lambda n: json.dumps({**n, "x": "A" * 100_000_000}).encode()),
    bytes_of("nineteen megabytes of metadata", "as large as intake takes", lambda n: json.dumps({**n, "metadata": {"x": "A" * 19_000_000}}).encode(), True),
    bytes_of("five thousand cells", "more than are looked at", dumped(lambda n: {**n, "cells": n["cells"] * 500})),
    bytes_of("a source of a megabyte", "longer than is looked at", dumped(lambda n: first_source(n, "x = 1\n" * 180_000))),
    bytes_of("deep JSON", "a hundred thousand brackets", lambda n: json.dumps(n).encode()[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    bytes_of("format 3", "worksheets", dumped(lambda n: {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": n["cells"]}]})),
    bytes_of("format 99", "a notebook of the future", dumped(lambda n: {**n, "nbformat": 99})),
    bytes_of("no cells", "cells that are a number", dumped(lambda n: {**n, "cells": 5})),
    bytes_of("odd cells", "cells that are lists, numbers and nothing", dumped(lambda n: {**n, "cells": [[], 5, None, *n["cells"]]})),
    bytes_of("a source of numbers", "lines that are no text", dumped(lambda n: first_source(n, [1, 2]))),
    bytes_of("cells twice", "JSON with two lists of cells, of which the second counts", lambda n: json.dumps(n).encode()[:-1] + b', "cells": []}'),
    bytes_of("another lab's notebook", "cells that nobody knows", dumped(lambda n: {**n, "cells": [{"cell_type": "code", "source": "import torch\nmask = 1", "metadata": {"nbgrader": {"grade_id": "prune"}}}]})),
    bytes_of("surrogates", "sources, ids and metadata with half a character", dumped(lambda n: {**first_source(n, "x1 = '\ud800'"), "metadata": {"\ud800": "\udfff"}}), True),
    bytes_of("control characters", "sources with nought, bell and line separators", dumped(lambda n: first_source(n, "x1 = 'a\x07\x0c\u2028b'\n")), True),
    bytes_of("a nought byte", "a source that cannot be compiled", dumped(lambda n: first_source(n, "x1 = '\0'")), True),
    bytes_of("UTF-16", "another encoding of JSON", lambda n: json.dumps(n).encode("utf-16"), True),
    bytes_of("a byte order mark", "as some editors save", lambda n: b"\xef\xbb\xbf" + json.dumps(n).encode(), True),
    bytes_of("NaN in metadata", "JSON that is none", lambda n: json.dumps({**n, "metadata": {"x": float("nan")}}).encode(), True),
    bytes_of("a number of 5,000 digits", "which Python refuses to read", lambda n: json.dumps(n).encode()[:-1] + b', "x": ' + b"9" * 5000 + b"}"),
    bytes_of("one id for all cells", "every cell has the id of the first test", dumped(lambda n: {**n, "cells": [{**c, "id": "test_scale_tensor"} for c in n["cells"]]}), True),
    bytes_of("metadata of another form", "lists where mappings should be", dumped(lambda n: {**first_source(n, "y1 = 1"), "metadata": [], "nbformat_minor": "x"}), True),
]  # fmt: skip


def beside(name: str) -> Callable[[Path], None]:
    """A second notebook with a wrong solution and a name that looks like the first's."""

    def folder(place: Path) -> None:
        other = json.loads((place / NOTEBOOK).read_text("utf-8"))
        other["cells"] = []
        (place / name).write_text(json.dumps(other))

    return folder


NAMES = [
    HandIn("another case", "a second notebook whose name differs in case", unchanged, folder=beside("01-scale.ipynb")),
    HandIn("another ending", "a second notebook whose ending differs in case", unchanged, folder=beside("01-Scale.IPYNB")),
    HandIn("another form of a letter", "a second notebook whose name looks the same", unchanged, folder=beside("01-Sc\u0430le.ipynb")),
    HandIn("a copy", "a second notebook as a browser names it", unchanged, folder=beside("01-Scale (1).ipynb")),
    HandIn("nine hundred cells", "as many as a patient student makes", lambda n: both(*[cell(f"n{i} = {i}") for i in range(900)])(n), nightly=True),
    HandIn("no end of solutions", "a solution of many definitions", solve("largest", SUM + "".join(f"def f{n}(x): return {n}\n" for n in range(5000)) + LARGEST)),
    HandIn("half a solution", "a solution that does not compile", scale("return ("), SCALE_LOST),
]  # fmt: skip

HAND_INS = CELLS + BYTES + NAMES
