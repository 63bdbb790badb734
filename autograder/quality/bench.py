"""Measure the grader against plain nbgrader in one run, on the same hand-ins and the same machine."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat

from autograder.build.builder import build_lab
from autograder.course import Course, Instance, Lab
from autograder.errors import QualityError
from autograder.grade.course_grade import grade_lab
from autograder.quality.handins import reference_notebook
from autograder.quality.plain import automatic_scores, plain_autograde


@dataclass
class GradeBench:
    """Ratios of one run. Above 1, `throughput_ratio` means faster than plain nbgrader.

    `limit_ratio` is the share of the ideal: CPU seconds of the hand-ins' own cells, over wall seconds.
    `overhead_cpu_seconds_per_notebook` is CPU beyond the cells' own: start of kernel and judge, checks.
    """

    throughput_ratio: float
    limit_ratio: float
    overhead_cpu_seconds_per_notebook: float
    submissions: int
    machine: str

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


def bench_grade(
    course: Course, lab: Lab, notebook: str, count: int, say: Callable[[str], None]
) -> GradeBench:
    """Grade `count` reference hand-ins of one notebook with the judge and with plain nbgrader.

    Raises QualityError when the two do not give the same scores, since then there is nothing to compare.
    """
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        instance = Instance(Path(folder) / "judge")
        bundle = build_lab(lab, course, instance, course.language)
        master = next(item for item in bundle.notebooks if item.id.startswith(notebook))
        for number in range(count):
            target = instance.submitted / f"student{number:02d}" / lab.id
            target.mkdir(parents=True)
            nbformat.write(reference_notebook(master), target / f"{master.id}.ipynb")
        started = time.monotonic()
        graded = grade_lab(instance, lab.id, before=lambda name: say(f"judge: {name}"))
        judged_seconds = time.monotonic() - started
        say("plain nbgrader autograde on the same hand-ins")
        plain = plain_autograde(instance, lab.id, Path(folder) / "plain")
        ours = automatic_scores(instance, lab.id)
        if ours != plain.scores:
            different = [key for key in ours if ours[key] != plain.scores.get(key)]
            raise QualityError(f"judge and plain nbgrader disagree on {different[:5]}")
        verdicts = [verdict for item in graded for verdict in item.verdicts]
        own = sum(verdict.cells_cpu_seconds for verdict in verdicts)
        overhead = sum(verdict.cpu_seconds - verdict.cells_cpu_seconds for verdict in verdicts) / len(
            verdicts
        )
    return GradeBench(
        throughput_ratio=round(plain.seconds / judged_seconds, 2),
        limit_ratio=round(own / judged_seconds, 2),
        overhead_cpu_seconds_per_notebook=round(overhead, 2),
        submissions=count,
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
    )
