"""What a lab's grades say about its checks: how hard each was, and whether it tells strong from weak.

Difficulty is the share of hand-ins that passed a check. Discrimination is the correlation between passing it and
the rest of the student's points (corrected item-total correlation): near 1, those who pass are those who do well
elsewhere; near 0 or below, the check measures something else, or is wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median

import numpy as np

from autograder.bundle import Bundle
from autograder.course import Instance
from autograder.enrolment import those_who_left
from autograder.grade.verdict import NotebookVerdict, Outcome

FEW = 10
"""Below this many hand-ins, a correlation says next to nothing and none is given."""
DOUBTFUL = 0.1
"""A check whose discrimination is below this deserves a look."""


@dataclass(frozen=True)
class CheckStatistics:
    """One graded cell over all hand-ins. `difficulty` is a share from 0 (nobody passed) to 1 (everybody)."""

    notebook: str
    grade_id: str
    points: float
    handins: int
    difficulty: float
    discrimination: float | None
    """None with fewer than FEW hand-ins, or when all came out the same."""
    outcomes: dict[str, int]
    failed_at: dict[str, int]
    """How often each check of the cell was the one that did not hold."""

    @property
    def remark(self) -> str:
        """What a teacher might look at, in a few words."""
        if self.handins and self.difficulty == 0:
            return "nobody passes: is the check right?"
        if self.discrimination is not None and self.discrimination < DOUBTFUL:
            return "does not tell strong from weak"
        return ""


@dataclass(frozen=True)
class LabStatistics:
    """One lab. `totals` are automatic points of each hand-in; CPU seconds are each notebook's median and largest."""

    lab: str
    maximum: float
    totals: list[float]
    checks: list[CheckStatistics]
    cpu_seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


def read_verdicts(instance: Instance, lab_id: str) -> dict[str, list[NotebookVerdict]]:
    """The verdicts of the hand-in of every student of the class; who has left it is passed over."""
    found: dict[str, list[NotebookVerdict]] = {}
    left = those_who_left(instance)
    for file in sorted((instance.verdicts / lab_id).glob("*/*.json")):
        if file.parent.name not in left:
            found.setdefault(file.parent.name, []).append(NotebookVerdict.from_json(file.read_text("utf-8")))
    return found


def lab_statistics(bundle: Bundle, verdicts: dict[str, list[NotebookVerdict]]) -> LabStatistics:
    """Statistics of the automatic points of a lab. A notebook that was not handed in counts as no points."""
    points: dict[str, dict[str, float]] = {}
    cells: dict[str, list[tuple[Outcome, str]]] = {}
    seconds: dict[str, list[float]] = {}
    for student, notebooks in verdicts.items():
        points[student] = {}
        for verdict in notebooks:
            seconds.setdefault(verdict.notebook, []).append(verdict.cpu_seconds)
            for cell in verdict.cells:
                points[student][cell.grade_id] = cell.points
                failed = next((check.label for check in cell.checks if not check.passed), "")
                cells.setdefault(cell.grade_id, []).append((cell.outcome, failed))
    totals = [sum(own.values()) for own in points.values()]
    checks = [
        _check(master.id, cell.grade_id, cell.points, points, cells.get(cell.grade_id, []))
        for master in bundle.notebooks
        for cell in master.cells
        if cell.kind == "grade" and cell.grade_id
    ]
    cpu = {
        name: (round(median(values), 2), round(max(values), 2)) for name, values in sorted(seconds.items())
    }
    maximum = sum(master.autograded_points for master in bundle.notebooks)
    return LabStatistics(bundle.lab, maximum, totals, checks, cpu)


def _check(
    notebook: str,
    grade_id: str,
    maximum: float,
    points: dict[str, dict[str, float]],
    judged: Sequence[tuple[Outcome, str]],
) -> CheckStatistics:
    passed = [float(own.get(grade_id, 0.0) > 0) for own in points.values()]
    rest = [sum(own.values()) - own.get(grade_id, 0.0) for own in points.values()]
    return CheckStatistics(
        notebook,
        grade_id,
        maximum,
        len(passed),
        fmean(passed) if passed else 0.0,
        discrimination(passed, rest),
        dict(Counter(str(outcome) for outcome, _ in judged)),
        dict(Counter(label for _, label in judged if label).most_common()),
    )


def discrimination(passed: Sequence[float], rest: Sequence[float]) -> float | None:
    """Pearson's correlation between passing (0 or 1) and the rest of the points; None where it has no meaning."""
    if len(passed) < FEW or len(set(passed)) < 2 or len(set(rest)) < 2:
        return None
    value = float(np.corrcoef(passed, rest)[0, 1])
    return None if math.isnan(value) else value
