"""Grade again what a change touches, and say whose grade changed and why."""

from __future__ import annotations

from dataclasses import dataclass

from autograder.course import Instance
from autograder.grade.course_grade import Graded, Watch, grade_lab
from autograder.grade.current import is_deleted
from autograder.grade.engine import Engine
from autograder.grade.receipts import Receipt, Receipts


@dataclass(frozen=True)
class Change:
    """One graded cell that came out differently. `why` names what was not the same as the time before."""

    student: str
    notebook: str
    grade_id: str
    before: str
    after: str
    why: str


def regrade_lab(
    instance: Instance, lab_id: str, student: str | None, engine: Engine, watch: Watch, *, again: bool = False
) -> tuple[list[Graded], list[Change]]:
    """Grade a lab, and compare its receipts with those of the time before.

    Raises CourseError like `grade_lab`.
    """
    receipts = Receipts(instance.receipts)
    before = receipts.latest()
    graded = grade_lab(instance, lab_id, student, engine=engine, again=again, watch=watch)
    after = receipts.latest()
    changes = [
        change
        for key, receipt in sorted(after.items())
        if key in before and key[0] == lab_id and before[key] != receipt and not is_deleted(before[key])
        for change in changes_between(before[key], receipt)
    ]
    return graded, changes


def changes_between(old: Receipt, new: Receipt) -> list[Change]:
    """The cells of one notebook whose points or outcome differ between two receipts."""
    known = {cell["grade_id"]: cell for cell in old["cells"]}
    why = reason(old, new)
    return [
        Change(
            new["student"],
            new["notebook"],
            cell["grade_id"],
            _shown(known.get(cell["grade_id"])),
            _shown(cell),
            why,
        )
        for cell in new["cells"]
        if _shown(known.get(cell["grade_id"])) != _shown(cell)
    ]


def reason(old: Receipt, new: Receipt) -> str:
    """What differs between two receipts of one notebook, in words."""
    parts = []
    if old["submission"] != new["submission"]:
        parts.append("another hand-in")
    elif old["handed_in"] != new["handed_in"]:
        parts.append("other files beside the notebook")
    if old["version"] != new["version"]:
        parts.append("the notebook's code or tests")
    parts += [name for name, value in new["environment"].items() if old["environment"].get(name) != value]
    if old["limits"] != new["limits"]:
        parts.append("limits")
    return ", ".join(parts) or "nothing: judged again, it came out otherwise"


def _shown(cell: Receipt | None) -> str:
    if cell is None:
        return "not there"
    return f"{cell['points']:g}/{cell['maximum']:g} {cell['outcome']}"
