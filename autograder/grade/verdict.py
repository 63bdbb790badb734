"""What the judge says about one notebook: typed outcomes, never an exception."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from autograder.text import well_formed_tree


class Outcome(StrEnum):
    """How one graded cell ended. Everything but PASS earns nothing."""

    PASS = "pass"
    FAIL = "fail"
    """A check did not hold."""
    ERROR = "error"
    """The student's code raised, died, or returned something of another form."""
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    FORBIDDEN = "forbidden"
    """What came back is not a value of the wire: too large, malformed, of a type that may not cross."""
    NOT_GRADABLE = "not_gradable"
    """The hand-in could not be judged at all; 0 is provisional until a person has looked."""
    GRADER_FAULT = "grader_fault"
    """The judge itself failed."""


@dataclass
class CheckReport:
    """One check: what was measured against which limit, as shown to the student."""

    label: str
    value: str
    limit: str
    passed: bool


@dataclass
class CellVerdict:
    """One graded cell. `message` is written for the student and shows no hidden test source."""

    grade_id: str
    outcome: Outcome
    points: float
    maximum: float
    message: str = ""
    checks: list[CheckReport] = field(default_factory=list)
    seconds: float = 0.0
    """Wall time of judging this cell."""


@dataclass
class RunReport:
    """One cell that ran in the student's kernel. `outputs` are notebook outputs, bounded and not yet sanitised."""

    id: str
    outcome: Outcome
    message: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class NotebookVerdict:
    """The verdict on one notebook, as it crosses from the judge's process."""

    notebook: str
    cells: list[CellVerdict] = field(default_factory=list)
    runs: list[RunReport] = field(default_factory=list)
    restarts: int = 0
    cpu_seconds: float = 0.0
    """CPU of judge and student kernel together, start-up included."""
    cells_cpu_seconds: float = 0.0
    """CPU of the student's kernel while cells and checks ran, its start-up left out."""
    sandbox: str = ""
    """Which limits applied."""
    judged: str = ""
    """When the notebook was judged, UTC, ISO 8601; a cached verdict keeps its time."""
    submission: str = ""
    """Hash of what the student wrote; set where the verdict is stored with a hand-in."""
    notes: list[str] = field(default_factory=list)
    fault: str = ""
    """Why the judge itself failed, for staff only."""

    @property
    def score(self) -> float:
        return sum(cell.points for cell in self.cells)

    @property
    def maximum(self) -> float:
        return sum(cell.maximum for cell in self.cells)

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NotebookVerdict:
        """Read `to_json` back. Raises ValueError or KeyError when the text is something else."""
        data = well_formed_tree(json.loads(text))
        cells = [
            CellVerdict(
                **{
                    **cell,
                    "outcome": Outcome(cell["outcome"]),
                    "checks": [CheckReport(**c) for c in cell["checks"]],
                }
            )
            for cell in data.pop("cells")
        ]
        runs = [RunReport(**{**run, "outcome": Outcome(run["outcome"])}) for run in data.pop("runs")]
        return cls(cells=cells, runs=runs, **data)
