"""Does the gradebook already hold what grading a hand-in again would give?"""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from typing import Any

from nbgrader.api import Gradebook, MissingEntry, SubmittedNotebook

from autograder.bundle import Bundle
from autograder.course import Instance
from autograder.grade.fingerprint import environment
from autograder.grade.intake import digest
from autograder.grade.receipts import Receipt, Receipts
from autograder.grade.sandbox import Sandbox
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet

Latest = dict[tuple[str, str, str], Receipt]
"""The last receipt of each (lab, student, notebook)."""
NOT_HANDED_IN = "not_handed_in"
"""Outcome, in a receipt, of the cells of a notebook that a later attempt lacks."""


def is_current(instance: Instance, bundle: Bundle, student: str, sandbox: Sandbox, latest: Latest) -> bool:
    """Whether nothing has changed since this hand-in was graded: not the files, the tests, the environment, the limits.

    Asked of the receipts, without reading the notebooks; and the stored verdicts and the gradebook have to say
    what the receipts say, which they do not after a backup was restored or a run was killed in the middle.
    """
    folder = instance.submitted / student / bundle.lab
    now = digest(folder)
    wanted: dict[str, Receipt] = {}
    for master in bundle.notebooks:
        receipt = latest.get((bundle.lab, student, master.id))
        if not (folder / f"{master.id}.ipynb").is_file():
            if receipt is not None and not is_withdrawn(receipt) and not is_deleted(receipt):
                return False
            continue
        if receipt is None or is_withdrawn(receipt) or is_deleted(receipt) or receipt["fault"]:
            return False
        if receipt["handed_in"] != now or receipt["version"] != master.version:
            return False
        if receipt["environment"] != environment() or receipt["limits"] != asdict(sandbox.limits):
            return False
        if receipt["unsafe"] != sandbox.unsafe or not verdict_is(instance, receipt):
            return False
        wanted[master.id] = receipt
    if not wanted or not (instance.autograded / student / bundle.lab).is_dir():
        return False
    with open_gradebook(instance) as gradebook, quiet():
        scores = automatic_scores(gradebook, bundle.lab, student)
    return all(
        scores.get(notebook, {}).get(cell["grade_id"]) == cell["points"]
        for notebook, receipt in wanted.items()
        for cell in receipt["cells"]
    )


def verdict_is(instance: Instance, receipt: Receipt) -> bool:
    """Whether the stored verdict is the one that a receipt was written for."""
    file = instance.verdicts / receipt["lab"] / receipt["student"] / f"{receipt['notebook']}.json"
    return bool(file.is_file() and sha256(file.read_bytes()).hexdigest() == receipt["verdict"])


def is_withdrawn(receipt: Receipt) -> bool:
    """Whether the receipt says that a later attempt no longer had this notebook."""
    return bool(receipt["cells"]) and all(cell["outcome"] == NOT_HANDED_IN for cell in receipt["cells"])


def deletion(lab: str, student: str, notebook: str) -> Receipt:
    """What a receipt says of a grade that was deleted with everything else of its student."""
    return {"lab": lab, "student": student, "notebook": notebook, "deleted": True, "cells": []}


def is_deleted(receipt: Receipt) -> bool:
    """Whether the receipt says that the grade was deleted."""
    return bool(receipt.get("deleted", False))


def automatic_scores(gradebook: Gradebook, lab: str, student: str) -> dict[str, dict[str, float | None]]:
    """The automatic scores of one hand-in by notebook and cell; empty when the gradebook has none."""
    try:
        submission = gradebook.find_submission(lab, student)
    except MissingEntry:
        return {}
    return {notebook.name: scores_of(notebook) for notebook in submission.notebooks}


def scores_of(notebook: SubmittedNotebook) -> dict[str, float | None]:
    """The automatic scores of one notebook in the gradebook, by cell."""
    return {grade.name: grade.auto_score for grade in notebook.grades if grade.cell_type == "code"}


def withdraw_missing(instance: Instance, bundle: Bundle, student: str) -> None:
    """Take back verdicts on notebooks that the present attempt lacks; nbgrader has set their scores to 0."""
    folder = instance.submitted / student / bundle.lab
    for master in bundle.notebooks:
        verdict = instance.verdicts / bundle.lab / student / f"{master.id}.json"
        if (folder / f"{master.id}.ipynb").is_file() or not verdict.is_file():
            continue
        cells: list[dict[str, Any]] = [
            {
                "grade_id": cell.grade_id,
                "outcome": NOT_HANDED_IN,
                "points": 0.0,
                "maximum": cell.points,
                "checks": [],
            }
            for cell in master.cells
            if cell.kind == "grade"
        ]
        about = {"lab": bundle.lab, "student": student, "notebook": master.id, "handed_in": digest(folder)}
        nothing = {
            "submission": "",
            "version": master.version,
            "environment": {},
            "limits": {},
            "verdict": "",
        }
        verdict.unlink()
        Receipts(instance.receipts).append({**about, **nothing, "fault": False, "cells": cells})
