"""What a worker does when the engine itself is measured: it sleeps instead of judging.

Workers import this module to find `judge`, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import time
from typing import Any

from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome, RunReport

JOB_BYTES = 20_000
"""Of sources in one job; the notebooks of the labs have 15 to 29 kB."""
VERDICT_BYTES = 50_000
"""Of outputs in one verdict."""
CHECKS = 4
"""Graded cells of one notebook."""


def job(notebook: str, seconds: float) -> dict[str, Any]:
    """A job for `judge`, as large as a real one, which takes `seconds`."""
    cells = [{"id": "cell", "kind": "provided", "source": "#" * JOB_BYTES}]
    return {"notebook": notebook, "seconds": seconds, "files": {}, "cells": cells}


def judge(payload: bytes) -> bytes:
    """In the place of `autograder.grade.work.work`: sleep as long as the job says, then give full marks."""
    given = json.loads(payload)
    time.sleep(given["seconds"])
    return json.dumps({"verdict": verdict(given["notebook"]).to_json()}).encode()


def verdict(notebook: str, points: dict[str, float] | None = None, ran: str = "cell") -> NotebookVerdict:
    """Full marks for a notebook. `points` of each graded cell by its grade id are invented when left out;
    `ran` is the id of the cell that the output belongs to."""
    cells = points if points is not None else {f"test_{number}": 5.0 for number in range(CHECKS)}
    text = {"output_type": "stream", "name": "stdout", "text": "x" * VERDICT_BYTES}
    return NotebookVerdict(
        notebook,
        [CellVerdict(name, Outcome.PASS, value, value) for name, value in cells.items()],
        [RunReport(ran, Outcome.PASS, outputs=[text])],
        sandbox="none: nothing was run",
    )
